"""A stage behind an API, against llama.cpp's server, directly and through a proxy that spoils requests.

What is served is Atlas's largest model, whose answers are known from its own weights; SmolLM2 where its
file is there.
"""

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
from conftest import MMLU
from fault_proxy import proxied
from llama_server import serving, write_gguf
from test_models import SMOLLM

import cclib
from cclib.atlas import model_folder
from cclib.models.api import Journal, answer_by_api
from cclib.models.api_budget import BudgetReached
from cclib.models.api_failures import APIFailure
from cclib.models.api_judge import judge_by

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="llama.cpp's server (xllamacpp) is not installed"
)
NAME = "openai-completions:atlas-l"  # reads the very prompt that the local model reads
KEY = "sk-planted-0123456789abcdef"
N = 24
PAPERMILL = [sys.executable, "-m", "papermill", "--log-output", "notebooks/03-3-commercial-api.ipynb"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    file = write_gguf(Path(model_folder("atlas-l")), tmp_path_factory.mktemp("served") / "atlas-l.gguf")
    with serving(file, "atlas-l") as url:
        yield url


@pytest.fixture
def proxy(server):
    with proxied(server) as (proxy, url):
        proxy.url = url
        yield proxy


@pytest.fixture(scope="module")
def questions():
    return cclib.load_benchmark("atlas", limit=N)


@pytest.fixture(scope="module")
def local(questions, tmp_path_factory):
    return cclib.collect("atlas-l", questions, tmp_path_factory.mktemp("local"), device="cpu", progress=False)


def connected(url, name=NAME, budget=None, **options):
    model = cclib.load_model(name, base_url=url, budget=budget)
    model.timeout = 10.0
    for option, value in options.items():
        setattr(model, option, value)
    return model


def collected(model, questions, store):
    return cclib.collect(model, questions, store, progress=False)


def same_answers(trace, local):
    assert trace.question_id.tolist() == local.question_id.tolist()
    assert (trace.column("prediction") == local.column("prediction")).all()
    np.testing.assert_allclose(trace.p_t, local.p_t, atol=5e-3)


def entries(store, model):
    return list(Journal(Path(store) / model.slug / "journal.jsonl").read())


def nothing_lost_or_doubled(proxy, store, model, questions):
    """One row a question, and every answer that the endpoint gave is a row or is on record as lost."""
    rows = [e["row"]["question_id"] for e in entries(store, model) if "row" in e]
    lost = [e["question_id"] for e in entries(store, model) if "lost" in e]
    assert sorted(rows) == sorted(q.id for q in questions)
    for q in questions:
        assert 1 <= proxy.let_through[q.prompt] <= 1 + lost.count(q.id)


@pytest.mark.parametrize("name", [NAME, "openai:atlas-l"])
def test_p_t_through_the_server_is_p_t_of_the_local_weights(server, questions, local, tmp_path, name):
    trace = collected(connected(server, name), questions, tmp_path)
    if name != NAME:  # as a chat, Atlas babbles on: what may be an article in "A South Africa" is no answer
        named = trace.column("prediction") >= 0
        assert named.sum() >= N / 2 and (trace.p_t[~named] == 0).all()
        assert all((n is None) == k for n, k in zip(trace.table.column("note").to_pylist(), named))
        trace, local = (t.select(questions[i].id for i in np.flatnonzero(named)) for t in (trace, local))
    same_answers(trace, local)
    assert (trace.prompt_tokens == local.prompt_tokens).all()
    assert np.abs(trace.column("first_token_prob") - local.column("first_token_prob")).max() < 5e-3
    unseen, left = trace.column("options_unseen"), trace.column("mass_unseen")
    off = np.abs(trace.option_probs - local.option_probs).max(1)
    assert (off <= left + 5e-3).all() and (unseen < 4).all()
    assert trace.hidden is None and trace.hidden_layer is None
    assert set(trace.column("served_model")) == {"atlas-l"}


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM.exists(), reason=f"SmolLM2-135M's GGUF is not at {SMOLLM}")
def test_p_t_of_a_quantised_file_is_that_of_its_server(tmp_path):
    """llama.cpp multiplies 4-bit blocks with activations of 8 bits; the local model is float32 throughout."""
    at_hand = ("mmlu", MMLU) if MMLU.exists() else ("atlas", None)
    asked = cclib.load_benchmark(*at_hand, limit=40)
    with serving(SMOLLM, "smollm2-135m") as url:
        model = connected(url, "openai-completions:smollm2-135m", timeout=120.0, concurrency=2)
        served = collected(model, asked, tmp_path)
    here = cclib.collect(SMOLLM, asked, tmp_path, device="cpu", progress=False)
    off = np.abs(served.p_t - here.p_t)
    print(f"P(T), served against local: max {off.max():.4f}, mean {off.mean():.4f}")
    assert (served.prompt_tokens == here.prompt_tokens).all()
    assert off.mean() < 0.04 and off.max() < 0.2
    assert (served.column("prediction") == here.column("prediction")).mean() > 0.9


