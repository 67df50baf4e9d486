"""A policy: which model is asked first, what keeps its answer, who is asked next. Plain data, and one rule.

The rule is `Policy.first` and `Policy.decide`. `Policy.run` applies it to traces; what answers live asks the
same two, with the readings of the questions at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cclib.cascades import Cascade, check_stages, passes
from cclib.policies import files
from cclib.policies.gate import texts
from cclib.policies.readings import Readings
from cclib.policies.stage import Condition as Condition
from cclib.policies.stage import Stage
from cclib.study import Study
from cclib.traces import Trace

ABSTAIN = -1  # what `decide` says where nobody answers


@dataclass(frozen=True, eq=False)
class Policy:
    """A rule for k stages, in the order in which they are asked."""

    family: str
    stages: tuple[Stage, ...]
    about: Mapping[str, Any] = field(
        default_factory=dict
    )  # the promise, the benchmark, versions: JSON's kinds

    @property
    def models(self) -> list[str]:
        return [stage.model for stage in self.stages]

    @property
    def name(self) -> str:
        return " → ".join(self.models)

    def first(self, alone: Readings) -> np.ndarray:
        """(n,) int, the stage that is asked first.

        Args:
            alone: what is known of the questions before any pass; lengths by the first stage's
                tokenizer.
        """
        place = np.full(alone.n, len(self.stages) - 1)
        for i, stage in reversed(list(enumerate(self.stages))):
            place[stage.start.holds(alone) if stage.start else slice(None)] = i
        return place

    def decide(self, stage: int, readings: Readings) -> np.ndarray:
        """(n,) int for questions that a stage has answered: its own index (kept), the next one's, ABSTAIN."""
        rule, n = self.stages[stage], readings.n
        kept = np.ones(n, bool)
        for condition in rule.keep:
            kept &= condition.holds(readings)
        if stage == len(self.stages) - 1:
            return np.where(kept, stage, ABSTAIN)
        further = np.where(rule.hope.holds(readings), stage + 1, ABSTAIN) if rule.hope else stage + 1
        return np.where(kept, stage, further)

    def steps(
        self, alone: Readings, decide: Callable[[int, np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take n questions through the stages.

        Args:
            alone: as `first` takes it.
            decide: given a stage and the places of the questions that reach it, what `Policy.decide` says
                of them.

        Returns:
            (n,) int, the last stage that was asked; (k, n) bool, it was asked; (n,) bool, nobody answered.
        """
        at = self.first(alone)
        ran, abstained = np.zeros((len(self.stages), alone.n), bool), np.zeros(alone.n, bool)
        for i in range(len(self.stages)):
            ran[i] = (at == i) & ~abstained
            reached = np.flatnonzero(ran[i])
            if len(reached):
                go_on = decide(i, reached)
                abstained[reached] = go_on == ABSTAIN
                at[reached] = np.maximum(go_on, i)
        return at, ran, abstained

    def run(self, traces: Sequence[Trace], read: Sequence[str] | None = None) -> Run:
        """Apply the policy to k traces of one question set, in the order of its stages.

        Args:
            read: n, what a router reads of each question; see `cclib.policies.gate.texts`.

        Raises:
            ValueError: traces of other models or other questions, or one that lacks what the policy reads.
        """
        stages = check_stages(traces)
        if len(stages) != len(self.stages):
            raise ValueError(
                f"this policy has {len(self.stages)} stages, {self.name}; found {len(stages)} traces"
            )
        for trace, stage in zip(stages, self.stages):
            stage.check(trace.provenance)
        readings = [
            Readings.of(t, s.probe if s.reads_p_ik and t.hidden is not None else None, read)
            for t, s in zip(stages, self.stages)
        ]
        return self.follow(stages, readings)

    def follow(self, stages: list[Trace], readings: Sequence[Readings]) -> Run:
        """The same from readings that are at hand, in the order of the stages and with rows matched."""
        at, ran, abstained = self.steps(
            readings[0], lambda stage, reached: self.decide(stage, readings[stage])[reached]
        )
        return Run(stages, at, (), (), self, ran, abstained, tuple(readings))

    def of(self, study: Study, part: str = "test") -> Run:
        """Apply the policy to a part of a study: "train", "validation" or "test".

        Raises:
            ValueError: the study lacks one of the models, or their answers to that part.
        """
        absent = [m for m in self.models if m not in study.models]
        if absent:
            raise ValueError(
                f"this policy asks {absent}, and the study has {study.models}; load one with all of them"
            )
        traces = [study.part(study.models.index(m), part) for m in self.models]
        lacks = [m for m, t in zip(self.models, traces) if t is None]
        if lacks:
            raise ValueError(
                f"{', '.join(lacks)}: no answers to the {part} part are on record; record them first"
            )
        questions = study.questions_of(traces[0]) if study.live else None
        return self.run(traces, None if questions is None else texts(questions))

    def save(self, path: str | Path) -> None:
        """Write it as JSON that can be read, and its learned weights beside it; see `cclib.policies.files`.

        Raises:
            ValueError: the path does not end in .json.
        """
        files.write(Path(path), self.family, self.stages, self.about)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read what `save` wrote. No code is in it, so none is run.

        Raises:
            FileNotFoundError: it, or the weights beside it, are not there.
            ValueError: it is damaged, of another version, or no policy.
        """
        return cls(*files.read(Path(path)))

    def with_about(self, **more: Any) -> Policy:
        return replace(self, about={**self.about, **more})


@dataclass(frozen=True)
class Run(Cascade):
    """What a policy made of n questions: a `Cascade` whose stages may be skipped, stop early, not answer."""

    policy: Policy
    asked: np.ndarray  # (k, n) bool
    abstained: np.ndarray  # (n,) bool, nobody answered; `stage` is the last that was asked
    readings: tuple[Readings, ...] = field(repr=False)
    stops: ClassVar[bool] = True

    @property
    def ran(self) -> np.ndarray:
        """(k, n) bool: the stage was asked"""
        return self.asked

    @cached_property
    def correct(self) -> np.ndarray:
        """(n,) bool; what nobody answered is not right"""
        return np.choose(self.stage, [t.correct for t in self.stages]) & ~self.abstained

    @property
    def stage_counts(self) -> np.ndarray:
        """(k,) questions answered by each stage, fewer than all where the policy abstains"""
        return np.bincount(self.stage[~self.abstained], minlength=len(self.stages))

    @cached_property
    def deciding(self) -> np.ndarray:
        """(k, n) FLOPs of gates where a stage was asked; at the first stage those of the router, always"""
        out = np.zeros(self.ran.shape)
        for i, (stage, readings) in enumerate(zip(self.policy.stages, self.readings)):
            scores = {c.score for role, _, c in stage.conditions() if role != "start"}
            out[i] += self.ran[i] * sum((s.flops(readings) for s in scores), np.zeros(readings.n))
            if stage.start is not None:
                out[0] += stage.start.score.flops(self.readings[0])
        return out

    @cached_property
    def read(self) -> np.ndarray:
        """(k, n) bool: P(IK) was read"""
        return self.ran & np.array([[s.reads_p_ik] for s in self.policy.stages])

    @cached_property
    def left_early(self) -> np.ndarray:
        """(k, n) bool: the pass ended at the probe's layer"""
        out = np.zeros_like(self.ran)
        for i, (stage, readings) in enumerate(zip(self.policy.stages, self.readings)):
            if stage.leaves and stage.p_ik_threshold is not None:
                out[i] = self.ran[i] & ~passes(readings.p_ik, stage.p_ik_threshold)
        return out
