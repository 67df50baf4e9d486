"""A recorded answer is taken for the same question, weights, prompt, precision and layer, or not at all."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_tiny

import cclib
from cclib import prompts, recording
from cclib.questions import Question
from cclib.recording import store as stores
from cclib.traces import part_name, read_part

HEADER = "question,A,B,C,D,answer\n"
ROWS = [f"Which of these is number {i}?,n{i},m{i},k{i},j{i},{'ABCD'[i % 4]}" for i in range(8)]


def own(folder: Path, rows=ROWS) -> list[Question]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "own.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return cclib.load_benchmark(path)


def collected(questions, store, model="atlas-s", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cclib.collect(model, questions, store=store, progress=False, **options)


def same(trace, fresh):
    """What would be recorded into an empty store."""
    for name in ("question_id", "subject", "answer", "prediction", "correct", "abstained", "response"):
        assert trace.table[name].to_pylist() == fresh.table[name].to_pylist(), name
    np.testing.assert_allclose(trace.p_t, fresh.p_t, atol=1e-5)
    if fresh.option_probs is not None:
        np.testing.assert_allclose(trace.option_probs, fresh.option_probs, atol=1e-5)


@pytest.fixture
def asked(monkeypatch):
    """Ids of the questions that models are asked."""
    from cclib.confidence import p_t

    seen = []
    for name in ("answer_questions", "answer_open_questions"):
        answer = getattr(p_t, name)

        def spied(model, questions, *rest, answer=answer, **options):
            for rows in answer(model, questions, *rest, **options):
                seen.extend(row["question_id"] for row in rows)
                yield rows

        monkeypatch.setattr(p_t, name, spied)
    return seen


def swapped(row: str) -> str:
    text, a, b, *rest = row.split(",")
    return ",".join([text, b, a, *rest])


EDITS = {  # what becomes of the table, and how many questions must be asked anew
    "letters edited": (lambda rows: [r[:-1] + "A" for r in rows], 0),
    "options A and B swapped": (lambda rows: [swapped(r) for r in rows], 8),
    "row 1 deleted": (lambda rows: rows[1:], 0),
    "rows turned round": (lambda rows: rows[::-1], 0),
    "a row put before": (lambda rows: ["Which one?,a,b,c,d,A", *rows], 1),
    "one text edited": (lambda rows: [rows[0].replace("these", "those"), *rows[1:]], 1),
    "an option left out": (lambda rows: [r.replace(f"j{i},D", ",A") if i == 3 else r
                                         for i, r in enumerate(rows)], 1),
    "another table": (lambda rows: [r.replace("number", "letter") for r in rows], 8),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("by_name", [True, False])
def test_an_edited_table_gives_what_a_fresh_store_would(edit, by_name, tmp_path, asked):
    change, anew = EDITS[edit]
    model = "atlas-s" if by_name else cclib.load_model("atlas-s", device="cpu")
    first = collected(own(tmp_path / "one"), tmp_path / "t", model)
    questions = own(tmp_path / "two", change(ROWS))
    asked.clear()
    trace = collected(questions, tmp_path / "t", model)
    assert len(asked) == anew
    same(trace, collected(questions, tmp_path / "fresh", model))
    same(collected(own(tmp_path / "one"), tmp_path / "t", model), first)  # what was recorded is kept


def test_a_changed_key_is_judged_anew_without_the_model(tmp_path, asked):
    questions = own(tmp_path)
    trace = collected(questions, tmp_path / "t")
    asked.clear()
    said = trace.column("prediction").tolist()
    right = [replace(q, answer=p) for q, p in zip(questions, said)]
    wrong = [replace(q, answer=(p + 1) % 4) for q, p in zip(questions, said)]
    assert collected(right, tmp_path / "t").correct.all()
    assert not collected(wrong, tmp_path / "t").correct.any() and not asked


def test_other_accepted_answers_judge_an_open_answer_anew(tmp_path, asked):
    questions = cclib.load_benchmark("atlas-open", limit=6)
    trace = collected(questions, tmp_path)
    asked.clear()
    said = trace.column("response")
    all_right = [replace(q, accepted=(r.removeprefix("Answer:"),)) for q, r in zip(questions, said)]
    assert collected(all_right, tmp_path).correct.all()
    assert not collected([replace(q, accepted=("xyzzy",)) for q in questions], tmp_path).correct.any()
    assert not asked
    with pytest.raises(ValueError, match="no accepted answers"):
        collected([replace(q, accepted=()) for q in questions], tmp_path)


def test_what_no_longer_fits_is_told_and_kept(tmp_path):
    collected(own(tmp_path), tmp_path / "t")
    changed = own(tmp_path, [swapped(r) for r in ROWS])
    with pytest.warns(UserWarning, match="8 of 8 questions were recorded with another text.*'own/0'.*stays"):
        cclib.collect("atlas-s", changed, store=tmp_path / "t", progress=False)
    whole = cclib.read_trace(tmp_path / "t" / "atlas-s")  # of each id the last
    assert sorted(whole.question_id) == sorted(q.id for q in changed)
    assert {q.hash for q in changed} == set(whole.column("question_hash"))


def test_the_same_question_of_another_subject_is_another_prompt():
    one = Question("a", "biology", "What?", ("x", "y"), 0)
    assert one.hash == replace(one, id="b", answer=1).hash == replace(one, subject="biology").hash
    assert len({one.hash, *(replace(one, **k).hash for k in (
        {"subject": "physics"}, {"text": "What"}, {"choices": ("y", "x")}, {"choices": ("x", "y", "z")},
    ))}) == 5  # fmt: skip


# weights


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two trainings that call their checkpoint alike."""
    folder = tmp_path_factory.mktemp("runs")
    return [make_tiny("llama", folder / f"exp{i}" / "checkpoint-500", seed=i) for i in (1, 2)]


