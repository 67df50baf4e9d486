"""The record of what a model did: one row a question, in Parquet.

A store is a folder with one folder a model. A model's folder holds `provenance.json` and Parquet parts
(see cclib.recording, which writes them).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cclib.logs.files import read_log
from cclib.logs.own_tables import OwnTable, checked_answers, numbers_or_texts, read_own_table
from cclib.logs.published import SIZES, one_model, read_zip
from cclib.names import file_and_model, is_log, plain_name

SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("question_hash", pa.string()),  # of what was asked (`Question.hash`); older traces have none
        ("subject", pa.string()),
        ("model", pa.string()),
        ("prompt_hash", pa.string()),
        ("answer", pa.int16()),
        ("prediction", pa.int16()),
        ("correct", pa.bool_()),
        ("p_t", pa.float64()),
        ("option_probs", pa.list_(pa.float64())),
        ("first_token_prob", pa.float64()),
        ("hidden", pa.list_(pa.float16())),
        ("response", pa.string()),  # of an open question, and whether it declined to answer
        ("abstained", pa.bool_()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("seconds", pa.float64()),
        ("options_unseen", pa.int16()),  # of an API's answer: options that its likeliest tokens leave out,
        ("mass_unseen", pa.float64()),  # the probability of all tokens that it does not give,
        ("served_model", pa.string()),  # what answered, by its own account,
        ("note", pa.string()),  # and why it has no answer (`correct` is null where the question is set aside)
    ]
)


# What must agree for two recordings to be one trace; the rest of the provenance may differ.
FINGERPRINT = ("checksum", "dtype", "head", "prompt_hash", "hidden_layer", "reading")
CHECKED = ("question_id", "correct", "p_t", "p_ik")  # of a table from outside
PART = re.compile(r"-([0-9a-f]{8})\.parquet$")


class Trace:
    """What one model did with n questions. Columns are numpy arrays, in the order of the rows.

    `p_t`, `p_ik` and the like are None where they were not recorded.
    """

    def __init__(self, table: pa.Table | pd.DataFrame, provenance: dict[str, Any] | None = None) -> None:
        if not isinstance(table, pd.DataFrame | pa.Table):
            raise ValueError(
                f"a trace is made of a DataFrame or an Arrow table, found {type(table).__name__}"
            )
        names = list(table.columns if isinstance(table, pd.DataFrame) else table.column_names)
        missing = {"question_id", "correct"} - set(names)
        if missing or len(set(names)) < len(names):
            raise ValueError(
                f"a trace needs the columns question_id and correct, and each column once; missing "
                f"{sorted(missing)}, found {names}"
            )
        if isinstance(table, pd.DataFrame):
            checked = {
                n: pd.Series(v, table.index) for n, v in checked_answers(table, "row {}".format).items()
            }
            table = pa.Table.from_pandas(table.assign(**checked), preserve_index=False)
        elif not pa.types.is_boolean(table.schema.field("correct").type):
            table = _with(table, checked_answers(_lists(table), "row {}".format))
        self.table = table
        self.provenance = provenance or {}
        if len(set(self.question_id)) < len(self):
            raise ValueError("a trace holds one row a question; some question_id occurs twice")

    def __len__(self) -> int:
        return self.table.num_rows

    def __repr__(self) -> str:
        return f"Trace({self.model!r}, {len(self)} questions)"

    def column(self, name: str) -> np.ndarray | None:
        """(n,) values of a column, or None where it is absent or empty."""
        if name not in self.table.column_names:
            return None
        column = self.table.column(name)
        return None if column.null_count == len(column) > 0 else column.to_numpy()

    @property
    def key(self) -> str:
        """Sixteen hex digits of the answers and of what made them; what is worked out of them goes by it."""
        made_of = [self.provenance.get(name) for name in FINGERPRINT]
        for name in ("question_id", "question_hash", "correct", "prediction", "response"):
            made_of.append(self.table[name].to_pylist() if name in self.table.column_names else None)
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

    @cached_property
    def question_id(self) -> np.ndarray:
        return self.column("question_id").astype(str)

    @cached_property
    def correct(self) -> np.ndarray:
        """(n,) bool

        Raises:
            ValueError: a question is set aside, so nobody knows.
        """
        if self.set_aside.any():
            first = np.flatnonzero(self.set_aside)[0]
            why = self.table.column("note")[first] if "note" in self.table.column_names else "not answered"
            raise ValueError(
                f"{self.model}: {self.set_aside.sum()} of {len(self)} questions are set aside, the first is "
                f"{str(self.question_id[first])!r} ({why}), so they are neither right nor wrong; go on with "
                "trace.answered()"
            )
        return self.column("correct").astype(bool)

    @cached_property
    def set_aside(self) -> np.ndarray:
        """(n,) bool: an endpoint would not answer the question (a content filter); `note` says why"""
        return self.table.column("correct").is_null().to_numpy()

    def answered(self) -> Trace:
        """The rows of the questions that are not set aside."""
        return Trace(self.table.filter(self.table.column("correct").is_valid()), self.provenance)

    @cached_property
    def p_t(self) -> np.ndarray | None:
        """(n,) probability of the chosen option (Eq. 1); for open questions, of "Answer" coming first"""
        return self.column("p_t")

    @cached_property
    def p_ik(self) -> np.ndarray | None:
        """(n,) the probe's probability of "I know" """
        return self.column("p_ik")

    @cached_property
    def option_probs(self) -> np.ndarray | None:
        """(n, c) over the vocabulary; rows of fewer options end in NaN"""
        return self._matrix("option_probs", np.float64)

    @cached_property
    def hidden(self) -> np.ndarray | None:
        """(n, d) float32 hidden state at each prompt's last position"""
        return self._matrix("hidden", np.float32)

    def _matrix(self, name: str, dtype: type) -> np.ndarray | None:
        if self.column(name) is None:
            return None
        column = self.table.column(name).combine_chunks()
        widths = np.diff(column.offsets.to_numpy())
        flat = column.flatten().to_numpy(zero_copy_only=False).astype(dtype)
        if len(set(widths)) <= 1:
            return flat.reshape(len(self), widths[0] if len(widths) else 0)
        out = np.full((len(self), widths.max()), np.nan, dtype)
        out[np.arange(widths.max()) < widths[:, None]] = flat
        return out

    @property
    def model(self) -> str:
        """Its name, fit to stand in a page whoever wrote it."""
        if "model" in self.provenance:
            return plain_name(str(self.provenance["model"]))
        names = self.column("model")
        return plain_name(str(names[0])) if names is not None and len(names) else "recorded answers"

    @property
    def parameters(self) -> float | None:
        return self.provenance.get("parameters")

    @property
    def n_layers(self) -> int | None:
        return self.provenance.get("n_layers")

    @property
    def d_model(self) -> int | None:
        return self.provenance.get("d_model")

    @property
    def hidden_layer(self) -> int | None:
        return self.provenance.get("hidden_layer")

    @property
    def prompt_tokens(self) -> np.ndarray | None:
        return self.column("prompt_tokens")

    @property
    def output_tokens(self) -> np.ndarray | None:
        return self.column("output_tokens")

    @property
    def seconds(self) -> np.ndarray | None:
        return self.column("seconds")

    def select(self, question_ids: Iterable[str]) -> Trace:
        """The rows of these questions, in this order.

        Raises:
            KeyError: a question is not in the trace.
        """
        wanted = [str(i) for i in question_ids]
        place = {q: i for i, q in enumerate(self.question_id)}
        absent = [q for q in wanted if q not in place]
        if absent:
            like = f"; its ids are like {str(self.question_id[0])!r}" if len(self) else ""
            raise KeyError(
                f"{self.model}: {len(absent)} of {len(wanted)} questions are not in this trace, the first "
                f"is {absent[0]!r}{like}; record them, or compare traces of the same questions"
            )
        rows = pa.array([place[q] for q in wanted], pa.int64())  # typed, for none may be wanted
        return Trace(self.table.take(rows), self.provenance)

    def with_column(self, name: str, values: np.ndarray) -> Trace:
        table = self.table.drop_columns([name]) if name in self.table.column_names else self.table
        return Trace(table.append_column(name, pa.array(values)), self.provenance)

    def without(self, *names: str) -> Trace:
        return Trace(
            self.table.drop_columns([n for n in names if n in self.table.column_names]), self.provenance
        )


