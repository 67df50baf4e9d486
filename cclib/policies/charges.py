"""What a policy spends on each question: passes, readings of P(IK), gates and routers, in any unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cclib import cost
from cclib.names import slug
from cclib.policies.policy import Run
from cclib.prices import Prices, price_of, read_prices
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


def check_unit(unit: str) -> None:
    """Raises ValueError where the unit is not known."""
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; known: {', '.join(UNITS)}")


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
    check_unit(unit)
    shape = (len(stages), len(stages[0]))
    reading, flop = np.zeros(shape), np.zeros(shape)
    table = read_prices(prices) if unit == "USD" else None
    if unit == "FLOPs":
        known = cost.stage_sizes(stages) if sizes is None else list(sizes)
        if len(known) != len(stages) or not np.isfinite(known).all():
            unsized = ", ".join(t.model for t, size in zip(stages, known) if not np.isfinite(size))
            raise ValueError(
                f"compute needs the {len(stages)} models' parameters, found {known}"
                + (f" (of {unsized} they are not on record)" if unsized else "")
                + "; pass them all as sizes=, or "
                'count dollars or seconds (unit="USD", unit="seconds")'
            )
        passes = np.stack([cost.stage_cost(t, size) for t, size in zip(stages, known)])
        reading = np.nan_to_num(np.stack([cost.probe_cost(t) for t in stages]))
        flop = np.stack([cost.reading_cost(t, 1.0) for t in stages])
    elif table is not None:
        passes = np.stack(cost.dollars_by_question(stages, table))
    else:
        passes = np.stack([np.full(len(t), np.nan) if t.seconds is None else t.seconds for t in stages])
    unknown = [
        f"{t.model} lacks {_lacks(t, table)}" for t, row in zip(stages, passes) if not np.isfinite(row).all()
    ]
    if unknown:
        raise ValueError(f"{unit} are not known of every answer: {'; '.join(unknown)}")
    if not passes[-1].sum() > 0:
        raise ValueError(
            f"{stages[-1].model} costs 0 {unit} on these questions, and what is saved is a share of what the "
            "last model costs; name the dearest model last, or count another unit"
        )
    above = np.array([1 - (t.hidden_layer or 1) / (t.n_layers or 1) if t.n_layers else 0.0 for t in stages])
    return Charges(unit, accounting, passes, reading, np.maximum(above, 0), flop)


def _lacks(trace: Trace, table: pd.DataFrame | None) -> str:
    """What dollars (with their table) or seconds of a trace would need, and where it is put."""
    kinds = ["seconds"] if table is None else ["prompt_tokens", "output_tokens"]
    columns = [k for k in kinds if (v := trace.column(k)) is None or not np.isfinite(v.astype(float)).all()]
    lacks = [f"the column {' and '.join(columns)} of its recorded answers"] if columns else []
    if table is not None and price_of(trace.model, table) is None:
        free = "; 0 and 0 for a model that runs here" if trace.provenance.get("checksum") else ""
        lacks.append(f"a price (a row {slug(trace.model)!r} of prices={free})")
    return " and ".join(lacks)
