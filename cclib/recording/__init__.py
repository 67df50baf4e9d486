"""Recording traces: safe against being cut off, and cheap to go on with.

A part of a trace is written aside and renamed into place, so it is either whole or not there; a run
that was stopped answers only the questions that no part holds yet.
"""

from __future__ import annotations

import io
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

import cclib
from cclib import prompts
from cclib.models.api_judge import find_judge
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.models.progress import Progress
from cclib.models.stored import quantisation_at_hand
from cclib.names import is_api, slug
from cclib.prompts import Prompt, read_prompt
from cclib.questions import Judge, Question, refuse_duplicates, string_match
from cclib.recording.store import (
    Held,
    answers_of,
    by_rows,
    differences,
    find,
    making_key,
    makings,
    new_home,
    recorded,
    wanted_by_name,
    wanted_of,
)
from cclib.traces import SCHEMA, Trace, part_name, read_provenance

if TYPE_CHECKING:
    from cclib.models.api import APIModel
    from cclib.recording.cluster import ClusterModel

__all__ = ["answers_of", "by_rows", "collect", "recorded"]
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
    prompt: str | Prompt = prompts.AUTO,
    judge: str | Judge | None = None,
) -> Trace:
    """Answer questions with a model, one row each, going on where an earlier call stopped.

    An answer in the store is taken where the same was asked (text and options; not the id) of the same
    weights, with the same prompt, in the same precision, at the same layer. It is judged by what is right
    now. What was recorded of other questions, or otherwise, is kept beside.

    Args:
        model: a loaded model, or a name. A name is loaded only if some question is not yet in the store,
            so recorded traces replay without weights; where these are not at hand, the trace's provenance
            notes that nothing shows that the answers are theirs.
        store: folder of traces; the model's are in its own folder there.
        layer: 1-based layer of the hidden state; default: nearest to 24/28 of the depth. An API has none.
        dtype: of a name; "auto" goes on in the precision that was recorded first, or else takes that of
            `cclib.load_model`.
        engine: "local", or "ray" for the workers of a Ray cluster; the model is then a name, which every
            worker loads.
        worker: with "ray", what one worker takes of its node; see `cclib.recording.cluster.ClusterModel`.
        prompt: "auto" (the paper's: Table 7, in chat roles where the question is open and the model has a
            template), "table-7", "table-7-chat", or what `cclib.few_shot` gives.
        judge: of open answers: "string-match" (the default), a model behind an API ("openai:NAME"), or a
            function of a question and a response. It judges all of them, whoever did before; the trace's
            provenance names it. What a model has no verdict on is set aside (`Trace.answered`).

    Returns:
        The trace of exactly these questions, in their order.

    Raises:
        ValueError: no questions, two of one id, or ones that cannot be judged; the prompt is none for this
            model, or does not fit its context; the weights are not at hand, and answers of several models of
            this name are.
        OSError: the store cannot be written (the disk is full, another process is recording).
        BudgetReached, APIFailure: a model behind an API, or the judge; what was answered, or judged, before
            is kept.
    """
    _check(model, questions, engine)
    judge = find_judge(judge, store)
    if judge is not string_match and questions[0].choices:
        raise ValueError(
            f"judge is of open questions, found {judge!r} and questions with options, which their key judges"
        )
    named, is_open, prompt = isinstance(model, str | Path), not questions[0].choices, read_prompt(prompt)
    folder = Path(store) / (slug(model) if named else model.slug)
    if named:
        wanted = wanted_by_name(model, layer, dtype, prompt, is_open)
    else:
        model = model.asked(prompt, is_open)
        wanted = wanted_of(model, layer)
    held, notes = Held(find(folder, wanted), questions), []
    if named and wanted["checksum"] is None and not is_api(model) and not held.left:
        made_by = held.about.get("checksum")
        notes = [
            f"the weights of {model} are not at hand, so nothing shows that the answers are theirs: {made_by}"
        ]
    for _attempt in range(2):  # the workers of a cluster may have other weights than this machine
        if held.left:
            first = next((about.get("dtype") for _, about in makings(folder)), None)
            given = (layer, device, dtype, engine, worker, prompt, first)
            ready = _load(model, held, *given) if named else model
            held = Held(_record(ready, questions, folder, layer, progress), questions)
    trace = held.trace(notes, judge, progress)
    if (
        named and wanted["checksum"] and not trace.provenance.get("quantisation")
    ):  # recorded before it was noted
        trace.provenance |= {"quantisation": quantisation_at_hand(model)}
    return trace


