"""The row of a trace that an endpoint's reply makes: answer and P(T) from the likeliest tokens.

An endpoint gives the probabilities of the likeliest tokens only. The tokens that spell an option (" A",
"A", "A.") are summed; options that none of them spells share what the others leave, each at most the
least of the tokens given. `mass_unseen` is all that was left: no probability in the row is too small by
more than that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from cclib.models.api_letters import folded, named_letter
from cclib.models.api_replies import BadReply, NoLogprobs, Reply
from cclib.prompts import LETTERS
from cclib.questions import ABSTAINED, RIGHT, Question, string_match
from cclib.traces import SCHEMA

SPELLED = re.compile(rf"[\W_]*([{LETTERS}])[\W_]*")
NO_OPTION = -1  # the prediction of a reply that names none


def option_shares(
    top: Sequence[tuple[str, float]], n_options: int, lower: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilities of the options' letters from the likeliest tokens.

    Args:
        lower: small letters are options too.

    Returns:
        (c,) probabilities, (c,) bool whether some token spelled the option, and the probability of all
        tokens that are not among the likeliest.
    """
    shares = np.zeros(n_options)
    seen = np.zeros(n_options, bool)
    for token, probability in top:
        spelled = SPELLED.fullmatch(folded(token).upper() if lower else folded(token))
        if spelled and (option := LETTERS.index(spelled[1])) < n_options:
            shares[option] += probability
            seen[option] = True
    left = max(0.0, 1 - sum(p for _, p in top))
    if not seen.all():
        shares[~seen] = min(min((p for _, p in top), default=1.0), left / (~seen).sum())
    return shares.clip(max=1), seen, left


def choice_row(question: Question, reply: Reply, prompt: str = "") -> dict[str, Any]:
    """A trace's row of a question with options, read at the token that holds the letter of the answer.

    Args:
        prompt: of a plain completion, which may echo it.

    A reply that names no option has the prediction -1, P(T) 0 and a note that says why; it counts as wrong.
    A plain completion whose first token is no letter is read there, as a local model's pass is (Eq. 1).

    Raises:
        NoLogprobs: there are no probabilities at that token.
    """
    found = _named(question, reply, prompt)
    if isinstance(found, str):
        n = len(question.choices)
        prediction, shares, seen, left = NO_OPTION, np.full(n, 1 / n), np.zeros(n, bool), 1.0
    else:
        prediction, shares, seen, left = found
    return {
        **_common(question, reply),
        "answer": question.answer,
        "prediction": prediction,
        "correct": prediction == question.answer,
        "p_t": 0.0 if prediction == NO_OPTION else float(shares[prediction]),
        "option_probs": shares.tolist(),
        "options_unseen": int((~seen).sum()),
        "mass_unseen": left,
        "note": found if isinstance(found, str) else None,
    }


def _named(question: Question, reply: Reply, prompt: str) -> tuple[int, np.ndarray, np.ndarray, float] | str:
    """The option, with all options' `option_shares` where it is said; or why there is none."""
    if reply.thinking:
        return "cut off while thinking"
    n = len(question.choices)
    echoed = len(prompt) if reply.plain and reply.text.startswith(prompt) else 0
    said = reply.text[echoed:]
    place = reply.token_at(echoed + len(said) - len(said.lstrip())) if said.strip() else None
    first = place[0] if place else 0
    one_token = first == len(reply.tokens) - 1
    found = named_letter(said, question.choices)
    if reply.plain and (one_token or not SPELLED.fullmatch(folded(reply.tokens[first]))):
        if isinstance(found, str):
            shares, seen, left = option_shares(_listed(reply, first), n)
            likeliest = int(np.where(seen, shares, -1).argmax())
            return (
                (likeliest, shares, seen, left) if seen.any() else "none of its likeliest tokens is an option"
            )
    elif reply.cut and not isinstance(found, str) and not said[found[1] + 1 :].strip():
        return "cut off right after a letter"
    if isinstance(found, str):
        return "cut off before it named an option" if reply.cut else found if said.strip() else "it is empty"
    option, at = found
    i, before = _letter_token(reply, option, echoed + at)
    piece = reply.tokens[i]
    spelled = [
        (LETTERS[option] if t.strip() == piece.strip() else t.removeprefix(piece[:before]), p)
        for t, p in _listed(reply, i)
    ]
    shares, seen, left = option_shares(spelled, n, lower=said[at].islower())
    if not seen[option]:
        raise NoLogprobs("the reply has no logprobs for the token that names an option")
    return option, shares, seen, left


