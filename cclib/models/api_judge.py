"""A model behind an API as the judge of open answers (Appendix F)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cclib.models.api import APIModel, answer_by_api, open_journal
from cclib.models.api_answers import NO_OPTION
from cclib.models.api_failures import APIFailure
from cclib.questions import ABSTAINED, RIGHT, WRONG, Judge, Question

VERDICTS = (RIGHT, WRONG, ABSTAINED)
JUDGED = (
    'A question was "{question}". Accepted answers: {accepted}. The response was "{response}". '
    "Is the response right, is it wrong, or does it abstain from answering?"
)


def judge_by(model: APIModel, store: str | Path | None = None) -> Judge:
    """A judge of open answers (`cclib.questions.Judge`) that asks a model.

    A verdict is a question of three options, so it goes through the same budget and retries.

    Args:
        store: folder of traces; with it, no verdict is paid for twice.

    Raises:
        APIFailure, when called: the model named no verdict.
    """
    journal, rows = None, {}
    if store is not None:
        folder = Path(store) / f"{model.slug}-as-judge"
        folder.mkdir(parents=True, exist_ok=True)
        journal, rows = open_journal(model, folder)

    def judge(question: Question, response: str) -> str:
        text = JUDGED.format(question=question.text, accepted="; ".join(question.accepted), response=response)
        key = f"{question.id}/{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        asked = Question(key, "the judging of answers", text, VERDICTS)
        for found in answer_by_api(model, [asked], rows, journal):
            rows[key] = found[0]
        if rows[key]["prediction"] in (None, NO_OPTION):
            why = rows[key].get("note")
            raise APIFailure(f"{model.name} named no verdict on question {question.id} ({why})")
        return VERDICTS[rows[key]["prediction"]]

    judge.__name__ = f"{model.name} at {model.host}"
    return judge
