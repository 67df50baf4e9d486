"""Scores that a policy decides by: one number a question, the higher the rather the answer is kept.

A score is plain data, its kind and its weights. All kinds are functions of what is known of questions at one
stage: of the question alone before the stage is asked, and of what its pass gave afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from cclib.policies import gate
from cclib.policies.readings import RECORDED, Readings, recorded

LEARNED = ("isotonic", "temperature", "gain", "hope", "route")
LABELS = {
    "certainty": "certainty over the options",
    "mass": "mass on the options",
    "isotonic": "calibrated P(T)",
    "temperature": "P(T) at its temperature",
    "gain": "the gain of keeping",
    "hope": "the larger model's chance",
    "route": "the router's gain",
}


@dataclass(frozen=True, eq=False)
class Score:
    """A kind of score with its weights: small arrays by name."""

    kind: str  # one of RECORDED or LEARNED
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: tuple[str, ...] = ()  # of a learned gate or router, in the order of its weights
    subjects: tuple[str, ...] = ()  # one column each, where "subject" is among the features

    @property
    def label(self) -> str:
        """What it is, in words."""
        return LABELS.get(self.kind, self.kind)

    def of(self, readings: Readings) -> np.ndarray:
        """(n,) the higher, the rather keep; NaN where the question's readings do not tell.

        Raises:
            ValueError: the readings lack what the score is made of.
        """
        found = readings.known.get(self)
        if found is None:
            found = readings.known[self] = self._of(readings)
        return found

    def flops(self, readings: Readings) -> np.ndarray:
        """(n,) add-multiply operations of working a learned gate or router out once a question; else 0"""
        key = (self, "flops")
        if key not in readings.known:
            readings.known[key] = gate.flops(self.weights, self.features, readings)
        return readings.known[key]

    def _of(self, readings: Readings) -> np.ndarray:
        if self.kind in RECORDED:
            return recorded(readings, self.kind)
        if self.kind == "isotonic":
            p_t = recorded(readings, "P(T)")
            return np.where(np.isnan(p_t), np.nan, np.interp(p_t, self.weights["x"], self.weights["y"]))
        if self.kind == "temperature":
            recorded(readings, "margin")
            return with_temperature(readings.option_probs, float(self.weights["temperature"][0]))
        both, small, large, _ = gate.outcomes(self.weights, self.features, self.subjects, readings).T
        return both + large if self.kind == "hope" else small - large


def isotonic(p: np.ndarray, correct: np.ndarray) -> Score:
    """The monotone curve that makes a confidence the share of right answers (Zadrozny and Elkan 2002)."""
    known = ~np.isnan(p)
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[known], correct[known])
    return Score("isotonic", {"x": curve.X_thresholds_, "y": curve.y_thresholds_})


def temperature(probs: np.ndarray, answer: np.ndarray) -> Score:
    """The temperature at which the options' probabilities make the right answers likeliest (Guo et al.)."""
    logits = _logits(probs)

    def unlikely(log_t: float) -> float:
        scaled = softmax(logits / np.exp(log_t), axis=1)  # (n, c)
        return -np.log(np.maximum(scaled[np.arange(len(answer)), answer], 1e-12)).mean()

    best = np.exp(minimize_scalar(unlikely, bounds=(-3, 3), method="bounded").x)
    return Score("temperature", {"temperature": np.array([best])})


def with_temperature(probs: np.ndarray, t: float) -> np.ndarray:
    """(n,) the largest of the options' probabilities after their logarithms are divided by t."""
    return softmax(_logits(probs) / t, axis=1).max(axis=1)


def _logits(probs: np.ndarray) -> np.ndarray:
    """(n, c) log-probabilities of the options; those that a question lacks are far below all others."""
    return np.log(np.maximum(np.nan_to_num(np.asarray(probs, float)), 1e-30))


def learned(
    kind: str, features: tuple[str, ...], readings: Readings, small: np.ndarray, large: np.ndarray
) -> Score:
    """A gate or a router from (t,) right and wrong answers of two models to the questions that were read.

    Args:
        kind: what the score says of them: after a pass "gain" (what keeping the answer should gain
            against asking the large model, mostly less than nothing) or "hope" (that the large
            one is right); "route" is the gain, before any pass.
        features: of `gate.BEFORE` or `gate.AFTER`.
    """
    return Score(kind, *gate.fit(features, readings, small, large))
