"""Questions and where they come from: a public benchmark, Atlas, or a table of one's own.

Every loader returns a list of `Question` in a fixed order, so that the split (and with it every
number in the book) depends on the questions and the seed alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import prompts
from cclib.logs.hub import told_apart
from cclib.names import is_log
from cclib.questions import Question, check_limit, checked_question, refuse_duplicates
from cclib.traces import Trace, read_trace


def load_benchmark(
    name: str | Path, data_dir: str | Path | None = None, limit: int | None = None
) -> list[Question]:
    """Load a benchmark by name, or from a CSV or Parquet file of one's own.

    Args:
        name: "mmlu", "gpqa", "popqa", "atlas", "atlas-ood", "atlas-open", the path of a table (see
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
    public = {"mmlu": mmlu, "gpqa": gpqa, "popqa": popqa}
    if key in public:
        questions = public[key](Path(data_dir) if data_dir else None)
    elif key in ("atlas", "atlas-ood", "atlas-open"):
        from cclib import atlas

        questions = atlas.questions(key)
    elif is_log(name):
        questions = logged_questions([read_trace(name)])
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


LOGGED = " (logged)"  # ends the name of a benchmark that logs make


ROWS = {"mmlu": 14_042, "gpqa": 448, "popqa": 14_267}


GPQA_SEED = 0  # of the options' order; the file has the right answer first


def mmlu(folder: Path | None) -> list[Question]:
    """MMLU's test questions (Hendrycks et al., 2021): the release's CSVs, or the hub's `cais/mmlu`."""
    if folder is not None:
        return _mmlu_from_folder(folder)
    table = pd.read_parquet(
        _from_hub("cais/mmlu", "all/test-00000-of-00001.parquet", "test/<subject>_test.csv")
    )
    row = table.groupby("subject").cumcount()
    return sorted(
        (
            Question(f"mmlu/{s}/{r}", s, text, tuple(choices), int(answer))
            for text, s, choices, answer, r in zip(
                table["question"], table["subject"], table["choices"], table["answer"], row
            )
        ),
        key=lambda q: (q.subject, int(q.id.rsplit("/", 1)[1])),
    )


def _mmlu_from_folder(folder: Path) -> list[Question]:
    """MMLU's public CSVs: no header; columns question, A, B, C, D, answer letter."""
    files = sorted((folder / "test").glob("*_test.csv")) or sorted(folder.glob("*_test.csv"))
    if not files:
        raise FileNotFoundError(
            f"no MMLU files in {folder}: expected test/<subject>_test.csv; "
            "unpack the MMLU release there, or leave data_dir out to use the hub's cais/mmlu"
        )
    questions = []
    for file in files:
        subject = file.name.removesuffix("_test.csv")
        # "None", "nan" and bare numbers are answers here, so every cell is read as it stands
        table = pd.read_csv(file, header=None, dtype=str, keep_default_na=False)
        if table.shape[1] != 6:
            raise ValueError(
                f"{file.name}: expected 6 columns (question, A, B, C, D, answer), "
                f"found {table.shape[1]}; is this an MMLU file?"
            )
        for row, (text, *cells, letter) in enumerate(table.itertuples(index=False)):
            questions.append(
                checked_question(
                    f"mmlu/{subject}/{row}", subject, text, cells, letter, f"{file.name}, row {row}"
                )
            )
    return questions


def gpqa(folder: Path | None) -> list[Question]:
    """GPQA's main set (Rein et al., 2023), `gpqa_main.csv`: 448 graduate-level questions.

    The right answer comes first in the file, so the options of question i are put in an order drawn
    from (GPQA_SEED, i), the same for everybody; a trace keeps it in its `answer` column.
    """
    path = _file(folder, "Idavidrein/gpqa", "gpqa_main.csv")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3))]
    _need(path, table, columns)
    questions = []
    for i, (text, *options) in enumerate(table[columns].itertuples(index=False)):
        order = np.random.default_rng([GPQA_SEED, i]).permutation(4)
        choices = tuple(options[j].strip() for j in order)
        subject = table["High-level domain"][i] if "High-level domain" in table else "gpqa"
        questions.append(Question(f"gpqa/{i}", subject.lower(), text.strip(), choices, int(np.argmin(order))))
    return questions


def popqa(folder: Path | None) -> list[Question]:
    """PopQA (Mallen et al., 2023), `test.tsv`: open questions with accepted answers and popularity."""
    path = _file(folder, "akariasai/PopQA", "test.tsv")
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    _need(path, table, ["id", "prop", "question", "possible_answers", "s_pop"])
    questions = []
    for row in table.to_dict("records"):
        try:
            accepted = tuple(str(a) for a in json.loads(row["possible_answers"]))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path.name}, id {row['id']}: possible_answers must be a JSON list, "
                f"found {row['possible_answers'][:40]!r}"
            ) from error
        popularity = float(row["s_pop"]) if row["s_pop"] else None
        questions.append(
            Question(
                f"popqa/{row['id']}", row["prop"], row["question"], accepted=accepted, popularity=popularity
            )
        )
    refuse_duplicates(questions, path.name)
    return questions


def _need(path: Path, table: pd.DataFrame, columns: list[str]) -> None:
    missing = [c for c in columns if c not in table]
    if missing:
        raise ValueError(f"{path.name}: missing column {missing[0]!r}; found {', '.join(table.columns)}")


def _file(folder: Path | None, repository: str, name: str) -> Path:
    """The file in a folder, or fetched from the hub."""
    if folder is None:
        return Path(_from_hub(repository, name, name))
    if not (folder / name).exists():
        raise FileNotFoundError(
            f"no {name} in {folder}; download it from the hub's {repository}, or leave data_dir out"
        )
    return folder / name


def _from_hub(repository: str, name: str, local: str) -> str:
    from huggingface_hub import hf_hub_download

    with told_apart(repository, f"pass data_dir with {local}"):
        return hf_hub_download(repository, name, repo_type="dataset")
