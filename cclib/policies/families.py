"""The candidates: policies of every family, over every chain of a study's models, made on the evidence.

Thresholds lie at quantiles of a score, so that each step of a grid keeps as many questions more. Learned
scores of the questions that made them are out of fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product

import numpy as np

from cclib.confidence.p_ik import PIK
from cclib.names import is_api
from cclib.policies import gate, scores
from cclib.policies.evidence import FOLDS, Evidence
from cclib.policies.policy import Policy
from cclib.policies.readings import RECORDED
from cclib.policies.scores import Score
from cclib.policies.stage import Condition, Stage

ONE_MODEL, PAPER, ONE_SCORE = "one model", "the paper's rule", "one score"
GATE, ROUTER, BOTH = "learned gate", "router", "router, then a cascade"
CHAIN, STOPS, ABSTAINS = "chain of three or more", "stopping early", "abstaining"
FAMILIES = (ONE_MODEL, PAPER, ONE_SCORE, GATE, ROUTER, BOTH, CHAIN, STOPS, ABSTAINS)
FINE, COARSE = 60, 16  # thresholds where one is varied, and each of two


@dataclass(frozen=True)
class Group:
    """Candidates of one family and chain that differ in their thresholds alone."""

    family: str
    members: tuple[int, ...]  # stages of the study, in the order asked
    scores: str
    policies: list[Policy]


class Maker:
    """Candidates of a study's models from the questions that make them."""

    def __init__(
        self, models: Sequence[str], making: Evidence, probes: Sequence[PIK | None], price: float | None
    ) -> None:
        self.making, self.price = making, price
        self.base = [Stage.of(m, t.provenance, p) for m, t, p in zip(models, making.stages, probes)]
        self.fold = np.random.default_rng(0).permutation(len(making)) % FOLDS
        self.made: dict[tuple, Score | None] = {}

    def score(self, kind: str, stage: int, end: int = -1) -> Score | None:
        """A score of a stage's readings, against the last stage of its chain; None where it cannot be had."""
        learned = kind in ("gain", "route")
        key = (kind, stage, end) if learned else (kind, stage)
        if key not in self.made:
            self.made[key] = self._learned(kind, stage, end) if learned else self._plain(kind, stage)
        return self.made[key]

    def _plain(self, kind: str, stage: int) -> Score | None:
        readings, trace = self.making.readings[stage], self.making.stages[stage]
        if kind in RECORDED:
            return None if readings.recorded(kind) is None else Score(kind)
        if kind == "isotonic":
            return None if readings.p_t is None else scores.isotonic(readings.p_t, trace.correct)
        answer = trace.column("answer")
        if readings.option_probs is None or answer is None:
            return None
        return scores.temperature(readings.option_probs, answer.astype(int))

    def _learned(self, kind: str, stage: int, end: int) -> Score | None:
        readings, right = self.making.readings[stage], self.making.right
        known = gate.BEFORE if kind == "route" else gate.AFTER
        if kind == "route" and is_api(self.making.stages[stage].provenance.get("model")):
            known = tuple(f for f in known if f != "length")  # an API tells it with its answer
        features = gate.available(known, [readings])
        answered = {*features} - {*gate.BEFORE}
        if not features or (kind != "route" and not answered):
            return None
        fit = partial(scores.learned, kind, features)
        found = fit(readings, right[stage], right[end])
        hope = replace(found, kind="hope")  # the same weights, read otherwise
        # a router is read before any pass, with what the chain's first stage knows of a question
        read_with = self.making.readings[: stage + 1] if kind == "route" else [readings]
        held_out = np.empty((len(read_with), 2, readings.n))
        for i in range(FOLDS):
            there, here = np.flatnonzero(self.fold != i), np.flatnonzero(self.fold == i)
            held = fit(readings.take(there), right[stage][there], right[end][there])
            for known, values in zip(read_with, held_out):
                rest = known.take(here)
                values[:, here] = held.of(rest), replace(held, kind="hope").of(rest)
        for known, values in zip(read_with, held_out):
            known.known[found], known.known[hope] = values
        self.made["hope", stage, end] = hope
        return found

    def thresholds(self, score: Score, stage: int, n: int) -> np.ndarray:
        """At most n thresholds, the strictest first: from hardly any question kept to all that are known."""
        x = score.of(self.making.readings[stage])
        x = x[~np.isnan(x)]
        return np.unique(np.quantile(x, np.linspace(0, 1, n + 1)[:-1]))[::-1] if len(x) else np.empty(0)

    def policy(self, family: str, members: Sequence[int], **rules: Sequence) -> Policy:
        """A policy from each stage's `keep`, `start` or `hope`, those of the first stages that are given."""
        stages = [replace(self.base[i]) for i in members]
        for name, given in rules.items():
            stages[: len(given)] = [replace(s, **{name: rule}) for s, rule in zip(stages, given)]
        stages = [s if s.reads_p_ik else replace(s, probe=None) for s in stages]
        return Policy(family, tuple(stages))

    def groups(self) -> Iterator[Group]:
        """All candidates; a family that cannot be had here has none."""
        k = len(self.base)
        for i in range(k):
            yield Group(ONE_MODEL, (i,), "", [self.policy(ONE_MODEL, (i,))])
        for a, b in combinations(range(k), 2):
            yield from self._pair((a, b))
        for members in (c for size in range(3, k + 1) for c in combinations(range(k), size)):
            yield from self._chain(members)

    def _pair(self, members: tuple[int, int]) -> Iterator[Group]:
        at, end = members
        grid = partial(self.thresholds, stage=at)
        route, gain = (self.score(kind, at, end) for kind in ("route", "gain"))  # hope is the later one's
        for kind in ("P(T)", "P(IK)", "margin", "certainty", "mass", "isotonic", "temperature"):
            score = self.score(kind, at)
            if score is not None:
                family = PAPER if kind == "P(T)" and self.score("P(IK)", at) is None else ONE_SCORE
                keep = [[(Condition(score, x),)] for x in grid(score, n=FINE)]
                yield self._group(family, members, kind, [{"keep": k} for k in keep])
                if kind == "P(IK)":
                    yield self._group(STOPS, members, kind, [{"keep": k, "leaves": [True]} for k in keep])
        if (t := self.score("P(T)", at)) and (ik := self.score("P(IK)", at)):
            cells = list(product(grid(ik, n=COARSE), grid(t, n=COARSE)))
            both = [[(Condition(ik, x), Condition(t, y))] for x, y in [*cells, (0.5, 0.9)]]
            yield self._group(PAPER, members, "P(T), P(IK)", [{"keep": k} for k in both])
            yield self._group(STOPS, members, "P(T), P(IK)", [{"keep": k, "leaves": [True]} for k in both])
        if gain:
            keep = [[(Condition(gain, x),)] for x in grid(gain, n=FINE)]
            yield self._group(GATE, members, "gain", [{"keep": k} for k in keep])
        if route:
            start = [[Condition(route, x)] for x in grid(route, n=FINE)]
            yield self._group(ROUTER, members, "route", [{"start": s} for s in start])
        if route and gain:
            cells = product(grid(route, n=COARSE), grid(gain, n=COARSE))
            made = [{"start": [Condition(route, x)], "keep": [(Condition(gain, y),)]} for x, y in cells]
            yield self._group(BOTH, members, "route, gain", made)
        if gain and self.price is not None:
            yield self._abstaining(members, gain, self.made["hope", at, end])

    def _abstaining(self, members: tuple[int, int], gain: Score, hope: Score) -> Group:
        """Answers that are kept, questions likely beyond both models, the last's unsure answers."""
        at, end = members
        right = self.score("isotonic", end)
        last = [()] if right is None else [(), (Condition(right, 1 - self.price),)]
        cells = product(
            self.thresholds(gain, at, COARSE), [-np.inf, *self.thresholds(hope, at, COARSE)[::-1]], last
        )
        made = [
            {"keep": [(Condition(gain, x),), z], "hope": [Condition(hope, y) if y > -np.inf else None]}
            for x, y, z in cells
        ]
        return self._group(ABSTAINS, members, "gain, hope", made)

    def _chain(self, members: tuple[int, ...]) -> Iterator[Group]:
        inner, end = members[:-1], members[-1]
        for kinds in (("P(T)",), ("isotonic",), ("gain",), ("P(IK)", "P(T)")):
            held = [[self.score(kind, i, end) for kind in kinds] for i in inner]
            if any(s is None for stage in held for s in stage):
                continue
            made, n = [], COARSE
            ladders = [list(zip(*(self.thresholds(s, i, n) for s in h))) for i, h in zip(inner, held)]
            for place in _places([len(ladder) for ladder in ladders]):
                at = [ladder[j] for ladder, j in zip(ladders, place)]
                keep = [tuple(Condition(s, x) for s, x in zip(h, xs)) for h, xs in zip(held, at)]
                made.append({"keep": keep})
            name = ", ".join(sorted(kinds, reverse=True))
            yield self._group(PAPER if len(kinds) > 1 else CHAIN, members, name, made)
        routes, gains = ([self.score(kind, i, end) for i in inner] for kind in ("route", "gain"))
        if all(routes) and all(gains):
            steps = [[self.thresholds(s[0], inner[0], COARSE)] for s in (routes, gains)]
            made = [
                {
                    "start": [Condition(r, x) for r in routes],
                    "keep": [(Condition(g, y),) for g in gains],
                }  # gains are on one scale at every stage, so one threshold does for all
                for x, y in product(steps[0][0], steps[1][0])
            ]
            yield self._group(BOTH, members, "route, gain", made)

    def _group(self, family: str, members: Sequence[int], kinds: str, rules: list[dict]) -> Group:
        return Group(family, tuple(members), kinds, [self.policy(family, members, **r) for r in rules])


def _places(lengths: Sequence[int]) -> list[tuple[int, ...]]:
    """Steps of each stage's ladder: all pairs for two, else all at one step, or one some steps off."""
    if len(lengths) == 2:
        return list(product(*map(range, lengths)))
    made = []
    for step, off in product(range(max(lengths)), (0, -3, 3)):
        for odd in range(len(lengths) if off else 1):
            place = [step + off * (i == odd) for i in range(len(lengths))]
            made.append(tuple(int(np.clip(p, 0, n - 1)) for p, n in zip(place, lengths)))
    return list(dict.fromkeys(made))
