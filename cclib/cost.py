"""What a cascade costs: compute (Eq. 2-6), tokens, dollars and seconds, by two accountings.

- "paper": a question is charged to the stage that answers it, and to no other (Eq. 6).
- "every-pass": a question is charged for every stage that ran on it, and for reading P(IK).

Both are compared with the same reference, all questions sent straight to the last stage. What a trace
does not record is NaN in the sums, and `Cost.missing` says what it is and how to get it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cclib.cascades import Cascade
from cclib.confidence.p_ik import HIDDEN_UNITS
from cclib.names import slug
from cclib.prices import Prices, price_of, read_prices
from cclib.stats import NO_INTERVAL, wilson
from cclib.traces import Trace

ACCOUNTINGS = ("paper", "every-pass")


@dataclass(frozen=True)
class Cost:
    """A cost of k stages, with the reference it is compared with."""

    unit: str  # "FLOPs", "tokens", "USD" or "seconds"
    accounting: str
    models: list[str]  # k, smallest first
    stages: np.ndarray  # (k,) cost of each stage, in units; NaN where not known
    reference: float  # all questions to the last stage
    missing: list[str] = field(default_factory=list)  # what was not recorded, and how to get it

    def __float__(self) -> float:
        return self.total

    @property
    def total(self) -> float:
        return float(self.stages.sum())

    @property
    def reduced(self) -> float:
        """Share of the reference that is saved ("Reduced CC"); negative where the cascade costs more."""
        return 1 - self.total / self.reference if self.reference else np.nan

    def table(self) -> pd.DataFrame:
        """One row a stage: its cost, and its share of the reference."""
        share = self.stages / self.reference if self.reference else np.nan
        return pd.DataFrame({self.unit: self.stages, "share of reference": share}, index=self.models)


def forward_flops(n_parameters: float, n_layers: float, n_context: float, d_model: float) -> float:
    """Eq. 2: add and multiply operations of one token's forward pass."""
    return 2 * n_parameters + 2 * n_layers * n_context * d_model


def parameters_from_shape(n_layers: float, d_model: float) -> float:
    """Eq. 3: weights outside the embeddings, by Kaplan et al.'s standard layer."""
    return 12 * n_layers * d_model**2


def forward_flops_from_size(n_parameters: float, n_layers: float, n_context: float) -> float:
    """Eq. 4: Eq. 2 with the width that Eq. 3 gives a model of this size."""
    return 2 * n_parameters + 2 * n_context * np.sqrt(n_parameters * n_layers / 12)


def forward_flops_of_large_model(n_parameters: float) -> float:
    """Eq. 5: Eq. 4 without its context term."""
    return 2 * n_parameters


def stage_compute(n_parameters: float, n_questions: float) -> float:
    """Eq. 6: compute of a stage. A question counts as one token, so only ratios have a meaning."""
    return 2 * n_parameters * n_questions


def stage_cost(trace: Trace, size: float | None = None, per_token: bool = False) -> np.ndarray:
    """(n,) FLOPs of the model's pass on each question.

    Args:
        size: parameters to charge for; default: Eq. 3 from the trace's layers and width.
        per_token: charge Eq. 2 for every token of the prompt and the output, where Eq. 6 charges each
            question Eq. 5 once.

    Returns:
        NaN where the trace records no layers, width or tokens that are needed.
    """
    if size is None:
        size = _size(trace)
    if not per_token:
        return np.full(len(trace), stage_compute(size, 1))
    if trace.prompt_tokens is None or trace.n_layers is None or trace.d_model is None:
        return np.full(len(trace), np.nan)
    n_tokens = _tokens_of(trace, "both")
    return n_tokens * forward_flops(size, trace.n_layers, n_tokens, trace.d_model)


def probe_cost(trace: Trace, per_token: bool = False) -> np.ndarray:
    """(n,) FLOPs of reading P(IK) once a question, for the probe of `cclib.PIK`.

    The probe reads one position of the prompt. Where a question counts as one token (Eq. 6), the
    reading is divided by the question's tokens, so that it keeps its weight beside the pass.
    """
    if trace.d_model is None:
        return np.full(len(trace), np.nan)
    return reading_cost(trace, 2.0 * (trace.d_model * HIDDEN_UNITS + HIDDEN_UNITS), per_token)


def reading_cost(trace: Trace, flops: float | np.ndarray, per_token: bool = False) -> np.ndarray:
    """(n,) FLOPs of something that is worked out once a question, on the scale of the passes' cost."""
    flops = np.broadcast_to(np.asarray(flops, float), len(trace))
    if per_token or trace.prompt_tokens is None:
        return flops
    return flops / np.maximum(_tokens_of(trace, "both"), 1)


