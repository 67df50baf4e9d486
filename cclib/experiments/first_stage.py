"""What a first stage is worth: what it knows, what its confidences see of it, what it must keep to pay."""

from __future__ import annotations

import pandas as pd

from cclib import cost, stats
from cclib.cascades import cascade, keeps
from cclib.experiments.results import of_the_kept, points_above
from cclib.study import Study
from cclib.traces import Trace


def worth(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """A row a model before the last: alone, and as the first of two stages with the last model.

    An oracle keeps an answer where that costs no accuracy: the first model is right, or the last one is wrong
    too. Every pass is charged, so to pay a first stage must keep more than its own cost, as a share of the
    last model's; NaN where compute is not known. "PD (points)" is of the two stages against the last model.
    """
    last, rows = study.test[-1], {}
    for name, first in zip(study.models[:-1], study.test[:-1]):
        if first.p_t is None:
            continue
        used = pik if first.p_ik is not None else None
        kept = keeps(first.p_t, first.p_ik, pt, used)
        oracle = first.correct | ~last.correct
        own, result = _own_share(first, last), cascade([first, last], pt, used)
        points, interval = points_above(result.correct, last.correct)
        rows[name] = {
            "accuracy": stats.accuracy(first.correct),
            "accuracy interval": stats.accuracy_interval(first.correct),
            "AUROC of P(T)": stats.auroc(first.correct, first.p_t),
            "AUROC of P(T) interval": stats.auroc_interval(first.correct, first.p_t),
            "share an oracle keeps": float(oracle.mean()),
            "share it must keep to pay": own,
            **of_the_kept(first.correct, kept),
            "reduced, every pass": cost.reduced(result, "every-pass"),
            "PD (points)": points,
            "PD (points) interval": interval,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("first stage")


def _own_share(first: Trace, last: Trace) -> float:
    """The first model's pass as a share of the last one's."""
    sizes = cost.stage_sizes([first, last])
    one, other = (cost.stage_compute(n, 1) for n in sizes)
    return float(one / other)
