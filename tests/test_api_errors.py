"""Endpoints' odd replies: each is an answer, a question set aside, or an error that says what to do."""

import json
import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import cclib
from cclib.models.api_budget import Journal
from cclib.models.api_failures import APIFailure, to_api_failure
from cclib.models.api_replies import ErrorReply
from cclib.models.api_requests import LIMITS, Manner

QUESTIONS = [cclib.Question(f"q/{i}", "s", f"Number {i}?", ("a", "b", "c", "d"), 1) for i in range(5)]
USAGE = {"prompt_tokens": 50, "completion_tokens": 1}


def answer(content="B", finish="stop", **message):
    tops = [{"token": t, "logprob": math.log(p)} for t, p in (("B", 0.8), ("A", 0.1))]
    logprobs = {"content": [{"token": "B", "logprob": math.log(0.8), "top_logprobs": tops}]}
    choice = {"message": {"content": content} | message, "finish_reason": finish, "logprobs": logprobs}
    return {"model": "served-1", "choices": [choice], "usage": USAGE}


def error(message, code=None, **more):
    return {"error": {"message": message, "code": code} | more}


@contextmanager
def endpoint(behave):
    """A server that answers with `behave(body, nth)`: a reply, or (status, body as JSON or text)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args):
            pass

        def do_POST(self):  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            said = behave(body, len(asked) - 1)
            status, said = said if isinstance(said, tuple) else (200, said)
            text = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        model = cclib.load_model("openai:small", base_url=f"http://127.0.0.1:{server.server_port}/v1")
        model.concurrency, model.attempts = 1, 3
        yield model, asked
    finally:
        server.shutdown()
        server.server_close()


def collect(model, store, questions=QUESTIONS):
    return cclib.collect(model, questions, store, progress=False)


def only(third):
    """Question 2 meets something else."""
    return lambda body, _nth: third if "Number 2" in body["messages"][-1]["content"] else answer()


FILTER = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."


@pytest.mark.parametrize(
    "third",
    [
        (400, error(FILTER, "content_filter")),
        (400, error("Content Exists Risk")),
        (403, error("openai/small requires moderation and your input was flagged", 403)),
        error(FILTER, "content_filter"),
        answer(None, refusal="I cannot help with that."),
        answer([{"type": "refusal", "refusal": "No."}]),
        answer(None, "content_filter"),
        answer("B", "content_filter"),
        answer("", "SAFETY"),
    ],
)
def test_a_question_that_the_endpoint_will_not_answer_is_set_aside_and_the_rest_goes_on(third, tmp_path):
    with endpoint(only(third)) as (model, asked):
        trace = collect(model, tmp_path)
        assert trace.set_aside.tolist() == [False, False, True, False, False]
        assert trace.table.column("note")[2].as_py().startswith("set aside: ")
        with pytest.raises(ValueError, match="1 of 5 questions are set aside, the first is 'q/2'"):
            trace.correct  # noqa: B018
        rest = trace.answered()
        assert len(rest) == 4 and rest.correct.all() and rest.p_t == pytest.approx(0.8)
        collect(model, tmp_path)
        assert len(asked) == 5  # nothing is asked again


def test_a_study_leaves_out_what_is_set_aside_and_says_so(tmp_path, monkeypatch):
    refused = []

    def behave(body, nth):
        if nth == 3:
            refused.append(body["messages"][-1]["content"])
            return 400, error(FILTER, "content_filter")
        return answer("Perhaps") if nth == 4 else answer()

    with endpoint(behave) as (model, _asked):
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        study = cclib.load_study(["atlas-s", "openai:small"], limit=10, traces_dir=tmp_path, device="cpu")
    assert len(study) == 9 and [len(t) for t in study.test] == [9, 9] and len(study.questions) == 9
    assert refused[0] not in [q.prompt for q in study.questions]
    notes = " ".join(study.notes)
    assert "1 of 10 test questions have no answer (set aside: content filter)" in notes
    assert "1 of 10 test questions have no answer, which counts as wrong (it names no option)" in notes
    assert "1 of 10 test questions are set aside: no table counts them" in notes


def test_a_live_cascade_counts_what_is_set_aside_neither_right_nor_wrong():
    with endpoint(only((400, error(FILTER, "content_filter")))) as (model, _asked):
        run = cclib.live_cascade([model], QUESTIONS, pt=0.5, pik=None)
        table = run.table(QUESTIONS)
        assert table["set aside"].tolist() == [1] and table["questions answered"].tolist() == [4]
        assert table["answers right"].tolist() == [1.0] and run.correct(QUESTIONS).mean() == 1
        walk = cclib.ask(QUESTIONS[2], models=[model, model], pik=None)
        assert [s.decision.split(":")[0] for s in walk.steps] == ["escalate", "no answer"]


def test_content_in_parts_is_recorded(tmp_path):
    with endpoint(lambda *_: answer([{"type": "text", "text": "B"}])) as (model, _asked):
        trace = collect(model, tmp_path)
        assert trace.correct.all() and set(trace.column("response")) == {"B"}


def test_a_journals_row_that_no_trace_can_hold_is_told_and_asked_again(tmp_path):
    with endpoint(lambda *_: answer()) as (model, asked):
        trace = collect(model, tmp_path)
        folder = tmp_path / model.slug
        (part,) = folder.glob("part-*")
        part.unlink()
        entries = list(Journal(folder / "journal.jsonl").read())
        entries[1]["row"]["response"] = [{"type": "text", "text": "B"}]
        (folder / "journal.jsonl").write_text(
            "".join(json.dumps(e) + "\n" for e in [*entries, 5, {"row": {}}])
        )
        with pytest.warns(UserWarning, match="1 answers cannot be part of a trace"):
            again = collect(model, tmp_path)
    assert len(asked) == 6 and again.p_t.tolist() == trace.p_t.tolist()


@pytest.mark.parametrize(
    "busy",
    [
        {"choices": None, **error("Rate limit reached", 429)},
        {"choices": [{"error": {"code": 502, "message": "Rate limit reached"}, "finish_reason": "error"}]},
        {"object": "error", "message": "Rate limit reached", "code": 40304},
        error("Rate limit reached", "rate_limit_exceeded"),
        {"error": "Rate limit reached"},
    ],
)
def test_an_error_within_status_200_is_tried_again_unbilled_and_its_reason_told(busy, tmp_path):
    with endpoint(lambda _body, nth: answer() if nth % 2 else busy) as (model, asked):
        assert collect(model, tmp_path / "passing").correct.all() and len(asked) == 10
        assert model.meter.billed == [250, 5]
    with endpoint(lambda *_: busy) as (model, asked):
        with pytest.raises(APIFailure, match="status 200 with an error in place .*Rate limit reached"):
            collect(model, tmp_path / "lasting")
        assert len(asked) == 3 and model.meter.billed == [0, 0]


def test_an_endpoint_that_knows_the_other_name_of_the_limit_is_asked_by_it(tmp_path):
    def behave(body, _nth):
        if "max_tokens" in body:
            return 400, error("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                              "'max_completion_tokens' instead.", "unsupported_parameter")  # fmt: skip
        return answer()

    with endpoint(behave) as (model, asked):
        assert collect(model, tmp_path).correct.all()
        assert len(asked) == 6 and "max_completion_tokens" in asked[1]
        assert model.meter.billed == [250, 5]


@pytest.mark.parametrize(
    ("said", "top"),
    [
        ("Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 5", 5),
        ("20 is greater than the maximum of 1 - 'logprobs'", 1),
        ("Cannot request more than 8 logprobs.", 8),
        ("Invalid top_logprobs and logprobs value", 5),
    ],
)
def test_an_endpoint_that_gives_fewer_alternatives_is_asked_for_these_and_says_so(said, top, tmp_path):
    def behave(body, _nth):
        return (400, error(said)) if body["top_logprobs"] > top else answer()

    with endpoint(behave) as (model, asked):
        trace = collect(model, tmp_path)
        assert trace.correct.all() and len(asked) == 6 and asked[-1]["top_logprobs"] == top
        assert f"from {top} likeliest tokens" in trace.provenance["option_probs"]
        collect(model, tmp_path, [*QUESTIONS, cclib.Question("q/9", "s", "Number 9?", ("a", "b"), 1)])
        assert len(asked) == 7  # it is remembered


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'logprobs' is not supported with this model.",
        "Logprobs is not enabled for models/small",
        "You are not allowed to request logprobs from this model",
    ],
)
def test_what_is_no_number_of_alternatives_changes_nothing(said):
    assert Manner(20, LIMITS[0]).after(said) is None


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (
            (403, error("You are not allowed to request logprobs from this model")),
            "gives no log-probabilities",
        ),
        ((400, error("Logprobs is not enabled for models/small")), "gives no log-probabilities"),
        ((403, error("Country not supported")), "Country not supported.*check what the key .* may use"),
        ((401, error("bad key")), "the key is refused"),
        ((404, "<html>nginx</html>"), "a web page.*most end in /v1"),
        ((404, {"detail": "Not Found"}), "Not Found.*most end in /v1"),
        ((405, {"detail": "Method Not Allowed"}), "most end in /v1"),
        ("<!DOCTYPE html><html></html>", "a web page.*most end in /v1"),
        ('data: {"choices": []}\n\n', "a stream of events"),
        ((400, error("This model only supports stream mode")), "whole replies are asked for"),
        ({"choices": []}, "no choices in it"),
        (
            answer() | {"choices": [{"message": {"content": [{"type": "image_url"}]}}]},
            "kind 'image_url', not text",
        ),
        (json.dumps(answer())[:-9], "not JSON"),
    ],
)
def test_a_lasting_error_says_what_to_do(reply, advice, tmp_path):
    with endpoint(lambda *_: reply) as (model, _asked):
        with pytest.raises(APIFailure, match=advice) as told:
            collect(model, tmp_path)
        assert "://" not in str(told.value) and model.base_url.split(":")[2] not in str(told.value)


def test_an_odd_reply_never_stops_later_runs(tmp_path):
    """Numbers and texts that Parquet cannot hold are kept out of the journal, or made fit for it."""
    odd = [
        {"prompt_tokens": 2**40, "completion_tokens": 1},
        {"prompt_tokens": -5, "completion_tokens": True},
        [],
        7,
    ]
    for i, usage in enumerate(odd):
        said = answer("B\n\ud83d") | {"usage": usage, "model": "m\udc00"}
        with endpoint(lambda *_, said=said: said) as (model, _asked):
            assert collect(model, tmp_path / str(i)).correct.all()
            assert min(model.meter.billed) >= 0


@pytest.mark.parametrize(
    "body", [None, "", 5, [], {}, {"error": None}, {"error": {"message": {"a": 1}}}, "<p>"]
)
def test_an_error_of_any_shape_is_told(body):
    assert "status 200 with an error" in str(to_api_failure(ErrorReply(body), "m", "question q"))
