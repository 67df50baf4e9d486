"""Right and wrong answers of one system: accuracy, macro scores, performance drop, and intervals of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cclib.stats.columns import check_level, columns

NO_INTERVAL = (np.nan, np.nan)  # where a number has none


class Macro(NamedTuple):
    """Means over the classes, each class weighing the same; shares of one."""

    precision: float
    recall: float
    f1: float


class Drop(NamedTuple):
    """Performance drop with the paper's sign: negative where the cascade is less accurate."""

    absolute: float  # percentage points
    relative: float  # per cent of the reference accuracy


def accuracy(correct: ArrayLike) -> float:
    """Share of right answers (Section 3.1)."""
    correct = columns(correct=correct)[0]
    return float(correct.mean()) if len(correct) else np.nan


def wilson(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, from its count.

    Raises:
        ValueError: a count outside 0..n, or a level outside (0, 1).
    """
    if not 0 <= count <= n:
        raise ValueError(f"expected a count in 0..n, found {count} of {n}")
    check_level(level)
    if n == 0:
        return NO_INTERVAL
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    low, high = proportion_confint(count, n, alpha=1 - level, method="wilson")
    return (float(low) if count else 0.0), (float(high) if count < n else 1.0)


def accuracy_interval(correct: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of the accuracy of a column of right and wrong answers."""
    correct = columns(correct=correct)[0]
    return wilson(int(correct.sum()), len(correct), level)


def macro(answer: ArrayLike, prediction: ArrayLike) -> Macro:
    """Macro precision, recall and F1 (Table 2) over the classes that occur in either column.

    A class that is never predicted has precision 0, one that is never right recall 0, as scikit-learn
    counts with `zero_division=0`.
    """
    table = _confusion(answer, prediction)
    if not table.sum():
        return Macro(np.nan, np.nan, np.nan)
    return Macro(*(float(score[0]) for score in _macro_of(table[None])))


def macro_intervals(answer: ArrayLike, prediction: ArrayLike, n: int = 2000, level: float = 0.95) -> Macro:
    """Percentile bootstrap intervals of the three macro scores, each (low, high).

    A resample's scores depend only on how many questions of each answer and prediction it holds, so those
    counts are drawn, not the rows.
    """
    table = _confusion(answer, prediction)
    size = table.sum()
    if not size:
        return Macro(NO_INTERVAL, NO_INTERVAL, NO_INTERVAL)
    drawn = np.random.default_rng(0).multinomial(size, table.ravel() / size, size=n)  # (n, classes squared)
    return Macro(*(_percentiles(score, level) for score in _macro_of(drawn.reshape(n, *table.shape))))


def _confusion(answer: ArrayLike, prediction: ArrayLike) -> np.ndarray:
    """(classes, classes) counts: rows what is right, columns what was said."""
    answer, prediction = columns(answer=answer, prediction=prediction)
    classes, places = np.unique(np.concatenate([answer, prediction]), return_inverse=True)
    table = np.zeros((len(classes), len(classes)), int)
    np.add.at(table, (places[: len(answer)], places[len(answer) :]), 1)
    return table


def _macro_of(tables: np.ndarray) -> tuple[np.ndarray, ...]:
    """(m,) precision, recall and F1 of (m, classes, classes) counts, over the classes that occur in each."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    given, asked = tables.sum(axis=1), tables.sum(axis=2)  # (m, classes)
    occurs = np.maximum((given + asked > 0).sum(axis=1), 1)
    shares = (
        hits / np.maximum(given, 1),
        hits / np.maximum(asked, 1),
        2 * hits / np.maximum(given + asked, 1),
    )
    return tuple(share.sum(axis=1) / occurs for share in shares)


def performance_drop(reference_accuracy: float, accuracy: float) -> Drop:
    """PD of an accuracy against the last model's, both as shares of one.

    The paper prints both kinds in per cent: points in Tables 1, 4, 5 and 6, relative in 3, 11 and 15.
    """
    points = 100 * (accuracy - reference_accuracy)
    return Drop(points, points / reference_accuracy if reference_accuracy else np.nan)


def bootstrap(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    vectorised: bool = False,
    basic: bool = False,
) -> tuple[float, float]:
    """Bootstrap interval of a statistic of paired columns; whole rows are drawn.

    Args:
        statistic: takes as many (rows,) arrays as are given. If `vectorised`, it takes (m, rows) arrays
            and returns (m,) values.
        n: number of resamples. Those where the statistic is NaN are left out.
        basic: mirror the percentiles at the estimate, for a statistic that resampling moves one way (ECE
            grows with every noise); else the percentiles themselves.
    """
    given = columns(**{f"array {i}": a for i, a in enumerate(arrays)})
    size = len(given[0])
    if not size:
        return NO_INTERVAL
    rng = np.random.default_rng(seed)
    values = []
    batch = max(1, 4_000_000 // size)  # bounds the memory of the drawn rows
    for start in range(0, n, batch):
        draws = rng.integers(0, size, (min(batch, n - start), size))
        if vectorised:
            values.extend(statistic(*(c[draws] for c in given)))
        else:
            values.extend(statistic(*(c[rows] for c in given)) for rows in draws)
    low, high = _percentiles(np.asarray(values, float), level)
    if not basic:
        return low, high
    value = statistic(*(c[None] for c in given))[0] if vectorised else statistic(*given)
    return float(2 * value - high), float(2 * value - low)


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return NO_INTERVAL
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
