"""Recording traces: safe against being cut off, and cheap to go on with.

A part of a trace is written aside and renamed into place, so it is either whole or not there; a run
that was stopped answers only the questions that no part holds yet.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from tqdm import tqdm

import cclib
from cclib import prompts
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.names import is_api, pinned, slug
from cclib.questions import Question, refuse_duplicates
from cclib.traces import SCHEMA, Trace, part_name, read_trace

if TYPE_CHECKING:
    from cclib.models.api import APIModel

# What must agree for two recordings to be one trace; the rest of the provenance may differ.
FINGERPRINT = ("checksum", "dtype", "prompt_hash", "hidden_layer")
FLUSH_ROWS, FLUSH_SECONDS = 512, 20.0


def collect(
    model: LanguageModel | APIModel | str | Path,
    questions: Sequence[Question],
    store: str | Path = "traces",
    layer: int | None = None,
    device: str | None = None,
    dtype: str = "auto",
    progress: bool = True,
    engine: str = "local",
    worker: dict[str, Any] | None = None,
) -> Trace:
    """Answer questions with a model, one row each, going on where an earlier call stopped.

    Args:
        model: a loaded model, or a name. A name is loaded only if some question is not yet in the store,
            so recorded traces replay without weights.
        store: folder of traces; the model's are in its own folder there.
        layer: 1-based layer of the hidden state; default: nearest to 24/28 of the depth. An API has none.
        engine: "local", or "ray" for the workers of a Ray cluster; the model is then a name, which every
            worker loads.
        worker: with "ray", what one worker takes of its node; see `cclib.cluster.ClusterModel`.

    Returns:
        The trace of exactly these questions, in their order.

    Raises:
        ValueError: the store holds this model's trace from other weights, prompt, dtype or layer; no
            questions, or two of one id.
        OSError: the store cannot be written (the disk is full, another process is recording).
        BudgetReached, APIFailure: a model behind an API; what was answered before is kept.
    """
    _check(model, questions, engine)
    named = isinstance(model, str | Path)
    folder = Path(store) / (slug(model) if named else model.slug)
    known = _known(folder, model)
    if not {q.id for q in questions} <= known:
        if engine == "ray":
            from cclib.cluster import ClusterModel

            left = [q for q in questions if q.id not in known]
            model = ClusterModel(model, left, layer, device, dtype, worker)
        elif named:
            model = load_model(model, device=device, dtype=dtype)
        _record(model, questions, folder, layer, progress)
    trace = read_trace(folder)
    recorded_at = trace.hidden_layer
    if None not in (layer, recorded_at) and layer != recorded_at:  # an API has no layers
        raise ValueError(
            f"{folder} was recorded at layer {recorded_at}, not {layer}; use another store (traces_dir)"
        )
    return trace.select(q.id for q in questions)


def _check(model: object, questions: Sequence[Question], engine: str) -> None:
    named = isinstance(model, str | Path)
    if not named and not hasattr(model, "provenance"):
        raise ValueError(f"model must be a name, a path or a loaded model, found {model!r}")
    if isinstance(questions, str) or not all(isinstance(q, Question) for q in questions):
        raise ValueError("questions must be a list of cclib.Question, as cclib.load_benchmark returns it")
    if not questions:
        raise ValueError("there are no questions to answer; give at least one")
    refuse_duplicates(questions, "questions")
    if unjudged := [q.id for q in questions if q.choices and q.answer is None]:
        raise ValueError(f"question {unjudged[0]} has choices and no answer, so it cannot be judged")
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', found {engine!r}")
    if engine == "ray" and (not named or is_api(model)):
        raise ValueError(
            "engine='ray' needs a model's name, which every worker loads: not a loaded model, and not one "
            "behind an API, which takes many requests at once by itself"
        )


def _known(folder: Path, model: object = None) -> set[str]:
    """Ids of the questions that a folder's trace holds, which must be of the revision that a name pins."""
    if not (folder / "provenance.json").exists() and not any(folder.glob("part-*.parquet")):
        return set()
    trace = read_trace(folder)
    pin = pinned(model) if isinstance(model, str) else None
    made_of = (trace.provenance.get("checksum"), trace.provenance.get("revision"))
    if pin and pin != made_of[1] and not str(made_of[0]).startswith(f"commit:{pin}"):
        raise ValueError(
            f"{folder} was recorded from {made_of[0]} (revision {made_of[1]}), not from the pinned {pin}; "
            "use another store (traces_dir)"
        )
    return set(trace.question_id)


