"""What is proven: the order of candidates, their p-values, and how many questions they need.

Candidates of a group come in an order that the making questions fix, from the safest on. They also say
which group promises most, over all families. That one alone is tested on the proving questions, up to its
first candidate that is not rejected: fixed-sequence testing along an estimated Pareto front
(Laufer-Goldshtein et al. 2023), in the frame of Learn then Test (Angelopoulos et al. 2021). What the making
questions choose takes nothing of delta, and the promise covers that choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from cclib.policies.charges import Charges
from cclib.policies.evidence import Evidence
from cclib.policies.families import Group
from cclib.policies.policy import Policy
from cclib.thresholds import NUISANCE, drop_p_value

STEPS = 50  # of cost, from nothing to the last model's or the budget
FEWEST = 10**7  # more questions than anybody has
EQUAL = 1e-12
Proven = tuple[Policy, "Measured", float]  # with its p-value


@dataclass(frozen=True)
class Target:
    """What is to be proven, with probability 1 - delta."""

    max_drop: float  # accuracy that may be lost against the last model
    max_cost: float | None  # in its place: what may be spent, as a share of the last model alone
    price: float  # of an abstention, where a wrong answer costs one

    def allows(self, made: Measured) -> bool:
        """Whether the questions that were measured keep to it, at less than the last model costs."""
        if self.max_cost is not None:
            return made.cost <= self.max_cost + EQUAL
        return made.drop <= self.max_drop + EQUAL and made.cost < 1

    def p_value(self, made: Measured, level: float) -> float:
        """Of the hypothesis that the target is missed, to be compared with a level."""
        if self.max_cost is not None:
            budget = self.max_cost * made.reference  # (n,)
            high = made.most - budget.min()
            return betting_p_value(made.spent - budget, 0.0, -budget.max(), high, level)
        if made.abstains:
            return betting_p_value(made.loss, self.max_drop, -1.0, 1.0, level)
        return drop_p_value(made.lost, made.gained, len(made.loss), self.max_drop, level * NUISANCE)

    def foreseen(self, made: Measured, n: int, level: float) -> float:
        """About how likely n more questions prove it: both they and those that were measured are a draw."""
        if self.max_cost is not None:
            x, limit = made.spent - self.max_cost * made.reference, 0.0
        else:
            x, limit = made.loss, self.max_drop
        m = len(x)
        spread = np.sqrt(x.var() + (1 / m if self.max_cost is None else 0)) + 1e-12  # one more that differs
        away = (limit - x.mean()) / spread + ndtri(level) / np.sqrt(n)
        return float(ndtr(away / np.sqrt(1 / n + 1 / m)))

    def worth(self, made: Measured) -> float:
        """What is to be large: what is saved, or in a budget the accuracy above the last model's."""
        return 1 - made.cost if self.max_cost is None else -made.drop


@dataclass(frozen=True, eq=False)
class Measured:
    """What a policy does with n questions."""

    loss: np.ndarray  # (n,) what it loses against the last model: 1, 0, -1; between, where it abstains
    spent: np.ndarray  # (n,)
    reference: np.ndarray  # (n,) spent by the last model alone
    most: float  # that a question can cost: every pass of every stage, of the dearest question on record
    abstains: bool

    @cached_property
    def lost(self) -> int:
        return int((self.loss > 0).sum())

    @cached_property
    def gained(self) -> int:
        return int((self.loss < 0).sum())

    @cached_property
    def drop(self) -> float:
        return float(self.loss.mean())

    @cached_property
    def cost(self) -> float:
        """As a share of the last model alone."""
        return float(self.spent.mean() / self.reference.mean())


def measure(policy: Policy, members: Sequence[int], on: Evidence, charges: Charges, price: float) -> Measured:
    """A policy of some of the stages on the evidence, against the last model there is."""
    run = policy.follow([on.stages[i] for i in members], [on.readings[i] for i in members])
    loss = on.stages[-1].correct.astype(float) - run.correct
    if run.abstained.any():
        loss = loss - (1 - price) * run.abstained
    spent = charges.of(run, members)
    most = (charges.passes[list(members)] + charges.reading[list(members)]).sum(axis=0).max()
    return Measured(loss, spent, charges.reference, max(most, spent.max()), bool(run.abstained.any()))


