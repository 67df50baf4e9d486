"""What each part of the rule is worth: without P(IK), at other thresholds, with other seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cclib.cascades import cascade, sweep
from cclib.experiments.results import GRID, against_last_model, points_above, to_frame
from cclib.study import Study


def without_pik(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Every chain with and without P(IK) (Table 5), and what P(IK) alone would do."""
    rows = {}
    for members in study.chains():
        stages, name = study.chain(members), study.chain_name(members)
        rules: dict[str, tuple[float, float | None]] = {"P(T) alone": (pt, None)}
        if pik is not None and all(t.p_ik is not None for t in stages[:-1]):
            rules = {"P(T) and P(IK)": (pt, pik)} | rules | {"P(IK) alone": (0.0, pik)}
        for rule, thresholds in rules.items():
            rows[name, rule] = against_last_model(cascade(stages, *thresholds))
    return to_frame(rows, ["chain", "rule"])


def worth_of_pik(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Points of accuracy that P(IK) adds to each chain at the same threshold on P(T), with intervals.

    Also what it costs, and the accuracy of a P(T)-only chain whose threshold is raised until it sends
    the same number of questions to the last stage: only the rest is due to P(IK) itself.
    """
    rows = {}
    for members in study.chains():
        stages = study.chain(members)
        if pik is None or any(t.p_ik is None for t in stages[:-1]):
            continue
        both, alone = cascade(stages, pt, pik), cascade(stages, pt, None)
        swept = sweep(stages, GRID)
        matched = cascade(stages, _same_share(swept.stage_counts[:, 0, -1], both.stage_counts[-1]), None)
        points, interval = points_above(both.correct, alone.correct)
        fair, fair_interval = points_above(both.correct, matched.correct)
        rows[study.chain_name(members)] = {
            "difference (points)": points,
            "difference interval": interval,
            "more questions to the last stage": int(both.stage_counts[-1] - alone.stage_counts[-1]),
            "difference at equal share (points)": fair,
            "difference at equal share, interval": fair_interval,
        }
    return to_frame(rows, ["chain"])


def _same_share(reached: np.ndarray, wanted: int) -> float:
    """The threshold on P(T) at which nearest to `wanted` questions reach the last stage."""
    return float(GRID[np.abs(reached - wanted).argmin()])
