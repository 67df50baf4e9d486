"""Cost against quality of deciding, by one score a question, who answers: the small model or the large one.

A method sends the questions with the highest scores to the large model; the share it sends is its rate.
Costs are shares of the large model's pass on every question, qualities shares of right answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cclib.cost import check_accounting
from cclib.experiments.estimators.estimate import Estimate

RATES = np.linspace(0, 1, 21)
RESAMPLES = 300


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

    def cost(self, accounting: str) -> np.ndarray:
        """(r,) costs by an accounting.

        Raises:
            ValueError: the accounting is not known.
        """
        check_accounting(accounting)
        return self.paper if accounting == "paper" else self.every_pass


def trade_off_curve(method: Method, setting: Setting, rates: np.ndarray = RATES) -> Frontier:
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
    place = np.unique(-np.asarray(method.score, float), return_inverse=True)[1]  # 0 for the highest score
    order = np.argsort(place[rows] + rng.random(rows.shape), axis=1)  # ties in random order
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
    around = slice(max(reached[0] - 1, 0), reached[0] + 1)
    return float(np.interp(share, got[around], rates[around]))


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
    """
    return hull_height(front.cost(accounting), front.quality, setting.small_cost)


def hull_height(cost: np.ndarray, quality: np.ndarray, small_cost: float) -> float:
    """Mean height over costs from the small model's to 1 (the large one's) of the hull of (r,) points.

    The first quality is the small model's alone, the last the large one's; both count at their own cost too.
    """
    x, y = hull(np.r_[small_cost, 1.0, cost], np.r_[quality[[0, -1]], quality])
    grid = np.linspace(small_cost, 1, 201)
    return float(np.trapezoid(np.interp(grid, x, y), grid) / (1 - small_cost))


def oracle(setting: Setting) -> Method:
    """Sends first what only the large model gets right, last what only the small one does."""
    gain = setting.large.astype(float) - setting.small
    return Method("oracle", "bound", "the right answers", gain, gain)


def at_random(setting: Setting) -> Method:
    """Sends every question with the same probability."""
    return Method("random", "bound", "nothing", np.zeros(len(setting.small)))


def from_estimate(estimate: Estimate, small_cost: float) -> Method:
    """A confidence estimator as a method: the least sure answers escalate."""
    score, validation = (None if v is None else -v for v in (estimate.score, estimate.validation))
    same = {name: getattr(estimate, name) for name in ("name", "source", "needs", "depth", "missing")}
    return Method(**same, score=score, validation=validation, extra=estimate.extra * small_cost)
