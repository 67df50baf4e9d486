"""P(T) made to mean what it says, by the validation part's labels, and what a threshold then keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from cclib import stats
from cclib.study import Study
from cclib.traces import Trace


def rescaled(study: Study, pt: float) -> pd.DataFrame:
    """P(T) of the test questions as stated, by temperature and by isotonic regression, a row a model and way.

    Both are fitted on the validation part; where a model has none on record it has one row only. "share kept"
    is of questions at or above `pt`, "accuracy where kept" of their answers.
    """
    rows = {}
    for stage, (name, test) in enumerate(zip(study.models, study.test)):
        if test.p_t is None:
            continue
        validation, ways = study.part(stage, "validation"), {"as stated": test.p_t}
        if validation is not None and validation.p_t is not None:
            if test.option_probs is not None and validation.option_probs is not None:
                ways["temperature"] = with_temperature(test, temperature(validation))
            curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            ways["isotonic"] = curve.fit(validation.p_t, validation.correct).predict(test.p_t)
        for way, p in ways.items():
            keeps = p >= pt
            rows[name, way] = {
                "AUROC": stats.auroc(test.correct, p),
                "AUROC interval": stats.auroc_interval(test.correct, p),
                "ECE": stats.ece(test.correct, p),
                "ECE interval": stats.ece_interval(test.correct, p),
                "share kept": float(keeps.mean()),
                "accuracy where kept": stats.accuracy(test.correct[keeps]),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["model", "P(T)"])


def temperature(trace: Trace) -> float:
    """The temperature at which the options' probabilities make the right answers likeliest (Guo et al.)."""
    answer, logits = trace.column("answer"), _logits(trace)

    def unlikely(log_t: float) -> float:
        scaled = softmax(logits / np.exp(log_t), axis=1)  # (n, c)
        return -np.log(np.maximum(scaled[np.arange(len(answer)), answer], 1e-12)).mean()

    return float(np.exp(minimize_scalar(unlikely, bounds=(-3, 3), method="bounded").x))


def with_temperature(trace: Trace, t: float) -> np.ndarray:
    """(n,) P(T) from the options' log-probabilities divided by t, among the options alone."""
    return softmax(_logits(trace) / t, axis=1).max(axis=1)


def _logits(trace: Trace) -> np.ndarray:
    """(n, c) log-probabilities of the options; those that a question lacks are far below all others."""
    probs = np.asarray(trace.option_probs, float)
    return np.log(np.maximum(np.nan_to_num(probs), 1e-30))
