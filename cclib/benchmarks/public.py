"""Public benchmarks, from their own files or from the hub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from cclib.logs.hub import told_apart
from cclib.logs.own_tables import cells_of, text_of
from cclib.questions import Question, checked_question, refuse_duplicates

ROWS = {"mmlu": 14_042, "mmlu-pro": 12_032, "gpqa": 448, "popqa": 14_267}


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


def mmlu_development(folder: Path | None) -> list[Question]:
    """MMLU's five development questions a subject, no part of its test; none where a folder has none."""
    if folder is None:
        place = "all/dev-00000-of-00001.parquet"
        table = pd.read_parquet(_from_hub("cais/mmlu", place, "dev/<subject>_dev.csv"))
        row = table.groupby("subject").cumcount()
        columns = (table["question"], table["subject"], table["choices"], table["answer"], row)
        return [
            Question(f"mmlu-dev/{s}/{r}", s, text, tuple(c), int(a)) for text, s, c, a, r in zip(*columns)
        ]
    return _mmlu_rows(sorted((folder / "dev").glob("*_dev.csv")) or sorted(folder.glob("*_dev.csv")), "dev")


def _mmlu_from_folder(folder: Path) -> list[Question]:
    """MMLU's public CSVs: no header; columns question, A, B, C, D, answer letter."""
    files = sorted((folder / "test").glob("*_test.csv")) or sorted(folder.glob("*_test.csv"))
    if not files:
        raise FileNotFoundError(
            f"no MMLU files in {folder}: expected test/<subject>_test.csv; "
            "unpack the MMLU release there, or leave data_dir out to use the hub's cais/mmlu"
        )
    return _mmlu_rows(files, "test")


def _mmlu_rows(files: list[Path], part: str) -> list[Question]:
    questions, name = [], "mmlu" if part == "test" else f"mmlu-{part}"
    for file in files:
        subject = file.name.removesuffix(f"_{part}.csv")
        # "None", "nan" and bare numbers are answers here, so every cell is read as it stands
        for row, (line, cells) in enumerate(cells_of(file.name, text_of(file), ",")):
            where = f"{file.name}, line {line} (row {row})"
            if len(cells) != 6:
                raise ValueError(
                    f"{where}: expected 6 columns (question, A, B, C, D, answer), found {len(cells)}; is "
                    "this an MMLU file?"
                )
            text, *options, letter = cells
            questions.append(
                checked_question(f"{name}/{subject}/{row}", subject, text, options, letter, where)
            )
    return questions


def mmlu_pro(folder: Path | None) -> list[Question]:
    """MMLU-Pro's test questions (Wang et al., 2024): 3 to 10 options, 14 subjects, ids of its authors.

    From the hub's `TIGER-Lab/MMLU-Pro`, or a Parquet file of it in the folder.
    """
    if folder is None:
        path = Path(_from_hub("TIGER-Lab/MMLU-Pro", "data/test-00000-of-00001.parquet", "questions.parquet"))
    else:
        named = ("questions.parquet", "test-00000-of-00001.parquet", "data/test-00000-of-00001.parquet")
        path = next((folder / name for name in named if (folder / name).exists()), None)
        if path is None:
            raise FileNotFoundError(
                f"no MMLU-Pro in {folder}: expected one of {', '.join(named)}; download it from the hub's "
                "TIGER-Lab/MMLU-Pro, or leave data_dir out"
            )
    table = pd.read_parquet(path)
    _need(path, table, ["question_id", "category", "question", "options", "answer_index"])
    columns = (table[c].tolist() for c in ("question_id", "category", "question", "options", "answer_index"))
    questions = []
    for i, category, text, options, answer in zip(*columns):
        choices = tuple(str(option) for option in options)
        questions.append(Question(str(i), category.replace(" ", "_"), text, choices, int(answer)))
    refuse_duplicates(questions, path.name)
    return questions


def gpqa(folder: Path | None) -> list[Question]:
    """GPQA's main set (Rein et al., 2023), `gpqa_main.csv`: 448 graduate-level questions.

    The right answer comes first in the file, so the options of question i are put in an order drawn
    from (GPQA_SEED, i), the same for everybody; a trace keeps it in its `answer` column.
    """
    path = _file(folder, "Idavidrein/gpqa", "gpqa_main.csv")
    table = _public_table(path, ",")
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
    table = _public_table(path, "\t")
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
        if row["s_pop"] and not re.fullmatch(r"\d+(\.\d+)?", row["s_pop"]):
            raise ValueError(f"{path.name}, id {row['id']}: s_pop must be a number, found {row['s_pop']!r}")
        popularity = float(row["s_pop"]) if row["s_pop"] else None
        questions.append(
            Question(
                f"popqa/{row['id']}", row["prop"], row["question"], accepted=accepted, popularity=popularity
            )
        )
    refuse_duplicates(questions, path.name)
    return questions


def _public_table(path: Path, separator: str) -> pd.DataFrame:
    """All cells as texts."""
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: not the table that its maker publishes: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"{path.name}: rows have more cells than the header; download the file again")
    return table


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


DEVELOPMENT = {"mmlu": mmlu_development}
PUBLIC = {"mmlu": mmlu, "mmlu-pro": mmlu_pro, "gpqa": gpqa, "popqa": popqa}
