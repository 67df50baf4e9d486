"""On a CUDA device: the card says what the CPU says, whole and cut off, in one word and in many."""

import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from test_confidence import rows_of

import cclib
from cclib.confidence import attention
from cclib.experiments.early_exit import answer_leaving

pytestmark = pytest.mark.gpu

RECORD = """
import pickle, sys
from cclib import recording
import cclib
recording.FLUSH_ROWS = 1
model, questions, store = pickle.load(open(sys.argv[1], "rb"))
import cclib.confidence.forward as forward
forward.PACK_TOKENS["cuda"] = 1
cclib.collect(model, questions, store=store, device="cuda", progress=False)
"""


def plain(model, questions):
    """(n, c) options' probabilities of one unpacked pass a question, all in the model's own precision."""
    out = []
    for q in questions:
        tokens = torch.tensor([model.encode(q.prompt)], device=model.device)
        with torch.inference_mode():
            probs = model.network(tokens).logits[0, -1].float().softmax(-1)
        out.append(probs[model.option_tokens(q.prompt, len(q.choices))].cpu().numpy())
    return np.array(out)


def options(rows):
    return np.array([row["option_probs"] for row in rows])


def test_in_float32_packed_is_plain_and_the_card_says_what_the_cpu_says(tiny, questions):
    model = cclib.load_model(tiny, device="cuda", dtype="float32")
    rows = rows_of(model, questions, layer=3)
    np.testing.assert_allclose(options(rows), plain(model, questions), atol=1e-5)
    on_cpu = rows_of(cclib.load_model(tiny, device="cpu"), questions, layer=3)
    np.testing.assert_allclose(options(rows), options(on_cpu), atol=1e-5)
    assert [a["prediction"] for a in rows] == [b["prediction"] for b in on_cpu]


@pytest.mark.parametrize("budget", [300, None])
def test_in_bfloat16_packed_is_plain_within_its_rounding(tiny, questions, budget):
    model = cclib.load_model(tiny, device="cuda")
    assert model.dtype == "bfloat16"
    rows = rows_of(model, questions, layer=3, budget=budget)
    np.testing.assert_allclose(options(rows), plain(model, questions), rtol=0.03)
    exact = rows_of(cclib.load_model(tiny, device="cpu"), questions, layer=3)
    np.testing.assert_allclose(options(rows), options(exact), rtol=0.03)
    for a, b in zip(rows, exact):
        np.testing.assert_allclose(a["hidden"], b["hidden"], rtol=0.05, atol=0.05 * np.abs(b["hidden"]).max())


def test_a_pass_in_bfloat16_makes_one_attention_call_a_layer(tiny, questions, monkeypatch):
    model, calls, made = cclib.load_model(tiny, device="cuda"), [], attention._varlen()
    if made is None:
        pytest.skip("this torch has no attention of variable length")
    monkeypatch.setattr(attention, "_varlen", lambda: lambda *x, **o: calls.append(1) or made(*x, **o))
    rows_of(model, questions)
    assert len(calls) == model.n_layers  # all questions fit one pack


def test_a_model_that_accelerate_places_says_the_same(tiny, questions):
    spread = rows_of(cclib.load_model(tiny, device="auto"), questions)
    rows = rows_of(cclib.load_model(tiny, device="cuda"), questions)
    np.testing.assert_allclose(options(spread), options(rows), rtol=0.03)


def test_a_killed_run_goes_on_where_it_was(tiny, questions, tmp_path):
    job = tmp_path / "job.pkl"
    job.write_bytes(pickle.dumps((str(tiny), questions, str(tmp_path / "store"))))
    run = subprocess.Popen([sys.executable, "-c", RECORD, str(job)])
    folder = tmp_path / "store" / tiny.name
    while len(list(folder.glob("part-*.parquet"))) < 3 and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert 3 <= len(cclib.read_trace(folder)) <= len(questions)
    resumed, fresh = (
        cclib.collect(tiny, questions, store=tmp_path / s, device="cuda", progress=False)
        for s in ("store", "fresh")
    )
    assert sorted(cclib.read_trace(folder).question_id) == sorted(q.id for q in questions)
    np.testing.assert_allclose(resumed.option_probs, fresh.option_probs, rtol=0.03)


def test_open_questions_are_answered_as_on_the_cpu(tmp_path):
    asked = cclib.load_benchmark("atlas-open")[:100]
    exact, same, rounded = (
        cclib.collect("atlas-s", asked, tmp_path / dtype / device, device=device, dtype=dtype, progress=False)
        for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16"))
    )
    assert (same.column("response") == exact.column("response")).mean() >= 0.99  # ties aside
    np.testing.assert_allclose(same.p_t, exact.p_t, atol=1e-4)
    assert (rounded.column("response") == exact.column("response")).mean() > 0.9
    assert np.abs(rounded.p_t - exact.p_t).mean() < 0.02


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_passes_that_end_early_answer_as_whole_ones(tiny, questions, tmp_path, dtype, near):
    model = cclib.load_model(tiny, device="cuda", dtype=dtype)
    trace = cclib.collect(model, questions, store=tmp_path, layer=3, progress=False)
    trace = trace.with_column("correct", np.arange(len(trace)) % 3 == 0)
    probe = cclib.PIK.fit(trace, trace)
    p_ik = probe.probability(trace.hidden)
    rows, saved = answer_leaving(model, questions, probe, float(np.median(p_ik)))
    assert 0 < saved < 1 / 4
    for row, whole, p_t in zip(rows, p_ik, trace.p_t):
        assert row["p_ik"] == pytest.approx(whole, abs=near)
        assert row["p_t"] is None or row["p_t"] == pytest.approx(p_t, rel=near, abs=1e-3)