def compute(
    result: Cascade,
    accounting: str = "paper",
    early_exit: bool = False,
    per_token: bool = False,
    sizes: Sequence[float] | None = None,
) -> Cost:
    """FLOPs of a cascade.

    Args:
        accounting: "paper" (Eq. 6) or "every-pass".
        early_exit: charge a pass only up to the layer that P(IK) is read at, where P(IK) alone says
            escalate (always, of a policy that stops passes there). Matters to "every-pass" only: the
            paper's accounting has no passes that stop.
        per_token: see `stage_cost`.
        sizes: (k,) parameters of the stages. Default: Eq. 3; all weights where a stage's shape is not
            known but all sizes are.

    Raises:
        ValueError: the accounting is not known, or `sizes` are not one a stage.
    """
    stages = result.stages
    if sizes is None:
        sizes = stage_sizes(stages)
    elif len(sizes) != len(stages):
        raise ValueError(f"sizes: expected {len(stages)}, one a stage, found {list(sizes)}")
    missing = []
    per_question = []
    for i, (trace, size) in enumerate(zip(stages, sizes)):
        flops = stage_cost(trace, size, per_token)
        if np.isnan(flops).any():
            missing.append(
                f"{trace.model}: compute is not known; record it with a local model, or pass sizes="
                if np.isnan(size)
                else f"{trace.model}: tokens, layers or width are not recorded; pass per_token=False"
            )
        if (early_exit or result.stops) and result.left_early[i].any():
            if trace.hidden_layer and trace.n_layers:
                flops = np.where(result.left_early[i], flops * trace.hidden_layer / trace.n_layers, flops)
            else:
                missing.append(f"{trace.model}: the layer of P(IK) is not recorded; passes charged whole")
        per_question.append(flops)
    reference = float(stage_cost(stages[-1], sizes[-1], per_token).sum())
    charged = _charge(result, per_question, accounting)
    if accounting == "every-pass":
        for i in np.flatnonzero(result.read.any(axis=1)):
            charged[i] += probe_cost(stages[i], per_token)[result.read[i]].sum()
        for i, trace in enumerate(stages):
            charged[i] += reading_cost(trace, result.deciding[i], per_token).sum()
    return Cost("FLOPs", accounting, [t.model for t in result.stages], charged, reference, missing)


def reduced(result: Cascade, accounting: str = "paper", **options: object) -> float:
    """Reduced compute as a share of one; options as in `compute`."""
    return compute(result, accounting, **options).reduced


def compute_from_counts(
    stage_counts: Sequence[int],
    stage_flops: Sequence[float],
    accounting: str = "paper",
    models: Sequence[str] | None = None,
) -> Cost:
    """The same from counts alone: (k,) questions each stage answered, and (k,) FLOPs of one pass."""
    counts, flops = np.asarray(stage_counts, float), np.asarray(stage_flops, float)
    if counts.ndim != 1 or counts.shape != flops.shape or not len(counts):
        raise ValueError(f"expected one count and one cost a stage, found {stage_counts} and {stage_flops}")
    check_accounting(accounting)
    passes = counts if accounting == "paper" else counts[::-1].cumsum()[::-1]
    names = list(models) if models is not None else [f"stage {i + 1}" for i in range(len(counts))]
    return Cost("FLOPs", accounting, names, passes * flops, float(counts.sum() * flops[-1]))


def tokens(result: Cascade, accounting: str = "paper", kind: str = "output") -> Cost:
    """Tokens of a cascade; kind is "output" (the paper's measure for GPT-4o, Table 4), "input" or "both"."""
    per_question = [_tokens_of(t, kind) for t in result.stages]
    missing = [
        f"{t.model}: {kind} tokens are not recorded; add prompt_tokens and output_tokens to its trace"
        for t, v in zip(result.stages, per_question)
        if np.isnan(v).any()
    ]
    return _cost("tokens", result, per_question, accounting, missing)


def seconds(result: Cascade, accounting: str = "paper") -> Cost:
    """End-to-end seconds, from those measured while the traces were recorded."""
    per_question = [np.full(len(t), np.nan) if t.seconds is None else t.seconds for t in result.stages]
    missing = [f"{t.model}: seconds are not recorded" for t in result.stages if t.seconds is None]
    return _cost("seconds", result, per_question, accounting, missing)


