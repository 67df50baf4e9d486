"""The benchmark that logs make: their own questions, or those of a named one that they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cclib.benchmarks import load_benchmark, logged_questions
from cclib.names import is_api, is_log, runs_here, slug
from cclib.prompts import LETTERS
from cclib.questions import Question
from cclib.traces import Trace

LOGGED = " (logged)"  # ends the name of a benchmark that logs make
DEFAULT = "atlas"  # of load_study and the chapters


def logged_benchmark(
    names: Sequence[str], outside: dict[str, Trace], benchmark: str, data_dir: str | Path | None
) -> tuple[str, list[Question], list[str]]:
    """The questions that all logs among the models hold.

    Args:
        outside: traces by name; of a named benchmark, the logs' take on its ids here.
        benchmark: the default stands for what was logged.

    Returns:
        The benchmark's name, its questions, and what is to be said of the logs.

    Raises:
        ValueError: there are no such questions, or a model that runs cannot be asked them.
    """
    logs = {name: outside[name] for name in names if is_log(name)}
    if benchmark == DEFAULT:
        questions, benchmark = logged_questions(list(logs.values())), logged_name(list(logs.values()))
    else:
        questions = load_benchmark(benchmark, data_dir)
        logs = {name: on_benchmark(log, questions) for name, log in logs.items()}
        shared = set.intersection(*(set(log.question_id) for log in logs.values()))
        questions = [q for q in questions if q.id in shared]
    bare = [q.id for q in questions if q.choices == tuple(LETTERS[: len(q.choices)])]
    if bare and any(is_api(name) or runs_here(name) for name in names):
        raise ValueError(
            f"{bare[0]}: the log holds the letters of the options and not their texts, so no other model can "
            "be asked; use logs of all models, or name the benchmark that was logged"
        )
    notes = []
    for name, log in logs.items():
        outside[name] = log
        notes += log.provenance["notes"]
        if len(log) > len(questions):
            notes.append(
                f"{slug(name)}: {len(questions):,} of {len(log):,} logged questions are in every log"
            )
    return benchmark, questions, notes


def on_benchmark(log: Trace, questions: Sequence[Question]) -> Trace:
    """A log with a benchmark's ids on the questions of the same text and options; the others are left out.

    Raises:
        ValueError: it holds none of them.
    """
    known = {_said(q.text, q.choices): q.id for q in questions}
    texts = zip(log.column("question"), log.column("choices"))
    ids = np.array([known.get(_said(text, choices), "") for text, choices in texts])
    first = np.isin(np.arange(len(ids)), np.unique(ids, return_index=True)[1])  # a question asked twice
    keep = first & (ids != "")
    if not keep.any():
        raise ValueError(
            f"{log.model}: none of its {len(log)} logged questions, like {log.column('question')[0][:60]!r}, "
            "is in the benchmark; name the one that was logged, or leave it out to take the logs' own"
        )
    return Trace(log.table.filter(keep), log.provenance).with_column("question_id", ids[keep])


def _said(text: str, choices: Sequence[str]) -> tuple[str, ...]:
    return tuple(" ".join(one.split()) for one in (text, *choices))


def logged_name(logs: Sequence[Trace]) -> str:
    """What the benchmark that logs make is called: what their tasks' names begin with, or the tasks."""
    tasks = sorted({task for log in logs for task in log.column("subject")})
    name = os.path.commonprefix(tasks).rstrip("_-")
    if not name or len(tasks) == 1:
        name = " + ".join(tasks[:2] + [f"{len(tasks) - 2} more"] * (len(tasks) > 2))
    return name + LOGGED