def read_trace(path: str | Path, model: str | None = None) -> Trace:
    """A trace from a model's folder in a store, a harness's logs, or an outside CSV or Parquet file.

    Of an id that was recorded with several texts, the last one's answer is taken; `cclib.collect` takes that
    of the questions at hand.
    An outside file needs `question_id` and `correct`; `p_t` too for any stage but the last. Of several
    models' answers in one file (a column `model`), "file.parquet#model" names one. A .zip is one model's
    answers as MMLU-Pro's authors publish them. Logs also give the questions' texts (see
    `cclib.logs.files.read_log`).
    """
    if is_log(path):
        return Trace(*read_log(path))
    path, named = file_and_model(path)
    model = model or named
    if path.is_dir():
        return Trace(_latest(read_parts(path)), read_provenance(path))
    if not path.exists():
        raise FileNotFoundError(f"no trace at {path}; give a store's model folder, a .csv or a .parquet file")
    if path.suffix.lower() == ".zip":
        return Trace(*read_zip(path))
    if path.suffix.lower() == ".parquet":
        table = read_part(path)
        outside = OwnTable(path.name, _lists(table), None)
    else:
        outside = read_own_table(path, {"question_id", "correct"}, {"p_t", "p_ik", *SCHEMA.names})
        table = pa.table({name: numbers_or_texts(cells) for name, cells in outside.columns.items()})
    try:
        if "model" in table.column_names:
            rows = one_model(table.to_pandas(), named, path)
            table = pa.Table.from_pandas(rows, preserve_index=False)
            outside = OwnTable(path.name, {n: rows[n].tolist() for n in rows}, None)
        missing = {"question_id", "correct"} - set(outside.columns)
        checked = {} if missing else checked_answers(outside.columns, outside.where)
        about: dict[str, Any] = {"model": model or path.stem}
        if about["model"] in SIZES:
            about["parameters"] = SIZES[about["model"]] * 1e9
        return Trace(_with(table, checked), about)
    except ValueError as error:
        says_where = str(error).startswith(path.name)
        raise ValueError(str(error) if says_where else f"{path.name}: {error}") from error