def _check(model: object, questions: Sequence[Question], engine: str) -> None:
    named = isinstance(model, str | Path)
    if not named and not hasattr(model, "provenance"):
        raise ValueError(f"model must be a name, a path or a loaded model, found {model!r}")
    if isinstance(questions, str) or not all(isinstance(q, Question) for q in questions):
        raise ValueError("questions must be a list of cclib.Question, as cclib.load_benchmark returns it")
    if not questions:
        raise ValueError("there are no questions to answer; give at least one")
    refuse_duplicates(questions, "questions")
    if len({bool(q.choices) for q in questions}) > 1:
        raise ValueError("some questions have choices and some are open; record each kind by itself")
    if bare := [q.id for q in questions if not q.choices and not q.accepted]:
        raise ValueError(f"question {bare[0]} is open but has no accepted answers, so it cannot be judged")
    if unjudged := [q.id for q in questions if q.choices and q.answer is None]:
        raise ValueError(f"question {unjudged[0]} has choices and no answer, so it cannot be judged")
    if engine not in ("local", "ray"):
        raise ValueError(f"engine must be 'local' or 'ray', found {engine!r}")
    if engine == "ray" and (not named or is_api(model)):
        raise ValueError(
            "engine='ray' needs a model's name, which every worker loads: not a loaded model, and not one "
            "behind an API, which takes many requests at once by itself"
        )


def _load(
    name: str | Path,
    held: Held,
    layer: int | None,
    device: str | None,
    dtype: str,
    engine: str,
    worker: dict[str, Any] | None,
    prompt: Prompt,
    first_dtype: str | None,
) -> LanguageModel | APIModel | ClusterModel:
    """The model that answers what is left, in the precision of what is there."""
    if dtype == "auto":
        dtype = held.about.get("dtype") or first_dtype or dtype
    if engine == "ray":
        from cclib.recording.cluster import ClusterModel

        return ClusterModel(name, held.left, layer, device, dtype, worker, prompt)
    try:
        loaded = load_model(name, device=device, dtype=dtype)
    except (ValueError, OSError) as error:
        if not held.rows:
            raise
        raise type(error)(
            f"{len(held.left)} of {len(held.questions)} questions are not on record as they are asked now, "
            f"the first is {held.left[0].id!r}, and the model cannot be loaded to answer them: {error}"
        ) from error
    return loaded.asked(prompt, is_open=not held.left[0].choices)


def _record(
    model: LanguageModel | APIModel | ClusterModel,
    questions: Sequence[Question],
    folder: Path,
    layer: int | None,
    progress: bool,
) -> Path:
    """Answer what is not on record; the folder of the making that now holds it all."""
    encoded = None
    if isinstance(model, LanguageModel):  # what is recorded says how it was read
        from cclib.confidence.forward import encode_questions
        from cclib.confidence.reading import how_read

        encoded = encode_questions(model, questions)  # refuses what does not fit before anything is written
        how_read(model, encoded)
    wanted = wanted_of(model, layer)
    home = find(folder, wanted) or new_home(folder, wanted)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock", timeout=0):
            _begin(home, folder, model, wanted)
            held = Held(home, questions)  # now that nobody else writes
            if changed := held.changed:
                _say(
                    f"{len(changed)} of {len(questions)} questions were recorded with another text or other "
                    f"options, the first is {changed[0]!r}: they are asked anew; what was answered "
                    f"before stays in {home}"
                )
            _answer_the_rest(model, held, layer, folder, progress, encoded)
    except Timeout as error:
        raise OSError(
            f"another process is recording into {home}; wait for it, or use another store"
        ) from error
    except PermissionError as error:
        raise PermissionError(
            error.errno,
            f"cannot write into {home} ({error.strerror}); make it writable, or use another store",
        ) from error
    return home


