"""A question, the split of a benchmark, and how an open answer is judged."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cclib import prompts

RIGHT, WRONG, ABSTAINED = "right", "wrong", "abstained"
STRING_MATCH = "string-match"  # the name of the judge that is there without a model


DECLINES = re.compile(
    r"\b(i (do not|don't|don’t) know|i am not sure|i'm not sure|unknown|cannot (answer|determine)"
    r"|can't (answer|determine)|could you (clarify|specify)|no information)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    `answer` is the index of the right option. An open question has no `choices`, `answer` None and a
    set of `accepted` answers instead. `popularity` (any positive scale) is how often the world speaks
    of what is asked, where a benchmark knows it.
    """

    id: str
    subject: str
    text: str
    choices: tuple[str, ...] = ()
    answer: int | None = None
    accepted: tuple[str, ...] = ()
    popularity: float | None = None

    def __post_init__(self) -> None:
        for name in ("id", "subject", "text"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"a question's {name} must be text, found {getattr(self, name)!r}")
        if isinstance(self.choices, str) or not all(isinstance(c, str) for c in self.choices):
            raise ValueError(f"question {self.id}: choices must be a tuple of texts, found {self.choices!r}")
        if self.choices and self.answer is not None:
            if not isinstance(self.answer, int | np.integer) or not 0 <= self.answer < len(self.choices):
                raise ValueError(
                    f"question {self.id}: answer is an option's index, from 0 to {len(self.choices) - 1}, "
                    f"found {self.answer!r}"
                )

    @property
    def prompt(self) -> str:
        """The text that a model reads (Table 7)."""
        if self.choices:
            return prompts.multiple_choice(self.subject, self.text, self.choices)
        return prompts.open_ended(self.text)

    @property
    def hash(self) -> str:
        """Sixteen hex digits of what is asked: the text, and the options in their order beside the subject.

        What is right is no part of it, nor is the id: the same question is known by it wherever it stands.
        """
        asked = [self.subject.replace("_", " "), self.text, *self.choices] if self.choices else [self.text]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


Judge = Callable[[Question, str], str]  # (question, response): one of the three


@dataclass(frozen=True, slots=True)
class Split:
    """The three parts of a benchmark, disjoint, together the whole."""

    train: list[Question]
    validation: list[Question]
    test: list[Question]


def split(questions: Sequence[Question], seed: int = 0) -> Split:
    """Divide a benchmark 80/10/10 within each subject (Section 2.2).

    Per subject of n questions the test part takes ceil(0.1 n) of what the seed puts first, validation
    ceil(0.1 n) of what it puts next, train the rest. MMLU's 57 test files give 1,430 test questions,
    which is the paper's count. The parts keep the benchmark's own order.
    """
    if isinstance(questions, str) or not all(isinstance(q, Question) for q in questions):
        raise ValueError("expected a list of cclib.Question, as cclib.load_benchmark returns it")
    if not questions:
        raise ValueError("there are no questions to divide; give at least one")
    check_seed(seed)
    by_subject: dict[str, list[int]] = {}
    for i, question in enumerate(questions):
        by_subject.setdefault(question.subject, []).append(i)
    part_of = np.zeros(len(questions), dtype=int)  # 0 train, 1 validation, 2 test
    rng = np.random.default_rng(seed)
    for subject in sorted(by_subject):
        order = rng.permutation(by_subject[subject])
        tenth = math.ceil(len(order) / 10)
        part_of[order[:tenth]] = 2
        part_of[order[tenth : 2 * tenth]] = 1
    parts = [[q for q, p in zip(questions, part_of) if p == k] for k in range(3)]
    return Split(train=parts[0], validation=parts[1], test=parts[2])


def check_parts(parts: Split, benchmark: str) -> None:
    """Refuse a split that leaves a probe nothing to learn from, or to be stopped by."""
    if parts.train and parts.validation:
        return
    n, subjects = len(parts.test) + len(parts.validation), len({q.subject for q in parts.test})
    raise ValueError(
        f"{benchmark}: the split of {n + len(parts.train)} questions in {subjects} subjects leaves "
        f"{len(parts.train)} for training and {len(parts.validation)} for validation, and the probe needs "
        "both. A tenth of each subject, rounded up, is for the test and as much for validation, so a subject "
        "needs 3 questions: give subjects more of them, or leave the column subject out"
    )


