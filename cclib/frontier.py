"""Cost against quality of deciding, by one score a question, who answers: the small model or the large one.

A method sends the questions with the highest scores to the large model; the share it sends is its rate.
Costs are shares of the large model's pass on every question, qualities shares of right answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cclib import stats
from cclib.estimators.scores import Estimate

RATES = np.linspace(0, 1, 21)
RESAMPLES = 300
GAP = (np.nan, np.nan)
WHEN = {0.0: "before any pass", 1.0: "after an answer"}


@dataclass(frozen=True)
class Method:
    """A way to decide: the higher the score, the sooner a question goes to the large model."""

    name: str
    source: str
    needs: str
    score: np.ndarray | None = None  # (n,) on the test part; None where it could not be had
    validation: np.ndarray | None = None  # (v,) on the validation part
    depth: float = 0.0  # share of the small model's pass that ran before the decision
    extra: float = 0.0  # cost of deciding, a question, as a share of the large model's pass
    missing: str = ""


@dataclass(frozen=True)
class Setting:
    """What all methods are judged on: (n,) right and wrong answers of both models, and what they cost."""

    small: np.ndarray
    large: np.ndarray
    small_cost: float  # as a share of the large model's pass


@dataclass(frozen=True)
class Frontier:
    """Accuracy and cost of a method at each rate of questions sent to the large model; all (r,)."""

    rate: np.ndarray
    quality: np.ndarray
    paper: np.ndarray  # only the answering pass is charged
    every_pass: np.ndarray  # all passes, and the decision itself


def frontier(method: Method, setting: Setting, rates: np.ndarray = RATES) -> Frontier:
    """Accuracy and cost at each rate; questions of equal score are sent in no order and count as their mean.

    Raises:
        ValueError: the scores are not one a question, or not finite.
    """
    score = np.asarray(method.score, float)
    if score.shape != setting.small.shape or not np.isfinite(score).all():
        raise ValueError(
            f"{method.name}: expected {len(setting.small)} finite scores, one a question, "
            f"found shape {score.shape} with {np.sum(~np.isfinite(score))} not finite"
        )
    gain = setting.large.astype(float) - setting.small
    _, group, sizes = np.unique(-score, return_inverse=True, return_counts=True)
    expected = np.bincount(group, weights=gain) / sizes  # of each group, the highest score first
    gains = np.concatenate([[0.0], np.repeat(expected, sizes).cumsum()]) / len(score)
    quality = setting.small.mean() + np.interp(rates, np.linspace(0, 1, len(gains)), gains)
    paper = (1 - rates) * setting.small_cost + rates
    return Frontier(rates, quality, paper, every_pass(method, setting, rates))


def every_pass(method: Method, setting: Setting, rate: np.ndarray | float) -> np.ndarray | float:
    """Cost a question at a rate: small passes (which end early for what is sent on), large ones, the rest."""
    ran_small = 1 - rate + rate * method.depth
    return ran_small * setting.small_cost + rate + method.extra


def bands(method: Method, setting: Setting, n: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(n, r) qualities at each rate when the questions are drawn again; the same draws for every method."""
    rng = np.random.default_rng(seed)
    size = len(setting.small)
    rows = rng.integers(0, size, (n, size))
    score = np.asarray(method.score, float)[rows]
    order = np.lexsort((rng.random(rows.shape), -score), axis=1)  # ties in random order
    small, large = setting.small.astype(float)[rows], setting.large.astype(float)[rows]
    gain = np.take_along_axis(large - small, order, 1).cumsum(1)
    sent = np.round(RATES * size).astype(int)
    gain = np.concatenate([np.zeros((n, 1)), gain], 1)[:, sent]
    return small.mean(1, keepdims=True) + gain / size