@pytest.mark.parametrize("fault", ["429", "429 for a second", "500", "cut", "stall", "malformed"])
def test_a_passing_fault_costs_an_attempt_and_no_answer(proxy, questions, local, tmp_path, fault):
    model = connected(proxy.url, timeout=1.0)
    spoiled = [questions[1], questions[7]]
    for question in spoiled:
        proxy.faults[question.text] = [fault]
    trace = collected(model, questions, tmp_path)
    same_answers(trace, local)
    nothing_lost_or_doubled(proxy, tmp_path, model, questions)
    for question in spoiled:
        first, second = proxy.times[question.prompt]
        assert second - first > (1.0 if fault == "429 for a second" else 0.0)
    lost = [e for e in entries(tmp_path, model) if "lost" in e]
    assert len(lost) == (2 if fault in ("cut", "stall", "malformed") else 0)
    billed = sum(sum(e["charged"]) for e in entries(tmp_path, model))
    assert sum(model.meter.billed) == billed >= (trace.prompt_tokens + trace.output_tokens).sum()


def test_many_faults_in_a_row_are_outlasted(proxy, questions, local, tmp_path):
    proxy.faults["?"] = ["500", "429", "cut", "malformed", "500", "429"] * 2
    model = connected(proxy.url)
    same_answers(collected(model, questions, tmp_path), local)
    nothing_lost_or_doubled(proxy, tmp_path, model, questions)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no logprobs", "no logprobs .*P.T. cannot be read"),
        ("404", "status 404.*'atlas-l' does not exist.*check the model's name"),
        ("other model", "answered as 'another-model', before as 'atlas-l'"),
        ("401", "key is refused"),
        ("400", "status 400"),
        ("429 for a day", "asks to wait 86,400 s"),
    ],
)
def test_a_lasting_fault_is_told_and_the_rest_is_kept(proxy, questions, local, tmp_path, fault, message):
    model = connected(proxy.url, concurrency=3)
    proxy.faults[questions[10].text] = [fault]
    with pytest.raises(APIFailure, match=message) as told:
        collected(model, questions, tmp_path)
    assert questions[10].id in str(told.value) or fault in ("401", "other model")
    kept = cclib.read_trace(tmp_path / model.slug)
    assert 0 < len(kept) < N and questions[10].id not in kept.question_id
    before = dict(proxy.let_through)
    same_answers(collected(connected(proxy.url), questions, tmp_path), local)
    nothing_lost_or_doubled(proxy, tmp_path, model, questions)
    for question in questions:
        if question.id in kept.question_id:
            assert proxy.let_through[question.prompt] == before[question.prompt]


def test_an_endpoint_that_stays_away_is_told(questions, tmp_path):
    model = connected("http://127.0.0.1:9/v1", attempts=2)
    with pytest.raises(APIFailure, match="no whole reply .ConnectError"):
        collected(model, questions, tmp_path)
    assert entries(tmp_path, model) == []  # what was never sent costs nothing


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_requests_are_under_way_than_allowed(proxy, questions, tmp_path, limit):
    collected(connected(proxy.url, concurrency=limit), questions, tmp_path)
    assert proxy.most_at_once <= limit


