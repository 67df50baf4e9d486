"""Two systems on the same questions: what their differing answers show, and what they could not show.

Only discordant questions tell the two apart: b of n that just the first answers rightly, c that just the
second does. Differences are accuracy(first) - accuracy(second), shares of one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, chi2, norm

from cclib.stats.answers import NO_INTERVAL
from cclib.stats.columns import check_level, columns

EXACT_BELOW = 25  # discordant pairs under which McNemar's test is computed exactly (Appendix E)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two columns of right and wrong answers to the same questions."""

    b: int  # only the first is right
    c: int  # only the second is right
    chi2: float  # NaN where the test is exact
    p: float
    test: str  # "exact" or "chi-squared"


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike, corrected: bool = True) -> McNemar:
    """McNemar's test (Appendix E) of two columns of right and wrong answers to the same questions."""
    return mcnemar_from_counts(*_discordant(a_correct, b_correct)[:2], corrected)


def mcnemar_from_counts(b: int, c: int, corrected: bool = True) -> McNemar:
    """McNemar's test from the discordant counts.

    Exact binomial where b + c < 25, else chi-squared, with the continuity correction unless told
    otherwise (Table 9's values fit the corrected statistic; see the audit).
    """
    _check_counts(b, c)
    if b + c < EXACT_BELOW:
        p = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        return McNemar(b, c, np.nan, float(p), "exact")
    statistic = max(abs(b - c) - corrected, 0) ** 2 / (b + c)
    return McNemar(b, c, statistic, float(chi2.sf(statistic, 1)), "chi-squared")


def paired_difference_interval(
    a_correct: ArrayLike, b_correct: ArrayLike, level: float = 0.95
) -> tuple[float, float]:
    """Score interval of accuracy(a) - accuracy(b) on the same questions (`paired_interval_from_counts`)."""
    return paired_interval_from_counts(*_discordant(a_correct, b_correct), level)


def paired_interval_from_counts(
    b: int, c: int, n: int, level: float = 0.95, corrected: bool = True
) -> tuple[float, float]:
    """Tango's score interval (1998) of (b - c) / n, with McNemar's continuity correction.

    With the correction, of one question, the interval leaves out 0 where McNemar's corrected test rejects,
    and covers 95 % however few the discordant questions are; without it as little as 93 %.

    Raises:
        ValueError: counts that are negative or more than n, or a level outside (0, 1).
    """
    _check_counts(b, c, n)
    check_level(level)
    if n == 0:
        return NO_INTERVAL
    z = norm.ppf((1 + level) / 2)

    def end(sign: int) -> float:
        """Where the score falls to z, on the side of the estimate that `sign` points to."""
        beyond = lambda d: sign * _score(b, c, n, d, corrected) + z  # noqa: E731
        edge = sign * (1 - 1e-12)
        return float(sign) if beyond(edge) > 0 else brentq(beyond, (b - c) / n, edge, xtol=1e-12)

    return end(-1), end(1)


def equivalence(b: int, c: int, n: int, margin: float = 0.01) -> float:
    """p of two one-sided tests that the two differ by the margin or more; small means they are equivalent.

    Tango's score test (1998) of a difference of -margin from above and +margin from below, corrected by half
    a question: the difference moves in steps of one. The larger p of the two counts.

    Args:
        margin: the difference that matters, as a share of one.

    Raises:
        ValueError: counts that are negative or more than n, or a margin outside (0, 1).
    """
    _check_counts(b, c, n)
    if not 0 < margin < 1:
        raise ValueError(f"margin must be a share between 0 and 1, found {margin}; 0.01 is one point")
    if n == 0:
        return np.nan
    return float(max(norm.sf(_score(b, c, n, -margin, 0.5)), norm.cdf(_score(b, c, n, margin, 0.5))))


def _score(b: int, c: int, n: int, difference: float, correction: float) -> float:
    """Tango's statistic: how many standard errors b - c lies above what the difference lets expect.

    The standard error is that of the difference tested: c's share is estimated under it.
    """
    linear = (2 * n - b + c) * difference - b - c
    root = np.sqrt(max(linear**2 + 8 * n * c * difference * (1 - difference), 0))
    variance = n * (2 * (root - linear) / (4 * n) + difference * (1 - difference))
    away = b - c - n * difference
    return np.sign(away) * max(abs(away) - correction, 0) / np.sqrt(max(variance, 1e-300))


def detectable_loss(discordant: float, n: int, power: float = 0.8, level: float = 0.95) -> float:
    """The loss, as a share of one, that McNemar's test of n questions finds with this power.

    About 2.8 sqrt(d / n) at 80 %, where a share d of the questions is discordant. A loss of
    1.96 sqrt(d / n), where the estimate itself becomes significant, is missed more often than found.
    """
    return float((norm.ppf((1 + level) / 2) + norm.ppf(power)) * np.sqrt(discordant / n)) if n else np.nan


def mcnemar_power(loss: float, discordant: float, n: int, level: float = 0.95) -> float:
    """How often McNemar's test (exact, or corrected chi-squared) finds a true loss, by all possible counts.

    Args:
        loss: accuracy lost, at most `discordant`; both shares of one.
    """
    total = 0.0
    spread = 6 * np.sqrt(n * discordant) + 6
    for m in range(int(max(n * discordant - spread, 1)), int(min(n * discordant + spread, n)) + 1):
        most = bisect_left(range(m // 2 + 1), 1 - level, key=lambda b: mcnemar_from_counts(b, m - b).p) - 1
        gained = 0.5 * (1 - loss / discordant)  # of the discordant questions
        found = binom.cdf(most, m, gained) + binom.sf(m - most - 1, m, gained)
        total += binom.pmf(m, n, discordant) * found
    return float(total)


def holm(p: ArrayLike) -> np.ndarray:
    """(k,) p-values corrected for being k, by Holm's method; NaN where there was no test."""
    p = np.array(p, float)
    tested = ~np.isnan(p)
    if tested.any():
        from statsmodels.stats.multitest import multipletests  # slow to import

        p[tested] = multipletests(p[tested], method="holm")[1]
    return p


def _discordant(a_correct: ArrayLike, b_correct: ArrayLike) -> tuple[int, int, int]:
    """(b, c, n) of two columns."""
    a, b = columns(a_correct=a_correct, b_correct=b_correct, kind=bool)
    return int((a & ~b).sum()), int((~a & b).sum()), len(a)


def _check_counts(b: int, c: int, n: int | None = None) -> None:
    if b < 0 or c < 0:
        raise ValueError(f"discordant counts must not be negative, found {b} and {c}")
    if n is not None and b + c > n:
        raise ValueError(f"expected at most n discordant questions, found {b} and {c} of {n}")
