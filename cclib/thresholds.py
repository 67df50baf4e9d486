"""Thresholds with a promise: with probability 1 - delta a cascade loses at most `max_drop` of accuracy.

Learn then Test (Angelopoulos et al. 2021): for every candidate the hypothesis "it loses more than max_drop
against the last model" is tested, so that with probability 1 - delta no true one is rejected; the cheapest
candidate whose hypothesis was rejected is taken. Three parts make this:

- The p-value (`drop_p_value`). A question's loss is 1 where only the last model is right, -1 where only the
  cascade is, else 0. Bounds for any loss in [-1, 1] (Hoeffding, Bentkus) do not see that it is nearly always
  0, and prove nothing with a thousand questions. The law of the sum has one nuisance parameter, how often the
  two differ: an upper bound at a small level is put in and that level added (Berger and Boos 1994).
- The candidates come in sequences fixed beforehand, from thresholds that keep nothing to thresholds that keep
  everything. A sequence is tested at its own level up to the first candidate that is not rejected
  (fixed-sequence testing), so a hundred candidates cost no more than one.
- The sequences share delta (Bonferroni): half for P(T) alone, half for P(T) and P(IK) at equal thresholds.
  With two inner stages or more, a fifth of each half goes to sequences where one stage is stricter.

The promise is for questions drawn like the validation questions. These must have had no part in making the
confidences: a probe that was stopped and calibrated on them has seen their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, expit, logit
from scipy.stats import beta

from cclib import cost
from cclib.cascades import check_stages, first_true, keeps
from cclib.traces import Trace

GRID = np.r_[1.0, expit(np.linspace(9, -3, 49)), 0.0]  # a quarter of a logit a step
STRICTER = 1.0  # logit by which one stage is stricter than the others in its sequence
STAGEWISE = 0.2  # share of the level that such sequences get
NUISANCE = 0.1  # share of a level that bounds how often the cascade and the last model differ


@dataclass(frozen=True)
class Choice:
    """What `choose_thresholds` found; `cclib.cascade(traces, choice.pt, choice.pik)` applies it."""

    pt: tuple[float, ...] | None  # (k - 1,), None where no thresholds qualify
    pik: tuple[float, ...] | None  # (k - 1,), None where P(IK) is left out
    max_drop: float
    delta: float
    accounting: str
    proven: int  # candidates that keep the promise, whatever they cost
    drop: float = np.nan  # on the validation questions, as a share of one
    p_value: float = np.nan  # of the hypothesis that the true drop is larger than max_drop
    reduced: float = 0.0  # compute saved on the validation questions, as a share of the last model alone
    reason: str = ""  # why none qualifies

    @property
    def found(self) -> bool:
        return self.pt is not None


@dataclass(frozen=True)
class Candidates:
    """What s candidates do with n questions: sequences of len(GRID), one after another, strictest first."""

    pt: np.ndarray  # (s, k - 1)
    pik: np.ndarray  # (s, k - 1), NaN where P(IK) is left out
    loss: np.ndarray  # (s, n) 1: only the last model is right, -1: only the cascade, 0: both or neither
    cost: np.ndarray  # (s, n) as a share of the last model's
    shares: list[float]  # of delta, one a sequence


def choose_thresholds(
    validation_traces: Sequence[Trace],
    max_drop: float = 0.01,
    delta: float = 0.05,
    accounting: str = "every-pass",
    with_pik: bool | None = None,
    sizes: Sequence[float] | None = None,
) -> Choice:
    """The cheapest thresholds of each stage that lose at most `max_drop` with probability 1 - delta.

    Args:
        validation_traces: k >= 2 traces of the same n questions, smallest model first. No probe may have been
            fitted, stopped or calibrated on these questions.
        max_drop: accuracy that may be lost against the last model, as a share of one.
        delta: probability, over the draw of the questions, that the true drop is larger.
        accounting: what "cheapest" counts, "every-pass" or "paper" (see `cclib.cost`).
        with_pik: whether to use P(IK) too. Default: where every stage but the last has it.
        sizes: (k,) parameters of the models; default as in `cclib.cost.compute`.

    Returns:
        A `Choice`. Where nothing that is proven to keep the promise costs less than the last model alone, its
        `pt` is None and `reason` says why: send all questions to the last model, which loses nothing.

    Raises:
        ValueError: fewer than two stages or no questions, a stage without the confidences, max_drop or delta
            out of range, an unknown accounting, or models whose compute is not known.
    """
    tried = candidates(validation_traces, accounting, with_pik, sizes)
    n = tried.loss.shape[1]
    lost, gained = (tried.loss > 0).sum(1), (tried.loss < 0).sum(1)
    proven = keep_promise(tried.shares, lost, gained, n, max_drop, delta)
    choice = Choice(None, None, max_drop, delta, accounting, int(proven.sum()))
    price = np.where(proven, tried.cost.mean(1), np.inf)
    best = int(price.argmin())
    if price[best] < 1:
        level = delta * tried.shares[best // len(GRID)]
        return replace(
            choice,
            pt=tuple(tried.pt[best].tolist()),
            pik=None if np.isnan(tried.pik[best]).any() else tuple(tried.pik[best].tolist()),
            drop=float(tried.loss[best].mean()),
            p_value=drop_p_value(int(lost[best]), int(gained[best]), n, max_drop, level * NUISANCE),
            reduced=float(1 - price[best]),
        )
    if proven.any():
        reason = (
            f"those that are proven cost {price[best]:.1%} of the last model alone or more, so that none is "
            "worth its use"
        )
    elif drop_p_value(0, 0, n, max_drop, delta * NUISANCE) > delta:
        reason = f"{n} questions are too few: a cascade that loses nothing on them would not be proven either"
    else:
        reason = "not even the strictest thresholds are proven to lose so little"
    return replace(choice, reason=reason)


def keep_promise(
    shares: Sequence[float], lost: np.ndarray, gained: np.ndarray, n: int, max_drop: float, delta: float
) -> np.ndarray:
    """(s,) bool: candidates proven to lose at most `max_drop`, all of them with probability 1 - delta.

    Args:
        shares: of delta, one for each sequence of len(GRID) candidates.
        lost: (s,) of n questions that only the last model gets right.
        gained: (s,) that only the cascade gets right.

    Raises:
        ValueError: max_drop or delta out of range.
    """
    if not 0 <= max_drop < 1:
        raise ValueError(f"max_drop is a share of one, 0 <= max_drop < 1 (0.01 is a point), found {max_drop}")
    if not 0 < delta < 1:
        raise ValueError(f"delta is a probability, 0 < delta < 1, found {delta}")
    proven = np.zeros(len(lost), bool)
    for i, share in enumerate(shares):
        level = delta * share
        for j in range(i * len(GRID), (i + 1) * len(GRID)):
            if drop_p_value(int(lost[j]), int(gained[j]), n, max_drop, level * NUISANCE) > level:
                break  # a fixed sequence ends with the first that is not rejected
            proven[j] = True
    return proven


@lru_cache(maxsize=100_000)
def drop_p_value(lost: int, gained: int, n: int, max_drop: float, spent: float) -> float:
    """A valid p-value of "more than max_drop is lost", from n questions.

    Let a loss be 1 with probability u, -1 with v, u - v = m the drop and u + v = d. A larger drop at the same
    d makes a small sum of losses less likely, so m = max_drop is the worst case. Where 2 d <= 1 + m^2,
    v + (1 - d) z + u z^2 has real roots: the sum of n losses, plus n, is that of two binomials of n, with
    probabilities of sum 1 + m and product u. Such a sum has its one mode within 1 of its mean (Darroch 1964),
    so the probability of a sum of at most x grows with d while x < floor((n - 1) m). Its largest value over
    all d up to the Clopper-Pearson bound, which fails with probability `spent`, is then that at the bound.

    Args:
        lost, gained: questions that only the last model, only the cascade gets right.

    Returns:
        That value plus `spent` (Berger and Boos 1994); 1 where the argument does not reach.
    """
    total, differ, m = lost - gained, lost + gained, max_drop
    bound = beta.ppf(1 - spent, differ + 1, n - differ) if differ < n else 1.0
    if bound < m:  # so rarely different that the drop cannot be so large
        return spent
    if total >= np.floor((n - 1) * m) or 2 * bound > 1 + m * m:
        return 1.0
    root = np.sqrt(1 + m * m - 2 * bound)
    low, high = (1 + m - root) / 2, min((1 + m + root) / 2, 1.0)
    reaches = n * low + 8 * np.sqrt(n * low) + 30  # above it are less than 1e-12 (Bernstein's inequality)
    k = np.arange(min(int(reaches), n, n + total) + 1)
    exactly = np.diff(bdtr(k, n, low), prepend=0.0)  # the probability of each k
    tail = exactly @ bdtr(np.minimum(total + n - k, n), n, high)
    return float(min(1.0, tail + 1e-12 + spent))


def candidates(
    traces: Sequence[Trace],
    accounting: str = "every-pass",
    with_pik: bool | None = None,
    sizes: Sequence[float] | None = None,
) -> Candidates:
    """Every candidate's losses and costs on the traces' questions; see `choose_thresholds`."""
    stages = check_stages(traces)
    k, n = len(stages), len(stages[0])
    if k < 2 or not n:
        raise ValueError(
            f"thresholds are chosen for two stages or more and some questions, found {k} and {n}"
        )
    has_pik = all(t.p_ik is not None for t in stages[:-1])
    for trace in stages[:-1]:
        if trace.p_t is None or (with_pik and trace.p_ik is None):
            lacks = "p_t" if trace.p_t is None else "p_ik"
            raise ValueError(
                f"{trace.model} has no {lacks}, which its threshold is on; record it, or leave it out"
            )
    used = has_pik if with_pik is None else with_pik
    pt, pik, shares = _sequences(k - 1, used)
    answering, reading = _prices(stages, sizes, used)  # (k, n), (k, n)
    cost.check_accounting(accounting)
    right = np.stack([t.correct for t in stages]).astype(np.int8)  # (k, n)
    loss, price = np.empty((len(pt), n), np.int8), np.empty((len(pt), n))
    for j, (theta_t, theta_ik) in enumerate(zip(pt, pik)):
        both = not np.isnan(theta_ik).any()
        inner = zip(stages, theta_t, theta_ik)
        stage = first_true([keeps(t.p_t, t.p_ik, a, b if both else None) for t, a, b in inner], n)
        loss[j] = right[-1] - np.choose(stage, right)
        charged = answering
        if accounting == "every-pass":
            charged = (answering + reading if both else answering).cumsum(0)
        price[j] = np.choose(stage, charged)
    return Candidates(pt, pik, loss, price, shares)


def _sequences(inner: int, with_pik: bool) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """(s, inner) thresholds on P(T) and on P(IK), NaN where it is left out, and the sequences' shares."""
    same = np.repeat(GRID[:, None], inner, axis=1)
    made, weights = [same], [1.0 if inner == 1 else 1 - STAGEWISE]
    for i in range(inner if inner > 1 else 0):
        one = same.copy()
        one[:, i] = expit(logit(GRID) + STRICTER)
        made.append(one)
        weights.append(STAGEWISE / inner)
    pt = np.concatenate(made)
    if not with_pik:
        return pt, np.full_like(pt, np.nan), weights
    pik = np.concatenate([np.full_like(pt, np.nan), pt])
    return np.concatenate([pt, pt]), pik, [w / 2 for w in weights * 2]


def _prices(
    stages: Sequence[Trace], sizes: Sequence[float] | None, with_pik: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(k, n) costs of a stage's pass and of reading its P(IK), as shares of the last model's pass."""
    sizes = cost.stage_sizes(stages) if sizes is None else list(sizes)
    if len(sizes) != len(stages) or not np.isfinite(sizes).all():
        raise ValueError(
            f"what is cheapest needs the {len(stages)} models' parameters, found {sizes}; pass them as sizes="
        )
    whole = cost.stage_compute(sizes[-1], 1)
    answering = np.stack([cost.stage_cost(t, size) for t, size in zip(stages, sizes)]) / whole
    reading = np.zeros_like(answering)
    if with_pik:
        reading[:-1] = np.stack([cost.probe_cost(t) for t in stages[:-1]]) / whole
    if np.isnan(reading).any():
        raise ValueError(
            "what reading P(IK) costs is not known, as a trace lacks its model's width (d_model); "
            "add it to the provenance, or pass with_pik=False"
        )
    return answering, reading
