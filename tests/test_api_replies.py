"""What a reply says, worked by hand; what is paid, and how much of a budget is left."""

import json
import math
import time
from email.utils import formatdate

import numpy as np
import pytest

import cclib
from cclib.models.api_answers import choice_row, open_row, option_shares
from cclib.models.api_budget import Journal, Meter, read_budget
from cclib.models.api_failures import _asked_to_wait
from cclib.models.api_replies import BadReply, NoLogprobs, read_reply

QUESTION = cclib.Question("q/1", "capitals", "What is the capital of Chad?", ("a", "b", "c", "d"), 1)
OPEN = cclib.Question("o/1", "capitals", "What is the capital of Chad?", accepted=("N'Djamena",))


def chat_reply(*tokens, usage=(50, 3)):
    """A chat's reply: each token with its alternatives, {token: probability}."""
    content = [
        {
            "token": token,
            "logprob": math.log(top[token]),
            "top_logprobs": [{"token": t, "logprob": math.log(p)} for t, p in top.items()],
        }
        for token, top in tokens
    ]
    return {
        "model": "served-1",
        "choices": [
            {"message": {"content": "".join(t for t, _ in tokens)}, "logprobs": {"content": content}}
        ],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]},
    }


def test_tokens_that_spell_an_option_are_summed():
    top = [("A", 0.3), (" A", 0.2), ("A.", 0.1), ("(B)", 0.1), ("C", 0.05), (" D", 0.05), ("As", 0.1)]
    shares, seen, left = option_shares(top, 4)
    np.testing.assert_allclose(shares, [0.6, 0.1, 0.05, 0.05])
    assert seen.all() and left == pytest.approx(0.1)


def test_an_option_that_is_not_among_the_tokens_gets_no_more_than_is_left():
    shares, seen, left = option_shares([("A", 0.9), ("B", 0.06), ("The", 0.02)], 4)
    np.testing.assert_allclose(shares, [0.9, 0.06, 0.01, 0.01])  # two share 0.02
    assert seen.tolist() == [True, True, False, False] and left == pytest.approx(0.02)
    shares, _, _ = option_shares([("A", 0.5), ("The", 0.01)], 2)
    assert shares[1] == pytest.approx(0.01)  # 0.49 is left, but no unseen token beats the least one seen


def test_letters_beyond_the_options_are_words():
    shares, seen, _ = option_shares([("I", 0.8), ("A", 0.1), ("B", 0.05)], 2)
    np.testing.assert_allclose(shares, [0.1, 0.05])
    assert seen.all()


def test_the_answer_is_read_where_the_letter_is_said():
    reply = chat_reply(
        ("Answer", {"Answer": 0.7, "B": 0.2}),
        (":", {":": 1.0}),
        (" B", {" B": 0.8, " A": 0.1, " C": 0.04, " D": 0.02}),
    )
    row = choice_row(QUESTION, read_reply(reply))
    assert row["prediction"] == 1 and row["correct"] and row["p_t"] == pytest.approx(0.8)
    assert row["first_token_prob"] == pytest.approx(0.7)
    assert (row["prompt_tokens"], row["output_tokens"]) == (50, 3)
    assert row["options_unseen"] == 0 and row["mass_unseen"] == pytest.approx(0.04)


def test_a_reply_that_names_no_option_is_wrong_whatever_the_answer():
    question = cclib.Question("q/2", "s", "?", ("a", "b"), 0)
    row = choice_row(question, read_reply(chat_reply(("Perhaps", {"Perhaps": 0.9, "It": 0.05}))))
    assert row["prediction"] == -1 and not row["correct"] and row["options_unseen"] == 2
    assert row["p_t"] == 0 and row["note"] == "it names no option"


def test_plain_completions_have_a_form_of_their_own():
    reply = {
        "model": "m",
        "choices": [
            {"text": " B", "logprobs": {"tokens": [" B"], "top_logprobs": [{" B": -0.5, " A": -2.0}]}}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1},
    }
    row = choice_row(QUESTION, read_reply(reply))
    assert row["prediction"] == 1 and row["p_t"] == pytest.approx(math.exp(-0.5))


@pytest.mark.parametrize("logprobs", [None, {"content": []}, {"content": None}])
def test_a_reply_without_probabilities_is_told_from_one_that_is_none(logprobs):
    reply = chat_reply(("B", {"B": 0.9}))
    reply["choices"][0]["logprobs"] = logprobs
    with pytest.raises(NoLogprobs):
        read_reply(reply)


@pytest.mark.parametrize("reply", [{}, [], "B", {"choices": []}, {"choices": [{"message": {}}]}, None])
def test_json_that_is_no_completion_is_refused(reply):
    with pytest.raises(BadReply):
        read_reply(reply)


