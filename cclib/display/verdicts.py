"""What may be said of a difference: the only place where a verdict is put into words.

A difference is of one of four kinds. It is *shown* (the interval leaves out 0: loses, gains); or the two are
*equivalent* within a margin that matters (two one-sided tests); or it is *undecided*, and then a loss as
large as the interval's end may hide in the same answers; or nothing was kept, and the two are *identical*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from cclib import stats
from cclib.cascades import Cascade
from cclib.experiments.results import Mixing

MARGIN = 0.01  # of accuracy, a share of one: one point, unless a caller states another


def signed(points: float, interval: tuple[float, float]) -> str:
    """Points and their interval in a cell or a sentence; a dash where they are not known."""
    low, high = interval
    return "–" if pd.isna(low) else f"{points:+.2f} ({low:+.2f} to {high:+.2f})"


def estimate(value: float, interval: tuple[float, float], digits: str = ".1%") -> str:
    """A number with its interval, as prose has it: "73.1% (70.6% to 75.4%)"."""
    low, high = interval
    return f"{value:{digits}} ({low:{digits}} to {high:{digits}})"


@dataclass(frozen=True)
class Verdict:
    """A cascade against its last model on n questions; accuracies in points."""

    kind: str  # "loses", "gains", "equivalent", "undecided" or "identical"
    difference: float
    low: float  # of the 95 % interval
    high: float
    p: float  # that the two differ by the margin or more
    margin: float  # points
    n: int

    def __str__(self) -> str:
        """The verdict as the end of a sentence about a chain."""
        within = f"within {points(self.margin)}"
        numbers = f"{self.difference:+.2f} points (95 % interval {self.low:+.2f} to {self.high:+.2f})"
        if self.kind == "identical":
            return "is identical to its last model: it keeps no question"
        if self.kind == "equivalent":
            return f"is equivalent to its last model {within} (p = {self.p:.2g}): {numbers}"
        if self.kind == "undecided":
            return (
                f"is undecided: {numbers}; neither a difference nor equivalence {within} is shown, and these "
                f"{self.n:,} questions could hide a loss of {max(0.0, -self.low):.2f} points"
            )
        size = f", though equivalent {within} (p = {self.p:.2g})" if self.p < 0.05 else ""
        return f"{self.kind} accuracy: {numbers}{size}"


def judge(b: int, c: int, n: int, margin: float = MARGIN, kept: bool = True) -> Verdict:
    """The verdict from the discordant counts: b questions only the first gets right, c only the second.

    Args:
        margin: the difference that matters, as a share of one.
        kept: whether the first answers any question differently from the second at all.
    """
    low, high = stats.paired_interval_from_counts(b, c, n)
    p = stats.equivalence(b, c, n, margin)
    if not kept:
        kind = "identical"
    elif high < 0 or low > 0:
        kind = "loses" if high < 0 else "gains"
    else:
        kind = "equivalent" if p < 0.05 else "undecided"
    return Verdict(kind, 100 * (b - c) / n if n else float("nan"), 100 * low, 100 * high, p, 100 * margin, n)


def of_chain(result: Cascade, margin: float = MARGIN) -> Verdict:
    """The verdict on a cascade against its last model on the same questions."""
    test = stats.mcnemar(result.correct, result.stages[-1].correct)
    return judge(test.b, test.c, len(result.stage), margin, kept=bool(result.stage_counts[:-1].sum()))


def against_mixing(mixing: Mixing | None, verdict: Verdict) -> str:
    """A sentence on a cascade against random mixing; "" where the compute is not known.

    Args:
        verdict: on the cascade against its last model. Where it costs more and may be the more accurate, the
            last model is the cheaper, and not shown to be the better buy.
    """
    if mixing is None:
        return ""
    if mixing.dearer:
        buy = "cheaper" if verdict.kind in ("gains", "undecided") else "better buy"
        return f"With every pass counted it costs no less than its last model alone, which is the {buy}."
    (low, high), (a, b) = mixing.interval, mixing.models
    numbers = f"{mixing.points:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"
    where = f"it {place(mixing.interval)} random mixing of {a} and {b}, the best pair"
    return f"At the same compute, every pass counted, {where}: {numbers}."


def place(interval: tuple[float, float]) -> str:
    """Where something stands beside random mixing, from the interval of the difference."""
    low, high = interval
    return "is above" if low > 0 else "is *below*" if high < 0 else "is not shown to beat"


def leader(table: pd.DataFrame, value: str, interval: str) -> str:
    """Which row of a table is highest, and how many others its interval does not rule out (a sentence's end).

    The highest of many is so in part by luck: rows whose intervals meet its own are not told apart from it.
    """
    low, high = table[interval].str[0], table[interval].str[1]
    top = table[value].idxmax()
    near = int((high >= low[top]).sum()) - 1
    others = (
        f"of the {len(table) - 1} others {near} have intervals that meet its own" if len(table) > 1 else ""
    )
    return f"{top} is highest ({table.loc[top, value]:.3f})" + (f"; {others}" if others else "")


def shown(intervals: pd.Series) -> str:
    """How many of several differences are shown to be above and below zero (part of a sentence)."""
    low, high = intervals.str[0], intervals.str[1]
    above, below, n = int((low > 0).sum()), int((high < 0).sum()), len(intervals)
    many = f", by intervals not corrected for being {n}" if n > 1 else ""
    return f"{above} of {n} shown to be above, {below} below, {n - above - below} neither{many}"


def tally(judged: Sequence[Verdict]) -> str:
    """How many chains came out how: "3 of 4 chains lose accuracy, 1 is undecided" (part of a sentence)."""
    words = {
        "loses": ("loses accuracy", "lose accuracy"),
        "gains": ("gains accuracy", "gain accuracy"),
        "equivalent": ("is equivalent", "are equivalent"),
        "undecided": ("is undecided", "are undecided"),
        "identical": ("is identical, for it keeps no question", "are identical, for they keep no question"),
    }
    if len(judged) == 1:
        return f"its one chain {words[judged[0].kind][0]}"
    counts = Counter(verdict.kind for verdict in judged)
    said = [f"{counts[kind]} {words[kind][counts[kind] > 1]}" for kind in words if counts[kind]]
    return f"of {len(judged)} chains {', '.join(said)}"


def points(margin: float) -> str:
    """ "1 point", "0.5 points"."""
    return f"{margin:g} point" + ("" if margin == 1 else "s")
