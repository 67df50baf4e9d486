"""The questions that make candidates and those that prove them, no question both.

The training questions make: gates, curves and routers are fitted on them, and candidates ordered by them. All
validation questions then prove. P(IK) as a study records it has been stopped and calibrated on the validation
questions, so none of these could prove a rule that reads it: here it comes from a probe that saw training
questions alone. Where a model's answers to the training questions are not on record, one half of the
validation questions makes and the other half proves. Another share of all may prove, where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import pyarrow as pa

from cclib.cascades import check_stages
from cclib.confidence.p_ik import PIK
from cclib.names import is_api
from cclib.policies.gate import texts
from cclib.policies.readings import BY_TRAIN, Readings
from cclib.study import TRAIN_QUESTIONS, Study
from cclib.traces import Trace

FOLDS = 4  # of what is fitted and read on the same questions: each fold is read by a fit to the others
TENTH, HALF = 0.1, 0.5
FEWEST = 20  # make candidates: each fit to three folds then has some to stop at
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


def gather(
    study: Study, share: float | None = None
) -> tuple[Evidence, Evidence, list[PIK | None], list[str]]:
    """What makes, what proves, a probe a stage (None: not at hand), and what was left out, and why.

    Args:
        share: of the training and validation questions, which then proves; None: the validation questions.

    Raises:
        ValueError: fewer than two models, one whose answers to the validation questions are not on record,
            or a share that leaves nothing to make candidates, or to prove them.
    """
    k = len(study.models)
    if k < 2:
        raise ValueError(f"a policy is chosen for two models or more, found {k} ({', '.join(study.models)})")
    validation, train = _part(study, "validation"), _part(study, "train")
    absent = _lacking(study.models, validation)
    if absent:
        raise ValueError(
            f"{', '.join(absent)}: no answers to validation questions are on record, and test questions "
            "cannot prove what they are to judge; record it with every model, the last one too"
        )
    notes: list[str] = []
    unknown = _lacking(study.models, train)
    if share is not None and not unknown:
        train, validation = _divided(train, validation, share, study.seed)
    if not unknown:
        _check_enough(min(map(len, train)))
    probes: list[PIK | None] = [None] * k
    for i in range(k - 1):
        try:
            train[i], validation[i], probes[i] = with_p_ik(study, train[i], validation[i])
        except ValueError as error:
            notes.append(f"{study.models[i]}: P(IK) is left out: {error}")
    proving = matched(study, validation)
    if not unknown:
        return matched(study, train), proving, probes, notes
    share = HALF if share is None else share
    notes.append(
        f"{', '.join(unknown)}: no answers to training questions are on record, so "
        f"{share:.0%} of the validation questions prove, and the others make the candidates"
    )
    make, prove = _cut(len(proving), share, study.seed)
    _check_enough(len(make))
    return proving.take(make), proving.take(prove), probes, notes


def rows_for(n: int, study: Study, making: Evidence, share: float | None) -> int:
    """Rows of a table of which n questions prove: `split` makes a tenth validation questions, a tenth test.

    Of the rest a study takes no more than so many, so that a share of all but the tests grows slower then.
    """
    if {*making.stages[0].question_id} <= {*study.source.parts["validation"]}:
        return ceil(n / (TENTH * (HALF if share is None else share)))
    if share is None:
        return ceil(n / TENTH)
    rows = n / (share * (1 - TENTH))
    return ceil(rows if rows * (1 - 2 * TENTH) <= TRAIN_QUESTIONS else (n / share - TRAIN_QUESTIONS) / TENTH)


def _check_enough(making: int) -> None:
    if making < FEWEST:
        raise ValueError(
            f"too few questions to make candidates of: {FEWEST} are needed, found {making}; give more"
        )


def _lacking(models: Sequence[str], traces: Sequence[Trace | None]) -> list[str]:
    return [m for m, t in zip(models, traces) if t is None or not len(t)]


def _cut(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of those of n questions that make, and of the share that proves, at random."""
    proving = round(share * n)
    if not 0 < proving < n:
        raise ValueError(
            f"{share:.0%} of {n} questions leave {n - proving} to make candidates and {proving} to prove "
            "them; both need some: give more questions"
        )
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[: n - proving]), np.sort(order[n - proving :])


def _divided(
    train: Sequence[Trace], validation: Sequence[Trace], share: float, seed: int
) -> tuple[list[Trace], list[Trace]]:
    """Both parts' answers divided anew; P(IK) that is on record has seen some of either, and is dropped."""
    whole = []
    for one, two in zip(train, validation):
        both = [c for c in one.table.column_names if c in two.table.column_names and c != BY_TRAIN]
        tables = [t.table.select(both) for t in (one, two)]
        whole.append(Trace(pa.concat_tables(tables, promote_options="permissive"), one.provenance))
    common = set.intersection(*(set(t.question_id) for t in whole))
    ids = np.array([q for q in whole[0].question_id if q in common])
    make, prove = _cut(len(ids), share, seed)
    return [t.select(ids[make]) for t in whole], [t.select(ids[prove]) for t in whole]


def ask_endpoints(study: Study) -> Study:
    """The study with the answers of models behind an API to its training and validation questions too.

    They are asked, and billed, now, within their budget; what is on record is not asked again.
    """
    found = {"train": [*study.train], "validation": [*study.validation]}
    for part, traces in found.items():
        for i, name in enumerate(study.source.names):
            if study.live and is_api(name) and traces[i] is None:
                traces[i] = _record(study, i, part)
    return replace(study, **found)


def _part(study: Study, part: str) -> list[Trace | None]:
    traces = [study.part(i, part) for i in range(len(study.models))]
    for i, trace in enumerate(traces):
        if trace is None and study.runs(i):  # a study without a probe keeps no answers but the test part's
            traces[i] = _record(study, i, part)
    return [t and t.answered() for t in traces]


def _record(study: Study, stage: int, part: str) -> Trace | None:
    """A stage's answers to a part, on record or asked now; None where the part has no questions."""
    asked = [study.all_questions[q] for q in study.source.parts[part]]
    return study.record(stage, asked) if asked else None


def matched(study: Study, traces: Sequence[Trace]) -> Evidence:
    """On the questions that every model has answered."""
    common = set.intersection(*(set(t.question_id) for t in traces))
    ids = [q for q in traces[0].question_id if q in common]
    stages = check_stages([t.select(ids) for t in traces])
    read = texts(study.questions_of(stages[0])) if study.live else None
    return Evidence(stages, [Readings.of(t, texts=read) for t in stages])


def with_p_ik(study: Study, train: Trace | None, validation: Trace | None) -> tuple[Trace, Trace, PIK | None]:
    """Both traces with P(IK) of a probe that saw training questions alone, and the probe.

    Raises:
        ValueError: there are no hidden states, nor such a column.
    """
    both = (train, validation)
    if all(trace is not None and trace.column(BY_TRAIN) is not None for trace in both):
        return train, validation, None
    if any(trace is None or trace.hidden is None for trace in both):
        raise ValueError(
            "the validation questions stopped and calibrated its probe, so they cannot prove a rule that "
            "reads it, and without hidden states there is no fitting another"
        )
    probe, p_ik = by_train_alone(train, study.seed)
    return train.with_column(BY_TRAIN, p_ik), read_by(probe, validation), probe


def read_by(probe: PIK, trace: Trace) -> Trace:
    """A trace with P(IK) of a probe that saw training questions alone."""
    return trace.with_column(BY_TRAIN, probe.probability(trace.hidden))


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
