"""Who judges open answers: string match, a model behind an API, or a function; never two in one trace."""

import numpy as np
import pytest
from test_api_errors import FILTER, answer, endpoint, error

import cclib
from cclib.experiments import transfer
from cclib.models.api_budget import BudgetReached
from cclib.questions import STRING_MATCH

NAMES = ["atlas-s", "atlas-m"]


def by_first_letter(question, response):
    said = response.removeprefix("Answer:").strip()
    return "right" if said[:1] < "M" else "wrong"


def as_endpoint(body, _nth):
    """The same, read out of what the judge is asked."""
    asked = body["messages"][-1]["content"]
    said = asked.split('The response was "')[1].split('". Is the response right')[0]
    return verdict("ABC"[["right", "wrong", "abstained"].index(by_first_letter(None, said))])


def verdict(letter):
    reply = answer(letter)
    reply["choices"][0]["logprobs"]["content"][0] |= {
        "token": letter,
        "top_logprobs": [{"token": letter, "logprob": -0.1}],
    }
    return reply


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Twelve open questions of Atlas, answered once."""
    folder = tmp_path_factory.mktemp("judged")
    for name in NAMES:
        collected(name, folder)
    return folder


def collected(model, store, judge=None, n=12):
    questions = cclib.load_benchmark("atlas-open", limit=n)
    return cclib.collect(model, questions, store=store, device="cpu", progress=False, judge=judge)


@pytest.fixture
def served(monkeypatch):
    with endpoint(as_endpoint) as (model, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        yield asked


def test_a_trace_is_judged_anew_by_the_judge_that_is_asked_for_and_says_who(store, served):
    matched, judged = collected("atlas-s", store), collected("atlas-s", store, "openai:small")
    own = collected("atlas-s", store, by_first_letter)
    assert judged.correct.tolist() == own.correct.tolist() != matched.correct.tolist()
    assert judged.column("response").tolist() == matched.column("response").tolist()
    said = [t.provenance["judge"] for t in (matched, judged, own)]
    assert said == [STRING_MATCH, "openai:small at 127.0.0.1", "by_first_letter"]
    assert collected("atlas-s", store).correct.tolist() == matched.correct.tolist()  # nothing stays of it


def test_a_verdict_is_paid_for_once_and_another_endpoints_is_another_judges(served, monkeypatch, tmp_path):
    store = tmp_path
    collected("atlas-m", store, "openai:small")
    collected("atlas-m", store, "openai:small")
    n = len(served)
    assert n == 12
    with endpoint(lambda *_: verdict("B")) as (model, others):
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url.replace("127.0.0.1", "localhost"))
        assert not collected("atlas-m", store, "openai:small").correct.any()
        assert len(others) == n
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        assert collected("atlas-m", store, "openai:small").correct.any() and len(others) == n


def test_an_empty_response_abstains_and_is_not_asked_about(served, tmp_path):
    judge = cclib.models.api_judge.judge_by(cclib.load_model("openai:small"), tmp_path)
    question = cclib.Question("o/1", "s", "Who?", accepted=("Ada",))
    assert judge.verdicts([question] * 2, ["  ", "Ada"], progress=False) == ["abstained", "right"]
    assert len(served) == 1


def test_what_the_judge_has_no_verdict_on_is_set_aside_and_a_study_goes_on(tmp_path, monkeypatch):
    def behave(body, nth):
        return (400, error(FILTER, "content_filter")) if nth % 5 == 4 else as_endpoint(body, nth)

    with endpoint(behave) as (model, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        given = {"limit": 10, "traces_dir": tmp_path, "device": "cpu"}
        study = cclib.load_study(NAMES, "atlas-open", judge="openai:small", **given)
        assert 2 <= 10 - len(study) <= 10 // 5 * len(NAMES) and study.has_pik
        n = len(asked)
        again = cclib.load_study(NAMES, "atlas-open", judge="openai:small", **given)
        assert len(asked) == n and again.test[0].correct.tolist() == study.test[0].correct.tolist()
    notes = " ".join(study.notes)
    assert "(set aside: the judge named no verdict)" in notes
    assert "Verdicts are openai:small at 127.0.0.1's, for " in notes and "tokens in all" in notes


def test_a_budget_ends_the_judging_and_keeps_what_was_judged(store, served, monkeypatch, tmp_path):
    collected("atlas-s", tmp_path)
    monkeypatch.setenv("CCLIB_BUDGET", "1100 tokens")
    with pytest.raises(BudgetReached, match="of 1,100 tokens is spent"):
        collected("atlas-s", tmp_path, "openai:small")
    judged = len(served)
    assert 0 < judged < 12
    monkeypatch.delenv("CCLIB_BUDGET")
    assert len(collected("atlas-s", tmp_path, "openai:small")) == 12 and len(served) == 12


def test_open_questions_of_a_study_are_judged_exported_and_replayed_by_the_same(served, tmp_path):
    study = cclib.load_study(NAMES, limit=10, traces_dir=tmp_path / "t", device="cpu")
    opened = transfer.open_study(study, limit=10, judge="openai:small")
    own = transfer.open_study(study, limit=10, judge=by_first_letter)
    for ours, theirs in zip(opened.test, own.test):
        assert (ours.correct == theirs.correct).all()
    assert np.allclose(opened.test[0].p_ik, own.test[0].p_ik)  # the probe learned from the judge too
    folder = cclib.study.export_study(opened, tmp_path / "export")
    n = len(served)
    for judge in (None, "openai:small"):
        again = cclib.load_study(NAMES, "atlas-open", traces_dir=folder, judge=judge)
        assert (again.test[0].correct == opened.test[0].correct).all() and len(served) == n
    with pytest.raises(ValueError, match="judged by openai:small at 127.0.0.1, not by string-match"):
        cclib.load_study(NAMES, "atlas-open", traces_dir=folder, judge=STRING_MATCH)


def test_two_judges_make_no_cascade(store):
    traces = [collected("atlas-s", store), collected("atlas-m", store, by_first_letter)]
    with pytest.raises(ValueError, match="judged by string-match and atlas-m by by_first_letter"):
        cclib.cascade(traces, pt=0.9, pik=None)
    cclib.cascade([collected(name, store, by_first_letter) for name in NAMES], pt=0.9, pik=None)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("gpt-4o", "judge is 'string-match', a model behind an API"),
        (lambda *_: "yes", "said 'yes'"),
        (3, "found 3"),
    ],
)
def test_what_is_no_judge_is_refused(judge, message, store):
    with pytest.raises(ValueError, match=message):
        collected("atlas-s", store, judge)


def test_questions_with_options_have_a_key_and_no_judge(tmp_path):
    with pytest.raises(ValueError, match="questions with options"):
        cclib.collect("atlas-s", cclib.load_benchmark("atlas", limit=4), tmp_path, judge=by_first_letter)
