"""What the reply of an OpenAI-compatible endpoint says: answer, P(T) from the top tokens, tokens billed.

An endpoint gives the probabilities of the likeliest tokens only. The tokens that spell an option (" A",
"A", "A.") are summed; options that none of them spells share what the others leave, each at most the
least of the tokens given. `mass_unseen` is all that was left: no probability in the row is too small by
more than that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cclib.prompts import LETTERS
from cclib.questions import ABSTAINED, RIGHT, Question, string_match

SPELLED = re.compile(rf"[\W_]*([{LETTERS}])[\W_]*")
NO_OPTION = -1  # the prediction of a reply that names none


class BadReply(ValueError):
    """What came back is not a completion."""


class NoLogprobs(ValueError):
    """The reply has an answer, but no probabilities."""


@dataclass(frozen=True)
class Reply:
    """One reply of t tokens."""

    text: str
    top: list[list[tuple[str, float]]]  # t times the likeliest tokens and their probabilities
    tokens: list[str]  # t
    prompt_tokens: int | None  # as billed; None where the endpoint does not say
    output_tokens: int | None
    served_model: str  # what answered, by its own account


def read_reply(reply: Any) -> Reply:
    """A reply of /chat/completions or /completions, as parsed JSON.

    Raises:
        NoLogprobs: it has no probabilities.
        BadReply: it is not a reply.
    """
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        usage = reply.get("usage") or {}
        prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
        served = str(reply.get("model") or "")
        tokens, top = _logprobs(choice.get("logprobs"))
        if not all(n is None or isinstance(n, int) for n in (prompt, output)):
            raise TypeError("usage")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise BadReply("the reply is JSON, but not that of a completion") from None
    if served.startswith("/") or "\\" in served:  # a server that goes by the path of its file
        served = re.split(r"[/\\]", served)[-1]
    answer = Reply(text or "", top, tokens, prompt, output, served)
    if not top or not top[0]:
        raise NoLogprobs("the reply has no logprobs")
    return answer


def usage_of(reply: Any) -> tuple[int, int] | None:
    """Billed tokens of prompt and output, of whatever came back; None where it does not say."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    if not isinstance(usage, dict):
        return None
    numbers = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return numbers if all(isinstance(n, int) for n in numbers) else None


def _logprobs(found: Any) -> tuple[list[str], list[list[tuple[str, float]]]]:
    """Tokens and their alternatives, in chat's form or in that of plain completions."""
    if not found:
        return [], []
    if found.get("content"):
        entries = found["content"]
        tokens = [str(e["token"]) for e in entries]
        pairs = [[(a["token"], a["logprob"]) for a in e.get("top_logprobs") or ()] for e in entries]
    else:
        tokens = [str(t) for t in found.get("tokens") or ()]
        pairs = [list(t.items()) for t in found.get("top_logprobs") or ()]
    return tokens, [[(str(t), math.exp(p)) for t, p in some] for some in pairs]


def option_shares(top: Sequence[tuple[str, float]], n_options: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilities of the options' letters from the likeliest tokens.

    Returns:
        (c,) probabilities, (c,) bool whether some token spelled the option, and the probability of all
        tokens that are not among the likeliest.
    """
    shares = np.zeros(n_options)
    seen = np.zeros(n_options, bool)
    for token, probability in top:
        spelled = SPELLED.fullmatch(token)
        if spelled and (option := LETTERS.index(spelled[1])) < n_options:
            shares[option] += probability
            seen[option] = True
    left = max(0.0, 1 - sum(p for _, p in top))
    if not seen.all():
        shares[~seen] = min(min(p for _, p in top), left / (~seen).sum())
    return shares.clip(max=1), seen, left


def choice_row(question: Question, reply: Reply) -> dict[str, Any]:
    """A trace's row of a question with options, read where the reply first names one of them.

    A reply may start with "Answer:" before its letter. Where it names none, its first token's
    alternatives are read; where none of these does either, the prediction is -1 and counts as wrong.
    """
    n = len(question.choices)
    allowed = LETTERS[:n]
    at = next((i for i, t in enumerate(reply.tokens) if (m := SPELLED.fullmatch(t)) and m[1] in allowed), 0)
    if at >= len(reply.top) or not reply.top[at]:
        raise NoLogprobs("the reply has no logprobs for the token that names an option")
    shares, seen, left = option_shares(reply.top[at], n)
    prediction = int(np.where(seen, shares, -1).argmax()) if seen.any() else NO_OPTION
    return {
        **_common(question, reply),
        "answer": question.answer,
        "prediction": prediction,
        "correct": prediction == question.answer,
        "p_t": float(shares[prediction]),
        "option_probs": shares.tolist(),
        "options_unseen": int((~seen).sum()),
        "mass_unseen": left,
    }


def open_row(question: Question, reply: Reply) -> dict[str, Any]:
    """A trace's row of an open question; P(T) is the probability that "Answer" comes first."""
    line = (reply.text.strip().splitlines() or [""])[0]
    verdict = string_match(question, line)
    starts = [p for t, p in reply.top[0] if t.strip() and "Answer:".startswith(t.strip())]
    return {
        **_common(question, reply),
        "correct": verdict == RIGHT,
        "abstained": verdict == ABSTAINED,
        "p_t": float(sum(starts)),
        "response": line,
        "mass_unseen": max(0.0, 1 - sum(p for _, p in reply.top[0])),
    }


def _common(question: Question, reply: Reply) -> dict[str, Any]:
    return {
        "question_id": question.id,
        "question_hash": question.hash,
        "subject": question.subject,
        "response": reply.text,
        "first_token_prob": max(p for _, p in reply.top[0]),
        "prompt_tokens": reply.prompt_tokens,
        "output_tokens": reply.output_tokens,
        "served_model": reply.served_model,
    }
