"""What is proven: the order of candidates, their p-values, and how many questions they need.

Candidates of a group come in an order that the making questions fix, from the safest on, and are tested
on the proving questions at the group's level up to the first that is not rejected: fixed-sequence testing
along a Pareto front (Laufer-Goldshtein et al. 2023), in the frame of Learn then Test (Angelopoulos et al.
2021). The making questions also choose which groups are tested, and their shares of delta, so the promise
covers that choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import norm

from cclib.policies.charges import Charges
from cclib.policies.evidence import Evidence
from cclib.policies.families import Group
from cclib.policies.policy import Policy
from cclib.thresholds import NUISANCE, drop_p_value

SHARES = (0.6, 0.25, 0.15)  # of delta, for the groups that promise most on the making questions
FEWEST = 10**7  # more questions than anybody has


@dataclass(frozen=True)
class Target:
    """What is to be proven, with probability 1 - delta."""

    max_drop: float  # accuracy that may be lost against the last model
    max_cost: float | None  # in its place: what may be spent, as a share of the last model alone
    price: float  # of an abstention, where a wrong answer costs one

    def p_value(self, made: Measured, level: float) -> float:
        """Of the hypothesis that the target is missed, to be compared with a level."""
        if self.max_cost is not None:
            budget = self.max_cost * made.reference  # (n,)
            high = made.most - budget.min()
            return betting_p_value(made.spent - budget, 0.0, -budget.max(), high, level)
        if made.abstains:
            return betting_p_value(made.loss, self.max_drop, -1.0, 1.0, level)
        return drop_p_value(made.lost, made.gained, len(made.loss), self.max_drop, level * NUISANCE)

    def foreseen(self, made: Measured, n: int, level: float) -> bool:
        """Whether n questions like those that were measured would prove it."""
        if self.max_cost is not None:
            x, limit = made.spent - self.max_cost * made.reference, 0.0
        elif made.abstains:
            x, limit = made.loss, self.max_drop
        else:
            lost, gained = (round(c * n / len(made.loss)) for c in (made.lost, made.gained))
            return drop_p_value(lost, gained, n, self.max_drop, level * NUISANCE) <= level
        return bool(x.mean() + norm.isf(level) * max(x.std(), 1e-12) / np.sqrt(n) <= limit)


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


def front(drop: np.ndarray, cost: np.ndarray, target: Target) -> np.ndarray:
    """Places of the candidates worth testing, the safest first: each loses less than all that are cheaper."""
    order = np.lexsort((drop, cost))
    best = np.minimum.accumulate(np.r_[np.inf, drop[order][:-1]])
    kept = order[drop[order] < best]  # the cheapest first, each loses less than all before it
    if target.max_cost is not None:
        return kept[cost[kept] <= target.max_cost]
    return kept[(cost[kept] < 1) & (drop[kept] < max(target.max_drop, 1e-12))][::-1]


@dataclass(frozen=True, eq=False)
class Path:
    """A group's candidates in the order of their tests, with what the making questions say of each."""

    group: Group
    order: np.ndarray  # places in the group
    made: list[Measured]  # by place in the order

    @classmethod
    def of(cls, group: Group, making: Evidence, charges: Charges, target: Target) -> Path:
        made = [measure(p, group.members, making, charges, target.price) for p in group.policies]
        order = front(np.array([m.drop for m in made]), np.array([m.cost for m in made]), target)
        return cls(group, order, [made[j] for j in order])

    def reach(self, target: Target, n: int, level: float) -> Measured | None:
        """The last candidate that n questions would prove, by what the making questions say."""
        found = None
        for made in self.made:
            if not target.foreseen(made, n, level):
                break
            found = made
        return found

    def worth(self, target: Target, n: int, level: float) -> float:
        """What its last candidate that would be proven saves; in a budget, what it gains in accuracy."""
        found = self.reach(target, n, level)
        if found is None:
            return -np.inf
        return -found.drop if target.max_cost is not None else 1 - found.cost

    def proven(
        self, proving: Evidence, charges: Charges, target: Target, level: float
    ) -> list[tuple[Policy, Measured, float]]:
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
