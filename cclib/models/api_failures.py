"""What can go wrong between here and an API, told without a key, a header or a URL.

The client's exceptions carry the request with its headers, and an endpoint may send back what it was
sent. So every exception is replaced by an `APIFailure`, and every text from outside is blotted first.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

from cclib.models.api_replies import CHECK_URL, BadReply, ErrorReply, NoLogprobs, SetAside

LONGEST_WAIT = 300.0  # seconds; an endpoint that asks for more is given up
FILTERED = re.compile(
    r"content[ _]?filter|content[ _]policy|content management policy|responsible_?ai|data_inspection|"
    r"content exists risk|inappropriate content|prohibited_content|violates? (?:usage|content) guidelines|"
    r"usage policy|(?:prompt|input|content|message)\b.{0,20}\b(?:was|were|been|is) (?:flagged|filtered)",
    re.I,
)
OF_THE_ACCOUNT = re.compile(r"account|organi[sz]ation|api key|quota", re.I)
BUSY = re.compile(
    r"rate.?limit|too many|overload|capacity|busy|time(?:d )?.?out|temporar|unavailable|try again", re.I
)
NO_LOGPROBS = re.compile(
    r"log.?prob.*(?:\bnot\b|n['’]t\b|unsupported|disabled)|(?:\bnot\b|n['’]t\b|unsupported|unrecogni).*log.?prob",
    re.I | re.S,
)
NO_REASON = "no reason given"
CANNOT_READ = (
    "so P(T) cannot be read; serve the model with logprobs, or make a CSV of its answers and name that as "
    "the last stage"
)


class APIFailure(RuntimeError):
    """A request that came to nothing, without anything that the client knew of it."""

    def __init__(
        self,
        message: str,
        retry: bool = False,
        billed: bool = False,
        after: float | None = None,
        said: str = "",
        aside: str = "",
    ):
        super().__init__(message)
        self.retry = retry
        self.billed = billed  # the endpoint may have answered, and charged for it
        self.after = after  # seconds that it asks to wait
        self.said = said  # the error in the endpoint's own words, where it refused the request as it was made
        self.aside = aside  # why the endpoint will not answer this question


def to_api_failure(error: Exception, who: str, where: str, headers: Any = None) -> APIFailure:
    """What went wrong, in words that hold no key, header or URL.

    Args:
        headers: of the reply, where there was one.
    """
    import openai

    if isinstance(error, NoLogprobs):
        return APIFailure(f"{who}: {error} ({where}), {CANNOT_READ}", billed=True)
    if isinstance(error, SetAside):
        return APIFailure(f"{who}: {error} ({where})", billed=True, aside=str(error))
    if isinstance(error, openai.APIConnectionError):  # its timeouts too
        kind = type(error.__cause__).__name__
        return APIFailure(
            f"{who}: no whole reply ({kind}, {where})", retry=True, billed=not kind.startswith("Connect")
        )
    if isinstance(error, openai.APIStatusError):
        return _refused(error.status_code, error.body, error.response.headers, who, where)
    if isinstance(error, ErrorReply):
        return _refused(200, error.body, headers or {}, who, where)
    if isinstance(error, BadReply):
        return APIFailure(f"{who}: {error} ({where})", retry=not error.lasting, billed=error.billed)
    return APIFailure(f"{who}: {type(error).__name__} ({where})", billed=True)


def _refused(status: int, body: Any, headers: Any, who: str, where: str) -> APIFailure:
    """A status of 400 or more, or such an error within a 200: nothing was answered, so nothing is charged."""
    whole = without_keys(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))
    in_full = _message(body)
    said = in_full[:300]
    about = body if isinstance(body, dict) else {}
    code = str(about.get("code") or about.get("type") or "")
    told = f"status {status}"
    if status == 200:  # the error has its own
        numbers = [str(about.get(name)) for name in ("code", "status")]
        status = next((int(c) for c in numbers if re.fullmatch("[45][0-9]{2}", c)), status)
        told = (
            f"status 200 with an error in place of an answer{f' ({without_keys(code)[:60]})' if code else ''}"
        )
    if status in (200, 400, 403, 422, 451) and FILTERED.search(whole) and not OF_THE_ACCOUNT.search(whole):
        return APIFailure(f"{who}: {told}, {said} ({where})", billed=True, aside="content filter")
    after = _asked_to_wait(headers)
    within = told != f"status {status}"  # a 200: what it says may be all there is to go by
    busy = status in (408, 409, 425, 429) or status >= 500 or status == 200 or (within and BUSY.search(whole))
    retry = bool(busy) and code != "insufficient_quota" and (after is None or after <= LONGEST_WAIT)
    hint = ""
    if status in (400, 403, 404, 422) and NO_LOGPROBS.search(whole):
        hint = f": it gives no log-probabilities, {CANNOT_READ}"
    elif status == 401 or (status == 403 and said == NO_REASON):
        return APIFailure(f"{who}: the key is refused (status {status}); set OPENAI_API_KEY")
    elif status == 403:
        hint = "; check what the key of OPENAI_API_KEY may use"
    elif status in (301, 302, 307, 308, 404, 405):
        hint = f"; check the model's name, and {CHECK_URL}"
    elif after is not None and after > LONGEST_WAIT:
        hint = f"; it asks to wait {after:,.0f} s: run the same again then"
    elif re.search(r"\bstream", whole):
        hint = "; whole replies are asked for, never streams: serve the model so that it gives them"
    form = f"{in_full} {about.get('param')}" if status in (400, 403, 422) else ""
    return APIFailure(f"{who}: {told}, {said} ({where}){hint}", retry=retry, after=after, said=form)


def _message(body: Any) -> str:
    """The reason in an error's body, whatever its shape."""
    found = body
    while isinstance(found, dict):
        found = next((found[name] for name in ("error", "message", "detail", "msg") if found.get(name)), "")
    if isinstance(found, list):
        found = json.dumps(found, ensure_ascii=False)
    if not isinstance(found, str) or not found.strip():
        return NO_REASON
    if found.lstrip().startswith("<"):
        return "a web page in place of a reason"
    found = re.sub(r"https?://\S+", "[URL]", without_keys(" ".join(found.split())))
    return found.encode("utf-8", "replace").decode()


def _asked_to_wait(headers: Any) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def key() -> str:
    return os.environ.get("OPENAI_API_KEY") or "none"


def without_keys(text: str) -> str:
    """The text with every secret that the client may have sent blotted out, whoever sent it back."""
    held = [v for k, v in os.environ.items() if k.startswith("OPENAI_") and k.endswith(("KEY", "SECRET"))]
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
        held += line.partition(":")[2].split()
    for secret in sorted((s for s in held if len(s) >= 8), key=len, reverse=True):
        text = text.replace(secret, "[key]")
    return text
