"""What survives when a recording is killed, doubled, starved of disk, or damaged: everything whole."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import cclib
from cclib import recording
from cclib.__main__ import app
from cclib.atlas import MODELS, WEIGHTS
from cclib.traces import damaged_parts

pytestmark = pytest.mark.skipif(
    not (WEIGHTS / MODELS[0] / "model.safetensors").exists(), reason="no Atlas weights in this checkout"
)
QUESTIONS, KILLS = 600, 50

# Loads the model once and forks a recorder for each order read from its input.
NURSERY = """
import os, sys, torch
torch.set_num_threads(1)
import cclib
from cclib import recording
from cclib.confidence import forward
recording.FLUSH_ROWS = 1
forward.PACK_TOKENS["cpu"] = 256
model = cclib.load_model("atlas-s", device="cpu")
questions = cclib.load_benchmark("atlas", limit=int(sys.argv[1]))
for store in map(str.strip, sys.stdin):
    child = os.fork()
    if not child:
        cclib.collect(model, questions, store=store, progress=False)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def questions():
    return cclib.load_benchmark("atlas", limit=60)


@pytest.fixture(scope="module")
def model():
    return cclib.load_model("atlas-s", device="cpu")


def same_to_the_bit(a, b):
    timeless = [c for c in a.table.column_names if c != "seconds"]
    assert a.table.select(timeless).equals(b.table.select(timeless))


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(tmp_path):
    """Killed at random moments; what is gone on with ends like an undisturbed run, bit for bit."""
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(QUESTIONS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip

    def record(store: Path, after: float | None = None) -> bool:
        """Start a recorder, kill it after some seconds; whether it was killed."""
        nursery.stdin.write(f"{store}\n")
        nursery.stdin.flush()
        child = int(nursery.stdout.readline())
        if after is not None:
            time.sleep(after)
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return int(nursery.stdout.readline()) == -signal.SIGKILL

    record(tmp_path / "warm")  # waits until the nursery has loaded the model
    began = time.monotonic()
    record(tmp_path / "undisturbed")
    whole = time.monotonic() - began
    fresh = cclib.read_trace(tmp_path / "undisturbed" / "atlas-s")
    rng = random.Random(0)
    kills = stores = 0
    while kills < KILLS:
        store = tmp_path / f"disturbed-{stores}"
        stores += 1
        # up to a whole run: each takes a while to start, and one that never gets past that would never end
        while record(store, rng.uniform(0, whole)):
            kills += 1
        trace = cclib.read_trace(store / "atlas-s")
        assert len(trace) == QUESTIONS  # a Trace refuses a question that is there twice
        same_to_the_bit(trace.select(fresh.question_id), fresh)
    nursery.stdin.close()
    assert nursery.wait() == 0
    print(f"{kills} kills, {stores} recordings, 0 rows lost, 0 doubled")


def test_of_two_recorders_one_works_and_the_other_is_told(model, questions, tmp_path):
    code = (
        "import sys, cclib; q = cclib.load_benchmark('atlas', limit=60); print('ready', flush=True);"
        "sys.stdin.readline();"
        f"cclib.collect('atlas-s', q, store={str(tmp_path)!r}, device='cpu', progress=False)"
    )
    pair = [
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    for run in pair:
        assert run.stdout.readline() == "ready\n"
    told = [run.communicate("go\n")[1] for run in pair]
    assert any(run.returncode == 0 for run in pair)
    for run, said in zip(pair, told):
        assert run.returncode == 0 or "another process is recording" in said
    assert len(cclib.read_trace(tmp_path / "atlas-s")) == 60


def test_a_bit_flip_is_found_set_aside_and_only_its_questions_are_answered_anew(model, questions, tmp_path):
    cclib.collect(model, questions[:20], store=tmp_path, progress=False)
    cclib.collect(model, questions, store=tmp_path, progress=False)
    first, second = sorted((tmp_path / "atlas-s").glob("part-*.parquet"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    with pytest.raises(ValueError, match="content is not what was written.*traces check"):
        cclib.collect(model, questions, store=tmp_path, progress=False)
    assert list(damaged_parts(tmp_path)) == [first]
    said = CliRunner().invoke(app, ["traces", "check", str(tmp_path)])
    assert said.exit_code == 1 and first.name in said.output
    said = CliRunner().invoke(app, ["traces", "check", str(tmp_path), "--repair"])
    assert said.exit_code == 0 and not damaged_parts(tmp_path)
    kept = second.stat().st_mtime_ns
    assert len(cclib.collect(model, questions, store=tmp_path, progress=False)) == 60
    parts = sorted((tmp_path / "atlas-s").glob("part-*.parquet"))
    assert second.stat().st_mtime_ns == kept and len(parts) == 2 and parts[0] == second


def test_a_removed_part_never_makes_a_new_one_overwrite_another(model, questions, tmp_path):
    for n in (10, 20, 30):
        cclib.collect(model, questions[:n], store=tmp_path, progress=False)
    first, *others = sorted((tmp_path / "atlas-s").glob("part-*.parquet"))
    first.unlink()
    cclib.collect(model, questions[:30], store=tmp_path, progress=False)
    assert all(p.exists() for p in others)
    assert len(cclib.read_trace(tmp_path / "atlas-s")) == 30


@contextmanager
def files_of_at_most(size):
    """A limit on files' bytes stands in for a full disk: the write itself fails midway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_that_takes_no_more_keeps_what_it_took(model, questions, tmp_path):
    cclib.collect(model, questions[:10], store=tmp_path, progress=False)
    with (
        files_of_at_most(2000),
        pytest.raises(OSError, match="could not write part-.*run the same call again"),
    ):
        cclib.collect(model, questions, store=tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.partial"))
    assert len(cclib.read_trace(tmp_path / "atlas-s")) == 10
    assert len(cclib.collect(model, questions, store=tmp_path, progress=False)) == 60


DAMAGE = {
    "a bit of the first page": lambda content: flip(content, 100),
    "a bit in the middle": lambda content: flip(content, len(content) // 2),
    "a bit of the footer": lambda content: flip(content, len(content) - 20),
    "cut off": lambda content: content[: len(content) // 3],
    "empty": lambda content: b"",
    "zeros, as after a power cut": lambda content: bytes(len(content)),
    "another file's": lambda content: b"question_id,correct\n1,1\n",
    "longer than it was": lambda content: content + b"x",
}


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_is_found_and_costs_one_part(kind, model, questions, tmp_path):
    fresh = cclib.collect(model, questions[:20], store=tmp_path / "fresh", progress=False)
    for n in (10, 20):
        cclib.collect(model, questions[:n], store=tmp_path / "store", progress=False)
    part = next((tmp_path / "store").rglob("part-00001-*"))
    part.write_bytes(DAMAGE[kind](part.read_bytes()))
    with pytest.raises(ValueError, match="part-00001-.*damaged.*traces check"):
        cclib.read_trace(tmp_path / "store" / "atlas-s")
    assert list(damaged_parts(tmp_path / "store", repair=True)) == [part]
    assert len(cclib.read_trace(tmp_path / "store" / "atlas-s")) == 10
    again = cclib.collect(model, questions[:20], store=tmp_path / "store", progress=False)
    assert (again.column("prediction") == fresh.column("prediction")).all()
    np.testing.assert_allclose(again.option_probs, fresh.option_probs, atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b'{"model": ', b"[1]", b"\xff\xfe"])
def test_a_trace_whose_maker_is_not_known_is_set_aside_whole(content, model, questions, tmp_path):
    """Its rows may be of any weights: they are neither read nor gone on with."""
    cclib.collect(model, questions[:10], store=tmp_path, progress=False)
    provenance = tmp_path / "atlas-s" / "provenance.json"
    provenance.unlink() if content is None else provenance.write_bytes(content)
    with pytest.raises(ValueError, match="provenance.json cannot be read.*traces check"):
        cclib.collect(model, questions, store=tmp_path, progress=False)
    assert damaged_parts(tmp_path, repair=True) and not damaged_parts(tmp_path)
    assert len(cclib.collect(model, questions, store=tmp_path, progress=False)) == 60
    assert len(list((tmp_path / "atlas-s").glob("*.damaged"))) == (1 if content is None else 2)


def test_a_part_of_an_export_is_known_by_its_content_too(questions, tmp_path):
    study = cclib.load_study("atlas", "atlas", limit=5, traces_dir=tmp_path / "t", device="cpu")
    for _again in range(2):  # an export takes the place of the one before
        cclib.export_study(study, tmp_path / "out")
    (part,) = (tmp_path / "out" / "atlas-s").glob("part-*.parquet")
    part.write_bytes(flip(part.read_bytes(), 100))
    with pytest.raises(ValueError, match="damaged"):
        cclib.load_study("atlas", "atlas", traces_dir=tmp_path / "out")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_written_is_told_and_can_be_read(model, questions):
    """As nobody in particular: root may write anywhere."""
    with tempfile.TemporaryDirectory() as store:
        cclib.collect(model, questions[:10], store=store, progress=False)
        for folder in (Path(store), Path(store) / "atlas-s"):
            folder.chmod(0o555)
        was_root = os.geteuid() == 0
        try:
            if was_root:
                os.seteuid(65534)
            for where in (store, Path(store) / "new"):
                with pytest.raises(PermissionError, match="cannot write into.*use another store"):
                    cclib.collect(model, questions, store=where, progress=False)
            assert len(cclib.collect("atlas-s", questions[:10], store=store, progress=False)) == 10
        finally:
            if was_root:
                os.seteuid(0)
            for folder in (Path(store), Path(store) / "atlas-s"):
                folder.chmod(0o755)


def test_a_full_disk_at_the_very_start_leaves_nothing_half_written(model, questions, tmp_path):
    with files_of_at_most(10), pytest.raises(OSError, match="could not write provenance.json"):
        cclib.collect(model, questions, store=tmp_path, progress=False)
    assert len(cclib.collect(model, questions, store=tmp_path, progress=False)) == 60


def test_a_store_that_cannot_be_a_folder_is_refused(model, questions, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        cclib.collect(model, questions, store=tmp_path / "file", progress=False)


def test_a_clock_that_goes_back_changes_nothing(model, questions, tmp_path, monkeypatch):
    fresh = cclib.collect(model, questions, store=tmp_path / "a", progress=False)
    now = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(now))
    trace = cclib.collect(model, questions, store=tmp_path / "b", progress=False)
    same_to_the_bit(trace, fresh)
    assert (trace.seconds >= 0).all()


def test_twice_the_same_call_gives_the_same_bits(model, questions, tmp_path):
    one, two = (cclib.collect(model, questions, store=tmp_path / s, progress=False) for s in "ab")
    same_to_the_bit(one, two)


def test_probes_and_tables_repeat_themselves(questions, tmp_path):
    from cclib.experiments import results

    studies = [
        cclib.load_study(["atlas-s", "atlas-l"], "atlas", limit=60, traces_dir=tmp_path / s, device="cpu")
        for s in "ab"
    ]
    for one, two in zip(*(s.test for s in studies)):
        if one.p_ik is not None:
            np.testing.assert_array_equal(one.p_ik, two.p_ik)
    a, b = (results.accuracy(s, 0.9, 0.5).drop(columns="time") for s in studies)
    assert a.equals(b)


def test_a_trace_of_other_prompts_is_not_gone_on_with(model, questions, tmp_path, monkeypatch):
    cclib.collect(model, questions[:5], store=tmp_path, progress=False)
    path = tmp_path / "atlas-s" / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prompt_hash": "000000000000"}))
    with pytest.warns(UserWarning, match="another making.*prompt_hash"):
        trace = cclib.collect(model, questions, store=tmp_path, progress=False)
    assert len(trace) == 60 and len(cclib.read_trace(path.parent)) == 5


def test_a_part_that_carries_code_is_only_data(tmp_path):
    """A trace is Parquet and a probe safetensors: neither reader runs what a file holds."""
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    (tmp_path / "outside.parquet").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="damaged"):
        cclib.read_trace(tmp_path / "outside.parquet")
    (tmp_path / "probe.safetensors").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="not a probe in safetensors"):
        cclib.PIK.load(tmp_path / "probe.safetensors")
    assert not (tmp_path / "ran").exists()


def test_flushes_are_frequent():
    assert recording.FLUSH_ROWS <= 1000 and recording.FLUSH_SECONDS <= 60