def spread(questions: Sequence, n: int) -> list:
    """At most n questions, evenly over their order, always the same ones."""
    if n >= len(questions):
        return list(questions)
    return [questions[i] for i in np.linspace(0, len(questions) - 1, n).round().astype(int)]


def checked_question(
    id: str, subject: str, text: str, cells: list[str], letter: str | None, where: str
) -> Question:
    """Check one row at the border. Empty cells may only trail, so a letter keeps its column.

    Args:
        letter: of the right answer; None where nobody says.
    """
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    allowed = prompts.LETTERS[: len(cells)]
    if not text.strip():
        raise ValueError(f"{where}: the question is empty; fill it, or remove the row")
    if len(cells) < 2:
        raise ValueError(f"{where}: needs at least 2 options, found {len(cells)}; fill columns A and B")
    if empty := [a for a, cell in zip(allowed, cells) if not cell.strip()]:
        raise ValueError(
            f"{where}: option {empty[0]} is empty and option {allowed[-1]} is not; only the last options of "
            "a row may be empty: fill it, or move the others up (and the answer's letter with them)"
        )
    if letter is None:
        return Question(id, subject, text, tuple(cells))
    letter = letter.strip()
    if len(letter) != 1 or letter.upper() not in allowed:
        advice = "correct the row"
        if letter in cells:
            advice = f"that is the text of option {allowed[cells.index(letter)]}: write the letter"
        elif letter.removesuffix(".0").isdigit():
            advice = "numbers may count from 0 or from 1: write the letter"
        raise ValueError(
            f"{where}: the answer must be one of {', '.join(allowed)}, found {letter!r}; {advice}"
        )
    return Question(id, subject, text, tuple(cells), allowed.index(letter.upper()))


def refuse_duplicates(questions: Sequence[Question], where: str) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ValueError(f"{where}: the id {question.id!r} occurs twice; ids must be unique")
        seen.add(question.id)


def repeated(questions: Sequence[Question], others: Sequence[Question]) -> list[Question]:
    """The questions whose text and options, in any order, stand among the others; case and marks aside."""

    def said(question: Question) -> tuple[str, ...]:
        return _plain(question.text), *sorted(_plain(str(c)) for c in question.choices)

    known = {said(q) for q in others}
    return [q for q in questions if said(q) in known]


def check_seed(seed: object) -> None:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, found {seed!r}")


def check_limit(limit: object) -> None:
    if limit is None:
        return
    if not isinstance(limit, int | np.integer) or isinstance(limit, bool):
        raise ValueError(f"limit must be a whole number of questions, found {limit!r}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, found {limit}; leave it out for all questions")


DENIED = re.compile(r" (not|never|neither|nor|except|n t)( (in|at|from|by|of|the|a|an|really|actually))* $")


def string_match(question: Question, response: str) -> str:
    """Right where the response commits itself to an accepted answer; case, accents and punctuation aside.

    An accepted answer stands in it as whole words, is not denied ("not Paris"), and no "or" offers others
    beside it. A response that declines has done so, whatever it guesses then. What is right in other words is
    not seen, nor that a right name stands in a wrong statement.
    """
    said = f" {_plain(response.removeprefix('Answer:'))} "
    named = any(DECLINES.search(a) for a in question.accepted)  # "The Unknown Soldier" declines nothing
    if not said.strip() or (DECLINES.search(response) and not named):
        return ABSTAINED
    for answer in (f" {_plain(a)} " for a in question.accepted if _plain(a)):
        before, found, after = said.partition(answer)
        if found and " or " not in f"{before} {after}" and not DENIED.search(_apart(f"{before} ")):
            return RIGHT
    return WRONG


def _apart(text: str) -> str:
    """ "isn t" as "is n t", so that one pattern finds what is denied."""
    return re.sub(r"(\w)n t ", r"\1 n t ", text)


def _plain(text: str) -> str:
    """Lower case letters and digits, single spaces."""
    folded = unicodedata.normalize("NFKD", text).lower()
    kept = "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c))
    return " ".join(kept.split())
