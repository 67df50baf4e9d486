"""What asking further would bring, learned: a logistic regression of the four outcomes of two models.

Of a question, either both models are right, or the small one alone, or the large one alone, or neither. The
expected gain of asking further is the probability of the third less that of the second; where the last is
likely, asking further is hopeless. After a pass it is a gate, of the question alone a router.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse
from scipy.special import softmax
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from cclib.policies.readings import Readings, log_odds
from cclib.questions import Question

BEFORE = ("length", "subject", "words")  # what is known before any pass
AFTER = ("P(T)", "P(IK)", "margin", "certainty", "mass", "length", "subject")
WORDS = {"n_features": 2**14, "ngram_range": (1, 2), "norm": None, "alternate_sign": False}
STRENGTH = 1.0  # inverse of the penalty's weight
NEVER = -30.0  # log-odds of an outcome that no training question had


def texts(questions: Sequence[Question]) -> list[str]:
    """What a router reads of each question: its subject, its text, its options."""
    return [" ".join([q.subject.replace("_", " "), q.text, *q.choices]) for q in questions]


def available(features: Sequence[str], readings: Sequence[Readings]) -> tuple[str, ...]:
    """Those of the features that all these readings hold."""
    return tuple(f for f in features if all(_has(f, r) for r in readings))


def _has(feature: str, readings: Readings) -> bool:
    places = {"length": "prompt_tokens", "subject": "subject", "words": "texts"}
    if feature not in places:
        return readings.recorded(feature) is not None
    return getattr(readings, places[feature]) is not None


def outcomes(
    weights: Mapping[str, np.ndarray], features: Sequence[str], subjects: Sequence[str], readings: Readings
) -> np.ndarray:
    """(n, 4) probabilities: both right, the small model alone, the large one alone, neither; or NaN."""
    w = weights
    x = (_dense(features, readings) - w["mean"]) / w["scale"]  # (n, d)
    logits = x @ w["coef"].T + w["intercept"] if x.shape[1] else np.tile(w["intercept"], (readings.n, 1))
    if "subject" in features:
        place = {name: i for i, name in enumerate(subjects)}
        rows = np.array([place.get(s, len(place)) for s in _present("subject", readings.subject)], int)
        logits = logits + np.vstack([w["coef_subject"].T, np.zeros(4)])[rows]  # a new subject adds nothing
    if "words" in features:
        logits = logits + _words(_present("words", readings.texts), w["idf"]) @ w["coef_words"].T
    return softmax(logits, axis=1)


def fit(
    features: Sequence[str], readings: Readings, small: np.ndarray, large: np.ndarray
) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[str, ...]]:
    """Weights by name, features and subjects of the four outcomes, from (t,) right and wrong answers."""
    dense = _dense(features, readings)
    mean, scale = np.nanmean(dense, axis=0), np.nanstd(dense, axis=0) + 1e-6
    known = ~np.isnan(dense).any(axis=1)
    blocks: list = [(dense - mean) / scale]
    widths, subjects, weights = [dense.shape[1], 0, 0], (), {"mean": mean, "scale": scale}
    if "subject" in features:
        subjects = tuple(np.unique(readings.subject).tolist())
        blocks.append((readings.subject[:, None] == np.array(subjects)).astype(float))
        widths[1] = len(subjects)
    x = np.hstack(blocks)[known]
    if "words" in features:
        counts = HashingVectorizer(**WORDS).transform([readings.texts[i] for i in np.flatnonzero(known)])
        weights["idf"] = TfidfTransformer(sublinear_tf=True).fit(counts).idf_
        x = sparse.hstack([x, _weighed(counts, weights["idf"])]).tocsr()
        widths[2] = WORDS["n_features"]
    label = np.where(small, np.where(large, 0, 1), np.where(large, 2, 3))[known]
    coef, intercept = _logistic(x, label)
    cut = np.cumsum(widths)
    weights |= {"coef": coef[:, : cut[0]], "coef_subject": coef[:, cut[0] : cut[1]]}
    weights |= {"coef_words": coef[:, cut[1] :], "intercept": intercept}
    weights = {k: v for k, v in weights.items() if v.size or k in ("mean", "scale", "coef")}
    return weights, tuple(features), subjects


def shapes(features: Sequence[str], subjects: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of what `fit` gives for these features.

    Raises:
        ValueError: a feature is not known.
    """
    if unknown := {*features} - {*BEFORE, *AFTER}:
        raise ValueError(f"expected features of {', '.join((*AFTER, 'words'))}, found {sorted(unknown)}")
    d = len({*features} - {"subject", "words"})
    found = {"mean": (d,), "scale": (d,), "coef": (4, d), "intercept": (4,)}
    if "subject" in features:
        found["coef_subject"] = (4, len(subjects))
    if "words" in features:
        found |= {"coef_words": (4, WORDS["n_features"]), "idf": (WORDS["n_features"],)}
    return found


def _logistic(x: np.ndarray | sparse.spmatrix, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(4, d) weights and (4,) intercepts; an outcome that no label names gets next to no probability."""
    coef, intercept = np.zeros((4, x.shape[1])), np.full(4, NEVER)
    seen = np.unique(label)
    if len(seen) < 2:
        intercept[seen] = 0.0
        return coef, intercept
    model = LogisticRegression(C=STRENGTH, max_iter=500, tol=1e-3).fit(x, label)
    if len(seen) == 2:  # one set of weights, for the second label
        coef[seen[1]], intercept[seen] = model.coef_[0], [0.0, model.intercept_[0]]
    else:
        coef[seen], intercept[seen] = model.coef_, model.intercept_
    return coef, intercept


def _dense(features: Sequence[str], readings: Readings) -> np.ndarray:
    """(n, d) of the features that are numbers; probabilities as log-odds, lengths and mass as logarithms."""
    columns = []
    for feature in features:
        if feature in ("P(T)", "P(IK)"):
            columns.append(log_odds(_present(feature, readings.recorded(feature))))
        elif feature == "length":
            columns.append(np.log(np.maximum(_present(feature, readings.prompt_tokens), 1)))
        elif feature not in ("subject", "words"):
            column = _present(feature, readings.recorded(feature))
            columns.append(np.log(np.maximum(column, 1e-9)) if feature == "mass" else column)
    return np.column_stack(columns) if columns else np.empty((readings.n, 0))


def _present(feature: str, column):
    if column is None:
        raise ValueError(
            f"this policy reads each question's {feature}, which is not given; give it, or choose anew"
        )
    return column


def _words(read: Sequence[str], idf: np.ndarray) -> sparse.csr_matrix:
    return _weighed(HashingVectorizer(**WORDS).transform(read), idf)


def _weighed(counts: sparse.csr_matrix, idf: np.ndarray) -> sparse.csr_matrix:
    """TF-IDF of hashed words and pairs, each row of length one; `idf` is that of the training texts."""
    counts = counts.astype(float)
    counts.data = 1 + np.log(counts.data)
    rows = counts.multiply(idf).tocsr()
    length = np.sqrt(rows.multiply(rows).sum(axis=1)).A1
    return sparse.diags(1 / np.maximum(length, 1e-12)) @ rows


def flops(weights: Mapping[str, np.ndarray], features: Sequence[str], readings: Readings) -> np.ndarray:
    """(n,) add-multiply operations of working the four outcomes out once; 0 without a gate"""
    if "coef" not in weights:
        return np.zeros(readings.n)
    operations = np.full(readings.n, 8.0 * (len(weights["mean"]) + ("subject" in features)))
    if "words" in features:
        operations += 8.0 * np.diff(HashingVectorizer(**WORDS).transform(readings.texts).indptr)
    return operations
