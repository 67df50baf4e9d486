"""The cascade at work: models in memory, questions as they come.

`ask` answers one question and shows the walk; `live_cascade` answers many, each stage running only on
what the stage before it passed on, and times it. Recorded traces play no part here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cclib.benchmarks import Question
from cclib.cascade import check_thresholds
from cclib.models import LanguageModel, expand_family, load_model
from cclib.pik import PIK

Models = str | Sequence[str | Path | LanguageModel]


@dataclass(frozen=True)
class Step:
    """What one stage made of a question."""

    model: str
    p_ik: float | None
    p_t: float
    prediction: int  # index of the option
    decision: str  # "answer" or "escalate", and why


@dataclass(frozen=True)
class Walk:
    """The stages that one question went through; the last of them answered."""

    question: Question
    steps: list[Step]

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.steps[-1].model

    @property
    def answer(self) -> str:
        """The text of the chosen option."""
        return self.question.choices[self.steps[-1].prediction]

    def table(self) -> pd.DataFrame:
        """One row a stage: model, P(IK), P(T), its option, its decision."""
        rows = [
            {
                "model": s.model,
                "P(IK)": s.p_ik,
                "P(T)": s.p_t,
                "would answer": self.question.choices[s.prediction],
                "decision": s.decision,
            }
            for s in self.steps
        ]
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class LiveRun:
    """A timed run of a cascade of k stages over n questions."""

    stage: np.ndarray  # (n,) int, who answered
    prediction: np.ndarray  # (n,) int, the chosen option
    seconds: np.ndarray  # (k,) wall time of each stage, loading left out

    def correct(self, questions: Sequence[Question]) -> np.ndarray:
        """(n,) bool"""
        return self.prediction == np.array([q.answer for q in questions])


def ask(
    question: Question | str,
    choices: Sequence[str] = (),
    models: Models = "atlas",
    probes: Sequence[PIK | None] | None = None,
    pt: float = 0.9,
    pik: float | None = 0.5,
    subject: str = "general knowledge",
) -> Walk:
    """Which model would you pick for this question? One question through the cascade.

    Args:
        question: a `Question`, or its text with `choices`.
        models: a family, or models (loaded ones or names), smallest first.
        probes: one a model, as `Study.probes`; without them P(IK) is left out.

    >>> cclib.ask("Which country is Lyon in?", ["Spain", "France", "Italy", "Peru"]).table()
    """
    if isinstance(question, str):
        if len(choices) < 2:
            raise ValueError(f"a question needs at least 2 choices, found {list(choices)}")
        question = Question("asked", subject, question, tuple(choices))
    if not isinstance(question, Question):
        raise ValueError(f"question must be its text with choices, or a cclib.Question; found {question!r}")
    check_thresholds(pt, pik)
    loaded = _load(models)
    probes = _match(probes, loaded)
    steps = []
    for i, (model, probe) in enumerate(zip(loaded, probes)):
        row, p_ik = _answer(model, [question], probe, pik)
        last = i == len(loaded) - 1
        why = _reason(row[0]["p_t"], None if p_ik is None else float(p_ik[0]), pt, pik)
        decision = "answer: the last stage always does" if last else why
        score = None if p_ik is None else float(p_ik[0])
        steps.append(Step(model.slug, score, row[0]["p_t"], row[0]["prediction"], decision))
        if decision.startswith("answer"):
            break
    return Walk(question, steps)


def live_cascade(
    models: Models,
    questions: Sequence[Question],
    probes: Sequence[PIK | None] | None = None,
    pt: float = 0.9,
    pik: float | None = 0.5,
) -> LiveRun:
    """Run a cascade from scratch: every stage answers only the questions that reach it.

    Returns:
        Who answered what, and the wall time of each stage. The seconds of `live_cascade([last], ...)`
        are what the cascade competes with.
    """
    if not questions:
        raise ValueError("there are no questions to answer; give at least one")
    check_thresholds(pt, pik)
    loaded = _load(models)
    probes = _match(probes, loaded)
    stage = np.full(len(questions), len(loaded) - 1)
    prediction = np.zeros(len(questions), int)
    seconds = np.zeros(len(loaded))
    reached = np.arange(len(questions))
    for i, (model, probe) in enumerate(zip(loaded, probes)):
        if not len(reached):
            break
        began = time.perf_counter()
        rows, p_ik = _answer(model, [questions[j] for j in reached], probe, pik)
        keep = np.array([r["p_t"] >= pt for r in rows])
        if p_ik is not None:
            keep &= p_ik >= pik
        if i == len(loaded) - 1:
            keep[:] = True
        prediction[reached] = [r["prediction"] for r in rows]
        stage[reached[keep]] = i
        reached = reached[~keep]
        seconds[i] = time.perf_counter() - began
    return LiveRun(stage, prediction, seconds)


def _load(models: Models) -> list[LanguageModel]:
    names = expand_family(models) if isinstance(models, str) else list(models)
    if not names:
        raise ValueError("models must be one or more, smallest first; found none")
    loaded = [m if isinstance(m, LanguageModel) else load_model(m) for m in names]
    sizes = [m.parameters for m in loaded]
    if sizes != sorted(sizes):
        raise ValueError(f"stages go smallest first, found {[m.slug for m in loaded]}; turn the list round")
    return loaded


def _match(probes: Sequence[PIK | None] | None, loaded: list[LanguageModel]) -> list[PIK | None]:
    if probes is None:
        return [None] * len(loaded)
    if len(probes) != len(loaded):
        raise ValueError(f"expected one probe (or None) a model, {len(loaded)}, found {len(probes)}")
    return list(probes)


def _answer(
    model: LanguageModel, questions: Sequence[Question], probe: PIK | None, pik: float | None
) -> tuple[list[dict], np.ndarray | None]:
    """Trace rows in the order of the questions, and (n,) P(IK) where there is a probe and a threshold."""
    from cclib.confidence import answer_questions

    wanted = probe is not None and pik is not None
    layer = probe.layer if wanted else None
    by_id = {}
    for rows in answer_questions(model, questions, layer, hidden=wanted):
        by_id |= {row["question_id"]: row for row in rows}
    rows = [by_id[q.id] for q in questions]
    if not wanted:
        return rows, None
    return rows, probe.probability(np.stack([r["hidden"] for r in rows]).astype(np.float32))


def _reason(p_t: float, p_ik: float | None, pt: float, pik: float | None) -> str:
    low = []
    if p_ik is not None and pik is not None and p_ik < pik:
        low.append("P(IK)")
    if p_t < pt:
        low.append("P(T)")
    return f"escalate: {' and '.join(low)} too low" if low else "answer: confident enough"