def _answer_the_rest(
    model: LanguageModel | APIModel | ClusterModel,
    held: Held,
    layer: int | None,
    folder: Path,
    progress: bool,
    encoded: Sequence[Sequence[int]] | None,
) -> None:
    asked = {q.id: q.hash for q in held.questions}
    rows: list[dict[str, Any]] = []
    flushed = time.monotonic()
    try:
        with Progress(total=len(held.left), unit="question", desc=model.slug, disable=not progress) as bar:
            for batch in _answers(model, held, layer, folder, encoded):
                rows += [{"question_hash": asked[row["question_id"]]} | row for row in batch]
                if is_api(model.name):
                    bar.set_postfix_str(model.meter.spent, refresh=False)
                bar.update(len(batch))
                if len(rows) >= FLUSH_ROWS or time.monotonic() - flushed > FLUSH_SECONDS:
                    _append(held.home, model, rows)
                    rows, flushed = [], time.monotonic()
    finally:  # where an endpoint fails or a budget ends, too
        if rows:
            _append(held.home, model, rows)
        if is_api(model.name):
            _note_asked(held.home, model)


def _answers(
    model: LanguageModel | APIModel | ClusterModel,
    held: Held,
    layer: int | None,
    folder: Path,
    encoded: Sequence[Sequence[int]] | None,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of what is not known, batch by batch; what an API was paid for is taken from its journal first."""
    known = set(held.rows)
    if hasattr(model, "answers"):  # a cluster's workers
        yield from model.answers(held.questions, layer, known)
    elif is_api(model.name):
        from cclib.models.api import answer_by_api, open_journal

        journal, rows = open_journal(model, folder, making_key(held.about), first=held.home == folder)
        rows = list(rows.values())
        paid = Held(held.home, held.left, pa.Table.from_pylist(rows, schema=SCHEMA)).rows
        yield [{"question_hash": None} | rows[at] | {"question_id": q} for q, at in paid.items()]
        yield from answer_by_api(model, held.questions, known | set(paid), journal)
    elif held.questions[0].choices:
        from cclib.confidence.p_t import answer_questions

        yield from answer_questions(model, held.questions, layer, known=known, encoded=encoded)
    else:
        from cclib.confidence.p_t import answer_open_questions

        yield from answer_open_questions(model, held.questions, layer, known, encoded)


def _begin(
    home: Path, folder: Path, model: LanguageModel | APIModel | ClusterModel, wanted: dict[str, Any]
) -> None:
    """Write the provenance, or check that what is there is of the same making."""
    path = home / "provenance.json"
    if path.exists():
        if differ := differences(read_provenance(home), wanted):
            raise OSError(f"another process began a recording in {home} ({differ}); run the same call again")
        return
    new = model.provenance() | {"hidden_layer": wanted["hidden_layer"]}
    for other, about in makings(folder):
        if about.get("prompt", prompts.TABLE_7) != new.get("prompt"):
            continue  # another prompt was asked for by its name
        differ = "; ".join(differences(about, wanted))
        _say(f"{other} holds answers of another making ({differ}); they stay, and new ones go to {home}")
    new["recorded"] = datetime.now(timezone.utc).date().isoformat()
    new["versions"]["cclib"] = cclib.__version__
    _write_aside(path, lambda aside: aside.write_text(json.dumps(new, indent=1) + "\n"))


def _note_asked(home: Path, model: APIModel) -> None:
    """Have the provenance say how many likeliest tokens an endpoint gave, which it may tell late."""
    about, now = read_provenance(home), model.provenance()["option_probs"]
    if about.get("option_probs") != now:
        about["option_probs"] = now
        _write_aside(
            home / "provenance.json", lambda aside: aside.write_text(json.dumps(about, indent=1) + "\n")
        )


def _say(note: str) -> None:
    """To whoever called `collect`, or what called it."""
    warnings.warn(note, stacklevel=2)


def _append(folder: Path, model: LanguageModel | APIModel, rows: list[dict[str, Any]]) -> None:
    stamp = {"model": model.slug, "prompt_hash": model.provenance()["prompt_hash"]}
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
