"""The questions that make candidates and those that prove them, no question both.

The training questions make: gates, curves and routers are fitted on them, and candidates ordered by them. All
validation questions then prove. P(IK) as a study records it has been stopped and calibrated on the validation
questions, so none of these could prove a rule that reads it: here it comes from a probe that saw training
questions alone. Where a model's answers to the training questions are not on record, one half of the
validation questions makes and the other half proves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cclib.cascades import check_stages
from cclib.confidence.p_ik import PIK
from cclib.policies.gate import texts
from cclib.policies.readings import BY_TRAIN, Readings
from cclib.study import Study
from cclib.traces import Trace

FOLDS = 4  # of what is fitted and read on the same questions: each fold is read by a fit to the others
STOPPED = 5  # one in so many training questions stops and calibrates the probe that the others fit


@dataclass(frozen=True, eq=False)
class Evidence:
    """k models on n questions."""

    stages: list[Trace]  # k, rows matched
    readings: list[Readings]  # k

    def __len__(self) -> int:
        return len(self.stages[0])

    @property
    def right(self) -> np.ndarray:
        """(k, n) bool"""
        return np.stack([t.correct for t in self.stages])

    def take(self, rows: np.ndarray) -> Evidence:
        ids = self.stages[0].question_id[rows]
        return Evidence([t.select(ids) for t in self.stages], [r.take(rows) for r in self.readings])


def gather(study: Study) -> tuple[Evidence, Evidence, list[PIK | None], list[str]]:
    """What makes, what proves, a probe a stage (None: not at hand), and what was left out, and why.

    Raises:
        ValueError: fewer than two models, or one whose answers to the validation questions are not on record.
    """
    k = len(study.models)
    if k < 2:
        raise ValueError(f"a policy is chosen for two models or more, found {k} ({', '.join(study.models)})")
    validation, train = _part(study, "validation"), _part(study, "train")
    absent = [m for m, t in zip(study.models, validation) if t is None or not len(t)]
    if absent:
        raise ValueError(
            f"{', '.join(absent)}: no answers to validation questions are on record, and test questions "
            "cannot prove what they are to judge; record it with every model, the last one too"
        )
    notes: list[str] = []
    probes: list[PIK | None] = [None] * k
    for i in range(k - 1):
        try:
            train[i], validation[i], probes[i] = _with_p_ik(study, train[i], validation[i])
        except ValueError as error:
            notes.append(f"{study.models[i]}: P(IK) is left out: {error}")
    proving = matched(study, validation)
    unknown = [m for m, t in zip(study.models, train) if t is None or not len(t)]
    if not unknown:
        return matched(study, train), proving, probes, notes
    notes.append(
        f"{', '.join(unknown)}: no answers to training questions are on record, so one half of the "
        "validation questions makes the candidates and only the other half proves them"
    )
    order = np.random.default_rng(study.seed).permutation(len(proving))
    make, prove = (np.sort(half) for half in np.array_split(order, 2))
    return proving.take(make), proving.take(prove), probes, notes


def _part(study: Study, part: str) -> list[Trace | None]:
    return [None if (t := study.part(i, part)) is None else t.answered() for i in range(len(study.models))]


def matched(study: Study, traces: Sequence[Trace]) -> Evidence:
    """On the questions that every model has answered."""
    common = set.intersection(*(set(t.question_id) for t in traces))
    ids = [q for q in traces[0].question_id if q in common]
    stages = check_stages([t.select(ids) for t in traces])
    read = texts(study.questions_of(stages[0])) if study.live else None
    return Evidence(stages, [Readings.of(t, texts=read) for t in stages])


def _with_p_ik(study: Study, train: Trace | None, validation: Trace) -> tuple[Trace, Trace, PIK | None]:
    """Both traces with P(IK) of a probe that saw training questions alone, and the probe.

    Raises:
        ValueError: there are no hidden states, nor such a column.
    """
    if train is not None and train.column(BY_TRAIN) is not None and validation.column(BY_TRAIN) is not None:
        return train, validation, None
    if train is None or train.hidden is None or validation.hidden is None:
        raise ValueError(
            "the validation questions stopped and calibrated its probe, so they cannot prove a rule that "
            "reads it, and without hidden states there is no fitting another"
        )
    probe, p_ik = by_train_alone(train, study.seed)
    return (
        train.with_column(BY_TRAIN, p_ik),
        validation.with_column(BY_TRAIN, probe.probability(validation.hidden)),
        probe,
    )


def by_train_alone(train: Trace, seed: int = 0) -> tuple[PIK, np.ndarray]:
    """A probe that is fitted, stopped and calibrated on training questions, and (t,) P(IK) of them.

    Of the training questions themselves P(IK) comes from probes that have not seen them.

    Raises:
        ValueError: as `PIK.fit`.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    p_ik = np.empty(len(train))
    for fold in np.array_split(order, FOLDS):
        p_ik[fold] = _fit(train, np.setdiff1d(order, fold), seed).probability(train.hidden[fold])
    return _fit(train, np.sort(order), seed), p_ik


def _fit(train: Trace, rows: np.ndarray, seed: int) -> PIK:
    ids = train.question_id[rows]
    stops = np.arange(len(ids)) % STOPPED == 0
    return PIK.fit(train.select(ids[~stops]), train.select(ids[stops]), seed=seed)
