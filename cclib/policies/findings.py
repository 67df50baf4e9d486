"""What the proving questions say beside the choice, in JSON's kinds, so that a policy's file keeps it.

Nothing of it is chosen on these questions, so its intervals are plain ones, and nothing of it is promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from cclib import stats
from cclib.policies.candidates import Candidates
from cclib.policies.charges import Charges
from cclib.policies.evidence import Evidence
from cclib.policies.families import Group
from cclib.policies.policy import Policy
from cclib.policies.proof import EQUAL, Measured, Path, Target, measure


def findings(
    candidates: Candidates,
    paths: Sequence[Path],
    charges: Charges,
    target: Target,
    chosen: Measured | None,
    families: pd.DataFrame,
    more: pd.DataFrame,
) -> dict[str, Any]:
    """Each model alone, random mixing beside the choice, and what was not chosen.

    Args:
        chosen: what the policy that is proven does; None where nothing is.
        families: a row a family, with the columns "proven" and "saved".
        more: a row a number of questions, with the column "expected".

    Returns:
        "models", by name, with "right", its 95 % interval and "cost" as a share of the last model's;
        "families", by name, what each is proven to save, or None; with a proven policy "intervals" and
        "mixing", else "promising" (what `most_saving` found, with its own) and "more".
    """
    models, on = candidates.study.models, candidates.proving
    saved = {f: float(row["saved"]) if row["proven"] else None for f, row in families.iterrows()}
    found: dict[str, Any] = {"models": _alone(models, on, charges), "families": saved}
    if chosen is not None:
        return found | _beside(models, chosen, on, charges)
    found["more"] = {
        str(n): {"rows": candidates.rows(n), "saved": float(expected)}
        for n, expected in more["expected"].items()
    }
    if (ahead := most_saving(paths, target)) is not None:
        group, policy = ahead
        made = measure(policy, group.members, on, charges, target.price)
        named = {"family": group.family, "chain": policy.name, "saved": 1 - made.cost, "drop": made.drop}
        found["promising"] = named | _beside(models, made, on, charges)
    return found


def _alone(models: Sequence[str], on: Evidence, charges: Charges) -> dict[str, dict[str, Any]]:
    spent = (charges.passes.mean(axis=1) / charges.reference.mean()).tolist()
    return {
        name: {"right": float(right.mean()), "interval": _plain(stats.accuracy_interval(right)), "cost": cost}
        for name, right, cost in zip(models, on.right, spent)
    }


def _beside(models: Sequence[str], made: Measured, on: Evidence, charges: Charges) -> dict[str, Any]:
    intervals = {"saved": _plain(saving_interval(made)), "drop": _plain(drop_interval(made))}
    return {"intervals": intervals, "mixing": mixing(models, made.cost, on, charges)}


def _plain(interval: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(interval).any() else [float(end) for end in interval]


def most_saving(paths: Sequence[Path], target: Target) -> tuple[Group, Policy] | None:
    """The candidate that is worth most within the target on the making questions; None: none is within."""
    made = [
        (target.worth(m), i, j)
        for i, path in enumerate(paths)
        for j, m in zip(path.order.tolist(), path.made)
        if target.allows(m)
    ]
    if not made:
        return None
    _, i, j = max(made, key=lambda one: one[0])
    return paths[i].group, paths[i].group.policies[j]


def mixing(models: Sequence[str], cost: float, on: Evidence, charges: Charges) -> dict[str, Any] | None:
    """The two models of which drawing lots loses least at a cost, and how much; None: none costs so little.

    Args:
        cost: as a share of the last model's.
    """
    right, spent = on.right.mean(axis=1), charges.passes.mean(axis=1) / charges.reference.mean()
    best: dict[str, Any] | None = None
    for i, j in combinations(np.argsort(spent, kind="stable").tolist(), 2):
        if spent[i] > cost + EQUAL:
            continue
        dear = 1.0 if spent[j] <= cost else (cost - spent[i]) / (spent[j] - spent[i])
        dear = dear if right[j] > right[i] else 0.0
        drop = float(right[-1] - (1 - dear) * right[i] - dear * right[j])
        if best is None or drop < best["drop"]:
            best = {"models": [models[i], models[j]], "share": float(dear), "drop": drop}
    return best


def saving_interval(made: Measured) -> tuple[float, float]:
    """95 % interval of the share saved: questions are drawn, and what both cost with them."""
    if np.ptp(made.spent) == 0 == np.ptp(made.reference):
        return 1 - made.cost, 1 - made.cost
    return stats.bootstrap(
        lambda a, b: 1 - a.mean(axis=1) / b.mean(axis=1), made.spent, made.reference, n=1000, vectorised=True
    )


def drop_interval(made: Measured) -> tuple[float, float]:
    """95 % interval of the accuracy lost: the score interval; the bootstrap's of a policy that abstains."""
    if made.abstains:
        return stats.bootstrap(lambda x: x.mean(axis=1), made.loss, n=1000, vectorised=True)
    return stats.paired_interval_from_counts(made.lost, made.gained, len(made.loss))
