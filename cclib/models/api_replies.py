"""What the reply of an OpenAI-compatible endpoint says: text, tokens and their probabilities, what it cost.

Endpoints write tokens in several ways (" B", "ĠB", "▁B", "bytes:\\x20\\x42"); here they become text. What a
model thinks before its answer is left out of the text.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from typing import Any

MARKS = {"Ġ": " ", "Ċ": "\n", "ĉ": "\t", "č": "\r", "▁": " "}  # what vocabularies write for blanks
BYTES = re.compile(r"bytes:((?:\\x[0-9a-fA-F]{2})+)|<0x([0-9a-fA-F]{2})>")
NUMBERED = re.compile(r"token_id:\d+")
SPECIAL = re.compile(r"<[|｜/]?[\w|｜▁:.-]+[|｜]?>|\[/?[A-Z_]+\]")
NAMES = r"think|thinking|thought|reasoning|seed:think"
THINKS = re.compile(rf"<(?:{NAMES})>|\[THINK\]|◁think▷|<\|channel\|>(?!final)|^analysis(?=[A-Z])|<\|channel>")
THOUGHT = re.compile(
    rf"</(?:{NAMES})>|\[/THINK\]|◁/think▷|<\|channel\|>final.*?<\|message\|>|assistantfinal|<channel\|>"
)
FILTERED = re.compile(r"content.?filter|safety|prohibited|refusal|guardrail|blocklist|recitation", re.I)
UNKNOWN = -9999.0  # what some endpoints give for a token beyond those that they list
MOST_TOKENS = 2**31 - 1  # that a trace can hold
CHECK_URL = "check that the base URL is the endpoint's whole one: most end in /v1"


class BadReply(ValueError):
    """What came back is not a completion; asking again helps where it is not `lasting`."""

    def __init__(self, message: str, lasting: bool = False, billed: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.billed = billed


class NoLogprobs(ValueError):
    """The reply has an answer, but no probabilities that can be read."""


class SetAside(ValueError):
    """The endpoint will not answer this question: its content filter, or the model's refusal."""


class ErrorReply(ValueError):
    """An error in the body of a reply whose status says that all is well."""

    def __init__(self, body: Any) -> None:
        super().__init__("an error in place of a completion")
        self.body = body


@dataclass(frozen=True)
class Reply:
    """One reply of t tokens."""

    text: str  # without what it thought
    top: list[list[tuple[str, float]]]  # t times the likeliest tokens and their probabilities
    tokens: list[str]  # t, as text
    prompt_tokens: int | None  # as billed; None where the endpoint does not say
    output_tokens: int | None
    served_model: str  # what answered, by its own account
    plain: bool = False  # of /completions, so it goes on right after the prompt
    cut: bool = False  # it ran into the limit of tokens
    thinking: bool = False  # and it was still thinking then

    def token_at(self, place: int) -> tuple[int, int] | None:
        """The token that holds a character of the text: its index, and how much of it goes before.

        None where the tokens do not spell the text.
        """
        pieces = ["" if SPECIAL.fullmatch(t) and t not in self.text else t for t in self.tokens]
        whole, text = "".join(pieces).rstrip(), self.text.rstrip()
        first = len(self.text) - len(self.text.lstrip())
        if not whole.endswith(text[first:]):
            return None
        place += len(whole) - len(text)
        for i, piece in enumerate(pieces):
            if place < len(piece):
                return i, place
            place -= len(piece)
        return None


def parse(text: str) -> Any:
    """The JSON that an endpoint sent.

    Raises:
        BadReply: it is none.
    """
    start = text.lstrip()[:6]
    if start.startswith("<"):
        raise BadReply(f"it answers with a web page; {CHECK_URL}", lasting=True, billed=False)
    if start.startswith(("data:", "event:")):
        raise BadReply("it answers in a stream of events, where one whole reply was asked for", lasting=True)
    try:
        return json.loads(text)
    except ValueError:
        raise BadReply("the reply is not JSON") from None


def read_reply(reply: Any) -> Reply:
    """A reply of /chat/completions or /completions, as parsed JSON.

    Raises:
        ErrorReply: it holds an error in place of an answer.
        SetAside: the endpoint will not answer.
        NoLogprobs: it has no probabilities, or none that can be read.
        BadReply: it is not a reply.
    """
    if error := error_of(reply):
        raise ErrorReply(error)
    try:
        choices = reply["choices"]
        if not choices:
            raise BadReply("the reply is JSON with no choices in it")
        choice = choices[0]
        plain = "message" not in choice
        message = {"content": choice["text"]} if plain else choice["message"]
        finish = str(choice.get("finish_reason") or "")
        thought = bool(message.get("reasoning_content") or message.get("reasoning"))
        said, refused = _text(message.get("content"))
        refused = refused or message.get("refusal")
        if FILTERED.search(finish) or (refused and not said.strip()):
            raise SetAside("the model refused" if refused else "content filter")
        if "content" not in message and not thought:
            raise KeyError("content")
        served = _clean(str(reply.get("model") or ""))
        prompt, output = usage_of(reply) or (None, None)
        tokens, top = _logprobs(choice.get("logprobs"), said)
    except (BadReply, NoLogprobs, SetAside):
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise BadReply("the reply is JSON, but not that of a completion") from None
    text, thinking = _answer(_clean(said))
    if served.startswith("/") or "\\" in served:  # a server that goes by the path of its file
        served = re.split(r"[/\\]", served)[-1]
    cut = finish == "length"
    thinking |= cut and thought and not text.strip()
    if not top:
        raise NoLogprobs("the reply has no logprobs")
    return Reply(text, top, tokens, prompt, output, served, plain, cut, thinking)


