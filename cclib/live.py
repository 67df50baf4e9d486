"""The cascade at work: models in memory, questions as they come.

`ask` answers one question and shows the walk; `live_cascade` answers many, each stage running only on
what the stage before it passed on, and times it. Recorded traces play no part here, except where a
stage is behind an API and the call names a store: what was paid for is not paid for again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cclib.cascades import check_thresholds, keeps, passes
from cclib.confidence.p_ik import PIK
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.names import expand_family, is_api, slug
from cclib.prices import Prices, price_of, read_prices
from cclib.prompts import LETTERS, Prompt
from cclib.questions import Question
from cclib.recording import collect

if TYPE_CHECKING:
    from cclib.models.api import APIModel

    Loaded = LanguageModel | APIModel
Models = str | Sequence["str | Path | Loaded"]
SET_ASIDE = -2  # the prediction of a live run where an endpoint would not answer


@dataclass(frozen=True)
class Step:
    """What one stage made of a question, at its thresholds."""

    model: str
    p_t: float | None
    p_ik: float | None
    prediction: int  # index of the option; -1 where none is named
    theta_t: float
    theta_ik: float | None
    last: bool = False  # the last stage of the cascade
    right: bool | None = None  # where it is known
    aside: str = ""  # why an endpoint would not answer; P(T) is NaN then

    @property
    def low(self) -> list[str]:
        """The confidences under their thresholds."""
        scores = (("P(IK)", self.p_ik, self.theta_ik), ("P(T)", self.p_t, self.theta_t))
        return [name for name, score, theta in scores if not passes(score, theta)]

    @property
    def answers(self) -> bool:
        return self.last or not self.low

    @property
    def decision(self) -> str:
        if self.aside:
            return f"{'no answer' if self.last else 'escalate'}: {self.aside}"
        if not self.answers:
            return f"escalate: {' and '.join(self.low)} too low"
        verdict = {None: "", True: " (right)", False: " (wrong)"}[self.right]
        return f"answer{verdict}: {'the last stage always does' if self.last else 'confident enough'}"


@dataclass(frozen=True)
class Walk:
    """The stages that one question went through; the last of them answered."""

    question: Question | None  # None where its text is not at hand
    steps: list[Step]

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.steps[-1].model

    @property
    def answer(self) -> str:
        """The text of the chosen option."""
        chosen = self.steps[-1].prediction
        return self.question.choices[chosen] if chosen >= 0 else "no option named"

    def said(self, step: Step) -> str:
        """The option that a step names, by its letter and its text."""
        if step.prediction < 0:
            return "–"
        letter = LETTERS[step.prediction]
        return letter if self.question is None else f"{letter}. {self.question.choices[step.prediction]}"

    def table(self) -> pd.DataFrame:
        """One row a stage: model, P(IK), P(T), its option, its decision."""
        rows = [(s.model, s.p_ik, s.p_t, self.said(s), s.decision) for s in self.steps]
        frame = pd.DataFrame(rows, columns=["model", "P(IK)", "P(T)", "would answer", "decision"])
        return frame.astype({"P(IK)": float, "P(T)": float})


@dataclass(frozen=True)
class LiveRun:
    """A timed run of a cascade of k stages over n questions."""

    stage: np.ndarray  # (n,) int, who answered
    prediction: np.ndarray  # (n,) int, the chosen option; -1 where a reply names none
    seconds: np.ndarray  # (k,) wall time of each stage, loading left out
    models: tuple[str, ...] = ()  # k names
    tokens: np.ndarray | None = None  # (k, 2) of prompts and outputs that an API billed; 0 for a local stage

    @property
    def set_aside(self) -> np.ndarray:
        """(n,) bool: no stage answered, because the last one's endpoint would not"""
        return self.prediction == SET_ASIDE

    def correct(self, questions: Sequence[Question]) -> np.ma.MaskedArray:
        """(n,) bool, masked where the question is set aside: neither right nor wrong"""
        right = self.prediction == np.array([q.answer for q in questions])
        return np.ma.array(right, mask=self.set_aside)

    def table(self, questions: Sequence[Question], prices: Prices | None = None) -> pd.DataFrame:
        """One row a stage: questions asked, answered, set aside, share right, seconds, what an API billed.

        Args:
            prices: as `cclib.prices.read_prices`; dollars are NaN for a model that it does not name.
        """
        table, rows, right = read_prices(prices), {}, self.correct(questions)
        for i, name in enumerate(self.models):
            price = price_of(name, table) if is_api(name) else (0.0, 0.0)
            reached = self.stage == i
            answered = reached & ~self.set_aside
            rows[slug(name)] = {
                "questions asked": int((self.stage >= i).sum()),
                "questions answered": int(answered.sum()),
                "set aside": int((reached & self.set_aside).sum()),
                "answers right": float(right[answered].mean()) if answered.any() else np.nan,
                "seconds": self.seconds[i],
                "tokens billed": int(self.tokens[i].sum()),
                "USD": np.nan if price is None else float(self.tokens[i] @ price) / 1e6,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")


def ask(
    question: Question | str,
    choices: Sequence[str] = (),
    models: Models = "atlas",
    probes: Sequence[PIK | None] | None = None,
    pt: float = 0.9,
    pik: float | None = 0.5,
    subject: str = "general knowledge",
    prompt: str | Prompt | None = None,
) -> Walk:
    """Which model would you pick for this question? One question through the cascade.

    Args:
        question: a `Question`, or its text with `choices`.
        models: a family, or models (loaded ones or names), smallest first; one behind an API has no
            size, so where it stands is for you to say.
        probes: one a model, as `Study.probes`; without them P(IK) is left out.
        prompt: how the models are asked (see `cclib.load_study`), as the probes' answers were; default: as a
            loaded model is, and Table 7 for a name.

    >>> cclib.ask("Which country is Lyon in?", ["Spain", "France", "Italy", "Peru"]).table()
    """
    if isinstance(question, str):
        if len(choices) < 2:
            raise ValueError(f"a question needs at least 2 choices, found {list(choices)}")
        question = Question("asked", subject, question, tuple(choices))
    if not isinstance(question, Question):
        raise ValueError(f"question must be its text with choices, or a cclib.Question; found {question!r}")
    stages, steps = _stages(models, probes, pt, pik, prompt), []
    for i, (model, probe) in enumerate(stages):
        rows, scores = _answer(model, [question], probe, pik, None)
        p_ik = None if scores is None else float(scores[0])
        last, row = i == len(stages) - 1, rows[0]
        p_t, chosen, aside = _said(row)
        steps.append(Step(model.slug, p_t, p_ik, chosen, pt, pik, last, aside=aside))
        if steps[-1].answers:
            break
    return Walk(question, steps)


def live_cascade(
    models: Models,
    questions: Sequence[Question],
    probes: Sequence[PIK | None] | None = None,
    pt: float = 0.9,
    pik: float | None = 0.5,
    store: str | Path | None = None,
    prompt: str | Prompt | None = None,
) -> LiveRun:
    """Run a cascade from scratch: every stage answers only the questions that reach it.

    Args:
        store: folder of traces, for stages behind an API: their answers are written there as they
            arrive, and questions that are there already are not sent again.
        prompt: as `ask` takes it; of a study, `study.source.prompt`.

    Returns:
        Who answered what, and the wall time of each stage. The seconds of `live_cascade([last], ...)`
        are what the cascade competes with.
    """
    if not questions:
        raise ValueError("there are no questions to answer; give at least one")
    stages = _stages(models, probes, pt, pik, prompt)
    stage = np.full(len(questions), len(stages) - 1)
    prediction = np.zeros(len(questions), int)
    seconds = np.zeros(len(stages))
    tokens = np.zeros((len(stages), 2))
    reached = np.arange(len(questions))
    for i, (model, probe) in enumerate(stages):
        if not len(reached):
            break
        began = time.perf_counter()
        rows, p_ik = _answer(model, [questions[j] for j in reached], probe, pik, store)
        p_t, chosen, _ = zip(*map(_said, rows))
        keep = keeps(np.array(p_t), p_ik, pt, pik) | (i == len(stages) - 1)
        prediction[reached] = chosen
        stage[reached[keep]] = i
        reached = reached[~keep]
        seconds[i] = time.perf_counter() - began
        if is_api(model.name):
            tokens[i] = [sum(r[kind] or 0 for r in rows) for kind in ("prompt_tokens", "output_tokens")]
    return LiveRun(stage, prediction, seconds, tuple(m.name for m, _ in stages), tokens)


def _stages(
    models: Models,
    probes: Sequence[PIK | None] | None,
    pt: float,
    pik: float | None,
    prompt: str | Prompt | None,
) -> list[tuple[Loaded, PIK | None]]:
    """The loaded models, smallest first, each with its probe; the thresholds are checked first."""
    check_thresholds(pt, pik)
    names = expand_family(models) if isinstance(models, str) else list(models)
    if not names:
        raise ValueError("models must be one or more, smallest first; found none")
    loaded = [load_model(m) if isinstance(m, str | Path) else m for m in names]
    if prompt is not None:
        loaded = [m.asked(prompt) for m in loaded]
    sizes = [m.parameters for m in loaded if m.parameters]
    if sizes != sorted(sizes):
        raise ValueError(f"stages go smallest first, found {[m.slug for m in loaded]}; turn the list round")
    probes = [None] * len(loaded) if probes is None else probes
    if len(probes) != len(loaded):
        raise ValueError(f"expected one probe (or None) a model, {len(loaded)}, found {len(probes)}")
    return list(zip(loaded, probes))


def _answer(
    model: Loaded,
    questions: Sequence[Question],
    probe: PIK | None,
    pik: float | None,
    store: str | Path | None,
) -> tuple[list[dict], np.ndarray | None]:
    """Trace rows in the order of the questions, and (n,) P(IK) where there is a probe and a threshold."""
    from cclib.confidence.p_t import answer_questions
    from cclib.models.api import answer_by_api

    wanted = probe is not None and pik is not None and not is_api(model.name)
    if not is_api(model.name):
        parts = answer_questions(model, questions, probe.layer if wanted else None, hidden=wanted)
    elif store is None:
        parts = answer_by_api(model, questions)
    else:
        parts = [collect(model, questions, store, prompt=model.prompt).table.to_pylist()]
    by_id = {row["question_id"]: row for rows in parts for row in rows}
    rows = [by_id[q.id] for q in questions]
    hidden = np.stack([r["hidden"] for r in rows]).astype(np.float32) if wanted else None
    return rows, probe.probability(hidden) if wanted else None


def _said(row: dict) -> tuple[float, int, str]:
    """P(T), the chosen option, and why there is none where an endpoint set the question aside."""
    if row["prediction"] is None:
        return np.nan, SET_ASIDE, row["note"]
    return row["p_t"], row["prediction"], ""
