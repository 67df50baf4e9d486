"""Questions and where they come from: a public benchmark, Atlas, or a table of one's own.

Every loader returns a list of `Question` in a fixed order, so that the split (and with it every
number in the book) depends on the questions and the seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import prompts


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


def load_benchmark(
    name: str | Path, data_dir: str | Path | None = None, limit: int | None = None
) -> list[Question]:
    """Load a benchmark by name, or from a CSV or Parquet file of one's own.

    Args:
        name: "mmlu", "gpqa", "popqa", "atlas", "atlas-ood", "atlas-open", or the path of a table (see
            `read_table`).
        data_dir: folder with a public benchmark's files (see cclib.public_benchmarks); without it they
            come from the hub.
        limit: keep this many questions, spread evenly over the benchmark's order (so over its
            subjects), always the same ones.

    Raises:
        ValueError: the name is unknown, or a file's content is not what it should be.
        FileNotFoundError: the folder or the file is not there.
    """
    check_limit(limit)
    if data_dir is not None and not isinstance(data_dir, str | Path):
        raise ValueError(f"data_dir must be the path of a folder, found {data_dir!r}")
    key = str(name).lower()
    if key in ("mmlu", "gpqa", "popqa"):
        from cclib import public_benchmarks

        questions = getattr(public_benchmarks, key)(Path(data_dir) if data_dir else None)
    elif key in ("atlas", "atlas-ood", "atlas-open"):
        from cclib import atlas  # the generator needs packages that no other benchmark does

        questions = atlas.questions(key)
    elif Path(key).suffix.lower() in (".csv", ".parquet"):
        questions = read_table(name)
    else:
        raise ValueError(
            f"unknown benchmark {str(name)!r}; known: mmlu, gpqa, popqa, atlas, atlas-ood, atlas-open, "
            "or the path of a .csv or .parquet file"
        )
    if limit is not None and limit < len(questions):
        keep = np.linspace(0, len(questions) - 1, limit).round().astype(int)
        questions = [questions[i] for i in keep]
    return questions


def read_table(path: str | Path) -> list[Question]:
    """Questions from a CSV or Parquet table.

    Columns: `question`; one column an option, named A, B, C ... (2 to 10, later ones may be empty in
    a row); `answer`, a letter; and, if wanted, `id` and `subject`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a row cannot be used (which one, and why), or it is no table.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no benchmark file at {path}; give the path of a .csv or .parquet file")
    if path.suffix.lower() == ".parquet":
        try:
            table = pd.read_parquet(path).astype(object).fillna("").astype(str)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path.name}: expected a Parquet table, found: {error}") from error
    else:
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (UnicodeDecodeError, pd.errors.EmptyDataError) as error:
            raise ValueError(
                f"{path.name}: expected a CSV in UTF-8 with a header line, found: {error}"
            ) from error
    table.columns = [c if c in prompts.LETTERS else str(c).lower() for c in table.columns]
    options = [letter for letter in prompts.LETTERS if letter in table.columns]
    missing = {"question", "answer", "A", "B"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{path.name}: needs the columns question, A, B (to J) and answer; "
            f"missing {', '.join(sorted(missing))}; found {', '.join(map(str, table.columns))}"
        )
    if not len(table):
        raise ValueError(f"{path.name}: there are no questions under the header line; add some")
    rows = table.to_dict("records")
    questions = [
        checked_question(
            id=row.get("id") or f"{path.stem}/{i}",
            subject=row.get("subject") or path.stem,
            text=row["question"],
            cells=[row[letter] for letter in options],
            letter=row["answer"],
            where=f"{path.name}, row {i}",
        )
        for i, row in enumerate(rows)
    ]
    refuse_duplicates(questions, path.name)
    return questions


def checked_question(id: str, subject: str, text: str, cells: list[str], letter: str, where: str) -> Question:
    """Check one row at the border. Empty cells may only trail, so a letter keeps its column."""
    while cells and cells[-1] == "":
        cells = cells[:-1]
    allowed = prompts.LETTERS[: len(cells)]
    if len(cells) < 2:
        raise ValueError(f"{where}: needs at least 2 options, found {len(cells)}; fill columns A and B")
    letter = letter.strip().upper()
    if len(letter) != 1 or letter not in allowed:
        raise ValueError(
            f"{where}: the answer must be one of {', '.join(allowed)}, found {letter!r}; correct the row"
        )
    return Question(id, subject, text, tuple(cells), allowed.index(letter))


def refuse_duplicates(questions: Sequence[Question], where: str) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ValueError(f"{where}: the id {question.id!r} occurs twice; ids must be unique")
        seen.add(question.id)
