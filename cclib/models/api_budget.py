"""What an API is paid: a budget that is not passed, and a journal that survives a kill.

Every answer that was paid for is a line of the journal the moment it arrives. Parts of a trace are made
from it, so neither a kill nor a damaged part makes a question cost twice.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUDGET = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?)\s*(USD|tokens)", re.IGNORECASE)


class BudgetReached(RuntimeError):
    """The next request could pass the budget. What was answered before is kept."""


def read_budget(text: str | None) -> tuple[float, str] | None:
    """(2.5, "USD") for "2.50 USD", (100000.0, "tokens") for "100000 tokens"; None for None or "".

    Raises:
        ValueError: it is neither.
    """
    if not text:
        return None
    found = BUDGET.fullmatch(text.strip())
    if not found:
        raise ValueError(f'a budget is like "2.50 USD" or "100000 tokens", found {text!r}')
    amount = float(re.sub("[_,]", "", found[1]))
    return amount, "USD" if found[2].upper() == "USD" else "tokens"


@dataclass
class Meter:
    """Tokens billed so far, and those that requests under way may still cost. Safe among threads.

    Args:
        budget: (amount, "USD" or "tokens"), or None for no limit.
        price: dollars a million tokens of prompt and output, or None where not known.
    """

    budget: tuple[float, str] | None = None
    price: tuple[float, float] | None = None
    billed: list[int] = field(default_factory=lambda: [0, 0])  # tokens of prompts and outputs
    reserved: list[int] = field(default_factory=lambda: [0, 0])
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def amount(self, prompt: float, output: float) -> float:
        """Tokens in the budget's unit; in dollars where there is no budget but a price."""
        if self.unit == "tokens":
            return prompt + output
        return (prompt * self.price[0] + output * self.price[1]) / 1e6

    @property
    def unit(self) -> str:
        return self.budget[1] if self.budget else "USD" if self.price else "tokens"

    @property
    def spent(self) -> str:
        """For people: "0.0123 USD of 2.5000 USD"."""
        limit = f" of {self._say(self.budget[0])}" if self.budget else ""
        return self._say(self.amount(*self.billed)) + limit

    def _say(self, amount: float) -> str:
        return f"{amount:.4f} USD" if self.unit == "USD" else f"{amount:,.0f} tokens"

    def reserve(self, prompt: int, output: int) -> bool:
        """Set aside what a request may cost at most; False, and nothing set aside, where it may not fit."""
        with self._lock:
            worst = [b + r + n for b, r, n in zip(self.billed, self.reserved, (prompt, output))]
            if self.budget and self.amount(*worst) > self.budget[0]:
                return False
            self.reserved = [r + n for r, n in zip(self.reserved, (prompt, output))]
            return True

    def release(self, prompt: int, output: int) -> None:
        """Give back what was set aside."""
        with self._lock:
            self.reserved = [r - n for r, n in zip(self.reserved, (prompt, output))]

    def charge(self, prompt: int, output: int) -> None:
        """Count tokens as billed."""
        with self._lock:
            self.billed = [b + n for b, n in zip(self.billed, (prompt, output))]


class Journal:
    """Lines of JSON that are on the disk when `write` returns."""

    def __init__(self, path: Path, made: str | None = None) -> None:
        self.path, self.made = path, made  # and what the answers are made of, in a few digits
        self._lock = threading.Lock()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        entry = entry if self.made is None else entry | {"made": self.made}
        with self._lock, self.path.open("ab+") as f:
            if f.tell():  # a line that a kill or a full disk cut short must not swallow this one
                f.seek(-1, os.SEEK_END)
                if f.read(1) != b"\n":
                    f.write(b"\n")
            f.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            f.flush()
            os.fsync(f.fileno())

    def read(self) -> Iterator[dict[str, Any]]:
        """The entries; a line that was cut short, or is none, is left out."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
                prompt, output = map(int, entry["charged"])
            except (ValueError, TypeError, KeyError, OverflowError):  # not whole
                continue
            yield entry | {"charged": [max(0, prompt), max(0, output)]}