def dollars(result: Cascade, prices: Prices | None = None, accounting: str = "paper") -> Cost:
    """Dollars of a cascade from its tokens and a price table (see `read_prices`)."""
    table, missing = read_prices(prices), []
    for trace in result.stages:
        if price_of(trace.model, table) is None:
            missing.append(
                f"{trace.model}: no price; give prices={{{slug(trace.model)!r}: (input, output)}} "
                "in dollars a million tokens, or a CSV"
            )
        if trace.prompt_tokens is None or trace.output_tokens is None:
            missing.append(f"{trace.model}: tokens are not recorded; add prompt_tokens and output_tokens")
    per_question = dollars_by_question(result.stages, table)
    return _cost("USD", result, per_question, accounting, missing)


def dollars_by_question(stages: Sequence[Trace], table: pd.DataFrame) -> list[np.ndarray]:
    """k of (n,) dollars of a pass on each question by `read_prices`' table; NaN where not known."""
    spent = []
    for trace in stages:
        price_in, price_out = price_of(trace.model, table) or (np.nan, np.nan)
        each = _tokens_of(trace, "input") * price_in + _tokens_of(trace, "output") * price_out
        spent.append(each / 1e6)
    return spent


def stage_sizes(stages: Sequence[Trace]) -> list[float]:
    """(k,) parameters N of each stage, by one rule for all: Eq. 3, or else all weights."""
    by_shape = [_size(t) for t in stages]
    if np.isnan(by_shape).any() and all(t.parameters for t in stages):
        return [float(t.parameters) for t in stages]
    return by_shape


def _size(trace: Trace) -> float:
    if trace.n_layers is None or trace.d_model is None:
        return np.nan
    return float(parameters_from_shape(trace.n_layers, trace.d_model))


def _tokens_of(trace: Trace, kind: str) -> np.ndarray:
    """(n,) tokens of each question; NaN where not recorded."""
    columns = {"input": ["prompt_tokens"], "output": ["output_tokens"]}
    columns["both"] = columns["input"] + columns["output"]
    if kind not in columns:
        raise ValueError(f"kind must be one of {', '.join(columns)}, found {kind!r}")
    values = [trace.column(name) for name in columns[kind]]
    return sum(np.full(len(trace), np.nan) if v is None else v.astype(float) for v in values)


def check_accounting(accounting: str) -> None:
    """Raises ValueError where the accounting is not known."""
    if accounting not in ACCOUNTINGS:
        raise ValueError(f"unknown accounting {accounting!r}; known: {', '.join(ACCOUNTINGS)}")


def _charge(result: Cascade, per_question: Sequence[np.ndarray], accounting: str) -> np.ndarray:
    """(k,) cost of each stage from its (n,) costs a question."""
    check_accounting(accounting)
    answered = result.stage == np.arange(len(per_question))[:, None]
    charged = answered if accounting == "paper" else result.ran
    return np.array([v[at].sum() for v, at in zip(per_question, charged)])


def _cost(
    unit: str, result: Cascade, per_question: Sequence[np.ndarray], accounting: str, missing: list[str]
) -> Cost:
    charged, reference = _charge(result, per_question, accounting), float(per_question[-1].sum())
    return Cost(unit, accounting, [t.model for t in result.stages], charged, reference, missing)


def saving_interval(result: Cascade, accounting: str) -> tuple[float, float]:
    """95 % interval of reduced compute: questions are drawn, so who answers them varies.

    What is saved is a sum over stages: a weight times the share of questions that no later stage sees. Each
    share has Wilson's interval, which is wide where nothing is kept; they are added by the method of variance
    estimates recovery (Zou and Donner 2008), with the shares' correlation. Of two stages it is Wilson's.
    """
    sizes = np.array(stage_sizes(result.stages))
    if np.isnan(sizes).any() or not len(result.stage):
        return NO_INTERVAL
    check_accounting(accounting)
    weights = (np.diff(sizes) if accounting == "paper" else sizes[1:]) / sizes[-1]  # (k - 1,)
    kept = result.stage <= np.arange(len(weights))[:, None]  # (k - 1, n), by this stage or one before
    shares = kept.mean(axis=1)
    ends = np.reshape([wilson(int(k.sum()), k.size) for k in kept], (-1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        together = np.nan_to_num(np.corrcoef(kept)) if len(weights) > 1 else np.ones((len(weights),) * 2)
    np.fill_diagonal(together, 1)
    centre = reduced(result, accounting)

    def away(distance: np.ndarray) -> float:
        return float(np.sqrt(max((weights * distance) @ together @ (weights * distance), 0)))

    rising = weights > 0  # where a larger share kept saves more
    low = np.where(rising, shares - ends[:, 0], ends[:, 1] - shares)
    high = np.where(rising, ends[:, 1] - shares, shares - ends[:, 0])
    return centre - away(low), centre + away(high)
