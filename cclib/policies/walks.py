"""What a live run found: one question's way through the stages, and a timed run over many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cclib.cascades import passes
from cclib.names import is_api, slug
from cclib.prices import Prices, price_of, read_prices
from cclib.prompts import LETTERS
from cclib.questions import Question

SET_ASIDE = -2  # the prediction of a live run where an endpoint would not answer


def digits(score: float, threshold: float | None) -> str:
    """A score to two digits, or to as many as it takes to see that it is under its threshold."""
    places = 2
    while threshold is not None and score < threshold <= round(score, places) and places < 6:
        places += 1
    return f"{score:.{places}f}"


@dataclass(frozen=True)
class Step:
    """What one stage made of a question, at its thresholds."""

    model: str
    p_t: float | None
    p_ik: float | None
    prediction: int  # index of the option; -1 where none is named
    theta_t: float | None
    theta_ik: float | None
    last: bool = False  # the last stage of the cascade
    right: bool | None = None  # where it is known
    aside: str = ""  # why an endpoint would not answer; P(T) is NaN then
    others: tuple[tuple[str, float, float], ...] = ()  # a policy's other scores: name, value, threshold
    abstains: bool = False  # the policy gives no answer after this stage

    @property
    def low(self) -> list[str]:
        """The scores under their thresholds."""
        scores = (("P(IK)", self.p_ik, self.theta_ik), ("P(T)", self.p_t, self.theta_t), *self.others)
        return [name for name, score, theta in scores if not passes(score, theta)]

    @property
    def answers(self) -> bool:
        return not self.abstains and (self.last or not self.low)

    @property
    def decision(self) -> str:
        if self.abstains:
            further = "" if self.last else ", and a larger model is not likely right"
            return f"abstain: {' and '.join(self.low)} too low{further}"
        if self.aside:
            return f"{'no answer' if self.answers else 'escalate'}: {self.aside}"
        if not self.answers:
            return f"escalate: {' and '.join(self.low)} too low"
        verdict = {None: "", True: " (right)", False: " (wrong)"}[self.right]
        if self.last and not self.others:
            return f"answer{verdict}: the last stage always does"
        compared = self.others or self.theta_t is not None or self.theta_ik is not None
        return f"answer{verdict}: {'confident enough' if compared else 'all its answers are kept'}"


@dataclass(frozen=True)
class Walk:
    """The stages that one question went through; the last of them answered."""

    question: Question | None  # None where its text is not at hand
    steps: list[Step]
    run: LiveRun | None = field(default=None, repr=False)  # None where it is told from traces

    @property
    def model(self) -> str:
        """The model that answered, or was asked last."""
        return self.steps[-1].model

    @property
    def answer(self) -> str:
        """The text of the chosen option."""
        if self.steps[-1].abstains:
            return "no answer"
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

    def spent(self, prices: Prices | None = None) -> pd.DataFrame:
        """`LiveRun.table` of this one question.

        Raises:
            ValueError: the walk is told from traces, and nothing was asked.
        """
        if self.run is None:
            raise ValueError("this walk is told from traces, so nothing was spent; ask with cclib.ask")
        return self.run.table([self.question], prices)


@dataclass(frozen=True)
class LiveRun:
    """A timed run of k stages over n questions."""

    stage: np.ndarray  # (n,) int, who answered, or was asked last
    prediction: np.ndarray  # (n,) int, the chosen option; -1 where a reply names none
    seconds: np.ndarray  # (k,) wall time of each stage, loading left out
    models: tuple[str, ...]  # k names
    asked: np.ndarray  # (k, n) bool
    abstained: np.ndarray  # (n,) bool: a policy gives no answer
    tokens: np.ndarray  # (k, n, 2) of prompts and outputs; 0 where a stage was not asked
    passes: np.ndarray  # (k, n) seconds of the pass or the request

    @property
    def set_aside(self) -> np.ndarray:
        """(n,) bool: no stage answered, because the last one's endpoint would not"""
        return (self.prediction == SET_ASIDE) & ~self.abstained

    def correct(self, questions: Sequence[Question]) -> np.ma.MaskedArray:
        """(n,) bool, masked where nobody knows: the question is set aside, or has no right answer on record.

        What a policy abstains from is not right.
        """
        right = (self.prediction == np.array([q.answer for q in questions])) & ~self.abstained
        return np.ma.array(right, mask=self.set_aside | [q.answer is None for q in questions])

    def usd(self, prices: Prices | None = None) -> np.ndarray:
        """(k, n) dollars that an API billed; 0 for a local stage, NaN for an API's model without a price."""
        table = read_prices(prices)
        per_million = [
            (price_of(name, table) or (np.nan, np.nan)) if is_api(name) else (0.0, 0.0)
            for name in self.models
        ]
        return np.where(self.asked, np.einsum("knt,kt->kn", self.tokens, np.array(per_million)) / 1e6, 0.0)

    def table(self, questions: Sequence[Question], prices: Prices | None = None) -> pd.DataFrame:
        """One row a stage: questions asked, answered, set aside, share right, seconds, tokens, dollars.

        Args:
            prices: as `cclib.prices.read_prices`; dollars are NaN for a model that it does not name.
        """
        rows, right, usd = {}, self.correct(questions), self.usd(prices).sum(axis=1)
        for i, name in enumerate(self.models):
            reached, tokens = self.stage == i, int(self.tokens[i].sum())
            answered = reached & ~self.set_aside & ~self.abstained
            judged = right[answered].compressed()
            rows[slug(name)] = {
                "questions asked": int(self.asked[i].sum()),
                "questions answered": int(answered.sum()),
                "abstained": int((reached & self.abstained).sum()),
                "set aside": int((reached & self.set_aside).sum()),
                "answers right": float(judged.mean()) if len(judged) else np.nan,
                "seconds": self.seconds[i],
                "tokens": tokens,
                "tokens billed": tokens if is_api(name) else 0,
                "USD": usd[i],
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")

    def answers(self, questions: Sequence[Question], prices: Prices | None = None) -> pd.DataFrame:
        """One row a question: the answer's letter and text, who gave it, who was asked, what it cost."""
        names, rows = [slug(name) for name in self.models], []
        usd, right = self.usd(prices).sum(axis=0), self.correct(questions)
        for j, question in enumerate(questions):
            chosen = -1 if self.abstained[j] else self.prediction[j]
            why = "abstained" if self.abstained[j] else "set aside" if self.set_aside[j] else ""
            rows.append(
                {
                    "id": question.id,
                    "answer": LETTERS[chosen] if chosen >= 0 else "",
                    "text": question.choices[chosen] if chosen >= 0 else "",
                    "stage": names[self.stage[j]],
                    "asked": " → ".join(n for n, was in zip(names, self.asked[:, j]) if was),
                    "right": "" if right.mask[j] else bool(right.data[j]),
                    "tokens": int(self.tokens[:, j].sum()),
                    "seconds": float(self.passes[:, j].sum()),
                    "USD": usd[j],
                    "note": why or ("" if chosen >= 0 else "no option named"),
                }
            )
        return pd.DataFrame(rows)