def betting_p_value(x: np.ndarray, mean: float, low: float, high: float, level: float) -> float:
    """A valid p-value of "the mean of x is larger than `mean`", for any x between low and high.

    A bet on each value in turn, at stakes fixed by those before it, multiplies a capital that grows beyond
    1 / p with probability p at most where the hypothesis holds (Waudby-Smith and Ramdas 2024). The questions
    are shuffled first, for they may come by subject.
    """
    if high <= mean:
        return 0.0
    y = (np.random.default_rng(0).permutation(x) - low) / (high - low)
    m, n = (mean - low) / (high - low), len(y)
    t = np.arange(1, n + 1)
    means = (0.5 + y.cumsum()) / (t + 1)
    spread = (0.25 + ((y - means) ** 2).cumsum()) / (t + 1)
    before = np.r_[0.25, spread[:-1]]  # what was known when the stake was laid
    stake = np.minimum(np.sqrt(2 * np.log(1 / level) / (n * before)), 0.75 / max(1 - m, 1e-12))
    capital = np.log1p(stake * (m - y)).cumsum()
    return float(min(1.0, np.exp(-capital.max())))


def ladder(drop: np.ndarray, cost: np.ndarray, target: Target, strict: bool) -> np.ndarray:
    """Places of the candidates worth testing, the safest first: of those that cost alike the most accurate.

    A budget is safest at the cheapest, a drop at the dearest that is still cheaper than the last model.

    Args:
        strict: leave out what a cheaper one is as accurate as: fewer tests, from a less safe start.
    """
    limit = 1.0 if target.max_cost is None else target.max_cost
    worth = np.flatnonzero((cost < limit) if target.max_cost is None else (cost <= limit))
    step = np.floor(STEPS * cost[worth] / limit)
    order = worth[np.lexsort((cost[worth], drop[worth], step))]
    first = np.r_[True, np.diff(np.floor(STEPS * cost[order] / limit)) > 0][: len(order)]
    order = order[first]  # the cheapest first
    if strict:
        order = order[drop[order] < np.minimum.accumulate(np.r_[np.inf, drop[order]])[:-1]]
    return order if target.max_cost is not None else order[::-1]


@dataclass(frozen=True, eq=False)
class Path:
    """A group's candidates in the order of their tests, with what the making questions say of each."""

    group: Group
    order: np.ndarray  # places in the group
    made: list[Measured]  # by place in the order

    @classmethod
    def both(cls, group: Group, making: Evidence, charges: Charges, target: Target) -> list[Path]:
        """The two orders of a group's candidates that may be tested, of which the more promising is."""
        made = [measure(p, group.members, making, charges, target.price) for p in group.policies]
        drop, cost = (np.array([getattr(m, what) for m in made]) for what in ("drop", "cost"))
        orders = [ladder(drop, cost, target, strict) for strict in (False, True)]
        return [cls(group, order, [made[j] for j in order]) for order in orders]

    def worth(self, target: Target, n: int, level: float) -> float:
        """What n proving questions may be expected to bring, by the making questions: see `Target.worth`."""
        chances = np.minimum.accumulate([target.foreseen(m, n, level) for m in self.made] or [0.0])
        values = [target.worth(m) for m in self.made] or [0.0]
        base = 0.0 if target.max_cost is None else min(values)  # where nothing is proven
        return float(-np.diff(chances, append=0.0) @ (np.array(values) - base))

    def proven(self, proving: Evidence, charges: Charges, target: Target, level: float) -> list[Proven]:
        """The candidates that the proving questions prove at a level, with their p-values."""
        found = []
        for j in self.order:
            policy = self.group.policies[j]
            made = measure(policy, self.group.members, proving, charges, target.price)
            p = target.p_value(made, level)
            if p > level:
                break
            found.append((policy, made, p))
        return found


def most_promising(paths: list[Path], target: Target, n: int, delta: float) -> Path:
    """The one path that is tested on n questions, chosen before they are looked at."""
    return max(paths, key=lambda path: path.worth(target, n, delta))


def best_of(found: list[Proven], target: Target) -> Proven | None:
    """The cheapest that is proven, if cheaper than the last model; in a budget, the most accurate."""
    if target.max_cost is not None:
        return min(found, key=lambda one: one[1].drop, default=None)
    cheaper = [one for one in found if one[1].cost < 1]
    return min(cheaper, key=lambda one: one[1].cost, default=None)


def fewest_questions(max_drop: float, level: float) -> int | None:
    """How many prove a policy that differs from the last model on none of them; None: no number does."""
    if max_drop <= 0:
        return None

    def proves(n: int) -> bool:
        return drop_p_value(0, 0, n, max_drop, level * NUISANCE) <= level

    low, high = 0, 1
    while not proves(high):
        low, high = high, 2 * high
        if high > FEWEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high
