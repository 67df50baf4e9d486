"""Stages that are known by their answers alone: what foretells them, what it costs, what a chapter says."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import papermill
import pytest

import cclib
from cclib.book.editions import add_edition, read_edition
from cclib.display import needs
from cclib.experiments import answers_only
from cclib.experiments.routing import compare
from cclib.logs.published import SIZES
from cclib.replay import NotAtHand

NAMES = ["phi-3-mini", "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Made-up answers to Atlas: the first model knows the later half of subjects, the last one knows all."""
    folder = tmp_path_factory.mktemp("answers")
    asked = cclib.load_benchmark("atlas")
    subjects = sorted({q.subject for q in asked})
    known = set(subjects[len(subjects) // 2 :])
    rng = np.random.default_rng(0)
    for name, sure in zip(NAMES, (known, known, set(subjects))):
        right = np.array([q.subject in sure for q in asked]) ^ (rng.random(len(asked)) < 0.1)
        other = [(q.answer + 1 + rng.integers(len(q.choices) - 1)) % len(q.choices) for q in asked]
        said = np.where(right, [q.answer for q in asked], other)
        table = pd.DataFrame({"question_id": [q.id for q in asked], "correct": right, "prediction": said})
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def study(folder):
    names = ["atlas-s", *(str(folder / f"{name}.csv") for name in NAMES)]
    return cclib.load_study(names, limit=150, traces_dir=folder / "traces", device="cpu")


def test_a_proxy_agreement_and_words_are_methods_each_charged_for_every_pass(study):
    compared = compare.compare(study)
    assert compared.names == (f"{NAMES[0]}.csv", f"{NAMES[-1]}.csv")
    found = {m.name: m for m in compared.methods if m.source == "answers only"}
    proxy = study.test[0].parameters / (SIZES[NAMES[2]] * 1e9)
    second = SIZES[NAMES[1]] / SIZES[NAMES[2]]
    assert {name: (m.depth, pytest.approx(m.extra)) for name, m in found.items()} == {
        "words: is the large one needed": (0.0, 0.0),
        "words: is the small one right": (0.0, 0.0),
        "proxy's P(T)": (0.0, proxy),
        "proxy's P(IK) of the small one": (0.0, proxy),
        "proxy: is the large one needed": (0.0, proxy),
        "proxy and words": (0.0, proxy),
        "agreement": (1.0, second),
        "agreement and proxy": (1.0, second + proxy),
    }
    assert all(len(m.score) == 150 == len(m.validation) for m in found.values())
    needed = compared.test.large & ~compared.test.small
    score = found["words: is the large one needed"].score
    assert cclib.stats.auroc(needed, score) > 0.75  # half of the subjects need the large model


def test_what_foretells_a_stage_without_probabilities_is_ranked_like_any_estimator(study):
    assert answers_only.estimates(study, 0) == []  # it has P(T)
    found = {e.name: e for e in answers_only.estimates(study, 1)}
    assert list(found) == ["words", "proxy's P(T)", "proxy's P(IK)", "agreement"]
    assert found["agreement"].extra == pytest.approx(SIZES[NAMES[1]] / SIZES[NAMES[0]])
    same = study.test[1].column("prediction") == study.test[2].column("prediction")
    assert (found["agreement"].score == same).all()
    assert cclib.stats.auroc(study.test[1].correct, found["words"].score) > 0.75
    (alone,) = answers_only.estimates(study, 3)  # before the last comes no proxy, after it no second model
    assert alone.name == "words"


def test_a_file_of_the_test_questions_alone_teaches_nothing(study, folder, tmp_path):
    for name in NAMES[1:]:
        table = pd.read_csv(folder / f"{name}.csv")
        table[table["question_id"].isin(study.test[0].question_id)].to_csv(tmp_path / f"{name}.csv")
    names = [str(tmp_path / f"{name}.csv") for name in NAMES[1:]]
    bare = cclib.load_study(names, limit=150, traces_dir=tmp_path, device="cpu")
    assert answers_only.study_methods(bare, 0) == [] == answers_only.estimates(bare)


def test_subjects_of_outside_answers_are_the_benchmarks(study):
    assert study.test[1].column("subject").tolist() == [q.subject for q in study.questions]


def test_a_chapter_that_lacks_what_it_needs_says_so_and_runs_no_further_cell(study, monkeypatch):
    shell = SimpleNamespace(input_transformers_cleanup=[])
    monkeypatch.setattr(needs, "get_ipython", lambda: shell)
    said = []
    monkeypatch.setattr(needs, "display", lambda text: said.append(text.data))
    needs.confidence(study)
    assert len(said) == 1 and "phi&#45;3&#45;mini&#46;csv and llama&#45;3&#46;1&#45;8b" in said[0]
    (leave_out,) = shell.input_transformers_cleanup
    assert leave_out(["result = cclib.cascade(study.test)\n"]) == []
    assert leave_out(["study = 1\n", "needs.confidence(study)\n"]) != []  # a reader starts again from here
    needs.that(True, "")
    assert shell.input_transformers_cleanup == []
    needs.a_model(study)  # atlas-s can be asked
    assert len(said) == 1


def test_outside_a_notebook_what_is_lacking_is_an_error(study):
    with pytest.raises(NotAtHand, match="no cascade"):
        needs.confidence(study)


CHAPTERS = (
    "01-introduction 02-1-model-selection 02-2-confidence 03-1-setup 03-2-open-source-models "
    "03-3-commercial-api 04-1-ablation 04-2-ood 05-limitations A-1-confidence-methods A-2-routing B-models "
    "C-2-wording D-query-distribution F-open-ended I-sensitivity"
).split()


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_goes_through_with_answers_alone(chapter, folder, tmp_path):
    given = {"models": [str(folder / f"{name}.csv") for name in NAMES[1:]], "limit": 150}
    given["traces_dir"] = str(tmp_path / "traces")
    ran = papermill.execute_notebook(
        f"notebooks/{chapter}.ipynb", None, given, kernel_name="python3", progress_bar=False
    )
    shown = str(ran.cells)
    assert "Traceback" not in shown
    if chapter[:2] in ("01", "02", "04", "05", "C-", "D-", "F-", "I-"):
        assert "This chapter cannot be shown for these models" in shown


def test_an_edition_of_answers_alone_leaves_out_the_chapters_that_decide_by_p_t(folder, tmp_path):
    (tmp_path / "notebooks").mkdir()
    for stem in CHAPTERS:
        (tmp_path / "notebooks" / f"{stem}.ipynb").write_text("{}")
    models = [str(folder / f"{name}.csv") for name in NAMES[1:]]
    chapters = read_edition(add_edition(tmp_path, "published", {"models": models})).notebooks
    assert chapters == tuple(CHAPTERS[i] for i in (3, 4, 9, 10, 11))
    last = add_edition(tmp_path, "last", {"models": ["atlas-s", models[-1]]})
    assert read_edition(last).notebooks == ("*",)
