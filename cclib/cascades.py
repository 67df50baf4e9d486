"""The selection rule (Section 2.1) over traces: who answers each question, at given thresholds.

A question stays with stage i where P(T) >= its threshold and, where P(IK) is used, P(IK) >= its own;
otherwise it escalates. The last stage always answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import ClassVar

import numpy as np

from cclib.traces import Trace

Threshold = float | Sequence[float] | None


@dataclass(frozen=True)
class Cascade:
    """The outcome of a cascade of k stages on n questions."""

    stages: list[Trace]  # k, smallest first
    stage: np.ndarray  # (n,) int, who answered
    pt: tuple[float, ...]  # (k - 1,)
    pik: tuple[float | None, ...]  # (k - 1,), None where P(IK) is left out
    stops: ClassVar[bool] = (
        False  # whether passes really end where P(IK) says escalate, as `left_early` has it
    )

    @cached_property
    def correct(self) -> np.ndarray:
        """(n,) bool"""
        return np.choose(self.stage, [t.correct for t in self.stages])

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def stage_counts(self) -> np.ndarray:
        """(k,) questions answered by each stage"""
        return np.bincount(self.stage, minlength=len(self.stages))

    @property
    def passes(self) -> np.ndarray:
        """(k,) questions that each stage ran on, answered or not"""
        return self.ran.sum(axis=1)

    @cached_property
    def ran(self) -> np.ndarray:
        """(k, n) bool: the stage was asked"""
        return self.stage >= np.arange(len(self.stages))[:, None]

    @cached_property
    def read(self) -> np.ndarray:
        """(k, n) bool: P(IK) was read"""
        piks = [*self.pik, None][: len(self.stages)]
        return self.ran & np.array([[threshold is not None] for threshold in piks])

    @cached_property
    def deciding(self) -> np.ndarray:
        """(k, n) FLOPs of what decides beside P(IK): none where confidences are compared as they are"""
        return np.zeros(self.ran.shape)

    @cached_property
    def prediction(self) -> np.ndarray | None:
        """(n,) int chosen option, or None where some stage recorded only whether it was right"""
        columns = [t.column("prediction") for t in self.stages]
        return None if any(c is None for c in columns) else np.choose(self.stage, columns)

    @cached_property
    def left_early(self) -> np.ndarray:
        """(k, n) bool: the stage ran, and P(IK) alone, read at its layer, already said escalate"""
        out = np.zeros((len(self.stages), len(self.stage)), bool)
        for i, (trace, threshold) in enumerate(zip(self.stages[:-1], self.pik)):
            if threshold is not None:
                out[i] = (self.stage > i) & ~passes(trace.p_ik, threshold)
        return out

    @property
    def name(self) -> str:
        return " → ".join(t.model for t in self.stages)


def cascade(traces: Sequence[Trace], pt: Threshold = 0.9, pik: Threshold = 0.5) -> Cascade:
    """Apply the rule to the traces of one question set, smallest model first.

    Args:
        traces: k >= 1 traces. Rows are matched by `question_id`, in the order of the first.
        pt: threshold on P(T) for all stages but the last, or one for each.
        pik: likewise on P(IK); None leaves P(IK) out.

    Raises:
        ValueError: thresholds outside [0, 1], stages not smallest first, traces of different questions,
            or a stage without the confidence that the rule needs.
    """
    stages = check_stages(traces)
    pts = _thresholds("pt", pt, len(stages) - 1)
    piks = _thresholds("pik", pik, len(stages) - 1)
    kept = [_keeps(t, a, b) for t, a, b in zip(stages, pts, piks)]
    return Cascade(stages, first_true(kept, len(stages[0])), pts, piks)


def first_true(kept: Sequence[np.ndarray], n: int) -> np.ndarray:
    """(n,) index of the first stage that keeps each question; len(kept) where none does."""
    stage = np.full(n, len(kept))
    for i in reversed(range(len(kept))):
        stage[kept[i]] = i
    return stage


def check_stages(traces: Sequence[Trace]) -> list[Trace]:
    """The traces with their rows matched, after checking that a cascade can be made of them."""
    if isinstance(traces, str) or not all(isinstance(t, Trace) for t in traces):
        raise ValueError(f"expected a list of traces, as cclib.collect returns them, found {traces!r}")
    if not traces:
        raise ValueError("a cascade needs at least one trace, found none")
    first = traces[0]
    stages = [first]
    for trace in traces[1:]:
        if set(trace.question_id) != set(first.question_id):
            only = len(set(first.question_id) ^ set(trace.question_id))
            raise ValueError(
                f"{first.model} and {trace.model} hold different questions ({only} are in one only); "
                "collect both on the same questions, or use Trace.select"
            )
        if not np.array_equal(trace.question_id, first.question_id):
            trace = trace.select(first.question_id)
        stages.append(trace)
    judges = [(t.provenance["judge"], t.model) for t in stages if "judge" in t.provenance]
    for by, model in judges[1:]:
        if by != judges[0][0]:
            raise ValueError(
                f"{judges[0][1]} is judged by {judges[0][0]} and {model} by {by}: their shares of right "
                "answers do not compare; collect both with one judge"
            )
    sizes = [(t.parameters, t.model) for t in stages if t.parameters]
    for (small, a), (large, b) in zip(sizes, sizes[1:]):
        if small > large:
            raise ValueError(
                f"stages go smallest first, found {a} ({small:,.0f} parameters) before {b} ({large:,.0f}); "
                "turn the list round"
            )
    return stages


def _thresholds(name: str, value: Threshold, n: int) -> tuple[float | None, ...]:
    values = list(value) if isinstance(value, Sequence | np.ndarray) else [value] * n
    if len(values) != n:
        raise ValueError(f"{name}: expected one threshold or {n} (one a stage but the last), found {values}")
    for v in values:
        if v is None and name == "pik":
            continue
        if not isinstance(v, int | float | np.number) or isinstance(v, bool) or not 0 <= v <= 1:
            raise ValueError(f"{name}: thresholds lie in [0, 1], found {v!r}")
    return tuple(values)


def check_thresholds(pt: float, pik: float | None) -> None:
    """Raises ValueError where either is not in [0, 1]."""
    _thresholds("pt", pt, 1)
    _thresholds("pik", pik, 1)


def passes(score: np.ndarray | float | None, theta: float | None) -> np.ndarray | bool:
    """Whether a confidence reaches its threshold; so does one that is not read, or has none."""
    return True if score is None or theta is None else score >= theta


def keeps(
    p_t: np.ndarray | float | None,
    p_ik: np.ndarray | float | None,
    theta_t: float | None,
    theta_ik: float | None,
) -> np.ndarray | bool:
    """The selection rule (Section 2.1): a stage answers where P(T) and P(IK) both reach their thresholds."""
    return passes(p_t, theta_t) & passes(p_ik, theta_ik)


def _keeps(trace: Trace, theta_t: float, theta_ik: float | None) -> np.ndarray:
    """(n,) bool: the questions that a stage answers if they reach it."""
    if trace.p_t is None:
        raise ValueError(
            f"{trace.model} has no p_t, so it can only be the last stage; "
            "record probabilities for it, or put it last"
        )
    if theta_ik is not None and trace.p_ik is None:
        raise ValueError(
            f"{trace.model} has no p_ik: fit a probe (cclib.PIK.fit) and score the trace, "
            "or pass pik=None to leave P(IK) out"
        )
    return keeps(trace.p_t, trace.p_ik, theta_t, theta_ik)


def chains(k: int) -> list[tuple[int, ...]]:
    """Every chain of two or more of k models, smallest first: pairs, then triples, and so on."""
    return [c for size in range(2, k + 1) for c in combinations(range(k), size)]


@dataclass(frozen=True)
class Sweep:
    """Cascades at every pair of thresholds (the same for all inner stages)."""

    pt: np.ndarray  # (a,)
    pik: np.ndarray  # (b,); holds -inf where P(IK) is left out
    accuracy: np.ndarray  # (a, b)
    stage_counts: np.ndarray  # (a, b, k)


def sweep(
    traces: Sequence[Trace], pt_grid: Sequence[float], pik_grid: Sequence[float] | None = None
) -> Sweep:
    """Accuracy and stage counts of the cascade for all thresholds at once.

    A stage that a question reaches keeps it, at one threshold on P(T), up to its own P(IK) or nowhere. So
    along the grid of P(IK) each stage answers from where the stages before it end to where it ends itself.
    """
    stages = check_stages(traces)
    for name, grid in (("pt_grid", pt_grid), ("pik_grid", [] if pik_grid is None else pik_grid)):
        if not isinstance(grid, Sequence | np.ndarray) or (grid is pt_grid and not len(grid)):
            raise ValueError(f"{name} must be thresholds in ascending order, found {grid!r} (empty or none)")
    pts = np.asarray(_thresholds("pt", list(pt_grid), len(pt_grid)), float)
    if pik_grid is None:
        piks = np.array([-np.inf])
    else:
        piks = np.asarray(_thresholds("pik", list(pik_grid), len(pik_grid)), float)
    if (np.diff(pts) < 0).any() or (np.diff(piks) < 0).any():
        raise ValueError("grids must ascend; sort them first")
    n, k, m = len(stages[0]), len(stages), len(piks) + 1
    rows, columns = np.full((k, n), len(pts)), np.full((k, n), len(piks))  # that each stage keeps
    for i, trace in enumerate(stages[:-1]):
        _keeps(trace, 0.0, None if pik_grid is None else 0.0)  # the same errors as the cascade's
        rows[i] = np.searchsorted(pts, np.nan_to_num(trace.p_t, nan=-1), side="right")
        if pik_grid is not None:
            columns[i] = np.searchsorted(piks, np.nan_to_num(trace.p_ik, nan=-1), side="right")
    counts, right = np.zeros((len(pts), len(piks), k), int), np.zeros((len(pts), len(piks)))
    for row in range(len(pts)):
        begins = np.zeros(n, int)
        for i, trace in enumerate(stages):
            ends = np.maximum(begins, np.where(row < rows[i], columns[i], 0))
            edges = [np.bincount(at + m * trace.correct, minlength=2 * m) for at in (begins, ends)]
            answered = (edges[0] - edges[1]).reshape(2, m).cumsum(1)[:, :-1]  # wrong, right
            counts[row, :, i], right[row] = answered.sum(0), right[row] + answered[1]
            begins = ends
    return Sweep(pts, piks, right / n, counts)
