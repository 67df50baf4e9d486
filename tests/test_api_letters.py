"""Which option a reply names: by its text, and at which token, as real tokenizers split it."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_api_replies import QUESTION, chat_reply
from test_models import SMOLLM

import cclib
from cclib.models.api_answers import check_row, choice_row, open_row
from cclib.models.api_letters import named_letter
from cclib.models.api_replies import BadReply, ErrorReply, NoLogprobs, SetAside, read_reply

FOUR = ("Paris", "Rome", "Lima", "Tokyo")
TEN = cclib.Question("q/10", "s", "?", tuple("klmnopqrst"), 8)
B = r"""
B|b|(B)|**B**|B.|B)|B. Rome|B) Rome|B: Rome|B Rome|B - Rome|B (Rome)|B.Rome|B;|B!|`B`|“B”|'B'|_B_|[B]|<B>
<b>B</b>
Answer: B|Answer:B|answer: (b)|The answer is B|The answer is B.|\boxed{B}|The answer is $\boxed{\text{B}}$.
<answer>B</answer>|{"answer": "B"}|Ｂ|Ｂ．|Ⓑ|⒝|𝐁|答案是B|答案：B。
Réponse : B|Final answer: B|B is correct|It's B.
I think the answer is B|I believe B is correct|Option B|option (B)|**Answer:** B|Answer: **B. Rome**
The answer is B, not C.|Since it is not A, the answer is B|Answer:\nB|\n\nB|B\n\nbecause it is|Sure!\nB
A. Paris is in France, not in Italy.\nB. Rome is.\nThe answer is B.
"""
NONE = r"""
Copenhagen|I think|I think so|A dog|A city in France|a city|Answer: A city|A or B|A and B|Both A and B
B/C|B, C|A: B
Not A|Bravo|B is wrong|B is not correct|Vitamin C|the vitamin is C|C++|C# is|None of A, B, C
The answer is not B
The answer isn't B|The wrong answer is B|A.I. is|e.g. this|I'm not sure|I can't help with that|B-cells|B2|AB
A B C D|A\nB\nC\nD|A. Paris\nB. Rome|All of the above|Answer: C. S. Lewis|The answer is A or B
If the answer is B
I don't know the answer. A dog|Answer:|B?|E. coli|Answer: I think it is Paris|Perhaps|Answer: B or C
"""


def cases(text: str) -> list[str]:
    return [case.replace("\\n", "\n") for line in text.strip().split("\n") for case in line.split("|")]


@pytest.mark.parametrize("text", [*cases(B), "B<|im_end|>", " B ", "\tB\r\n"])
def test_a_letter_counts_where_the_text_says_that_it_is_the_answer(text):
    assert named_letter(text, FOUR)[0] == 1


@pytest.mark.parametrize("text", [*cases(NONE), "", "   "])
@pytest.mark.parametrize("choices", [FOUR, TEN.choices])
def test_a_letter_within_words_or_beside_another_is_no_answer(text, choices):
    assert isinstance(named_letter(text, choices), str)


def test_a_capital_is_its_option_only_where_no_option_is_a_name_of_that_initial():
    assert named_letter("C. Columbus", ("Cook", "Polo", "Columbus", "x"))[0] == 2
    assert isinstance(named_letter("C. Columbus", ("Cook", "C. Columbus", "Cabot", "x")), str)
    assert named_letter("B. U.S. troops", ("x", "U.S. troops", "y", "z"))[0] == 1


@pytest.fixture(scope="module", params=["smollm2-135m.gguf", "qwen2.5-coder-0.5b.gguf"])
def pieces(request):
    """How a real tokenizer splits a reply: text -> tokens as servers give them."""
    from transformers import AutoTokenizer

    file = SMOLLM.parent / request.param
    if not file.exists():
        pytest.skip(f"{file.name} is not at hand")
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    return lambda text: [tokenizer.decode([i]) for i in tokenizer.encode(text, add_special_tokens=False)]


def said(pieces: list[str], finish: str = "stop", p: float = 0.7) -> dict:
    """A chat's reply of these tokens, each of probability p, "A" beside it."""
    reply = chat_reply(*[(t, {t: p, " A" if t.strip() != "A" else "B": 0.2}) for t in pieces])
    reply["choices"][0]["finish_reason"] = finish
    return reply


@pytest.mark.parametrize(
    ("text", "question", "option"),
    [
        ("Copenhagen", QUESTION, -1), ("I think the answer is B", TEN, 1), ("I think so", TEN, -1),
        ("The answer is **B**.", QUESTION, 1), ("Answer: (B) b", QUESTION, 1), ("A or B", QUESTION, -1),
        ("Dakar, of course", QUESTION, -1), ("\\boxed{B}", QUESTION, 1),
        ("é: I", TEN, -1), ("Réponse : I", TEN, 8),
    ],
)  # fmt: skip
def test_replies_are_read_at_the_letters_token_however_they_are_split(pieces, text, question, option):
    row = choice_row(question, read_reply(said(pieces(text))))
    assert row["prediction"] == option and (row["note"] is None) == (option >= 0)
    assert row["p_t"] == pytest.approx(0.7 if option >= 0 else 0)


