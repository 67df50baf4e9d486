"""What a policy spends on each question: passes, readings of P(IK), gates and routers, in any unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cclib import cost
from cclib.policies.policy import Run
from cclib.prices import Prices, read_prices
from cclib.traces import Trace

UNITS = ("FLOPs", "USD", "seconds")


@dataclass(frozen=True)
class Charges:
    """Prices of k stages on n questions."""

    unit: str
    accounting: str
    passes: np.ndarray  # (k, n)
    reading: np.ndarray  # (k, n) of P(IK)
    above: np.ndarray  # (k,) share of a pass that is saved where it ends at the probe's layer
    flop: np.ndarray  # (k, n) of an operation of a gate or a router

    @property
    def reference(self) -> np.ndarray:
        """(n,) what the last model alone costs"""
        return self.passes[-1]

    def of(self, run: Run, members: Sequence[int]) -> np.ndarray:
        """(n,) what a policy of some of the stages spends on each question."""
        at = list(members)
        passes = self.passes[at]
        if self.accounting == "paper":
            return np.take_along_axis(passes, run.stage[None], 0)[0]
        charged = run.ran * passes
        if any(stage.leaves for stage in run.policy.stages):
            charged -= run.left_early * passes * self.above[at][:, None]
        if any(stage.reads_p_ik for stage in run.policy.stages):
            charged += run.read * self.reading[at]
        return (charged + run.deciding * self.flop[at]).sum(axis=0)


def charges(
    stages: Sequence[Trace],
    unit: str = "FLOPs",
    accounting: str = "every-pass",
    prices: Prices | None = None,
    sizes: Sequence[float] | None = None,
) -> Charges:
    """What the stages' passes cost on their questions; see `cclib.cost` for the units and accountings.

    Seconds and dollars of readings, gates and routers are not recorded: next to a pass they are nothing.

    Raises:
        ValueError: the unit or the accounting is unknown, or a stage's costs are.
    """
    cost.check_accounting(accounting)
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; known: {', '.join(UNITS)}")
    shape = (len(stages), len(stages[0]))
    reading, flop = np.zeros(shape), np.zeros(shape)
    if unit == "FLOPs":
        known = cost.stage_sizes(stages) if sizes is None else list(sizes)
        if len(known) != len(stages) or not np.isfinite(known).all():
            raise ValueError(
                f"compute needs the {len(stages)} models' parameters, found {known}; pass them as sizes=, or "
                'count dollars or seconds (unit="USD")'
            )
        passes = np.stack([cost.stage_cost(t, size) for t, size in zip(stages, known)])
        reading = np.nan_to_num(np.stack([cost.probe_cost(t) for t in stages]))
        flop = np.stack([cost.reading_cost(t, 1.0) for t in stages])
    elif unit == "USD":
        passes = np.stack(cost.dollars_by_question(stages, read_prices(prices)))
    else:
        passes = np.stack([np.full(len(t), np.nan) if t.seconds is None else t.seconds for t in stages])
    unknown = [t.model for t, row in zip(stages, passes) if not np.isfinite(row).all()]
    if unknown:
        what = "tokens or a price (prices=)" if unit == "USD" else "seconds"
        raise ValueError(f"{', '.join(unknown)}: {unit} are not known, for lack of {what}; record them")
    above = np.array([1 - (t.hidden_layer or 1) / (t.n_layers or 1) if t.n_layers else 0.0 for t in stages])
    return Charges(unit, accounting, passes, reading, np.maximum(above, 0), flop)
