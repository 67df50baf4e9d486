"""The same questions give the same answers: twice, packed otherwise, on other numbers of threads."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_tiny

import cclib
from cclib.confidence import forward

BUDGETS = (256, 1024, 4096)  # tokens in a pass
ONE_PROCESS = """
import json, sys, torch
torch.set_num_threads(int(sys.argv[1]))
import cclib
from cclib.confidence import forward
forward.PACK_TOKENS["cpu"] = int(sys.argv[2])
from cclib.questions import Question
asked = [Question(**q | {"choices": tuple(q["choices"])}) for q in json.load(open(sys.argv[4]))]
cclib.collect(sys.argv[3], asked, store=sys.argv[5], device="cpu", progress=False)
"""


@pytest.fixture(scope="module")
def asked(questions):
    return [*questions, *cclib.load_benchmark("atlas", limit=40)]


@pytest.fixture(scope="module", params=["atlas-s", "qwen3"])
def name(request, tmp_path_factory):
    if request.param == "atlas-s":
        return "atlas-s"
    return str(make_tiny("qwen3", tmp_path_factory.mktemp("models") / "tiny-qwen3"))


@pytest.fixture(scope="module")
def first(name, asked, tmp_path_factory):
    return cclib.collect(name, asked, tmp_path_factory.mktemp("first"), device="cpu", progress=False)


def assert_agrees(trace, first):
    assert trace.question_id.tolist() == first.question_id.tolist()
    assert (trace.column("prediction") == first.column("prediction")).all()
    np.testing.assert_allclose(trace.option_probs, first.option_probs, atol=1e-5)
    np.testing.assert_allclose(trace.column("first_token_prob"), first.column("first_token_prob"), atol=1e-5)


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_size_of_a_pass_changes_no_answer(budget, name, asked, first, tmp_path, monkeypatch):
    monkeypatch.setitem(forward.PACK_TOKENS, "cpu", budget)
    assert_agrees(cclib.collect(name, asked, tmp_path, device="cpu", progress=False), first)


def test_the_order_of_the_questions_changes_no_answer(name, asked, first, tmp_path):
    turned = cclib.collect(name, asked[::-1], tmp_path, device="cpu", progress=False)
    assert_agrees(turned.select(first.question_id), first)


@pytest.mark.slow
@pytest.mark.parametrize("budget", BUDGETS[::2])
def test_processes_of_one_and_two_threads_agree_and_each_repeats_itself(name, asked, first, tmp_path, budget):
    listed = [
        {"id": q.id, "subject": q.subject, "text": q.text, "choices": q.choices, "answer": q.answer}
        for q in asked
    ]
    (tmp_path / "asked.json").write_text(json.dumps(listed))
    traces = {}
    for threads, again in ((1, 0), (1, 1), (2, 0), (2, 1)):
        store = tmp_path / f"{threads}-{again}"
        command = [sys.executable, "-c", ONE_PROCESS, str(threads), str(budget), name]
        command += [str(tmp_path / "asked.json"), str(store)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
        (folder,) = [p for p in store.iterdir() if p.is_dir()]
        traces[threads, again] = cclib.read_trace(folder).select(first.question_id)
        assert_agrees(traces[threads, again], first)
    for threads in (1, 2):  # to the bit, but for the time it took
        one, two = (traces[threads, again].without("seconds").table for again in (0, 1))
        assert one.equals(two)