def test_a_budget_ends_a_run_before_it_is_passed_and_a_larger_one_goes_on(proxy, questions, local, tmp_path):
    budget = int((local.prompt_tokens + local.output_tokens)[: N // 2].sum()) + 600
    model = connected(proxy.url, budget=f"{budget} tokens")
    with pytest.raises(BudgetReached, match="no room for another request.*larger budget"):
        collected(model, questions, tmp_path)
    kept = cclib.read_trace(tmp_path / model.slug)
    assert 0 < len(kept) < N
    assert sum(model.meter.billed) == (kept.prompt_tokens + kept.output_tokens).sum() <= budget
    with pytest.raises(BudgetReached):  # it is for all runs together
        collected(connected(proxy.url, budget=f"{budget} tokens"), questions, tmp_path)
    same_answers(collected(connected(proxy.url, budget="1000000 tokens"), questions, tmp_path), local)
    assert set(proxy.let_through.values()) == {1}


def test_a_lost_answer_is_counted_against_the_budget(proxy, questions, tmp_path):
    proxy.faults[questions[0].text] = ["malformed"] * 50
    model = connected(proxy.url, budget="3000 tokens")
    with pytest.raises(BudgetReached):
        collected(model, questions[:1], tmp_path)
    worst = sum(model.worst(questions[0]))
    assert proxy.let_through[questions[0].prompt] == 3000 // worst > 1
    assert sum(model.meter.billed) == 3000 // worst * worst


RECORD = """
import sys
import cclib
questions = cclib.load_benchmark("atlas", limit=int(sys.argv[3]))
model = cclib.load_model("openai-completions:atlas-l", base_url=sys.argv[1])
model.concurrency = 2
print("ready", flush=True)
cclib.collect(model, questions, store=sys.argv[2], progress=False)
"""


def test_a_killed_run_pays_for_nothing_twice_that_had_arrived(proxy, questions, local, tmp_path):
    arrived: set[str] = set()
    kills = 0
    while len(arrived) < N - 4 and kills < 4:
        run = subprocess.Popen(
            [sys.executable, "-c", RECORD, proxy.url, str(tmp_path), str(N)], stdout=subprocess.PIPE
        )
        run.stdout.readline()
        path = tmp_path / "openai-completions-atlas-l" / "journal.jsonl"
        while run.poll() is None and len(list(Journal(path).read())) < len(arrived) + 4:
            time.sleep(0.001)
        run.send_signal(signal.SIGKILL)
        run.wait()
        kills += 1
        arrived = {e["row"]["question_id"] for e in Journal(path).read()}
    counts = {q.id: proxy.let_through[q.prompt] for q in questions}
    model = connected(proxy.url)
    same_answers(collected(model, questions, tmp_path), local)
    assert kills >= 2 and len(arrived) >= 8
    assert all(proxy.let_through[q.prompt] == counts[q.id] for q in questions if q.id in arrived)
    # what was under way when it was killed is the most that can be paid for again
    assert sum(proxy.let_through.values()) <= N + 2 * kills


def test_a_damaged_part_costs_nothing(proxy, questions, local, tmp_path):
    model = connected(proxy.url)
    collected(model, questions, tmp_path)
    (part,) = (tmp_path / model.slug).glob("part-*.parquet")
    part.unlink()
    same_answers(collected(connected(proxy.url), questions, tmp_path), local)
    assert set(proxy.let_through.values()) == {1}


def test_a_recorded_stage_needs_neither_key_nor_server(server, questions, local, tmp_path):
    collected(connected(server), questions, tmp_path)
    same_answers(cclib.collect(NAME, questions, tmp_path, progress=False), local)


def test_only_what_escalates_is_sent_and_is_paid_for_once(proxy, questions, tmp_path):
    small = cclib.collect("atlas-s", questions, tmp_path, device="cpu", progress=False)
    escalated = {q.prompt for q, p in zip(questions, small.p_t) if p < 0.9}
    assert 0 < len(escalated) < N
    stages = [cclib.load_model("atlas-s", device="cpu"), connected(proxy.url)]
    run = cclib.live_cascade(stages, questions, pt=0.9, store=tmp_path)
    assert set(proxy.let_through) == escalated and (run.stage == 1).sum() == len(escalated)
    again = cclib.live_cascade(stages, questions, pt=0.9, store=tmp_path)
    assert set(proxy.let_through.values()) == {1} and (again.prediction == run.prediction).all()
    table = run.table(questions, {"atlas-l": (2.5, 10.0)})
    assert table["questions asked"].tolist() == [N, len(escalated)]
    billed = sum(sum(e["charged"]) for e in entries(tmp_path, stages[1]))
    assert table["tokens billed"].tolist() == [0, billed] and table["USD"].iloc[1] > 0


def test_one_question_walks_to_the_api(server, questions):
    small = cclib.load_model("atlas-s", device="cpu")
    walk = cclib.ask(questions[0], models=[small, connected(server)], pt=1.0, pik=None)
    assert walk.model == "openai-completions-atlas-l" and len(walk.steps) == 2
    assert walk.table()["P(IK)"].isna().all()


def test_a_study_ends_with_a_stage_behind_an_api(proxy, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", proxy.url)
    study = cclib.load_study(["atlas-s", NAME], "atlas", limit=20, traces_dir=tmp_path, device="cpu")
    assert study.models == ["atlas-s", "openai-completions-atlas-l"] and study.has_pik
    assert len(proxy.let_through) == 20 and "no P(IK)" in study.notes[0]
    result = cclib.cascade(study.test, pt=0.9, pik=0.5)
    spent = cclib.cost.dollars(result, {"atlas-s": (0, 0), "atlas-l": (2.5, 10)}, "every-pass")
    assert not spent.missing and 0 < spent.total < spent.reference


def test_open_questions_are_answered_as_the_local_model_does(server, tmp_path):
    asked = cclib.load_benchmark("atlas-open", limit=12)
    served = collected(connected(server), asked, tmp_path)
    here = cclib.collect("atlas-l", asked, tmp_path, device="cpu", progress=False)
    np.testing.assert_allclose(served.p_t, here.p_t, atol=2e-2)
    assert served.column("response").tolist() == here.column("response").tolist()
    assert (served.correct == here.correct).all()


def test_a_judge_behind_an_api_gives_one_of_three_verdicts_and_is_paid_once(proxy, tmp_path):
    question = cclib.Question("o/1", "capital", "What is the capital of Chad?", accepted=("N'Djamena",))
    judge = judge_by(connected(proxy.url), tmp_path)
    verdict = judge(question, "Answer: N'Djamena")
    assert verdict in ("right", "wrong", "abstained")
    assert judge_by(connected(proxy.url), tmp_path)(question, "Answer: N'Djamena") == verdict
    assert sum(proxy.let_through.values()) == 1
    judge(question, "Answer: Lima")
    assert sum(proxy.let_through.values()) == 2


def test_a_key_is_sent_and_never_written(proxy, questions, tmp_path, monkeypatch, caplog, capfd):
    """Endpoints that send it back in errors and answers, exceptions with all their locals, and debug logs."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    said = []
    faults = ["500", "401", "400", "404", "no logprobs", "cut", "malformed", "stall"]
    for i, fault in enumerate(faults):
        proxy.faults[questions[i].text] = [fault] * 2
        model = connected(proxy.url, attempts=2, timeout=0.5, name="openai:atlas-l" if i % 2 else NAME)
        try:
            cclib.collect(model, questions[i : i + 1], tmp_path / fault.replace(" ", "-"))
        except APIFailure as error:
            seen = error
            while seen is not None:
                told = traceback.TracebackException.from_exception(seen, capture_locals=True)
                said += [repr(seen), str(vars(seen)), *told.format(chain=True)]
                seen = seen.__cause__ or seen.__context__
        said += [repr(model), str(model.provenance())]
    proxy.faults.clear()
    proxy.faults["?"] = ["echo"] * N
    trace = cclib.collect(connected(proxy.url), questions, tmp_path / "all")
    said.append(trace.table.to_pandas().to_string())
    assert proxy.seen_keys == {f"Bearer {KEY}"}
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any(p.name == "journal.jsonl" for p in written) and len(said) > 3 * len(faults)
    said += [caplog.text, *capfd.readouterr()]
    for text in [*(p.read_bytes() for p in written), *(s.encode() for s in said)]:
        assert KEY.encode() not in text and b"authorization" not in text.lower()
    answers = "".join(p.read_text() for p in written if p.name == "journal.jsonl")
    assert "[key]" in answers  # it was sent back, and blotted out


@pytest.mark.parametrize("key", ["sk-planted 01", f"{KEY}\n", "sk-plänted-01"])
def test_a_key_that_cannot_be_a_header_is_refused_unprinted(server, questions, tmp_path, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ValueError, match="OPENAI_API_KEY holds") as told:
        collected(connected(server), questions, tmp_path)
    assert "sk-pl" not in "".join(traceback.format_exception(told.value))


@pytest.mark.slow
def test_the_chapter_on_apis_runs_a_live_cascade_and_its_notebook_holds_no_key(proxy, tmp_path):
    """From one papermill line; then with an endpoint that refuses, so that the notebook holds the error."""
    for run, fault in (("right", []), ("refused", ["401"] * 10)):
        proxy.faults["Choices"] = fault or ["echo"] * 20
        out = tmp_path / f"{run}.ipynb"
        done = subprocess.run(
            [*PAPERMILL, str(out), "-p", "models", json.dumps(["atlas-s", NAME]), "-p", "limit", "20",
             "-p", "traces_dir", str(tmp_path / run)],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": proxy.url},
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert (done.returncode == 0) == (run == "right"), done.stderr[-2000:]
        text = out.read_text()
        for said in (text, done.stdout, done.stderr):
            assert KEY not in said and "authorization" not in said.lower()
        assert ("key is refused" in text) == (run == "refused")
        if run == "right":
            assert "questions asked" in text and "openai-completions-atlas-l" in text
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert KEY.encode() not in path.read_bytes()


def test_an_answer_is_on_the_disk_before_it_is_handed_on(proxy, questions, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for rows in answer_by_api(connected(proxy.url), questions[:6], journal=journal):
        written = {e["row"]["question_id"] for e in journal.read()}
        assert {r["question_id"] for r in rows} <= written
