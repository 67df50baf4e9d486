"""What of a model's name reaches files, pages and the hub: pins, and characters that would act there."""

from __future__ import annotations

import re
from pathlib import Path

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?:@([\w./-]+))?")


def pinned(name: str | Path) -> str | None:
    """The commit, tag or branch that a hub id pins: "abc123" of "Qwen/Qwen3-4B@abc123"."""
    found = HUB_ID.fullmatch(str(name))
    return found[1] if found and not Path(name).exists() else None


def plain_name(name: str) -> str:
    """A name with a dash for what Markdown, HTML, LaTeX, a shell or a file system would act on."""
    return re.sub(r"[^\w.,+@/-]+", "-", name)


def verbatim(text: object) -> str:
    """Somebody else's text as one line of Markdown that shows it as it is.

    Every ASCII punctuation mark becomes a character reference, which MyST never reads as markup, role,
    directive, formula or `{{ substitution }}`. Control characters, and those that turn the direction of
    writing round, are shown as U+FFFD.
    """
    line = " ".join(str(text).split())
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\ufffd", line)
    return re.sub(r"[!-/:-@\[-`{-~]", lambda mark: f"&#{ord(mark[0])};", line)
