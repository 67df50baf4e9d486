"""A policy that is proven to lose little, or to keep within a budget: of the family that promises most.

Of that family it is the cheapest that is proven, or the most accurate. Another family, picked beforehand, may
prove more; nobody knows which before the proving questions are looked at, and they are looked at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cclib import cost
from cclib.policies.bounds import bounds
from cclib.policies.candidates import Candidates
from cclib.policies.charges import Charges, charges, check_unit
from cclib.policies.evidence import Evidence
from cclib.policies.families import FAMILIES
from cclib.policies.findings import drop_interval, findings, saving_interval
from cclib.policies.policy import Policy
from cclib.policies.proof import (
    Path,
    Proven,
    Target,
    best_of,
    fewest_questions,
    measure,
    most_promising,
)
from cclib.prices import Prices
from cclib.stats import NO_INTERVAL
from cclib.study import Study

MORE = (1, 2, 4, 8)  # times the proving questions, or as many as prove anything


@dataclass(frozen=True)
class PolicyChoice:
    """What `choose_policy` found. Shares are of one, measured on the proving questions."""

    policy: Policy  # where nothing is proven, the model that is to be asked instead
    proven: bool
    reason: str  # why nothing is
    saved: float  # of what the last model alone costs, in the unit
    saved_interval: tuple[float, float]  # 95 %
    drop: float  # accuracy lost against the last model
    drop_interval: tuple[float, float]
    p_value: float
    questions: int  # that prove
    candidates: int
    families: pd.DataFrame  # a row a family: what it could have saved
    more: pd.DataFrame  # a row a number of questions: what they may be expected to prove
    bounds: pd.DataFrame  # what nothing can beat, and what the promise costs
    notes: list[str] = field(default_factory=list)  # what was left out, and why


def choose_policy(
    study: Study | Candidates,
    max_drop: float = 0.01,
    delta: float = 0.05,
    accounting: str = "every-pass",
    max_cost: float | None = None,
    unit: str = "FLOPs",
    prices: Prices | None = None,
    sizes: list[float] | None = None,
    abstention: float | None = None,
    proving: float | None = None,
) -> PolicyChoice:
    """A policy that loses at most `max_drop` of accuracy with probability 1 - delta, and saves by it.

    Candidates of all families are fitted and ordered on the study's training questions (see
    `cclib.policies.evidence`), which also say which family promises most. Its candidates are tested on the
    validation questions, in their order, and the cheapest that is proven is chosen. The promise covers the
    choice among all of them, for questions drawn like the validation questions. What the other families
    would have been proven to save, had one of them been picked beforehand, is in `families`.

    Args:
        study: or its `Candidates`, where it is to be chosen from them more than once.
        max_drop: accuracy that may be lost against the last model, as a share of one.
        delta: probability, over the draw of the questions, that the true drop is larger.
        accounting: what is charged, "every-pass" or "paper" (see `cclib.cost`).
        max_cost: in place of `max_drop`, what may be spent, as a share of the last model alone: the most
            accurate policy whose expected cost is within it with probability 1 - delta. In dollars and
            seconds no question is taken to cost more than the dearest on record.
        unit: "FLOPs", "USD" or "seconds".
        prices: as `cclib.prices.read_prices`, for dollars.
        sizes: (k,) parameters of the models, for FLOPs; default as in `cclib.cost.compute`.
        proving: the share of the training and validation questions that prove, drawn at random by the
            study's seed, in place of the validation questions: more of few questions. Decide it before
            anything is looked at.
        abstention: what no answer costs, where a wrong one costs 1 and a right one 0; None: always answer.
            The drop then counts abstentions at this price.

    Returns:
        A `PolicyChoice`. Where nothing cheaper is proven its policy asks the last model, which loses nothing;
        where nothing is proven within a budget, the first model alone. `policy.about` keeps what is said
        beside the choice (see `cclib.policies.findings`).

    Raises:
        ValueError: fewer than two models, no validation questions, an argument out of range, unknown costs.
    """
    check(max_drop, delta, max_cost, abstention, proving, accounting, unit)
    candidates = study if isinstance(study, Candidates) else Candidates.of(study, abstention, proving)
    study, making, on = candidates.study, candidates.making, candidates.proving
    maker, groups, notes = candidates.maker, candidates.groups, [*candidates.notes]
    at_making, at_proving = (charges(e.stages, unit, accounting, prices, sizes) for e in (making, on))
    target, n = Target(max_drop, max_cost, 1.0 if abstention is None else abstention), len(on)
    scored = [r for r in making.readings[:-1] if r.p_t is not None or r.option_probs is not None]
    if not scored:
        notes.append("no stage before the last has a score on record: only single models and routers remain")
    paths = [path for group in groups for path in Path.both(group, making, at_making, target)]
    found = most_promising(paths, target, n, delta).proven(on, at_proving, target, delta)
    best, reason = best_of(found, target), ""
    if best is None:
        last = 0 if max_cost is not None else len(study.models) - 1
        alone = maker.policy("one model", (last,))
        best = alone, measure(alone, (last,), on, at_proving, target.price), np.nan
        reason = _reason(found, target, n, delta, candidates)
    policy, made, p_value = best
    rows = {f: _family(f, paths, on, at_proving, target, delta) for f in FAMILIES}
    families = pd.DataFrame.from_dict({f: row for f, row in rows.items() if row}, orient="index")
    more = _more(paths, target, n, delta)
    about = {
        "benchmark": study.benchmark, "seed": study.seed, "reference": study.models[-1],
        "max_drop": max_drop, "delta": delta,
        "max_cost": max_cost, "unit": unit, "accounting": accounting, "abstention": abstention,
        "questions": n, "proven": not reason, "p_value": None if reason else p_value,
        "saved": 1 - made.cost, "drop": made.drop, "reason": reason,
    }  # fmt: skip
    shown = None if reason else made
    about |= findings(candidates, paths, at_proving, target, shown, families, more)
    return PolicyChoice(
        policy.with_about(**about),
        not reason,
        reason,
        1 - made.cost,
        saving_interval(made),
        made.drop,
        drop_interval(made),
        p_value,
        n,
        sum(len(g.policies) for g in groups),
        families.rename_axis("family"),
        more,
        bounds(groups, on, at_proving, target, (1 - made.cost, made.drop)),
        notes,
    )


def check(
    max_drop: float,
    delta: float,
    max_cost: float | None,
    abstention: float | None,
    proving: float | None,
    accounting: str,
    unit: str,
) -> None:
    """Refuse what `choose_policy` cannot be asked for, before anything is recorded for it."""
    cost.check_accounting(accounting)
    check_unit(unit)
    if not 0 <= max_drop < 1:
        raise ValueError(f"max_drop is a share of one, 0 <= max_drop < 1 (0.01 is a point), found {max_drop}")
    if proving is not None and not 0 < proving < 1:
        raise ValueError(f"proving is a share of the questions, 0 < proving < 1, found {proving}")
    if not 0 < delta < 1:
        raise ValueError(f"delta is a probability, 0 < delta < 1, found {delta}")
    if max_cost is not None and not max_cost > 0:
        raise ValueError(
            f"max_cost is a share of the last model's cost, above 0 (0.5 is half), found {max_cost}"
        )
    if abstention is not None and not 0 < abstention < 1:
        raise ValueError(
            f"abstention costs more than a right answer (0), less than a wrong one (1), found {abstention}"
        )


def _reason(found: list[Proven], target: Target, n: int, delta: float, candidates: Candidates) -> str:
    if found:
        return "all that is proven costs as much as the last model alone, or more"
    if target.max_cost is not None:
        return f"nothing is proven to cost at most {target.max_cost:.1%} of the last model alone"
    needed = fewest_questions(target.max_drop, delta)
    if needed is None:
        return "with max_drop 0, only a policy that is right more often than the last model could be proven"
    if n < needed:
        rows = candidates.rows(needed)
        of_table = f" ({rows:,} rows of a table, of which {needed / rows:.0%} prove)" if rows else ""
        return (
            f"{n} questions are too few: {needed} would do{of_table} for a policy that loses nothing on "
            "them, and one that does lose needs more"
        )
    return "not even the safest candidate that is cheaper is proven to lose so little"


def _family(
    family: str, paths: list[Path], proving: Evidence, at: Charges, target: Target, delta: float
) -> dict[str, object]:
    """What a family's best group saves where it alone is tested; the promise is for that family alone."""
    own = [p for p in paths if p.group.family == family]
    tried = sum(len(p.group.policies) for p in own) // 2  # each is in two orders
    if not own:
        return {}
    path = max(own, key=lambda p: p.worth(target, len(proving), delta))
    best = best_of(path.proven(proving, at, target, delta), target)
    row = {"candidates": tried, "chain": "–", "scores": path.group.scores, "proven": best is not None}
    if best is None:
        return row | {"saved": 0.0, "saved interval": NO_INTERVAL, "drop": 0.0, "drop interval": NO_INTERVAL}
    policy, made, p_value = best
    return row | {
        "chain": policy.name,
        "saved": 1 - made.cost,
        "saved interval": saving_interval(made),
        "drop": made.drop,
        "drop interval": drop_interval(made),
        "p": p_value,
    }


def _more(paths: list[Path], target: Target, n: int, delta: float) -> pd.DataFrame:
    """What more questions like the making ones may be expected to prove: the family that promises most."""
    fewest = 0 if target.max_cost is not None else fewest_questions(target.max_drop, delta) or 0
    rows = {}
    for size in (max(n, fewest) * times for times in MORE):
        ahead = most_promising(paths, target, size, delta)
        rows[size] = {"family": ahead.group.family, "expected": ahead.worth(target, size, delta)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("questions")