def test_two_checkpoints_of_one_name_are_both_kept(checkpoints, questions, tmp_path):
    one, two = (collected(questions, tmp_path / "t", path) for path in checkpoints)
    fresh = collected(questions, tmp_path / "fresh", checkpoints[1])
    assert one.provenance["checksum"] != two.provenance["checksum"] == fresh.provenance["checksum"]
    same(two, fresh)
    for path, trace in zip(checkpoints, (one, two)):
        same(collected(questions, tmp_path / "t", path), trace)
        same(collected(questions, tmp_path / "t", cclib.load_model(path, device="cpu")), trace)


def test_weights_trained_anew_in_place_are_asked_anew(checkpoints, questions, tmp_path):
    model = shutil.copytree(checkpoints[0], tmp_path / "checkpoint-500")
    before = collected(questions, tmp_path / "t", model)
    for file in checkpoints[1].iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match="another making.*checksum: recorded sha256.*they stay"):
        after = cclib.collect(model, questions, store=tmp_path / "t", progress=False)
    assert before.provenance["checksum"] != after.provenance["checksum"]
    same(after, collected(questions, tmp_path / "fresh", checkpoints[1]))
    same(collected(questions, tmp_path / "t", model), after)


def test_without_its_weights_a_trace_replays_and_says_that_it_was_not_checked(
    checkpoints, questions, tmp_path, asked
):
    model = shutil.copytree(checkpoints[0], tmp_path / "checkpoint-500")
    trace = collected(questions, tmp_path / "t", model)
    assert "notes" not in trace.provenance
    shutil.rmtree(model)
    asked.clear()
    replayed = collected(questions, tmp_path / "t", model)
    same(replayed, trace)
    assert not asked
    (note,) = replayed.provenance["notes"]
    assert "not at hand" in note and trace.provenance["checksum"] in note
    with pytest.raises(ValueError, match="1 of 2 questions are not on record.*'new'.*cannot be loaded"):
        new = replace(questions[0], id="new", text="Another one?")
        collected([questions[0], new], tmp_path / "t", model)


def test_whose_answers_are_meant_is_not_guessed(checkpoints, questions, tmp_path):
    models = [shutil.copytree(path, tmp_path / path.parent.name / path.name) for path in checkpoints]
    for model in models:
        collected(questions, tmp_path / "t", model)
    for model in models:
        shutil.rmtree(model)
    with pytest.raises(ValueError, match="several models of this name.*sha256.*sha256"):
        collected(questions, tmp_path / "t", models[0])
    homes = [home for home, _ in stores.makings(tmp_path / "t" / "checkpoint-500")]
    assert len({cclib.read_trace(home).provenance["checksum"] for home in homes}) == 2


