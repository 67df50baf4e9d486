"""Which option a reply names: a letter counts only where the text around it says that it is the answer.

"Copenhagen" starts with a C, "I think so" with an I, "Vitamin C" ends with a C: none of them is an answer.
"B", "(B)", "B. Paris", "**B**", "Answer: b", "the answer is \\boxed{B}" and "B is correct" are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# A letter by itself: no letter or digit of a European alphabet beside it.
ALONE = "(?<![A-Za-z0-9À-ɏ])(?<![A-Za-z]['’])([A-Za-z])(?![A-Za-z0-9À-ɏ])"
# A further letter; not that of "a dog", "I am", "i.e."
LISTED = r"(?:[B-HJ](?![A-Za-z0-9]|\.[a-z])|[AI](?![A-Za-z0-9'’]|\.[a-z]|\s+[a-z]))"
# What may follow the letter of an answer: the end, punctuation, a dash or bracket before its text.
ENDS = (
    r"(?!\W{0,9}(?:,|/|&|[-–—]|\b(?:or|and|nor)\b)\W{0,9}" + LISTED + r")(?!\W{0,9}[:=]\W{0,9}[A-Z]\W{0,9}$)"
    r"(?=[*_`\"'”’)\]}$>|]*(?:\s*$|\s*\n|\s*<|[.,;:!)\]}](?:\s|$|[*_`\"”’)\]}$\\]|[^\x00-\x7f]|[A-Z][a-z])"
    r"|[。、，]|\s+[-–—]\s|[–—]|\s+[(\[:]))"
)
WORDS = (
    "is|are|was|'s|should be|would be|must be|will be|has to be|to (?:the|this) question is|therefore|thus|"
    "then|hence|most likely|likely|probably|definitely|clearly|here|option|choice|letter|number|the|correct|"
    "best|right|final|boxed|text|textbf|mathbf|mathrm"
)
SAYS = (
    r"answer|antwort|réponse|respuesta|resposta|risposta|ответ|答案|选|選|boxed|"
    r"(?:choose|chose|pick|select|go with|going with|went with|i(?:'d| would)? say|it is|it's|must be)"
)
LINE = rf"(?:^|\n)(?:[^\w\n]|_|\\text\b|\\boxed\b)*(?:(?:the\s+)?(?:option|choice|letter)\b[\W_]*)?{ALONE}"
START = re.compile(LINE + ENDS, re.I)
WITH_TEXT = re.compile(LINE + r"(?=[ \t]+\w)", re.I)  # "B Rome", "A Paris" where Paris is option A
NO_WORD = re.compile(r"[B-HJ]\s+(?:[A-Z][a-z]|[0-9])|([A-Z])\s+\1\b")  # "A" and "I" are words
SAID = re.compile(
    rf"(?:\b|(?<=[^\x00-\x7f]))(?:{SAYS})(?:(?:[^\w.?!]|_)*(?:{WORDS}|是|为))*(?:[^\w.?!]|_)*{ALONE}{ENDS}",
    re.I,
)
JUDGED = re.compile(
    rf"{ALONE}[*_\"')\]]*\s+(?:is|must be|would be|should be)\s+(?:\w+ly\s+)?(?:the\s+)?(?:\w+ly\s+)?"
    r"(?:(?:correct|right|best)(?:\s+(?:answer|option|choice|one))?|answer)(?=\W*$|[.,;:!*]|\s+(?:because|since|as)\b)",
    re.I,
)
DENIED = re.compile(
    r"\b(?:not|never|neither|nor|cannot|wrong|incorrect|except|unless|if|eliminat\w*|rul\w+ out|exclud\w+|"
    r"\w+n['’]t)\b",
    re.I,
)
NAME = re.compile(r"\.\s*[A-Z]\.\s*[A-Z][a-z]|\. [a-z]")  # after a capital: "C. S. Lewis", "E. coli"
TAGS = re.compile(r"<(\w+)>(.*?)</\1>", re.S)
NONE, SEVERAL, BEYOND = (
    "it names no option",
    "it names several options",
    "it names a letter beyond the options",
)


def folded(text: str) -> str:
    """The text with full-width, bold, circled and bracketed letters as plain ones, each in its place."""
    return "".join(c if c.isascii() else _plain(c) for c in text)


def _plain(character: str) -> str:
    plain = unicodedata.normalize("NFKC", character).strip("()")
    return plain if len(plain) == 1 and plain.isascii() else character


def named_letter(text: str, choices: Sequence[str]) -> tuple[int, int] | str:
    """The option that a reply names and where in the text its letter is; or why there is none.

    Letters are read from claims ("the answer is B"); where there is none, from what a line starts with
    ("B. Paris"). Two letters that differ are no answer.
    """
    plain = TAGS.sub(lambda m: f"{' ' * (len(m[1]) + 2)}{m[2]}{' ' * (len(m[1]) + 3)}", folded(text))
    starts = [m for p in (START, WITH_TEXT) for m in p.finditer(plain) if _is_claim(plain, m, choices)]
    said = [m for p in (SAID, JUDGED) for m in p.finditer(plain) if _is_claim(plain, m, choices)]
    claims = {m[1].upper() for m in said}
    if not claims or len({m[1].upper() for m in starts}) == 1:
        claims |= {m[1].upper() for m in starts}
    if len(claims) != 1:
        return SEVERAL if claims else NONE
    option = ord(claims.pop()) - ord("A")
    at = min(m.start(1) for m in [*starts, *said] if ord(m[1].upper()) - ord("A") == option)
    return (option, at) if option < len(choices) else BEYOND


def _is_claim(text: str, found: re.Match, choices: Sequence[str]) -> bool:
    """Whether the letter is no initial, no option's own first word, and not said to be wrong."""
    letter, after = found[1], text[found.end(1) :]
    texts = [folded(choice).strip().casefold() for choice in choices]
    own = ord(letter.upper()) - ord("A")
    whole = (letter + after).casefold()
    if any(len(t) > 1 and whole.startswith(t) for i, t in enumerate(texts) if i != own):
        return False
    rest = after.lstrip(" \t.:)]*-–—(").casefold()
    if own < len(texts) and texts[own] and rest.startswith(texts[own]):
        return True  # the option, letter and text
    if found.re is WITH_TEXT and not NO_WORD.match(letter + after):
        return False
    if letter.isupper() and NAME.match(after):
        return False
    clause = re.split(r"[.?!,;:\n]", text[: found.start(1)])[-1]
    return not DENIED.search(clause)
