"""Questions and where they come from: MMLU, Atlas, or a table of one's own.

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

MMLU_TEST_QUESTIONS = 14_042


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


def load_benchmark(
    name: str | Path, data_dir: str | Path | None = None, limit: int | None = None
) -> list[Question]:
    """Load a benchmark by name, or from a CSV or Parquet file of one's own.

    Args:
        name: "mmlu", "atlas", "atlas-ood", "atlas-open", or the path of a table (see `read_table`).
        data_dir: folder with the benchmark's files (for MMLU, the release's `test/*_test.csv`);
            without it MMLU comes from the hub's `cais/mmlu`.
        limit: keep this many questions, spread evenly over the benchmark's order (so over its
            subjects), always the same ones.

    Raises:
        ValueError: the name is unknown, or a file's content is not what it should be.
        FileNotFoundError: the folder or the file is not there.
    """
    key = str(name).lower()
    if key == "mmlu":
        questions = _mmlu_from_folder(Path(data_dir)) if data_dir else _mmlu_from_hub()
    elif key in ("atlas", "atlas-ood", "atlas-open"):
        from cclib import atlas  # the generator needs packages that no other benchmark does

        questions = atlas.questions(key)
    elif Path(name).suffix.lower() in (".csv", ".parquet"):
        questions = read_table(name)
    else:
        raise ValueError(
            f"unknown benchmark {str(name)!r}; known: mmlu, atlas, atlas-ood, atlas-open, "
            "or the path of a .csv or .parquet file"
        )
    if limit is not None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, found {limit}; leave it out for all questions")
        if limit < len(questions):
            keep = np.linspace(0, len(questions) - 1, limit).round().astype(int)
            questions = [questions[i] for i in keep]
    return questions


def read_table(path: str | Path) -> list[Question]:
    """Questions from a CSV or Parquet table.

    Columns: `question`; one column an option, named A, B, C ... (2 to 10, later ones may be empty in
    a row); `answer`, a letter; and, if wanted, `id` and `subject`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no benchmark file at {path}; give the path of a .csv or .parquet file")
    if path.suffix.lower() == ".parquet":
        table = pd.read_parquet(path).astype(object).fillna("").astype(str)
    else:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table.columns = [c if c in prompts.LETTERS else str(c).lower() for c in table.columns]
    options = [letter for letter in prompts.LETTERS if letter in table.columns]
    missing = {"question", "answer", "A", "B"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{path.name}: needs the columns question, A, B (to J) and answer; "
            f"missing {', '.join(sorted(missing))}; found {', '.join(map(str, table.columns))}"
        )
    rows = table.to_dict("records")
    questions = [
        _question(
            id=row.get("id") or f"{path.stem}/{i}",
            subject=row.get("subject") or path.stem,
            text=row["question"],
            cells=[row[letter] for letter in options],
            letter=row["answer"],
            where=f"{path.name}, row {i}",
        )
        for i, row in enumerate(rows)
    ]
    _refuse_duplicates(questions, path.name)
    return questions


def _question(id: str, subject: str, text: str, cells: list[str], letter: str, where: str) -> Question:
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


def _refuse_duplicates(questions: Sequence[Question], where: str) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ValueError(f"{where}: the id {question.id!r} occurs twice; ids must be unique")
        seen.add(question.id)


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
                _question(f"mmlu/{subject}/{row}", subject, text, cells, letter, f"{file.name}, row {row}")
            )
    return questions


def _mmlu_from_hub() -> list[Question]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        path = hf_hub_download("cais/mmlu", "all/test-00000-of-00001.parquet", repo_type="dataset")
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            "MMLU (cais/mmlu) could not be fetched from the hub: "
            f"{type(error).__name__}. Check the network, or pass data_dir with the release's CSV files"
        ) from error
    table = pd.read_parquet(path)
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