def test_a_server_that_goes_by_its_files_path_does_not_tell_it():
    reply = chat_reply(("B", {"B": 0.9})) | {"model": "/home/someone/models/small.gguf"}
    assert read_reply(reply).served_model == "small.gguf"


def test_an_open_answers_confidence_is_that_answer_comes_first():
    reply = chat_reply(
        ("Answer", {"Answer": 0.6, " Answer": 0.1, "Ans": 0.05, "I": 0.2, "\n": 0.05}),
        (": N'Djamena\n", {": N'Djamena\n": 1.0}),
        ("More", {"More": 1.0}),
    )
    row = open_row(OPEN, read_reply(reply))
    assert row["p_t"] == pytest.approx(0.75) and row["correct"] and not row["abstained"]
    assert row["response"] == "Answer: N'Djamena"


@pytest.mark.parametrize(
    ("text", "budget"),
    [("2.50 USD", (2.5, "USD")), ("100_000 tokens", (1e5, "tokens")), ("1,000 Tokens", (1000, "tokens"))],
)
def test_a_budget_is_read(text, budget):
    assert read_budget(text) == budget


@pytest.mark.parametrize("text", ["5", "$5", "5 EUR", "-1 USD", "all tokens"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match="a budget is like"):
        read_budget(text)


def test_room_is_set_aside_for_what_is_under_way():
    meter = Meter((1000, "tokens"))
    assert meter.reserve(400, 8) and meter.reserve(400, 8)
    assert not meter.reserve(400, 8)  # 1,224 at worst
    meter.release(400, 8)
    meter.charge(100, 1)  # it came in, and cost less
    assert meter.reserve(400, 8) and meter.billed == [100, 1]


def test_dollars_are_tokens_at_their_prices():
    meter = Meter((0.01, "USD"), (2.5, 10.0))
    meter.charge(1000, 100)
    assert meter.amount(*meter.billed) == pytest.approx(0.0035)
    assert meter.spent == "0.0035 USD of 0.0100 USD"
    assert meter.reserve(2000, 100) and not meter.reserve(200, 100)


def test_a_line_that_a_kill_cut_short_swallows_no_other(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write({"charged": [1, 2], "row": {"question_id": "ä"}})
    with journal.path.open("ab") as f:
        f.write(json.dumps({"charged": [3, 4], "row": {}}).encode()[:20])
    journal.write({"charged": [5, 6]})
    assert [e["charged"] for e in journal.read()] == [[1, 2], [5, 6]]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "0.5"}, 0.5, 0.5),
        ({"retry-after": formatdate(time.time() + 1000, usegmt=True)}, 500, 1000),
        ({"retry-after": formatdate(0, usegmt=True)}, 0, 0),
    ],
)
def test_retry_after_is_in_seconds_or_a_date(header, least, most):
    assert least <= _asked_to_wait(header) <= most


@pytest.mark.parametrize("header", [{}, {"retry-after": "soon"}, {"retry-after": "inf"}])
def test_a_retry_after_that_says_nothing_is_none(header):
    assert _asked_to_wait(header) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://someone:planted-secret@example.org/v1",
        "https://example.org/v1?api-key=planted-secret",
        "ftp://planted-secret/v1",
        "planted-secret",
    ],
)
def test_a_base_url_with_a_key_is_refused_and_not_printed(url, monkeypatch):
    for given in ({"base_url": url}, {}):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        with pytest.raises(ValueError, match="base URL") as told:
            cclib.load_model("openai:gpt-4o", **given)
        assert "planted-secret" not in str(told.value)


def test_a_budget_in_dollars_needs_a_price():
    assert cclib.load_model("openai:gpt-4o", budget="1 USD").price == (2.5, 10.0)
    with pytest.raises(ValueError, match="needs a price for 'small'"):
        cclib.load_model("openai:small", base_url="http://127.0.0.1:1/v1", budget="1 USD")


def test_names_of_an_api_keep_apart_from_files_and_from_each_other():
    from cclib.names import expand_family, slug

    names = ["Qwen/Qwen3-4B", "openai:Qwen/Qwen3-4B", "openai-completions:Qwen/Qwen3-4B"]
    assert list(map(slug, names)) == ["qwen3-4b", "openai-qwen3-4b", "openai-completions-qwen3-4b"]
    assert expand_family(names) == names


@pytest.mark.parametrize("given", [{"base_url": "http://127.0.0.1:1/v1"}, {"budget": "1 USD"}])
def test_a_local_model_takes_no_url_and_no_budget(given):
    with pytest.raises(ValueError, match="behind an API"):
        cclib.load_model("atlas-s", **given)


def test_openai_itself_is_not_asked_without_a_key(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="set OPENAI_API_KEY"):
        cclib.collect("openai:gpt-4o", [QUESTION], store=tmp_path, progress=False)