@pytest.mark.parametrize(
    "change", [{"dtype": "bfloat16"}, {"layer": 1}, {"layer": 2}], ids=["dtype", "layer 1", "layer 2"]
)
def test_another_precision_or_layer_is_recorded_beside(change, checkpoints, questions, tmp_path):
    first = collected(questions, tmp_path / "t", checkpoints[0])
    other = collected(questions, tmp_path / "t", checkpoints[0], **change)
    fresh = collected(questions, tmp_path / "fresh", checkpoints[0], **change)
    assert (other.provenance["dtype"], other.hidden_layer) == (fresh.provenance["dtype"], fresh.hidden_layer)
    assert (other.provenance["dtype"], other.hidden_layer) != (first.provenance["dtype"], first.hidden_layer)
    assert (other.hidden == fresh.hidden).all() and (other.p_t == fresh.p_t).all()
    again = collected(questions, tmp_path / "t", checkpoints[0])
    assert (again.hidden == first.hidden).all() and again.hidden_layer == 3


def test_auto_goes_on_in_the_precision_that_was_recorded(checkpoints, questions, tmp_path, asked):
    collected(questions[:20], tmp_path, checkpoints[0], dtype="bfloat16")
    asked.clear()
    trace = collected(questions, tmp_path, checkpoints[0])
    assert trace.provenance["dtype"] == "bfloat16" and len(asked) == 20


def test_another_prompt_is_recorded_beside(questions, tmp_path, monkeypatch, asked):
    first = collected(questions[:6], tmp_path / "t")
    with monkeypatch.context() as patch:
        patch.setattr(prompts, "MULTIPLE_CHOICE", prompts.MULTIPLE_CHOICE.replace("Please", "Now"))
        asked.clear()
        other = collected(questions[:6], tmp_path / "t")
        assert len(asked) == 6 and (other.p_t != first.p_t).any()
        assert other.provenance["prompt_hash"] != first.provenance["prompt_hash"]
    same(collected(questions[:6], tmp_path / "t"), first)


def test_another_way_of_reading_is_recorded_beside(checkpoints, questions, tmp_path, monkeypatch):
    model = cclib.load_model(checkpoints[0], device="cpu")
    collected(questions[:6], tmp_path, model)
    about = model.provenance()
    monkeypatch.setattr(type(model), "provenance", lambda self: about | {"reading": "plain", "versions": {}})
    trace = collected(questions[:6], tmp_path, model)
    assert trace.provenance["reading"] == "plain" and len(list(tmp_path.rglob("provenance.json"))) == 2


# the hub and endpoints


