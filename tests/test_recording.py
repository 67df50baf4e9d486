"""Traces on disk: nothing recorded is lost, nothing is recorded twice, nothing wrong is read."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import cclib
from cclib import recording

RECORD = """
import pickle, sys
from cclib import recording
import cclib
recording.FLUSH_ROWS = 1
model, questions, store = pickle.load(open(sys.argv[1], "rb"))
import cclib.confidence.forward as c
c.PACK_TOKENS["cpu"] = 1  # one question a pass, one part a question
print("ready", flush=True)
cclib.collect(model, questions, store=store, progress=False)
"""


def test_a_trace_holds_what_the_model_did(tiny, questions, tmp_path):
    trace = cclib.collect(tiny, questions, store=tmp_path, progress=False)
    assert trace.question_id.tolist() == [q.id for q in questions]
    assert (trace.column("prediction") == trace.option_probs.argmax(1)).all()
    assert (trace.correct == (trace.column("prediction") == [q.answer for q in questions])).all()
    assert trace.hidden.shape == (40, 64) and trace.hidden_layer == 3
    about = trace.provenance
    assert {"checksum", "prompt_hash", "dtype", "device", "versions", "parameters"} <= set(about)
    assert about["prompt_hash"] == trace.column("prompt_hash")[0]


def test_a_recorded_trace_replays_without_its_model(tiny, questions, tmp_path):
    cclib.collect(tiny, questions[:5], store=tmp_path, progress=False)
    (tmp_path / "elsewhere").mkdir()
    replayed = cclib.collect(f"gone/{tiny.name}", questions[:5], store=tmp_path, progress=False)
    assert len(replayed) == 5


def test_a_killed_run_goes_on_where_it_was(tiny, questions, tmp_path):
    import pickle

    job = tmp_path / "job.pkl"
    job.write_bytes(pickle.dumps((str(tiny), questions, str(tmp_path / "store"))))
    run = subprocess.Popen([sys.executable, "-c", RECORD, str(job)], stdout=subprocess.PIPE)
    folder = tmp_path / "store" / tiny.name
    while len(list(folder.glob("part-*.parquet"))) < 3 and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = set(cclib.read_trace(folder).question_id)
    assert 3 <= len(kept)
    resumed = cclib.collect(tiny, questions, store=tmp_path / "store", progress=False)
    fresh = cclib.collect(tiny, questions, store=tmp_path / "fresh", progress=False)
    assert sorted(cclib.read_trace(folder).question_id) == sorted(q.id for q in questions)
    assert np.abs(resumed.option_probs - fresh.option_probs).max() < 1e-5
    assert (resumed.column("prediction") == fresh.column("prediction")).all()


def test_a_truncated_part_is_named_and_the_rest_is_kept(tiny, questions, tmp_path, monkeypatch):
    cclib.collect(tiny, questions[:10], store=tmp_path, progress=False)
    cclib.collect(tiny, questions[:20], store=tmp_path, progress=False)
    (part,) = (tmp_path / tiny.name).glob("part-00001-*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(ValueError, match="part-00001-.*is damaged.*traces check"):
        cclib.collect(tiny, questions[:20], store=tmp_path, progress=False)
    part.unlink()
    assert len(cclib.collect(tiny, questions[:20], store=tmp_path, progress=False)) == 20


def test_a_full_disk_is_told_and_loses_nothing(tiny, questions, tmp_path, monkeypatch):
    cclib.collect(tiny, questions[:10], store=tmp_path, progress=False)

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recording.Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left on device.*free some space"):
            cclib.collect(tiny, questions, store=tmp_path, progress=False)
    assert not list((tmp_path / tiny.name).glob("*.partial"))
    assert len(cclib.collect(tiny, questions, store=tmp_path, progress=False)) == 40


def test_a_second_recorder_is_told_of_the_first(tiny, questions, tmp_path):
    folder = tmp_path / tiny.name
    folder.mkdir()
    with FileLock(folder / ".lock"), pytest.raises(OSError, match="another process is recording"):
        cclib.collect(tiny, questions, store=tmp_path, progress=False)


def test_traces_of_other_weights_are_not_mixed(tiny, questions, tmp_path):
    cclib.collect(tiny, questions[:5], store=tmp_path, progress=False)
    path = tmp_path / tiny.name / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checksum": "sha256:other"}))
    with pytest.warns(UserWarning, match="another making.*checksum"):
        trace = cclib.collect(tiny, questions, store=tmp_path, progress=False)
    assert trace.provenance["checksum"] != "sha256:other"
    assert len(trace) == 40 and len(cclib.read_trace(tmp_path / tiny.name)) == 5


def test_an_outside_trace_needs_only_ids_and_correctness(tmp_path):
    path = tmp_path / "gpt.csv"
    pd.DataFrame({"question_id": ["a", "b"], "correct": ["True", "0"]}).to_csv(path, index=False)
    trace = cclib.read_trace(path)
    assert trace.correct.tolist() == [True, False] and trace.p_t is None and trace.model == "gpt"
    pq.write_table(trace.table, tmp_path / "same.parquet")
    assert cclib.read_trace(tmp_path / "same.parquet").correct.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question_id,p_t\na,0.5\n", "missing .*correct"),
        ("question_id,correct\na,maybe\n", "must be true or false"),
        ("question_id,correct\na,1\na,0\n", "occurs twice"),
    ],
)
def test_a_bad_outside_trace_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        cclib.read_trace(path)


def test_asking_a_trace_for_questions_it_lacks_names_one():
    from conftest import make_trace

    with pytest.raises(KeyError, match="1 of 2 questions"):
        make_trace().select(["q/1", "q/none"])


def test_a_log_gets_lines_in_place_of_a_bar_that_is_drawn_anew(tiny, questions, tmp_path, capsys):
    cclib.collect(tiny, questions[:5], store=tmp_path)
    said = capsys.readouterr().err
    assert "5/5" in said and "\r" not in said
    assert all(line.startswith(f"{tiny.name}: ") for line in said.split("\n") if line)
