"""Questions from a table of one's own."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from string import ascii_uppercase

from cclib import prompts
from cclib.logs.own_tables import OwnTable, ids, read_own_table
from cclib.questions import Question, checked_question


def read_table(path: str | Path, answered: bool = True) -> list[Question]:
    """Questions from a CSV or Parquet table.

    Columns: `question`; one column an option, named A, B, C ... (2 to 10, later ones may be empty in
    a row); `answer`, a letter; and, if wanted, `id` and `subject`. A CSV without a header line is read as
    MMLU's own files are: question, options, letter.

    Args:
        answered: whether the column `answer` must be there. Without it no answer can be judged.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a row cannot be used (which one, and why), or it is no table.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no benchmark file at {path}; give the path of a .csv or .parquet file")
    needed = {"question", "A", "B"} | ({"answer"} if answered else set())
    table = read_own_table(path, needed, {"id", "subject", "answer", *ascii_uppercase}, _as_in_mmlu)
    if not len(table):
        raise ValueError(f"{path.name}: there are no questions under the header line; add some")
    options = sorted(name for name in table.columns if len(name) == 1 and name.isupper())
    if options != list(prompts.LETTERS[: len(options)]):
        raise ValueError(
            f"{path.name}: the options' columns must be A, B and so on to {prompts.LETTERS[-1]} at the most, "
            f"with none left out; found {', '.join(options)}"
        )
    columns = {name: [_cell(c) for c in cells] for name, cells in table.columns.items()}
    stem = path.stem if table.has_header else re.sub(r"_(test|dev|val)$", "", path.stem)
    names = ids(columns["id"], table.where) if "id" in columns else None
    questions = [
        checked_question(
            id=names[i] if names else f"{path.stem}/{i}",
            subject=columns["subject"][i] if columns.get("subject", [""] * len(table))[i].strip() else stem,
            text=text,
            cells=[columns[letter][i] for letter in options],
            letter=columns["answer"][i] if "answer" in columns else None,
            where=table.where(i),
        )
        for i, text in enumerate(columns["question"])
    ]
    _check_together(questions, table)
    return questions


def _as_in_mmlu(cells: list[str]) -> list[str] | None:
    """Names of the columns where a first line is a question, its options and a letter, not a header."""
    n = len(cells) - 2
    words = {c.strip().lower() for c in cells}
    is_header = words & {"question", "answer", "id", "subject"} or {"a", "b"} <= words
    if is_header or not 2 <= n <= len(prompts.LETTERS) or cells[-1].strip() not in [*prompts.LETTERS[:n]]:
        return None
    return ["question", *prompts.LETTERS[:n], "answer"]


def _cell(cell: object) -> str:
    """A cell as text; a whole number without a point, as it was before a column with gaps made it one."""
    if cell is None or cell != cell:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _check_together(questions: list[Question], table: OwnTable) -> None:
    """No question with two answers, nor (but in MMLU's own files) with two options alike."""
    seen: dict[str, int] = {}
    repeated = []
    for row, question in enumerate(questions):
        if table.has_header and len(set(question.choices)) < len(question.choices):
            alike = next(c for at, c in enumerate(question.choices) if c in question.choices[:at])
            raise ValueError(
                f"{table.where(row)}: two options are {alike!r}: nobody can say which is meant; correct one"
            )
        first = seen.setdefault(question.hash, row)
        if questions[first].answer != question.answer:
            raise ValueError(
                f"{table.where(row)}: this question is at row {first} too, with another answer; remove one"
            )
        if first != row:
            repeated.append(row)
    if repeated:
        warnings.warn(
            f"{table.where(repeated[0])}: this question is at row {seen[questions[repeated[0]].hash]} too "
            f"({len(repeated)} such rows); each counts as often, and may be in two parts of the split",
            stacklevel=3,
        )