@pytest.mark.parametrize(
    "token", ["B", " B", "ĠB", "▁B", "(B", "bytes:\\x20\\x42", "<0x42>", "\nB", "ĊB", "B."]
)
def test_tokens_are_text_however_an_endpoint_writes_them(token):
    plain = {"text": " B", "logprobs": {"tokens": [token], "token_logprobs": [-0.2],
             "top_logprobs": [{token: -0.2, "ĠA": -3.0}]}}  # fmt: skip
    row = choice_row(
        QUESTION, read_reply({"choices": [plain | {"text": "(B." if token in ("(B", "B.") else " B"}]})
    )
    assert row["prediction"] == 1 and row["p_t"] == pytest.approx(math.exp(-0.2))
    assert row["option_probs"][0] == pytest.approx(math.exp(-3.0))


def test_tokens_by_number_are_an_error_that_says_so():
    plain = {"text": " B", "logprobs": {"tokens": ["token_id:33"], "token_logprobs": [-0.2],
             "top_logprobs": [{"token_id:33": -0.2}]}}  # fmt: skip
    with pytest.raises(NoLogprobs, match="names its tokens by number .token_id:33"):
        read_reply({"choices": [plain]})


@pytest.mark.parametrize(
    "top", [[{"B": -6.2, "A": -3.0}], [{"A": -3.0}], [None], None, [{" B": -0.2, "A": -3.0}]]
)
def test_the_chosen_tokens_own_probability_holds(top):
    logprobs = {"tokens": ["B"], "token_logprobs": [-0.2], "top_logprobs": top}
    row = choice_row(QUESTION, read_reply({"choices": [{"text": " B", "logprobs": logprobs}]}))
    assert row["prediction"] == 1 and row["p_t"] == pytest.approx(math.exp(-0.2))


@pytest.mark.parametrize(
    ("text", "fields", "note"),
    [
        ("<think>\nOkay, so B", {}, "cut off while thinking"),
        ("", {"reasoning_content": "Let me"}, "cut off while thinking"),
        ("<|channel|>analysis<|message|>We need B", {}, "cut off while thinking"),
        ("[THINK]B", {}, "cut off while thinking"),
        ("The capital of Denmark is C", {}, "cut off before it named an option"),
        ("The answer is C", {}, "cut off right after a letter"),
    ],
)
def test_a_reply_that_is_cut_off_has_no_answer_and_says_why(text, fields, note):
    reply = said([text or "Let me"], "length")
    reply["choices"][0]["message"] = {"content": text or None} | fields
    row = choice_row(QUESTION, read_reply(reply))
    assert (row["prediction"], row["p_t"], row["note"]) == (-1, 0.0, note)


@pytest.mark.parametrize(
    "tokens",
    [
        ["<think>", "A or B", "</think>", "\n\n", "B"],
        ["Hm, the answer is A", "</think>", "B", "<|im_end|>"],
        [
            "<|channel|>",
            "analysis",
            "<|message|>",
            "A",
            "<|channel|>",
            "final",
            "<|message|>",
            "B",
            "<|return|>",
        ],
    ],
)
def test_what_was_thought_before_is_no_answer(tokens):
    reply = said(tokens)
    for text in ("".join(tokens), "B"):  # some endpoints leave the thinking out of the text
        reply["choices"][0]["message"]["content"] = text
        row = choice_row(QUESTION, read_reply(reply))
        assert row["prediction"] == 1 and row["p_t"] == pytest.approx(0.7)


def test_parts_of_a_content_are_one_text_without_what_is_thought():
    reply = said(["B"])
    part = {"type": "text", "text": "B"}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "A"}]}
    for content in ([part], [thought, part], ["B"]):
        reply["choices"][0]["message"]["content"] = content
        row = choice_row(QUESTION, read_reply(reply))
        assert row["prediction"] == 1 and row["response"] == "B"
    reply["choices"][0]["message"]["content"] = [{"type": "image_url"}]
    with pytest.raises(BadReply, match="a part of the kind 'image_url'"):
        read_reply(reply)


@pytest.mark.parametrize("bad", [0.9, float("nan"), "-0.2", True])
def test_what_is_no_logarithm_of_a_probability_is_refused(bad):
    reply = said(["B"])
    reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1]["logprob"] = bad
    with pytest.raises(NoLogprobs, match="no logarithms"):
        read_reply(reply)


def test_an_open_answer_below_its_heading_is_read():
    question = cclib.Question("o/1", "capitals", "?", accepted=("N'Djamena",))
    row = open_row(question, read_reply(said(["**", "Answer", ":**\n", "N'Djamena"])))
    assert row["correct"] and "N'Djamena" in row["response"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats() | st.text(max_size=6) | st.just("B"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        "choices message content text logprobs tokens token_logprobs top_logprobs token logprob bytes usage "
        "model finish_reason prompt_tokens completion_tokens refusal error code".split()), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_comes_back_is_a_row_that_can_be_kept_or_one_of_four_errors(data):
    reply = said(["Answer", ":", " B"])
    at = reply
    for _ in range(data.draw(st.integers(0, 5))):  # some place in it holds something else
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key]:
            break
        at = at[key]
    at[data.draw(st.sampled_from(list(at) if isinstance(at, dict) else list(range(len(at)))))] = data.draw(
        ANY
    )
    try:
        row = choice_row(QUESTION, read_reply(reply))
        check_row(row)
    except (BadReply, ErrorReply, NoLogprobs, SetAside):
        return
    json.dumps(row).encode()
    assert row["prediction"] in (-1, 0, 1, 2, 3) and 0 <= row["p_t"] <= 1
    assert (row["note"] is None) == (row["prediction"] >= 0)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from([FOUR, TEN.choices]))
def test_any_text_names_an_option_at_a_letter_or_none(text, choices):
    found = named_letter(text, choices)
    assert isinstance(found, str) or 0 <= found[0] < len(choices) and found[1] < len(text)
