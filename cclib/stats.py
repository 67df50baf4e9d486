"""Statistics of answers and confidences: pure functions on arrays.

Labels and right/wrong columns are (n,) bool (or 0 and 1), confidences (n,) floats. Intervals are (low, high).
What cannot be computed (no rows, labels of one kind only) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest, chi2
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

NO_INTERVAL = (np.nan, np.nan)  # where a number has none

EXACT_BELOW = 25  # discordant pairs under which McNemar's test is computed exactly (Appendix E)


class Macro(NamedTuple):
    """Means over the classes, each class weighing the same; shares of one."""

    precision: float
    recall: float
    f1: float


class Drop(NamedTuple):
    """Performance drop with the paper's sign: negative where the cascade is less accurate."""

    absolute: float  # percentage points
    relative: float  # per cent of the reference accuracy


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two columns of right and wrong answers to the same questions."""

    b: int  # only the first is right
    c: int  # only the second is right
    chi2: float  # NaN where the test is exact
    p: float
    test: str  # "exact" or "chi-squared"


def accuracy(correct: ArrayLike) -> float:
    """Share of right answers (Section 3.1)."""
    correct = _rows(correct=correct)[0]
    return float(correct.mean()) if len(correct) else np.nan


def wilson(count: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, from its count.

    Raises:
        ValueError: a count outside 0..n, or a level outside (0, 1).
    """
    if not 0 <= count <= n:
        raise ValueError(f"expected a count in 0..n, found {count} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}; 0.95 is usual")
    if n == 0:
        return np.nan, np.nan
    low, high = proportion_confint(count, n, alpha=1 - level, method="wilson")
    return float(low), float(high)


