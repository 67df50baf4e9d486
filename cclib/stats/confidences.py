"""How well confidences tell right answers from wrong ones, and whether they mean what they say.

Labels are (n,) bool (or 0 and 1), confidences (n,) floats. Where labels are of one kind only, scores are NaN.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from sklearn import metrics

from cclib.stats.answers import NO_INTERVAL, bootstrap
from cclib.stats.columns import columns


def auroc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a true row scores above a false one (Table 14)."""
    label, score = columns(label=label, score=score)
    return float(metrics.roc_auc_score(label, score)) if _both_kinds(label) else np.nan


def auprc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the precision-recall curve, as average precision."""
    label, score = columns(label=label, score=score)
    return float(metrics.average_precision_score(label, score)) if _both_kinds(label) else np.nan


def roc(label: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(false positive rate, true positive rate) at every threshold; empty where labels are of one kind."""
    label, score = columns(label=label, score=score)
    if not _both_kinds(label):
        return np.empty(0), np.empty(0)
    false_positive, true_positive, _ = metrics.roc_curve(label, score)
    return false_positive, true_positive


def binary_scores(label: ArrayLike, prob: ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Accuracy, F1 of the true class, F1 of the false class and their mean (Table 14 names only "F1")."""
    label, prob = columns(label=label, prob=prob)
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
    label, prob = columns(label=label, prob=prob, kind=float)
    return float(((prob - label) ** 2).mean()) if len(label) else np.nan


def reliability(label: ArrayLike, prob: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Mean confidence, accuracy and count in bins of equal width over [0, 1]; empty bins are left out.

    Raises:
        ValueError: a probability outside [0, 1].
    """
    label, prob = columns(label=label, prob=prob, kind=float)
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


def auroc_interval(label: ArrayLike, score: ArrayLike, n: int = 1000) -> tuple[float, float]:
    """Percentile bootstrap interval of the AUROC."""
    places, code = _coded(*columns(label=label, score=score))
    return bootstrap(lambda drawn: _auroc_of(drawn, places), code, n=n, vectorised=True)


def auroc_interval_from_counts(auroc: float, true: int, false: int) -> tuple[float, float]:
    """95 % interval of an AUROC from its value and the rows of either kind (Hanley and McNeil 1982)."""
    if not true or not false or np.isnan(auroc):
        return NO_INTERVAL
    above, below = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (true - 1) * (above - auroc**2) + (false - 1) * (below - auroc**2)
    half = norm.ppf(0.975) * np.sqrt(variance / (true * false))
    return float(max(auroc - half, 0)), float(min(auroc + half, 1))


def auroc_difference(
    label: ArrayLike, a: ArrayLike, b: ArrayLike
) -> tuple[float, tuple[float, float], float]:
    """AUROC of a less that of b on the same rows, its 95 % interval and p (DeLong et al. 1988)."""
    label, a, b = columns(label=label, a=a, b=b)
    if not _both_kinds(label):
        return np.nan, NO_INTERVAL, np.nan
    label = label.astype(bool)

    def placements(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Share of false rows below each true one, and of true rows above each false one; ties count half."""
        whole, true, false = rankdata(score), rankdata(score[label]), rankdata(score[~label])
        return (whole[label] - true) / (~label).sum(), 1 - (whole[~label] - false) / label.sum()

    true, false = (x - y for x, y in zip(placements(a), placements(b)))
    error = np.sqrt(true.var(ddof=1) / len(true) + false.var(ddof=1) / len(false))
    difference = float(true.mean())
    if not error > 0:  # the same order, or too few rows to tell
        return difference, NO_INTERVAL, np.nan if difference else 1.0
    half = norm.ppf(0.975) * error
    return difference, (difference - half, difference + half), float(2 * norm.sf(abs(difference) / error))


def brier_interval(label: ArrayLike, prob: ArrayLike) -> tuple[float, float]:
    """Percentile bootstrap interval of the Brier score."""
    label, prob = columns(label=label, prob=prob, kind=float)
    return bootstrap(lambda errors: errors.mean(axis=1), (prob - label) ** 2, vectorised=True)


def ece_interval(label: ArrayLike, prob: ArrayLike, bins: int = 10) -> tuple[float, float]:
    """Basic bootstrap interval of the ECE; from 0 where a calibrated model would often show as large an ECE.

    Noise in a bin adds to the ECE and never takes from it: an estimate lies above the truth, and resamples
    above the estimate. So the percentiles are mirrored at the estimate, and labels drawn from the
    confidences themselves say what noise alone makes (Bröcker and Smith 2007).
    """
    label, prob = columns(label=label, prob=prob, kind=float)
    if not len(prob):
        return NO_INTERVAL
    bin_of = np.minimum((prob * bins).astype(int), bins - 1)

    def rows(errors: np.ndarray, bin_of: np.ndarray) -> np.ndarray:  # (m, rows) each -> (m,)
        m, size = errors.shape
        places = bin_of.astype(int) + bins * np.arange(m)[:, None]
        sums = np.bincount(places.ravel(), weights=errors.ravel(), minlength=m * bins)
        return np.abs(sums.reshape(m, bins)).sum(axis=1) / size

    low, high = bootstrap(rows, prob - label, bin_of, n=1000, vectorised=True, basic=True)
    calibrated = prob - (np.random.default_rng(0).random((400, len(prob))) < prob)
    by_noise = np.quantile(rows(calibrated, np.broadcast_to(bin_of, calibrated.shape)), 0.975)
    return (0.0 if ece(label, prob, bins) <= by_noise else max(low, 0.0)), max(high, 0.0)


def accuracy_coverage(correct: ArrayLike, confidence: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """(coverage, accuracy), both (n,): accuracy of the most confident 1/n, 2/n, ... of the questions.

    Questions of equal confidence come in no order, so each counts as the mean of them all.
    """
    correct, confidence = columns(correct=correct, confidence=confidence, kind=float)
    order = np.argsort(-confidence, kind="stable")
    _, group, sizes = np.unique(-confidence[order], return_inverse=True, return_counts=True)
    expected = (np.bincount(group, weights=correct[order]) / sizes)[group] if len(group) else correct
    rank = np.arange(1, len(correct) + 1)
    return rank / max(len(correct), 1), expected.cumsum() / rank


def aurc(correct: ArrayLike, confidence: ArrayLike) -> float:
    """Area under the risk-coverage curve: mean share of wrong answers over all coverages; less is better."""
    _, kept_accuracy = accuracy_coverage(correct, confidence)
    return float(1 - kept_accuracy.mean()) if len(kept_accuracy) else np.nan


def _both_kinds(label: np.ndarray) -> bool:
    return len(np.unique(label)) > 1


def auroc_rows(label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(m,) AUROC of (m, rows) labels and scores; NaN where labels are of one kind only."""
    places, code = _coded(label, score)
    return _auroc_of(code.reshape(np.shape(score)), places)


def _coded(label: np.ndarray, score: np.ndarray) -> tuple[int, np.ndarray]:
    """How many values the scores take; and of each row twice its value's place, one more where it is true."""
    values, place = np.unique(score, return_inverse=True)
    return len(values), 2 * place.ravel() + np.asarray(label, bool).ravel()


def _auroc_of(code: np.ndarray, places: int) -> np.ndarray:
    """(m,) AUROC of (m, rows) that `_coded` made, counted: no row is sorted."""
    m = len(code)
    counts = np.bincount((code + 2 * places * np.arange(m)[:, None]).ravel(), minlength=2 * places * m)
    false, true = np.moveaxis(counts.reshape(m, places, 2), 2, 0)
    above = (true * (false.cumsum(axis=1) - false / 2)).sum(axis=1)
    pairs = true.sum(axis=1) * false.sum(axis=1)
    return np.divide(above, pairs, out=np.full(m, np.nan), where=pairs > 0)
