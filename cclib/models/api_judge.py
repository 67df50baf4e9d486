"""Who says whether an open answer is right: string matching, or a model behind an API (Appendix F)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cclib.models.api import APIModel, answer_by_api, connect, open_journal
from cclib.models.api_answers import NO_OPTION
from cclib.models.api_budget import Journal
from cclib.models.api_failures import APIFailure
from cclib.models.progress import Progress
from cclib.names import is_api
from cclib.questions import ABSTAINED, RIGHT, STRING_MATCH, WRONG, Judge, Question, string_match

VERDICTS = (RIGHT, WRONG, ABSTAINED)
JUDGED = (
    'A question was "{question}". Accepted answers: {accepted}. The response was "{response}". '
    "Is the response right, is it wrong, or does it abstain from answering?"
)


@dataclass
class APIJudge:
    """A judge of open answers that asks a model; no verdict is paid for twice.

    A verdict is a question of three options, so it goes through the same budget and retries.
    """

    model: APIModel
    journal: Journal | None = None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return f"{self.model.name} at {self.model.host}"

    @property
    def spent(self) -> str:
        """For people: what all its verdicts in this store have cost, "0.0123 USD of 2.5000 USD"."""
        return self.model.meter.spent

    def __call__(self, question: Question, response: str) -> str:
        """One verdict.

        Raises:
            APIFailure: the model named none, or could not be asked.
        """
        verdict = self.verdicts([question], [response], progress=False)[0]
        if verdict is None:
            raise APIFailure(f"{self.model.name} named no verdict on question {question.id}")
        return verdict

    def verdicts(
        self, questions: Sequence[Question], responses: Sequence[str], progress: bool = True
    ) -> list[str | None]:
        """A verdict on each of n responses, many asked at once; None where the model named none.

        An empty response abstains, and is not asked about.

        Raises:
            BudgetReached, APIFailure: what was judged before is kept.
        """
        asked = [_asked(q, r) if r.strip() else None for q, r in zip(questions, responses)]
        left = {q.id: q for q in asked if q and q.id not in self.rows}
        about = {"total": len(left), "unit": "verdict", "desc": f"judged by {self.model.slug}"}
        with Progress(**about, disable=not (progress and left)) as bar:
            for found in answer_by_api(self.model, list(left.values()), (), self.journal):
                self.rows |= {row["question_id"]: row for row in found}
                bar.set_postfix_str(self.spent, refresh=False)
                bar.update(len(found))
        named = [self.rows[q.id]["prediction"] if q else VERDICTS.index(ABSTAINED) for q in asked]
        return [None if option in (None, NO_OPTION) else VERDICTS[option] for option in named]


def _asked(question: Question, response: str) -> Question:
    text = JUDGED.format(question=question.text, accepted="; ".join(question.accepted), response=response)
    key = f"{question.id}/{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return Question(key, "the judging of answers", text, VERDICTS)


def judge_by(model: APIModel, store: str | Path | None = None) -> APIJudge:
    """A judge of open answers (`cclib.questions.Judge`) that asks a model.

    Args:
        store: folder of traces; with it, a verdict is kept, and paid for once, in a folder of the judge's.
    """
    if store is None:
        return APIJudge(model)
    folder = Path(store) / f"{model.slug}-as-judge"
    folder.mkdir(parents=True, exist_ok=True)
    made = hashlib.sha256(model.provenance()["checksum"].encode()).hexdigest()[:8]
    return APIJudge(model, *open_journal(model, folder, made, first=False))


def find_judge(judge: str | Judge | None, store: str | Path) -> Judge:
    """A judge by its name: "string-match" (or None), or a model behind an API; the store keeps its verdicts.

    Raises:
        ValueError: it is neither, nor a function of a question and a response.
    """
    if is_api(judge):
        return judge_by(connect(judge), store)
    if judge in (None, STRING_MATCH):
        return string_match
    if not callable(judge):
        raise ValueError(
            f"judge is {STRING_MATCH!r}, a model behind an API such as 'openai:gpt-4o', or a function of a "
            f"question and a response; found {judge!r}"
        )
    return judge


def judge_name(judge: Judge) -> str:
    """What a trace says of who judged it."""
    if judge is string_match:
        return STRING_MATCH
    return str(getattr(judge, "name", None) or getattr(judge, "__name__", type(judge).__name__))


def verdicts_of(
    judge: Judge, questions: Sequence[Question], responses: Sequence[str], progress: bool = True
) -> list[str | None]:
    """A verdict on each of n responses: right, wrong, abstained, or None where the judge named none.

    Raises:
        ValueError: a function gave anything else.
    """
    if isinstance(judge, APIJudge):
        return judge.verdicts(questions, responses, progress)
    found = [judge(q, r) for q, r in zip(questions, responses)]
    if unknown := [(q.id, v) for q, v in zip(questions, found) if v not in VERDICTS]:
        raise ValueError(
            f"a judge says one of {', '.join(VERDICTS)}; {judge_name(judge)} said {unknown[0][1]!r} of "
            f"question {unknown[0][0]}"
        )
    return found