def _lists(table: pa.Table) -> dict[str, list]:
    return {name: table[name].to_pylist() for name in CHECKED if name in table.column_names}


def _with(table: pa.Table, columns: dict[str, list]) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def read_provenance(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        problem = "it is not a JSON object"
    except OSError:
        problem = "it is not there"
    except ValueError:
        problem = "it is not JSON"
    raise ValueError(
        f"{folder / 'provenance.json'} cannot be read ({problem}), so nobody knows what made this trace. "
        f"Put it back, or set the whole trace aside with `python -m cclib traces check {folder} --repair`"
    )


def read_parts(folder: Path) -> pa.Table:
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        return SCHEMA.empty_table()
    return pa.concat_tables([read_part(p) for p in parts], promote_options="default")


def _latest(table: pa.Table) -> pa.Table:
    """Without the answers to questions that stood under an id before it was given to another one."""
    if "question_hash" not in table.column_names:
        return table
    rows = list(zip(table["question_id"].to_pylist(), table["question_hash"].to_pylist()))
    last = dict(rows)
    return table.filter(pa.array([last[name] == asked for name, asked in rows], pa.bool_()))


def part_name(number: int, content: bytes) -> str:
    """A part's file name, which says what it must hold: part-00003-1a2b3c4d.parquet."""
    return f"part-{number:05d}-{hashlib.sha256(content).hexdigest()[:8]}.parquet"


def read_part(path: Path) -> pa.Table:
    problem = None
    try:
        content = path.read_bytes()
        named = PART.search(path.name)
        if named and hashlib.sha256(content).hexdigest()[:8] != named[1]:
            problem = "its content is not what was written"
        else:
            return pq.read_table(pa.BufferReader(content))
    except (pa.ArrowInvalid, OSError) as error:
        problem = str(error).splitlines()[0]
    raise ValueError(
        f"{path} is damaged ({problem}); the other parts are whole. Set it aside with "
        f"`python -m cclib traces check {path.parent} --repair` and run the recording again: "
        "only its questions are answered anew"
    )


def damaged_parts(store: str | Path, repair: bool = False) -> dict[Path, str]:
    """The damaged parts of a store (or of one model's folder) and what is wrong with each.

    Args:
        repair: rename them to "....damaged", so that the next recording answers their questions anew.
    """
    if not Path(store).is_dir():
        raise FileNotFoundError(f"no store of traces at {store}; give the folder that holds the traces")
    found = {}
    parts = sorted(Path(store).rglob("part-*.parquet"))
    for path in parts:
        try:
            read_part(path)
        except ValueError as error:
            found[path] = str(error)
    for folder in sorted({path.parent for path in parts}):
        try:
            read_provenance(folder)
        except ValueError as error:
            found |= dict.fromkeys(
                [*sorted(folder.glob("provenance.json")), *folder.glob("part-*.parquet")], str(error)
            )
    for path in found if repair else ():
        path.rename(path.with_suffix(".damaged"))
    return found
