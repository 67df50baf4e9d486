"""A recording on two nodes of a Ray cluster: the same trace, whatever dies meanwhile."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import cclib
from cclib.atlas import MODELS, WEIGHTS
from cclib.recording import cluster
from cclib.traces import SCHEMA

QUESTIONS = 400
ROOT = Path(__file__).parents[1]


def on_two_nodes(store: Path, what: str) -> subprocess.CompletedProcess:
    """Record on two raylets, in a process group of its own, so that nothing of it stays."""
    command = [sys.executable, "-m", "tests.two_nodes", str(store), str(QUESTIONS), what]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=570)
    assert what == "driver" or ran.returncode == 0, ran.stderr[-3000:]
    return ran


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The trace of one process."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
    if not (WEIGHTS / MODELS[0] / "model.safetensors").exists():
        pytest.skip("no Atlas weights in this checkout")
    questions = cclib.load_benchmark("atlas", limit=QUESTIONS)
    return cclib.collect("atlas-s", questions, tmp_path_factory.mktemp("one"), device="cpu", progress=False)


def assert_same(store: Path, alone) -> None:
    """No row lost, none doubled (a Trace refuses that), the same answers, probabilities to five digits."""
    trace = cclib.read_trace(store / "atlas-s")
    assert len(trace) == len(alone) == QUESTIONS
    trace = trace.select(alone.question_id)
    assert (trace.column("prediction") == alone.column("prediction")).all()
    np.testing.assert_allclose(trace.option_probs, alone.option_probs, atol=1e-5)
    np.testing.assert_allclose(trace.hidden, alone.hidden, atol=2e-2)  # float16
    assert trace.table.schema.equals(alone.table.schema)
    timely = ("recorded", "device")
    assert {k: v for k, v in trace.provenance.items() if k not in timely} == {
        k: v for k, v in alone.provenance.items() if k not in timely
    }


@pytest.mark.slow
def test_two_nodes_record_what_one_process_does_and_listen_to_nobody_else(alone, tmp_path):
    said = on_two_nodes(tmp_path, "nothing").stdout
    assert_same(tmp_path, alone)
    (heard,) = [line for line in said.splitlines() if line.startswith("listening at")]
    assert set(heard.split()[2:]) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "node"])
def test_what_dies_midway_costs_no_row(what, alone, tmp_path):
    assert "killed" in on_two_nodes(tmp_path, what).stdout
    assert_same(tmp_path, alone)


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_it_was(alone, tmp_path):
    assert on_two_nodes(tmp_path, "driver").returncode != 0
    kept = set(cclib.read_trace(tmp_path / "atlas-s").question_id)
    assert 0 < len(kept) < QUESTIONS
    on_two_nodes(tmp_path, "nothing")
    assert_same(tmp_path, alone)


def test_a_node_holds_as_many_workers_as_fit():
    nodes = [{"GPU": 8.0, "CPU": 64.0}, {"GPU": 4.0, "CPU": 64.0}, {"CPU": 64.0}]
    assert cluster.places({"num_gpus": 1}, nodes) == 12
    assert cluster.places({"num_gpus": 3}, nodes) == 3
    assert cluster.places({"num_gpus": 1, "num_cpus": 32}, nodes) == 4
    assert cluster.places({"num_cpus": 2, "resources": {"big": 1}}, [{"CPU": 4.0, "big": 1.0}]) == 1
    with pytest.raises(ValueError, match="no node.*'GPU': 16.*ask for less"):
        cluster.places({"num_gpus": 16}, nodes)


def test_a_question_reaches_a_worker_as_it_is():
    for question in cclib.load_benchmark("atlas-open", limit=3) + cclib.load_benchmark("atlas", limit=3):
        assert cluster._question(json.dumps(asdict(question))) == question


def test_workers_with_other_weights_stop_the_recording():
    def batch(ids, checksum):
        made = json.dumps({"checksum": checksum, "dtype": "float32", "n_layers": 2})
        rows = [{"question_id": i, "hidden": np.zeros(4, np.float16)} for i in ids]
        return pa.Table.from_pylist(rows, schema=SCHEMA).append_column("made", pa.array([made] * len(ids)))

    model = cluster.ClusterModel("owner/model", [])
    model.stream = iter([batch("ab", "one"), batch("cd", "one"), batch("e", "other")])
    given = model.answers([], None, known={"c"})
    assert [r["question_id"] for r in next(given)] == ["a", "b"]
    (row,) = next(given)
    assert row["question_id"] == "d" and row["hidden"].dtype == np.float16
    with pytest.raises(ValueError, match="different models.*'other', 'one'.*pin a revision"):
        next(given)


def test_without_a_cluster_it_says_how_to_start_one(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
    import ray

    def none(*_arguments, **_options):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", none)
    questions = cclib.load_benchmark("atlas", limit=2)
    with pytest.raises(ConnectionError, match="ray start --head"):
        cclib.collect("atlas-s", questions, tmp_path, engine="ray", progress=False)
