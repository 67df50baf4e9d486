"""What can go wrong between here and an API, told without a key, a header or a URL.

The client's exceptions carry the request with its headers, and an endpoint may send back what it was
sent. So every exception is replaced by an `APIFailure`, and every text from outside is blotted first.
"""

from __future__ import annotations

import json
import math
import os
import time
from email.utils import parsedate_to_datetime
from typing import Any

from cclib.models.api_replies import BadReply, NoLogprobs

LONGEST_WAIT = 300.0  # seconds; an endpoint that asks for more is given up


class APIFailure(RuntimeError):
    """A request that came to nothing, told without anything that the client knew of it."""

    def __init__(self, message: str, retry: bool = False, billed: bool = False, after: float | None = None):
        super().__init__(message)
        self.retry = retry
        self.billed = billed  # the endpoint may have answered, and charged for it
        self.after = after  # seconds that it asks to wait


def to_api_failure(error: Exception, who: str, where: str) -> APIFailure:
    """What went wrong, in words that hold no key, header or URL."""
    import openai

    if isinstance(error, NoLogprobs):
        return APIFailure(
            f"{who}: {error} ({where}), so P(T) cannot be read; serve the model with logprobs, or make a CSV "
            "of its answers and name that as the last stage",
            billed=True,
        )
    if isinstance(error, openai.APIConnectionError):  # its timeouts too
        kind = type(error.__cause__).__name__
        return APIFailure(
            f"{who}: no whole reply ({kind}, {where})", retry=True, billed=not kind.startswith("Connect")
        )
    if isinstance(error, openai.APIStatusError):
        return _refused(error, who, where)
    if isinstance(error, BadReply | json.JSONDecodeError):
        why = str(error) if isinstance(error, BadReply) else "the reply is not JSON"
        return APIFailure(f"{who}: {why} ({where})", retry=True, billed=True)
    return APIFailure(f"{who}: {type(error).__name__} ({where})", billed=True)


def _refused(error: Any, who: str, where: str) -> APIFailure:
    """A status of 400 or more: nothing was answered, so nothing is charged."""
    status = error.status_code
    if status in (401, 403):
        return APIFailure(f"{who}: the key is refused (status {status}); set OPENAI_API_KEY")
    body = error.body if isinstance(error.body, dict) else {}
    said = without_keys(str(body.get("message") or "no reason given"))[:300]
    after = _asked_to_wait(error.response.headers)
    busy = status in (408, 409, 429) or status >= 500
    retry = busy and error.code != "insufficient_quota" and (after is None or after <= LONGEST_WAIT)
    hint = "; check the model's name" if status == 404 else ""
    if after is not None and after > LONGEST_WAIT:
        hint = f"; it asks to wait {after:,.0f} s: run the same again then"
    return APIFailure(f"{who}: status {status}, {said} ({where}){hint}", retry=retry, after=after)


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