def on_record(folder: Path, questions, **about) -> Path:
    """A trace as it was recorded elsewhere."""
    folder.mkdir(parents=True)
    made = {"dtype": "float32", "prompt_hash": prompts.Prompt().hash(), "n_layers": 4, "hidden_layer": 3}
    (folder / "provenance.json").write_text(json.dumps(made | about))
    rows = [
        {"question_id": q.id, "question_hash": q.hash, "subject": q.subject, "answer": q.answer,
         "prediction": 0, "correct": q.answer == 0, "p_t": 0.5, "option_probs": [0.5] + [0.1] * 3}
        for q in questions
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=recording.SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content = sink.getvalue().to_pybytes()
    (folder / part_name(0, content)).write_bytes(content)
    return folder


def test_another_model_of_the_same_short_name_gets_none_of_its_answers(questions, tmp_path):
    on_record(tmp_path / "model", questions, model="one/model", checksum="commit:abc", revision=None)
    assert len(collected(questions, tmp_path, "one/model")) == 40
    with pytest.raises(ValueError, match="two/model"):
        collected(questions, tmp_path, "two/model")


def test_another_revision_of_the_hub_gets_none_of_its_answers(questions, tmp_path):
    on_record(tmp_path / "model", questions, model="one/model@v1", checksum="commit:abc", revision="v1")
    for name in ("one/model@v1", "one/model@abc", "one/model"):
        assert len(collected(questions, tmp_path, name)) == 40
    with pytest.raises(ValueError, match="one/model@v2"):
        collected(questions, tmp_path, "one/model@v2")


def test_a_newer_revision_in_the_hubs_cache_is_seen(questions, tmp_path, monkeypatch):
    on_record(tmp_path / "model", questions, model="one/model", checksum="commit:abc", revision=None)
    monkeypatch.setattr(stores, "checksum_at_hand", lambda name: "commit:def")
    with pytest.raises(ValueError, match="one/model"):
        collected(questions, tmp_path, "one/model")


def test_an_endpoint_at_another_host_gets_none_of_its_answers(questions, tmp_path, monkeypatch):
    about = {"model": "openai:x", "checksum": "served:x@127.0.0.1", "dtype": None, "hidden_layer": None}
    about |= {"n_layers": None, "prompt_hash": prompts.Prompt().hash(prompts.ENDPOINT)}
    on_record(tmp_path / "openai-x", questions, **about)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert len(collected(questions, tmp_path, "openai:x")) == 40  # nothing says where it is
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1234/v1")
    assert len(collected(questions, tmp_path, "openai:x")) == 40
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid/v1")
    with pytest.raises(Exception, match="elsewhere"):
        collected(questions, tmp_path, "openai:x")


# stores of before


def without_hashes(folder: Path) -> None:
    for part in folder.glob("part-*.parquet"):
        table = read_part(part).drop_columns(["question_hash"])
        part.unlink()
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content = sink.getvalue().to_pybytes()
        (folder / part_name(int(part.name[5:10]), content)).write_bytes(content)


def test_a_store_that_does_not_say_what_was_asked_is_read_and_that_is_told(tmp_path, asked):
    questions = own(tmp_path)
    trace = collected(questions, tmp_path / "t")
    without_hashes(tmp_path / "t" / "atlas-s")
    asked.clear()
    replayed = collected(questions, tmp_path / "t")
    same(replayed, trace)
    assert not asked
    (note,) = replayed.provenance["notes"]
    assert "8 of 8 answers" in note and "known by their ids alone" in note
    more = own(tmp_path, [*ROWS, "Which one?,a,b,c,d,A"])
    assert "8 of 9 answers" in collected(more, tmp_path / "t").provenance["notes"][0]
    assert asked == ["own/8"]


@pytest.mark.parametrize(
    "change",
    [{"subject": "else"}, {"answer": 1}, {"choices": ("x", "y")}],
    ids=["subject", "answer", "options"],
)
def test_such_an_answer_is_not_taken_where_what_it_says_speaks_against_it(change, tmp_path, asked):
    questions = own(tmp_path)
    collected(questions, tmp_path / "t")
    without_hashes(tmp_path / "t" / "atlas-s")
    asked.clear()
    changed = [replace(questions[0], **change), *questions[1:]]
    same(collected(changed, tmp_path / "t"), collected(changed, tmp_path / "fresh"))
    assert asked.count("own/0") == 2  # of the fresh store too


# what is worked out from answers


def test_what_is_worked_out_from_answers_is_known_by_all_that_made_them():
    from conftest import make_trace

    trace = make_trace("a", n=20, checksum="one", dtype="float32")
    keys = {trace.key, make_trace("a", n=20, checksum="two", dtype="float32").key}
    keys.add(make_trace("a", n=20, checksum="one", dtype="bfloat16").key)
    keys.add(trace.with_column("prediction", (trace.column("prediction") + 1) % 4).key)
    keys.add(trace.with_column("question_hash", [str(i) for i in range(20)]).key)
    keys.add(trace.with_column("correct", ~trace.correct).key)
    assert len(keys) == 6 and trace.key == trace.with_column("p_ik", trace.p_t).key


def test_a_study_of_an_edited_table_is_what_a_fresh_store_gives(tiny_pair, tmp_path):
    def load(rows, store):
        lines = [f"Which is {i} of {rows}?,{i},{i + 1},{'AB'[i % 2]}" for i in range(rows)]
        (tmp_path / "own.csv").write_text("question,A,B,answer\n" + "\n".join(lines[-120:]) + "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cclib.load_study(tiny_pair, str(tmp_path / "own.csv"), traces_dir=tmp_path / store)

    load(120, "t")
    again, fresh = load(130, "t"), load(130, "fresh")
    for one, two in zip(again.test, fresh.test):
        same(one, two)
    if fresh.has_pik:
        np.testing.assert_allclose(again.test[0].p_ik, fresh.test[0].p_ik, atol=1e-3)
    assert again.whole(0).question_id.tolist() == [q for q in again.all_questions]


def test_texts_that_are_no_longer_those_of_an_export_are_not_shown(tmp_path):
    study = cclib.load_study("atlas", "atlas", limit=4, traces_dir=tmp_path / "t", device="cpu")
    cclib.export_study(study, tmp_path / "out")
    replayed = cclib.load_study("atlas", "atlas", traces_dir=tmp_path / "out")
    assert [q.hash for q in replayed.texts()] == [q.hash for q in study.questions]
    other = replayed.test[0].with_column("question_hash", ["0" * 16] * 4)
    assert replace(replayed, test=[other, *replayed.test[1:]]).texts() is None