def recovered(quality: np.ndarray) -> np.ndarray:
    """Performance gap recovered at each rate (RouteLLM): 0 is the small model's, 1 the large one's.

    Args:
        quality: (..., r), from rate 0 to rate 1. NaN where the models are equally good.
    """
    gap = quality[..., -1:] - quality[..., :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(gap != 0, (quality - quality[..., :1]) / gap, np.nan)


def apgr(quality: np.ndarray, rates: np.ndarray = RATES) -> np.ndarray | float:
    """Average performance gap recovered: the mean of `recovered` over the rates (RouteLLM)."""
    return np.trapezoid(recovered(quality), rates, axis=-1)


def cpt(quality: np.ndarray, share: float, rates: np.ndarray = RATES) -> float:
    """Call-performance threshold: the least rate that recovers this share of the gap (RouteLLM)."""
    got = recovered(quality)
    reached = np.flatnonzero(got >= share - 1e-12)
    if not len(reached):
        return np.nan
    i = reached[0]
    if i == 0:
        return float(rates[0])
    return float(np.interp(share, got[i - 1 : i + 1], rates[i - 1 : i + 1]))


def hull(cost: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Non-decreasing convex hull of points (RouterBench): what mixing operating points can reach."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(zip(cost.tolist(), quality.tolist())):
        if corners and corners[-1][0] == x:
            corners.pop()  # sorted, so the later one is better
        while len(corners) > 1 and _turns_left(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    best = np.array(corners)
    return best[:, 0], np.maximum.accumulate(best[:, 1])


def _turns_left(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or under the line from a to c."""
    return (b[0] - a[0]) * (c[1] - a[1]) >= (c[0] - a[0]) * (b[1] - a[1])


def aiq(front: Frontier, setting: Setting, accounting: str = "every-pass") -> float:
    """Average improvement in quality: mean height of the hull between the small and the large model's cost.

    RouterBench's measure. Each model alone is among a method's points, since nothing keeps one from using it,
    so no method falls under the line that mixes the two (the zero router).

    Raises:
        ValueError: the accounting is not known.
    """
    costs = {"paper": front.paper, "every-pass": front.every_pass}
    if accounting not in costs:
        raise ValueError(f"unknown accounting {accounting!r}; known: {', '.join(costs)}")
    alone = np.array([setting.small_cost, 1.0]), np.array([setting.small.mean(), setting.large.mean()])
    x, y = hull(np.concatenate([alone[0], costs[accounting]]), np.concatenate([alone[1], front.quality]))
    grid = np.linspace(setting.small_cost, 1, 401)
    return float(np.trapezoid(np.interp(grid, x, y), grid) / (1 - setting.small_cost))


def oracle(setting: Setting) -> Method:
    """Sends first what only the large model gets right, last what only the small one does."""
    gain = setting.large.astype(float) - setting.small
    return Method("oracle", "bound", "the right answers", gain, gain)


def at_random(setting: Setting) -> Method:
    """Sends every question with the same probability."""
    return Method("random", "bound", "nothing", np.zeros(len(setting.small)))


def ranking(methods: Sequence[Method], setting: Setting) -> pd.DataFrame:
    """All methods by AIQ with every pass counted, the best first; those that could not be had last.

    "gap closed" is how far APGR comes from random (0) to the oracle (1).
    """
    bound = {m.name: apgr(frontier(m, setting).quality) for m in (oracle(setting), at_random(setting))}
    reference = next(
        (apgr(bands(m, setting)) for m in methods if m.name == "P(T)" and m.score is not None), None
    )
    rows = {}
    for m in methods:
        row = {"AIQ, every pass": np.nan, "decides": WHEN.get(m.depth, "within a pass")}
        rows[m.name] = row | {"needs": m.needs, "source": m.source}
        if m.score is None:
            rows[m.name]["note"] = f"not available: {m.missing}"
            continue
        front, drawn = frontier(m, setting), apgr(bands(m, setting))
        area = apgr(front.quality)
        rows[m.name] |= {
            "AIQ, every pass": aiq(front, setting),
            "AIQ, paper": aiq(front, setting, "paper"),
            "APGR": area,
            "APGR interval": interval(drawn),
            "APGR above P(T), interval": interval(drawn - reference) if reference is not None else GAP,
            "gap closed": (area - bound["random"]) / (bound["oracle"] - bound["random"]),
            "CPT 50 %": cpt(front.quality, 0.5),
            "CPT 80 %": cpt(front.quality, 0.8),
            "cost at CPT 80 %, every pass": float(
                np.interp(cpt(front.quality, 0.8), front.rate, front.every_pass)
            ),
            "extra cost": m.extra,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    by = [c for c in ("AIQ, every pass", "APGR") if c in table]
    return table.sort_values(by, ascending=False, kind="stable", na_position="last")


def interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values; those that are NaN are left out."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def curves(
    methods: Sequence[Method], setting: Setting, names: Sequence[str], accounting: str = "every-pass"
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """(cost, accuracy) of the named methods and (cost, low, high) of their bands, for `plots.frontier`."""
    by_name = {m.name: m for m in methods}
    lines, around = {}, {}
    for name in names:
        front = frontier(by_name[name], setting)
        cost = front.paper if accounting == "paper" else front.every_pass
        lines[name] = (cost, front.quality)
        around[name] = (cost, *np.quantile(bands(by_name[name], setting), [0.025, 0.975], axis=0))
    return lines, around


def tuned(
    methods: Sequence[Method], setting: Setting, validation: Setting, points: float = 1.0
) -> pd.DataFrame:
    """Thresholds chosen on the validation part for at most so many points lost, judged on the test part.

    Hybrid-LLM's calibration, for every method: the highest threshold at which the validation part's accuracy
    is within the target. Savings are against the large model on every question; the methods come in the order
    of what they save on the validation part, so that the first is what one would have picked.
    """
    target = validation.large.mean() - points / 100
    rows = {}
    for m in methods:
        if m.score is None or m.validation is None:
            continue
        threshold = choose_threshold(m.validation, validation, target)
        sent = m.score >= threshold
        right = np.where(sent, setting.large, setting.small)
        rate = sent.mean()
        low, high = stats.paired_difference_interval(right, setting.large)
        rows[m.name] = {
            "sent to the large model": float(rate),
            "accuracy": float(right.mean()),
            "difference (points)": 100 * float(right.mean() - setting.large.mean()),
            "difference interval": (100 * low, 100 * high),
            "reduced compute, every pass": 1 - every_pass(m, setting, rate),
            "reduced compute, paper": 1 - ((1 - rate) * setting.small_cost + rate),
            "reduced on validation, every pass": 1
            - every_pass(m, setting, np.mean(m.validation >= threshold)),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    return table if not rows else table.sort_values("reduced on validation, every pass", ascending=False)


def choose_threshold(score: np.ndarray, setting: Setting, target: float) -> float:
    """The highest threshold at which sending all scores at or above it reaches the target accuracy.

    Where none does, everything is sent.
    """
    order = np.argsort(-score, kind="stable")
    gain = (setting.large.astype(float) - setting.small)[order].cumsum() / len(score)
    ends = np.append(np.diff(score[order]) != 0, True)  # a threshold takes all of a score or none
    if setting.small.mean() >= target:
        return np.inf
    good = np.flatnonzero(ends & (setting.small.mean() + gain >= target))
    return float(score[order][good[0]]) if len(good) else -np.inf


def from_estimate(estimate: Estimate, small_cost: float) -> Method:
    """A confidence estimator as a method: the least sure answers escalate."""
    score, validation = (None if v is None else -v for v in (estimate.score, estimate.validation))
    return Method(
        estimate.name,
        estimate.source,
        estimate.needs,
        score,
        validation,
        depth=estimate.depth,
        extra=estimate.extra * small_cost,
        missing=estimate.missing,
    )
