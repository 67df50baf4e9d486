"""Questions and where they come from: a public benchmark, Atlas, or a table of one's own.

Every loader returns a list of `Question` in a fixed order, so that the split (and with it every
number in the book) depends on the questions and the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import prompts
from cclib.benchmarks.public import PUBLIC
from cclib.names import is_log
from cclib.questions import Question, check_limit, checked_question, refuse_duplicates
from cclib.traces import Trace, read_trace


def load_benchmark(
    name: str | Path, data_dir: str | Path | None = None, limit: int | None = None
) -> list[Question]:
    """Load a benchmark by name, or from a CSV or Parquet file of one's own.

    Args:
        name: "mmlu", "mmlu-pro", "gpqa", "popqa", "atlas", "atlas-ood", "atlas-open", a table's path (see
            `read_table`), or logs of lm-evaluation-harness, which hold their questions.
        data_dir: folder with a public benchmark's files; without it they
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
    if key in PUBLIC:
        questions = PUBLIC[key](Path(data_dir) if data_dir else None)
    elif key in ("atlas", "atlas-ood", "atlas-open"):
        from cclib import atlas

        questions = atlas.questions(key)
    elif is_log(name):
        questions = logged_questions([read_trace(name)])
    elif Path(key).suffix.lower() in (".csv", ".parquet"):
        questions = read_table(name)
    else:
        raise ValueError(
            f"unknown benchmark {str(name)!r}; known: {', '.join(PUBLIC)}, atlas, atlas-ood, atlas-open, "
            "or the path of a .csv or .parquet file, or of logs of lm-evaluation-harness"
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


def logged_questions(logs: Sequence[Trace]) -> list[Question]:
    """The questions that all of these logs hold (by task and document), as the first log has them.

    Raises:
        ValueError: there are none.
    """
    shared = set.intersection(*(set(log.question_id) for log in logs))
    if not shared:
        raise ValueError(
            f"the logs of {', '.join(log.model for log in logs)} have no question in common; the first are "
            f"{', '.join(log.question_id[0] for log in logs)}. Log the same tasks with all models"
        )
    columns = ("question_id", "subject", "question", "choices", "answer")
    rows = zip(*(logs[0].table.column(c).to_pylist() for c in columns))
    return [Question(i, s, text, tuple(choices), int(a)) for i, s, text, choices, a in rows if i in shared]