def _record(
    model: LanguageModel | APIModel,
    questions: Sequence[Question],
    folder: Path,
    layer: int | None,
    progress: bool,
) -> None:
    if len({bool(q.choices) for q in questions}) > 1:
        raise ValueError("some questions have choices and some are open; record each kind by itself")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            _begin(folder, model, layer)
            known = _known(folder)  # now that nobody else writes
            rows: list[dict[str, Any]] = []
            flushed = time.monotonic()
            todo = sum(q.id not in known for q in questions)
            try:
                with tqdm(total=todo, unit="question", desc=model.slug, disable=not progress) as bar:
                    for batch in _answers(model, questions, layer, folder, known):
                        rows += batch
                        if is_api(model.name):
                            bar.set_postfix_str(model.meter.spent, refresh=False)
                        bar.update(len(batch))
                        if len(rows) >= FLUSH_ROWS or time.monotonic() - flushed > FLUSH_SECONDS:
                            _append(folder, model, rows)
                            rows, flushed = [], time.monotonic()
            finally:  # where an endpoint fails or a budget ends, too
                if rows:
                    _append(folder, model, rows)
    except Timeout as error:
        raise OSError(
            f"another process is recording into {folder}; wait for it, or use another store"
        ) from error
    except PermissionError as error:
        raise PermissionError(
            error.errno,
            f"cannot write into {folder} ({error.strerror}); make it writable, or use another store",
        ) from error


def _answers(
    model: LanguageModel | APIModel,
    questions: Sequence[Question],
    layer: int | None,
    folder: Path,
    known: set[str],
) -> Iterator[list[dict[str, Any]]]:
    """Rows of what is not known, batch by batch; what an API was paid for is taken from its journal first."""
    if hasattr(model, "answers"):  # a cluster's workers
        yield from model.answers(questions, layer, known)
    elif is_api(model.name):
        from cclib.models.api import answer_by_api, open_journal

        journal, paid = open_journal(model, folder)
        yield [row for question_id, row in paid.items() if question_id not in known]
        yield from answer_by_api(model, questions, known | set(paid), journal)
    elif questions[0].choices:
        from cclib.confidence.p_t import answer_questions

        yield from answer_questions(model, questions, layer, known=known)
    else:
        from cclib.confidence.p_t import answer_open_questions

        yield from answer_open_questions(model, questions, layer, known=known)


def _prompt_hash(model: LanguageModel | APIModel) -> str:
    return prompts.template_hash(chat=is_api(model.name) and model.chat)


def _begin(folder: Path, model: LanguageModel | APIModel, layer: int | None) -> None:
    """Write the provenance, or check that what is there is of the same making."""
    if not is_api(model.name):
        from cclib.confidence.forward import check_layer

        layer = check_layer(layer, model.n_layers)
    new = {
        **model.provenance(),
        "hidden_layer": None if is_api(model.name) else layer,
        "prompt_hash": _prompt_hash(model),
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


def _append(folder: Path, model: LanguageModel | APIModel, rows: list[dict[str, Any]]) -> None:
    stamp = {"model": model.slug, "prompt_hash": _prompt_hash(model)}
    table = pa.Table.from_pylist([row | stamp for row in rows], schema=SCHEMA)
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    taken = [int(p.name[5:10]) for p in folder.glob("part-*")]  # those set aside as damaged too
    name = part_name(max(taken, default=-1) + 1, written.getvalue())
    _write_aside(folder / name, lambda aside: aside.write_bytes(written.getvalue()))


def _write_aside(path: Path, write: Any) -> None:
    """Write to a neighbour and rename: the name `path` never stands for half a file."""
    aside = path.with_suffix(".partial")
    try:
        write(aside)
        with aside.open("rb") as f:
            os.fsync(f.fileno())
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"could not write {path.name} ({error.strerror}); what was recorded before is kept: "
            "free some space and run the same call again",
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets a folder be synced."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