def error_of(reply: Any) -> Any:
    """The error that a reply holds in place of an answer; None where it holds none."""
    if not isinstance(reply, dict):
        return None
    choices = reply.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0].get("error")
    told = reply.get("error") or reply.get("detail") or (reply if reply.get("message") else None)
    return told or ("it says that it failed" if reply.get("object") == "error" else None)


def usage_of(reply: Any) -> tuple[int, int] | None:
    """Billed tokens of prompt and output, of whatever came back; None where it does not say."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    if not isinstance(usage, dict):
        return None
    numbers = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or n != n // 1 for n in numbers):
        return None
    return tuple(map(int, numbers)) if all(0 <= n <= MOST_TOKENS for n in numbers) else None


def _text(content: Any) -> tuple[str, str | None]:
    """The text of a message, and of a refusal in it; content may be a list of parts."""
    if content is None or isinstance(content, str):
        return content or "", None
    if not isinstance(content, list):
        raise TypeError("content")
    text, refused = "", None
    for part in content:
        kind = "text" if isinstance(part, str) else part.get("type", "text")
        if kind in ("text", "output_text"):
            text += part if isinstance(part, str) else part["text"]
        elif kind == "refusal":
            refused = part["refusal"]
        elif kind not in ("thinking", "reasoning"):
            raise BadReply(
                f"its content has a part of the kind {_clean(str(kind))[:40]!r}, not text", lasting=True
            )
    return text, refused


def _clean(text: str) -> str:
    """Text that can be written: half a surrogate pair cannot."""
    return text.encode("utf-8", "replace").decode()


def _answer(text: str) -> tuple[str, bool]:
    """What follows the thinking, and whether it had not come to an end."""
    ends = [m.end() for m in THOUGHT.finditer(text)]
    text = text[ends[-1] :] if ends else text
    begun = THINKS.search(text)
    return (text[: begun.start()], True) if begun else (text, False)


def _logprobs(found: Any, text: str) -> tuple[list[str], list[list[tuple[str, float]]]]:
    """Tokens as text, and the alternatives to each, in chat's form or in that of plain completions."""
    if not found:
        return [], []
    if found.get("content") is not None or "tokens" not in found:
        said = [(e["token"], e.get("bytes"), e.get("logprob")) for e in found.get("content") or ()]
        others = [
            [(a["token"], a.get("bytes"), a["logprob"]) for a in e.get("top_logprobs") or ()]
            for e in found.get("content") or ()
        ]
    else:
        tokens = found["tokens"] or []
        said = [(t, None, p) for t, p in zip(tokens, found.get("token_logprobs") or [None] * len(tokens))]
        others = [[(t, None, p) for t, p in (o or {}).items()] for o in found.get("top_logprobs") or ()]
        others += [[]] * (len(said) - len(others))
    marks = str.maketrans({mark: blank for mark, blank in MARKS.items() if mark not in text})
    spelled = codecs.getincrementaldecoder("utf-8")("replace")  # a character may be of several tokens
    tokens = [spelled.decode(_bytes(token, raw, marks)) for token, raw, _ in said]
    top = []
    for (token, raw, logprob), alternatives in zip(said, others):
        listed = [
            (_bytes(t, r, marks).decode("utf-8", "replace"), _probability(p)) for t, r, p in alternatives
        ]
        listed = [(t, p) for t, p in listed if p is not None]
        chosen = _bytes(token, raw, marks).decode("utf-8", "replace")
        top.append(_with_chosen(chosen, _probability(logprob), listed))
    return tokens, top


def _bytes(token: Any, raw: Any, marks: dict) -> bytes:
    if not isinstance(token, str):
        raise TypeError("token")
    if NUMBERED.fullmatch(token):
        raise NoLogprobs(f"the reply names its tokens by number ({token}; return_tokens_as_token_ids?)")
    if isinstance(raw, list) and raw and "�" in token:
        return bytes(raw)
    if escaped := BYTES.fullmatch(token):
        return bytes.fromhex((escaped[1] or escaped[2]).replace("\\x", ""))
    return token.translate(marks).encode("utf-8", "replace")


def _probability(logprob: Any) -> float | None:
    if logprob is None:
        return None
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or not logprob <= 1e-3:
        raise NoLogprobs(
            f"the reply's logprobs are no logarithms of probabilities (one is {str(logprob)[:20]})"
        )
    return None if logprob == UNKNOWN else math.exp(min(logprob, 0))


def _with_chosen(token: str, p: float | None, top: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The alternatives with the chosen token's own probability, which holds where the two are at odds."""
    top = list(dict.fromkeys(top))  # some endpoints list the chosen token twice
    if p is None:
        return top
    same = [t == token or t.strip() == token.strip() for t, _ in top]
    if any(s and math.isclose(p, q, rel_tol=1e-3, abs_tol=1e-6) for s, (_, q) in zip(same, top)):
        return top
    top = [(token, p), *((t, q) for t, q in top if t != token)]
    return top if sum(q for _, q in top) <= 1.01 else top[:1]
