"""The data behind the cascade explorer: what a page from the disk loads is what cclib computes from."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from book_site import made_up_study, write_edition

import cclib
from cclib import cost
from cclib.book import explorer
from cclib.book.editions import FOLDER, Book
from cclib.experiments import results
from cclib.study import export_study
from cclib.thresholds import choose_thresholds


@pytest.fixture
def book(tmp_path):
    """A repository with the page and one edition of recorded traces."""
    (tmp_path / "book").mkdir()
    (tmp_path / explorer.PAGE).write_text("# Cascade explorer\n")
    study = made_up_study()
    export_study(study, tmp_path / FOLDER / "made" / "traces")
    named = {"models": study.models, "benchmark": study.benchmark}
    write_edition(tmp_path, "made", named, f"{FOLDER.as_posix()}/made/traces")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "code.py").write_text("x = 1")
    return Book(tmp_path, package=tmp_path / "package")


def quiet(_):
    pass


def decode(text):
    return np.frombuffer(base64.b64decode(text), "<f8")


def test_columns_reach_the_page_bit_for_bit():
    study = made_up_study()
    written = json.loads(json.dumps(explorer.data(study, "Made up"), allow_nan=False))
    for trace, stage in zip(study.test, written["stages"]):
        assert (decode(stage["p_t"]) == trace.p_t).all() and (decode(stage["correct"]) == trace.correct).all()
        assert (decode(stage["prompt_tokens"]) == trace.prompt_tokens).all()
    assert written["stages"][1]["p_ik"] is None and written["stages"][1]["probe"] is None
    assert (decode(written["stages"][0]["probe"]) == cost.probe_cost(study.test[0])).all()
    subjects = np.array(written["subjects"])[decode(written["subject"]).astype(int)]
    assert (subjects == study.test[0].column("subject")).all()


def test_a_chain_has_the_sizes_it_is_charged_for_or_none():
    written = explorer.data(made_up_study(), "Made up")
    sizes = {tuple(c["members"]): c["sizes"] for c in written["chains"]}
    assert sizes[0, 1] == [12 * 28 * 3072**2, 12 * 32 * 4096**2]
    assert sizes[2, 3][1] is None  # nobody knows
    assert [s["price"] for s in written["stages"]] == [(0.08, 0.16), (0.1, 0.2), (0.6, 1.2), (2.5, 10.0)]


def test_a_chain_has_the_mixing_that_the_chapters_judge_it_by():
    study = made_up_study()
    written = {tuple(c["members"]): c["mixing"] for c in explorer.data(study, "Made up")["chains"]}
    assert written[2, 3] is None  # nobody knows the last one's size
    sizes = np.array(cost.stage_sizes(study.test))
    for members in ((0, 1), (0, 1, 2)):
        assert [row[0] for row in written[members]["alone"]] == [0, 1, 2]  # models outside the chain too
        _, costs, accuracies = np.array(written[members]["alone"]).T
        assert costs == pytest.approx(sizes[:3] / sizes[members[-1]])
        assert accuracies == pytest.approx([t.correct.mean() for t in study.test[:3]])
        result = cclib.cascade(study.chain(members), 0.5, None)
        spent = 1 - cost.reduced(result, "every-pass")
        reached = np.interp(spent, *np.array(written[members]["hull"]).T)
        models = dict(zip(study.models[:3], study.test))
        assert 100 * (result.accuracy - reached) == pytest.approx(results.above_mixing(result, models).points)


def test_a_chain_has_its_proven_thresholds_or_why_there_are_none():
    study = made_up_study()  # nobody answered validation questions
    assert all(c["proven"] is None for c in explorer.data(study, "Made up")["chains"])
    sure = [t.with_column("p_t", np.where(t.correct, 0.95, 0.05)) for t in study.test]
    written = {
        tuple(c["members"]): c["proven"]
        for c in explorer.data(replace(study, validation=sure), "Made up")["chains"]
    }
    choice = choose_thresholds(sure[:2], with_pik=False)
    first = written[0, 1]
    assert first["pt"] == choice.pt and 0.05 < choice.pt[0] <= 0.95 and first["questions"] == len(study)
    result = cclib.cascade(sure[:2], first["pt"], None)
    assert first["saved"] == pytest.approx(cost.reduced(result, "every-pass"))
    assert (result.correct >= sure[1].correct).all()  # it keeps right answers alone
    assert written[2, 3] is None  # compute of the last is not known
    blind = explorer.data(replace(study, validation=study.test), "Made up")["chains"]  # P(T) tells nothing
    unsure = {tuple(c["members"]): c["proven"] for c in blind}
    assert unsure[0, 1] == {"reason": choose_thresholds(study.test[:2], with_pik=False).reason}


def test_data_are_written_once_and_again_after_a_change(book):
    assert [p.name for p in explorer.write(book, echo=quiet)] == ["made.js"]
    assert explorer.write(book, echo=quiet) == []
    (book.root / "package" / "code.py").write_text("x = 2")
    assert len(explorer.write(Book(book.root, book.package), echo=quiet)) == 1
    trace = next((book.root / FOLDER / "made" / "traces").rglob("provenance.json"))
    trace.write_text(trace.read_text() + " ")
    assert len(explorer.write(Book(book.root, book.package), echo=quiet)) == 1


def test_the_list_names_the_editions_that_have_data(book):
    explorer.write(book, echo=quiet)
    folder = book.root / explorer.FOLDER
    assert '"name": "made"' in (folder / "editions.js").read_text()
    assert (folder / "plotly.min.js").stat().st_size > 1e6
    (book.root / "editions" / "made.yml").unlink()
    explorer.write(Book(book.root, book.package), echo=quiet)
    assert "made" not in (folder / "editions.js").read_text() and not (folder / "made.js").exists()


def test_a_book_without_the_page_gets_no_data(book):
    (book.root / explorer.PAGE).unlink()
    assert explorer.write(book, echo=quiet) == [] and not (book.root / explorer.FOLDER).exists()
