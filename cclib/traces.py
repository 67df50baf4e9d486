"""The record of what a model did: one row a question, in Parquet, safe against being cut off.

A store is a folder with one folder a model. A model's folder holds `provenance.json` and Parquet parts;
a part is written aside and renamed into place, so it is either whole or not there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

import cclib
from cclib import prompts
from cclib.benchmarks import Question
from cclib.models import LanguageModel, load_model, slug

# What must agree for two recordings to be one trace; the rest of the provenance may differ.
FINGERPRINT = ("checksum", "dtype", "prompt_hash", "hidden_layer")
FLUSH_ROWS, FLUSH_SECONDS = 512, 20.0

SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
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
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("seconds", pa.float64()),
    ]
)


class Trace:
    """What one model did with n questions. Columns are numpy arrays, in the order of the rows.

    `p_t`, `p_ik` and the like are None where they were not recorded.
    """

    def __init__(self, table: pa.Table | pd.DataFrame, provenance: dict[str, Any] | None = None) -> None:
        if isinstance(table, pd.DataFrame):
            table = pa.Table.from_pandas(table, preserve_index=False)
        missing = {"question_id", "correct"} - set(table.column_names)
        if missing:
            raise ValueError(
                f"a trace needs the columns question_id and correct; missing {sorted(missing)}, "
                f"found {table.column_names}"
            )
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

    @cached_property
    def question_id(self) -> np.ndarray:
        return self.column("question_id").astype(str)

    @cached_property
    def correct(self) -> np.ndarray:
        """(n,) bool"""
        return self.column("correct").astype(bool)

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
            return flat.reshape(len(self), -1)
        out = np.full((len(self), widths.max()), np.nan, dtype)
        out[np.arange(widths.max()) < widths[:, None]] = flat
        return out

    @property
    def model(self) -> str:
        if "model" in self.provenance:
            return self.provenance["model"]
        names = self.column("model")
        return str(names[0]) if names is not None and len(names) else "recorded answers"

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
            raise KeyError(
                f"{self.model}: {len(absent)} of {len(wanted)} questions are not in this trace, the first "
                f"is {absent[0]!r}; record them, or compare traces of the same questions"
            )
        return Trace(self.table.take([place[q] for q in wanted]), self.provenance)

    def with_column(self, name: str, values: np.ndarray) -> Trace:
        table = self.table.drop_columns([name]) if name in self.table.column_names else self.table
        return Trace(table.append_column(name, pa.array(values)), self.provenance)

    def without(self, *names: str) -> Trace:
        return Trace(
            self.table.drop_columns([n for n in names if n in self.table.column_names]), self.provenance
        )


def read_trace(path: str | Path, model: str | None = None) -> Trace:
    """A trace from a model's folder in a store, or an outside CSV or Parquet file.

    An outside file needs `question_id` and `correct`; `p_t` too for any stage but the last.
    """
    path = Path(path)
    if path.is_dir():
        provenance = json.loads((path / "provenance.json").read_text())
        return Trace(_read_parts(path), provenance)
    if not path.exists():
        raise FileNotFoundError(f"no trace at {path}; give a store's model folder, a .csv or a .parquet file")
    if path.suffix.lower() == ".parquet":
        table: Any = _read_part(path)
    else:
        table = pd.read_csv(path, dtype={"question_id": str}, encoding="utf-8-sig")
        if "correct" in table and table["correct"].dtype != bool:
            named = table["correct"].astype(str).str.strip().str.lower()
            known = named.map({"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False})
            if known.isna().any():
                raise ValueError(
                    f"{path.name}: correct must be true or false (or 1 or 0), "
                    f"found {named[known.isna()].iloc[0]!r}"
                )
            table["correct"] = known.astype(bool)
    return Trace(table, {"model": model or path.stem})


def collect(
    model: LanguageModel | str | Path,
    questions: Sequence[Question],
    store: str | Path = "traces",
    layer: int | None = None,
    device: str | None = None,
    dtype: str = "auto",
    progress: bool = True,
) -> Trace:
    """Answer questions with a model, one row each, going on where an earlier call stopped.

    Args:
        model: a loaded model, or a name. A name is loaded only if some question is not yet in the store,
            so recorded traces replay without weights.
        store: folder of traces; the model's are in its own folder there.
        layer: 1-based layer of the hidden state; default: nearest to 24/28 of the depth.

    Returns:
        The trace of exactly these questions, in their order.

    Raises:
        ValueError: the store holds this model's trace from other weights, prompt, dtype or layer.
        OSError: the store cannot be written (the disk is full, another process is recording).
    """
    name = model.slug if isinstance(model, LanguageModel) else slug(model)
    folder = Path(store) / name
    known: set[str] = set()
    if (folder / "provenance.json").exists():
        known = set(read_trace(folder).question_id)
    todo = [q for q in questions if q.id not in known]
    if todo:
        if not isinstance(model, LanguageModel):
            model = load_model(model, device=device, dtype=dtype)
        _record(model, todo, folder, layer, progress)
    trace = read_trace(folder)
    recorded_at = trace.hidden_layer
    if layer is not None and layer != recorded_at:
        raise ValueError(
            f"{folder} was recorded at layer {recorded_at}, not {layer}; use another store (traces_dir)"
        )
    return trace.select(q.id for q in questions)


def _record(
    model: LanguageModel, questions: list[Question], folder: Path, layer: int | None, progress: bool
) -> None:
    from cclib.confidence import answer_questions, check_layer

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            _begin(folder, model, check_layer(layer, model.n_layers))
            rows: list[dict[str, Any]] = []
            flushed = time.monotonic()
            with tqdm(total=len(questions), unit="question", desc=model.slug, disable=not progress) as bar:
                for batch in answer_questions(model, questions, layer):
                    rows += batch
                    bar.update(len(batch))
                    if len(rows) >= FLUSH_ROWS or time.monotonic() - flushed > FLUSH_SECONDS:
                        _append(folder, model, rows)
                        rows, flushed = [], time.monotonic()
            if rows:
                _append(folder, model, rows)
    except Timeout as error:
        raise OSError(
            f"another process is recording into {folder}; wait for it, or use another store"
        ) from error


def _begin(folder: Path, model: LanguageModel, layer: int) -> None:
    """Write the provenance, or check that what is there is of the same making."""
    new = {
        **model.provenance(),
        "hidden_layer": layer,
        "prompt_hash": prompts.template_hash(),
        "recorded": datetime.now(timezone.utc).date().isoformat(),
    }
    new["versions"]["cclib"] = cclib.__version__
    path = folder / "provenance.json"
    if path.exists():
        old = json.loads(path.read_text())
        differ = [key for key in FINGERPRINT if old.get(key) != new[key]]
        if differ:
            found = "; ".join(f"{key}: recorded {old.get(key)}, now {new[key]}" for key in differ)
            raise ValueError(
                f"{folder} holds a trace of another making ({found}); "
                "use another store (traces_dir), or remove that folder"
            )
        return
    _write_aside(path, lambda aside: aside.write_text(json.dumps(new, indent=1) + "\n"))


def _append(folder: Path, model: LanguageModel, rows: list[dict[str, Any]]) -> None:
    stamp = {"model": model.slug, "prompt_hash": prompts.template_hash()}
    table = pa.Table.from_pylist([row | stamp for row in rows], schema=SCHEMA)
    path = folder / f"part-{len(list(folder.glob('part-*.parquet'))):05d}.parquet"
    _write_aside(path, lambda aside: pq.write_table(table, aside, compression="zstd"))


def _write_aside(path: Path, write: Any) -> None:
    """Write to a neighbour and rename: the name `path` never stands for half a file."""
    aside = path.with_suffix(".partial")
    try:
        write(aside)
        with aside.open("rb") as f:
            os.fsync(f.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"could not write {path.name} ({error.strerror}); what was recorded before is kept: "
            "free some space and run the same call again",
        ) from error


def _read_parts(folder: Path) -> pa.Table:
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        return SCHEMA.empty_table()
    return pa.concat_tables([_read_part(p) for p in parts], promote_options="default")


def _read_part(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}); "
            "remove that file and run the recording again: only its questions are answered anew"
        ) from error
