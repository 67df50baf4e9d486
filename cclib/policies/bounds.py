"""Honest bounds: what hindsight saves, which no promise can, and what the promise costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cclib.policies.charges import Charges
from cclib.policies.evidence import Evidence
from cclib.policies.families import ONE_SCORE, PAPER, Group
from cclib.policies.proof import EQUAL, Target, measure


def bounds(
    groups: Sequence[Group], on: Evidence, charges: Charges, target: Target, chosen: tuple[float, float]
) -> pd.DataFrame:
    """What can be saved within the target on these questions by who knows more, a row a kind of knowledge.

    "oracle" asks the cheapest model that is right, and the cheapest where none is; its drop is negative, for
    it also finds what only smaller models know. "mixing at random" asks the last model for a share of the
    questions, and the best other one for the rest. The others know which of the candidates does best on these
    very questions: of one score's, of all. "the promise costs" is how far the chosen one stays behind that.

    Args:
        chosen: what the chosen policy saves, and its drop.
    """
    right, passes = on.right, charges.passes
    last, whole = right[-1], charges.reference.mean()
    cheapest = np.where(right, passes, np.inf).argmin(0)
    cheapest = np.where(right.any(0), cheapest, passes.argmin(0))
    spent = np.take_along_axis(passes, cheapest[None], 0)[0]
    rows = {"oracle": (1 - spent.mean() / whole, last.mean() - right.any(0).mean())}
    rows["mixing at random"] = max(_mixed(i, on, charges, target) for i in range(len(right) - 1))
    made = [(g, measure(p, g.members, on, charges, target.price)) for g in groups for p in g.policies]
    within = [(g, (1 - m.cost, m.drop)) for g, m in made if target.allows(m)]
    known = {"one score, its threshold known": (ONE_SCORE, PAPER), "all candidates known": None}
    for name, families in known.items():
        rows[name] = max(
            (
                row
                for group, row in within
                if families is None or (group.family in families and "," not in group.scores)
            ),
            default=(0.0, 0.0),
            key=lambda row: row if target.max_cost is None else -row[1],
        )
    best = rows["all candidates known"]
    if target.max_cost is None:
        rows["the promise costs"] = (best[0] - chosen[0], np.nan)
    else:
        rows["the promise costs"] = (np.nan, chosen[1] - best[1])
    return pd.DataFrame.from_dict(rows, orient="index", columns=["saved", "drop"]).rename_axis("bound")


def _mixed(i: int, on: Evidence, charges: Charges, target: Target) -> tuple[float, float]:
    """(saved, drop) of asking model i a random share of the questions, as large as the target allows."""
    right, cost = on.right.mean(1), charges.passes[i].mean() / charges.reference.mean()
    gap = right[-1] - right[i]
    if target.max_cost is not None:
        share = float(np.clip((1 - target.max_cost) / max(1 - cost, EQUAL), 0, 1))
    else:
        share = 1.0 if gap <= target.max_drop else target.max_drop / gap
    return share * (1 - cost), share * gap