def accuracy_interval(correct: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of the accuracy of a column of right and wrong answers."""
    correct = _rows(correct=correct)[0]
    return wilson(int(correct.sum()), len(correct), level)


def macro(answer: ArrayLike, prediction: ArrayLike) -> Macro:
    """Macro precision, recall and F1 (Table 2) over the classes that occur in either column.

    A class that is never predicted has precision 0, one that is never right recall 0, as scikit-learn
    counts with `zero_division=0`.
    """
    answer, prediction = _rows(answer=answer, prediction=prediction)
    if not len(answer):
        return Macro(np.nan, np.nan, np.nan)
    classes, places = np.unique(np.concatenate([answer, prediction]), return_inverse=True)
    true, said = places[: len(answer)], places[len(answer) :]
    hits = np.bincount(true[true == said], minlength=len(classes))
    asked = np.bincount(true, minlength=len(classes))
    given = np.bincount(said, minlength=len(classes))
    shares = (hits / np.maximum(given, 1), hits / np.maximum(asked, 1), 2 * hits / (asked + given))
    return Macro(*(float(s.mean()) for s in shares))


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
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of paired columns; whole rows are drawn.

    Args:
        statistic: takes as many (rows,) arrays as are given. If `vectorised`, it takes (m, rows) arrays
            and returns (m,) values.
        n: number of resamples. Those where the statistic is NaN are left out.
    """
    columns = _rows(**{f"array {i}": a for i, a in enumerate(arrays)})
    size = len(columns[0])
    if not size:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    values = []
    batch = max(1, 4_000_000 // size)  # bounds the memory of the drawn rows
    for start in range(0, n, batch):
        draws = rng.integers(0, size, (min(batch, n - start), size))
        if vectorised:
            values.extend(statistic(*(c[draws] for c in columns)))
        else:
            values.extend(statistic(*(c[rows] for c in columns)) for rows in draws)
    return _percentiles(np.asarray(values, float), level)


def paired_difference_interval(
    a_correct: ArrayLike, b_correct: ArrayLike, n: int = 10_000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of accuracy(a) - accuracy(b) on the same questions, as a share of one.

    A resample's difference depends only on how many questions of each kind it holds (only a right, only
    b right, neither differs), so those counts are drawn, not the rows.
    """
    a, b = _rows(a_correct=a_correct, b_correct=b_correct, kind=bool)
    if not len(a):
        return np.nan, np.nan
    kinds = np.array([(a & ~b).sum(), (~a & b).sum(), (a == b).sum()])
    drawn = np.random.default_rng(seed).multinomial(len(a), kinds / len(a), size=n)  # (n, 3)
    return _percentiles((drawn[:, 0] - drawn[:, 1]) / len(a), level)


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike, corrected: bool = True) -> McNemar:
    """McNemar's test (Appendix E) of two columns of right and wrong answers to the same questions."""
    a, b = _rows(a_correct=a_correct, b_correct=b_correct, kind=bool)
    return mcnemar_from_counts(int((a & ~b).sum()), int((~a & b).sum()), corrected)


def mcnemar_from_counts(b: int, c: int, corrected: bool = True) -> McNemar:
    """McNemar's test from the discordant counts.

    Exact binomial where b + c < 25, else chi-squared, with the continuity correction unless told
    otherwise (Table 9's values fit the corrected statistic; see the audit).
    """
    if b < 0 or c < 0:
        raise ValueError(f"discordant counts must not be negative, found {b} and {c}")
    if b + c < EXACT_BELOW:
        p = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
        return McNemar(b, c, np.nan, float(p), "exact")
    statistic = max(abs(b - c) - corrected, 0) ** 2 / (b + c)
    return McNemar(b, c, statistic, float(chi2.sf(statistic, 1)), "chi-squared")


def auroc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a true row scores above a false one (Table 14)."""
    label, score = _rows(label=label, score=score)
    return float(metrics.roc_auc_score(label, score)) if _both_kinds(label) else np.nan


def auprc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the precision-recall curve, as average precision."""
    label, score = _rows(label=label, score=score)
    return float(metrics.average_precision_score(label, score)) if _both_kinds(label) else np.nan


def roc(label: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(false positive rate, true positive rate) at every threshold; empty where labels are of one kind."""
    label, score = _rows(label=label, score=score)
    if not _both_kinds(label):
        return np.empty(0), np.empty(0)
    false_positive, true_positive, _ = metrics.roc_curve(label, score)
    return false_positive, true_positive


def binary_scores(label: ArrayLike, prob: ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Accuracy, F1 of the true class, F1 of the false class and their mean (Table 14 names only "F1")."""
    label, prob = _rows(label=label, prob=prob)
    label, said = label.astype(bool), prob >= threshold
    if not len(label):
        return dict.fromkeys(("accuracy", "f1", "f1_false", "f1_macro"), np.nan)
    f1 = metrics.f1_score(label, said, zero_division=0)
    f1_false = metrics.f1_score(~label, ~said, zero_division=0)
    return {
        "accuracy": float((label == said).mean()),
        "f1": float(f1),
        "f1_false": float(f1_false),
        "f1_macro": float((f1 + f1_false) / 2),
    }


def brier(label: ArrayLike, prob: ArrayLike) -> float:
    """Mean squared difference between a probability and what came true."""
    label, prob = _rows(label=label, prob=prob, kind=float)
    return float(((prob - label) ** 2).mean()) if len(label) else np.nan


def reliability(label: ArrayLike, prob: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Mean confidence, accuracy and count in bins of equal width over [0, 1]; empty bins are left out.

    Raises:
        ValueError: a probability outside [0, 1].
    """
    label, prob = _rows(label=label, prob=prob, kind=float)
    if len(prob) and not ((prob >= 0) & (prob <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1] and not be NaN; calibrate or drop those rows")
    bin_of = np.minimum((prob * bins).astype(int), bins - 1)  # 1.0 belongs to the last bin
    rows = pd.DataFrame({"low": bin_of / bins, "confidence": prob, "accuracy": label})
    table = rows.groupby("low").agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("accuracy", "size")
    )
    return table.reset_index()


def ece(label: ArrayLike, prob: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean |confidence - accuracy| over bins, weighed by their counts."""
    table = reliability(label, prob, bins)
    if not len(table):
        return np.nan
    return float(np.average((table["confidence"] - table["accuracy"]).abs(), weights=table["count"]))


def accuracy_coverage(correct: ArrayLike, confidence: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(coverage, accuracy), both (n,): accuracy of the most confident 1/n, 2/n, ... of the questions.

    Questions of equal confidence come in no order, so each counts as the mean of them all.
    """
    correct, confidence = _rows(correct=correct, confidence=confidence, kind=float)
    order = np.argsort(-confidence, kind="stable")
    _, group, sizes = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    expected = (np.bincount(group, weights=correct[order]) / sizes)[group] if len(group) else correct
    rank = np.arange(1, len(correct) + 1)
    return rank / max(len(correct), 1), expected.cumsum() / rank


def aurc(correct: ArrayLike, confidence: ArrayLike) -> float:
    """Area under the risk-coverage curve: mean share of wrong answers over all coverages; less is better."""
    _, kept_accuracy = accuracy_coverage(correct, confidence)
    return float(1 - kept_accuracy.mean()) if len(kept_accuracy) else np.nan


def _rows(kind: type | None = None, **columns: ArrayLike) -> list[np.ndarray]:
    """The columns as (n,) arrays, after checking that they are that and of one length."""
    arrays = [np.asarray(column) for column in columns.values()]
    shapes = {name: a.shape for name, a in zip(columns, arrays)}
    if any(a.ndim != 1 for a in arrays) or len(set(shapes.values())) > 1:
        raise ValueError(f"expected one-dimensional arrays of one length, found shapes {shapes}")
    if kind is bool:
        odd = [a for a in arrays if a.dtype.kind not in "biuf" or not np.isin(a, (0, 1)).all()]
        if odd:
            raise ValueError(f"expected true or false (1 or 0) for each question, found {odd[0][:3]}")
    return [a if kind is None else a.astype(kind) for a in arrays]


def _both_kinds(label: np.ndarray) -> bool:
    return len(np.unique(label)) > 1


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