def _letter_token(reply: Reply, option: int, at: int) -> tuple[int, int]:
    """The token that holds the letter, and how many of its characters go before."""
    if (place := reply.token_at(at)) is not None:
        return place
    spelled = [SPELLED.fullmatch(folded(t).upper()) for t in reply.tokens]
    same = [i for i, m in enumerate(spelled) if m and m[1] == LETTERS[option]]
    if len(same) != 1:
        raise NoLogprobs(
            f"the reply's tokens ({', '.join(map(repr, reply.tokens[:4]))}) do not spell its text"
        )
    return same[0], spelled[same[0]].start(1)


def _listed(reply: Reply, i: int) -> list[tuple[str, float]]:
    if i >= len(reply.top) or not reply.top[i]:
        raise NoLogprobs("the reply has no logprobs for the token that names an option")
    return reply.top[i]


def open_row(question: Question, reply: Reply, prompt: str = "") -> dict[str, Any]:
    """A trace's row of an open question; P(T) is the probability that "Answer" comes first."""
    said = reply.text.removeprefix(prompt)
    lines = [line for line in said.splitlines() if line.strip()] or [""]
    heading = re.fullmatch(r"\W*answer\W*", lines[0], re.I) is not None
    line = " ".join(part.strip() for part in lines[: 1 + heading])
    verdict = string_match(question, line)
    place = reply.token_at(len(reply.text) - len(said.lstrip())) if said.strip() else None
    top = _listed(reply, place[0] if place else 0)
    starts = [p for t, p in top if t.strip() and "Answer:".startswith(t.strip())]
    note = "cut off while thinking" if reply.thinking else None if said.strip() else "it is empty"
    return {
        **_common(question, reply),
        "correct": verdict == RIGHT,
        "abstained": verdict == ABSTAINED,
        "p_t": 0.0 if note else min(1.0, float(sum(starts))),
        "response": line,
        "mass_unseen": max(0.0, 1 - sum(p for _, p in top)),
        "note": note,
    }


def aside_row(question: Question, why: str, usage: tuple[int, int] | None, served: str) -> dict[str, Any]:
    """The row of a question that the endpoint will not answer: neither right nor wrong."""
    prompt, output = usage or (None, None)
    return {
        "question_id": question.id,
        "question_hash": question.hash,
        "subject": question.subject,
        "answer": question.answer,
        "prompt_tokens": prompt,
        "output_tokens": output,
        "served_model": served,
        "note": f"set aside: {why}",
        **dict.fromkeys(("prediction", "correct", "p_t", "response")),
    }


def check_row(row: dict[str, Any]) -> None:
    """Raise BadReply where a row cannot become part of a trace."""
    try:
        pa.Table.from_pylist([row], schema=SCHEMA)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise BadReply("the reply holds what a trace cannot") from None


def _common(question: Question, reply: Reply) -> dict[str, Any]:
    return {
        "question_id": question.id,
        "question_hash": question.hash,
        "subject": question.subject,
        "response": reply.text,
        "first_token_prob": max((p for _, p in reply.top[0]), default=None),
        "prompt_tokens": reply.prompt_tokens,
        "output_tokens": reply.output_tokens,
        "served_model": reply.served_model,
    }
