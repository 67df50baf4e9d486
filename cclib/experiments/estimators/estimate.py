"""An estimate: one score a question for how sure a model is of its answer, with what it needs and costs.

Everything here is computed from what one pass recorded, and from other estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from cclib import cost, stats
from cclib.policies.readings import entropy, margin
from cclib.traces import Trace

ONE_PASS = "the one pass"
NO_FIRST = "no first_token_prob is recorded here"
NO_PROBS = "no option probabilities are recorded here"
REPLAYED = "it asks the model, and this edition replays recorded answers"


@dataclass(frozen=True)
class Estimate:
    """A confidence of n answers on the test part, and of those on the validation part.

    Higher is surer. `score` is None where it could not be had; `missing` then says why.
    """

    name: str
    source: str  # who proposed it
    needs: str
    score: np.ndarray | None = None  # (n,)
    validation: np.ndarray | None = None  # (v,)
    extra: float = 0.0  # mean cost beyond the answering pass, as a share of that pass
    depth: float = 1.0  # share of the answering pass that must have run before the score is known
    is_probability: bool = True  # whether the score is meant as a probability of being right
    missing: str = ""
    note: str = ""
    options: np.ndarray | None = None  # (n, c) what it gives the options, where it would choose other ones


def from_one_pass(test: Trace, validation: Trace | None) -> list[Estimate]:
    """What the answering pass itself tells: P(T), first token, margin, entropy, and the probe's P(IK)."""

    def made(name: str, source: str, needs: str, of: Callable, missing: str, **more: Any) -> Estimate:
        score, check = (None if t is None else of(t) for t in (test, validation))
        found = {"missing": missing} if score is None else {"score": score, "validation": check}
        return Estimate(name, source, needs, **found, **more)

    def of_options(measure: Callable) -> Callable:
        return lambda t: None if t.option_probs is None else measure(t.option_probs)

    estimates = [
        made("P(T)", "Eq. 1", ONE_PASS, lambda t: t.p_t, "no p_t is recorded here"),
        made(
            "first-token confidence", "Appendix A", ONE_PASS, lambda t: t.column("first_token_prob"), NO_FIRST
        ),
        made("margin", "Appendix A", ONE_PASS, of_options(margin), NO_PROBS),
        made(
            "predictive entropy",
            "Appendix A",
            ONE_PASS,
            of_options(lambda probs: -entropy(probs)),
            NO_PROBS,
            is_probability=False,
        ),
        made(
            "P(IK) by probe",
            "Kadavath et al.",
            "hidden states; labelled training questions",
            lambda t: t.p_ik,
            "no hidden states, so no probe",
            extra=probe_extra(test),
            depth=(test.hidden_layer or 1) / (test.n_layers or 1),
            note=f"layer {test.hidden_layer} of {test.n_layers}",
        ),
    ]
    if test.column("option_probs") is not None:  # the answer is one token
        same = {"name": "mean token probability", "source": "Chuang et al."}
        estimates.insert(1, replace(estimates[0], **same, note="equals P(T): the answer is one token"))
    return estimates


def probe_extra(trace: Trace) -> float:
    """Cost of reading the probe once, as a share of the pass; 0 where the model's shape is not known."""
    share = cost.probe_cost(trace) / cost.stage_cost(trace)
    return float(np.nan_to_num(share.mean()))


def platt(score: np.ndarray, validation: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """(n,) probabilities from scores: a logistic curve fitted on validation scores (v,) and labels (v,)."""
    centre, scale = validation.mean(), validation.std() + 1e-12
    curve = LogisticRegression(C=1e6).fit((validation - centre)[:, None] / scale, correct)
    return curve.predict_proba((score - centre)[:, None] / scale)[:, 1]


def combination(name: str, parts: Sequence[Estimate], correct: np.ndarray) -> Estimate:
    """Logistic regression on several estimates, fitted on the validation part's labels (v,).

    Probabilities enter as log-odds, other scores as they are. A part that needs no more than another
    does is charged once.
    """
    needs = "; ".join(dict.fromkeys(p.needs for p in parts))
    base = Estimate(name, "learned on the validation part", needs)
    absent = [p.name for p in parts if p.score is None or p.validation is None]
    if absent:
        return replace(base, missing=f"needs {absent[0]}")
    test, validation = (
        np.stack([_as_feature(p, getattr(p, part)) for p in parts], 1) for part in ("score", "validation")
    )
    centre, scale = validation.mean(0), validation.std(0) + 1e-12
    model = LogisticRegression(C=1.0).fit((validation - centre) / scale, correct)
    made = [model.predict_proba((x - centre) / scale)[:, 1] for x in (test, validation)]
    weights = ", ".join(f"{p.name} {w:+.2f}" for p, w in zip(parts, model.coef_[0]))
    return replace(
        base,
        score=made[0],
        validation=made[1],
        extra=sum(p.extra for p in parts),
        note=f"weights per standard deviation: {weights}",
    )


def _as_feature(estimate: Estimate, score: np.ndarray) -> np.ndarray:
    return logit(np.clip(score, 1e-6, 1 - 1e-6)) if estimate.is_probability else score


def ranking(
    correct: np.ndarray, estimates: Sequence[Estimate], validation_correct: np.ndarray | None
) -> pd.DataFrame:
    """All estimates by AUROC, the best first; those that could not be had come last, with the reason.

    "Brier" and "ECE" are after Platt scaling on the validation part, "ECE as stated" is of the score itself
    where it is meant as a probability. "above P(T)" is the difference in AUROC on the same questions, and its
    p (DeLong's) is corrected by Holm's method for the number of estimators.
    """
    reference = next((e.score for e in estimates if e.name == "P(T)"), None)
    rows = {e.name: _row(e, correct, reference, validation_correct) for e in estimates}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("estimator")
    if "p against P(T), Holm" in table:
        table["p against P(T), Holm"] = stats.holm(table["p against P(T), Holm"])
    return table.sort_values("AUROC", ascending=False, kind="stable", na_position="last")


def _row(
    e: Estimate, correct: np.ndarray, reference: np.ndarray | None, validation_correct: np.ndarray | None
) -> dict[str, object]:
    row: dict[str, object] = {"AUROC": np.nan, "extra cost": e.extra, "needs": e.needs, "source": e.source}
    if e.score is None:
        return row | {"extra cost": np.nan, "note": f"not available: {e.missing}"}
    row |= {
        "AUROC": stats.auroc(correct, e.score),
        "AUROC interval": stats.auroc_interval(correct, e.score),
        "AUPRC": stats.auprc(correct, e.score),
        "AURC": stats.aurc(correct, e.score),
        "note": e.note,
    }
    if reference is not None:
        itself = e.name == "P(T)"
        _, interval, p = stats.auroc_difference(correct, e.score, reference)
        row["AUROC above P(T), interval"] = stats.NO_INTERVAL if itself else interval
        row["p against P(T), Holm"] = np.nan if itself else p
    if e.validation is not None and validation_correct is not None:
        probability = platt(e.score, e.validation, validation_correct)
        row |= {"Brier": stats.brier(correct, probability), "ECE": stats.ece(correct, probability)}
    if e.is_probability:
        row["ECE as stated"] = stats.ece(correct, np.clip(e.score, 0, 1))
    return row
