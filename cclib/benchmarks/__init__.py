"""Questions and where they come from: a public benchmark, Atlas, or a table of one's own.

Every loader returns a list of `Question` in a fixed order, so that the split (and with it every
number in the book) depends on the questions and the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cclib.benchmarks.own import read_table as read_table
from cclib.benchmarks.public import DEVELOPMENT, PUBLIC
from cclib.names import is_log
from cclib.questions import Question, check_limit
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
    elif isinstance(name, str | Path) and is_log(name):
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


def development_questions(name: str | Path, data_dir: str | Path | None = None) -> list[Question]:
    """What a benchmark's makers set apart to be shown as examples; none where it has no such part."""
    load = DEVELOPMENT.get(str(name).lower())
    return load(Path(data_dir) if data_dir else None) if load else []


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
