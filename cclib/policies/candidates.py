"""A study's candidates with the questions that make, prove and judge them: made once, for any target."""

from __future__ import annotations

from dataclasses import dataclass

from cclib.confidence.p_ik import PIK
from cclib.policies.evidence import Evidence, gather, matched, read_by, rows_for
from cclib.policies.families import Group, Maker
from cclib.study import Study


@dataclass(frozen=True, eq=False)
class Candidates:
    """What `choose_policy` chooses from; give it in the study's place to choose more than once."""

    study: Study
    making: Evidence
    proving: Evidence
    probes: list[PIK | None]
    notes: tuple[str, ...]  # what was left out, and why
    maker: Maker
    groups: list[Group]
    share: float | None = None  # of the questions that prove, where one was given

    @classmethod
    def of(cls, study: Study, abstention: float | None = None, proving: float | None = None) -> Candidates:
        """Candidates of every family; see `choose_policy` for the arguments and what is raised."""
        making, prove, probes, notes = gather(study, proving)
        maker = Maker(study.models, making, probes, abstention)
        return cls(study, making, prove, probes, tuple(notes), maker, list(maker.groups()), proving)

    def rows(self, n: int) -> int | None:
        """How many rows of a table it takes for n questions to prove; None where the study is replayed."""
        return rows_for(n, self.study, self.making, self.share) if self.study.live else None

    @property
    def judging(self) -> Evidence:
        """The test questions, which neither made nor proved anything."""
        tests = zip(self.study.test, self.probes)
        stages = [t if p is None else read_by(p, t) for t, p in tests]
        return matched(self.study, stages)
