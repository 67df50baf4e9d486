"""Which files of a folder, or of the hub, are one model's logs, and what their results say of the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cclib.logs.harness import NotMultipleChoice, read_samples
from cclib.logs.hub import told_apart
from cclib.names import HUB, HUB_ID, holds_samples, pinned, plain_name, slug, within

DATE = r"\d{4}[-_]\d\d[-_]\d\dT\d\d[-_]\d\d[-_]\d\d(?:\.\d+)?"
SAMPLES = re.compile(rf"samples_(?P<task>.+?)(?:_(?P<date>{DATE}))?\.(?:jsonl?|parquet)")
# What is read of a Parquet table.
COLUMNS = ("doc_id", "doc", "target", "arguments", "resps", "filter", "acc", "doc_hash")


def read_log(name: str | Path) -> tuple[pa.Table, dict[str, Any]]:
    """A model's logs as the columns and the provenance of a trace; several tasks go one after another.

    Args:
        name: a folder of `samples_<task>_<date>.jsonl` (or of leaderboards' Parquet details), one such
            file, or `hub:owner/name-details`, a data set of the hub.

    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: no multiple-choice log, half a file, rows that cannot be used, several models.
    """
    place = _from_hub(str(name).removeprefix(HUB)) if str(name).startswith(HUB) else Path(name).expanduser()
    runs, notes = _newest(place)
    frames, kinds, results, other = [], set(), {}, []
    for task, (date, file) in sorted(runs.items()):
        results[task] = about = _results(file.parent, date)
        try:
            frame, kind, said = read_samples(_rows(file), task)
        except NotMultipleChoice as error:
            other.append(error)
            continue
        frames.append(_whole(frame, about, task, file))
        kinds.add(kind)
        notes += said
    if not frames:
        raise other[0]
    if other:
        notes.append(f"left out {len(other)} of {len(runs)} tasks that are not multiple choice: {other[0]}")
    table = pa.Table.from_pandas(pd.concat(frames, ignore_index=True), preserve_index=False)
    about = _about(results, str(name), notes) | {"p_t": "; ".join(sorted(kinds))}
    newest = max(date for date, _ in runs.values())[:10]
    return table, about | ({"recorded": newest.replace("_", "-")} if newest else {})


def _from_hub(repository: str) -> Path:
    """The folder of a data set's samples and results, fetched from the hub."""
    from huggingface_hub import snapshot_download

    pin = pinned(repository)
    wanted = ["**/samples_*", "**/results_*", "samples_*", "results_*", "**/*.parquet"]
    with told_apart(repository, "give a folder with its samples_<task>_<date>.jsonl"):
        owner_and_name = repository.removesuffix(f"@{pin}") if pin else repository
        folder = snapshot_download(owner_and_name, repo_type="dataset", revision=pin, allow_patterns=wanted)
    return Path(folder)


def _newest(place: Path) -> tuple[dict[str, tuple[str, Path]], list[str]]:
    """The newest file of each task, with its date, and a word about older ones."""
    if not place.exists():
        raise FileNotFoundError(
            f"no log at {place}; give a folder of samples_<task>_<date>.jsonl, or one file"
        )
    files = [place] if place.is_file() else log_files(place)
    if not files:
        raise ValueError(
            f"{place} holds results but no samples_<task>_<date>.jsonl; run lm_eval with --log_samples, "
            "which writes them beside the results"
        )
    folders = sorted({file.parent for file in files})
    if len(folders) > 1 and not all(file.suffix == ".parquet" for file in files):
        named = ", ".join(folder.name for folder in folders)
        raise ValueError(f"{place} holds the logs of several models: {named}; name one of them")
    runs: dict[str, tuple[str, Path]] = {}
    older = set()
    for file in files:
        task, date = _named(file)
        found = sorted([(date, file), *filter(None, [runs.get(task)])])
        runs[task] = found[-1]
        older |= {d for d, _ in found[:-1]}
    used = ", ".join(sorted({date for date, _ in runs.values()}))
    return runs, [f"{place.name} holds several runs; read is the newest, {used}"] * bool(older)


def log_files(folder: Path) -> list[Path]:
    """The samples in a folder and below it; logs of early versions are the other .jsonl beside results."""
    files = [f for f in sorted(within(folder, "samples_*.json*")) if SAMPLES.fullmatch(f.name)]
    tables = (f for f in sorted(within(folder, "*.parquet")) if holds_samples(f))
    return files or sorted(within(folder, "*.jsonl")) or list(tables)


def _named(file: Path) -> tuple[str, str]:
    """Task and date of a file. On the hub's branch of Parquet the task is in the folder's name."""
    found = SAMPLES.fullmatch(file.name)
    if found:
        return plain_name(found["task"]), found["date"] or ""
    if re.fullmatch(r"\d+|(train|latest)-\d+-of-\d+", file.stem):
        above = [p for p in file.absolute().parts[:-1] if not re.fullmatch(rf"latest|{DATE}", p)]
        return plain_name(above[-1].rpartition("__")[2]), ""
    return plain_name(file.stem), ""


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The samples of a file: JSON lines, one JSON list (early versions), or a Parquet table."""
    if file.suffix == ".parquet":
        here = set(pq.read_schema(file).names)
        yield from pq.read_table(file, columns=[c for c in COLUMNS if c in here]).to_pylist()
        return
    with file.open(encoding="utf-8") as lines:
        row = 1
        try:
            is_list = lines.read(1) == "["
            lines.seek(0)
            for sample in json.load(lines) if is_list else map(json.loads, filter(str.strip, lines)):
                yield sample
                row += 1
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{file.name}, row {row}: not whole JSON ({error}); it was cut off or changed, copy it again"
            ) from error


def _results(folder: Path, date: str) -> dict[str, Any]:
    """What `results_<date>.json` beside the samples says; nothing where it is missing."""
    files = sorted(folder.glob(f"results_{date}.json" if date else "results*.json"))
    if not files:
        return {}
    try:
        return json.loads(files[-1].read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{files[-1].name}: not whole JSON ({error}); copy it again, or remove it and go without"
        ) from error


def _whole(frame: pd.DataFrame, about: dict[str, Any], task: str, file: Path) -> pd.DataFrame:
    counts = about.get("n-samples", {}).get(task)
    expected = counts.get("effective") if isinstance(counts, dict) else counts
    if expected is not None and int(expected) != len(frame):
        raise ValueError(
            f"{file.name}: {len(frame)} questions, where the run's results count {expected}; "
            "copy the whole file, or log the task again"
        )
    return frame


def _about(results: dict[str, dict[str, Any]], name: str, notes: list[str]) -> dict[str, Any]:
    """The provenance: what ran, as far as the results say."""
    missing = [task for task, about in results.items() if not about]
    if missing:
        notes.append(
            f"{slug(name)}: no results_*.json beside the samples of {len(missing)} of {len(results)} tasks, "
            "so what is known of the model is its answers"
        )
    models = {_model_name(about) for about in results.values() if about} - {""}
    if len(models) > 1:
        raise ValueError(f"{name} holds the logs of several models: {', '.join(sorted(models))}; name one")
    about = next((about for about in results.values() if about), {})
    config = about.get("config") or {}
    few = {task: one["n-shot"][task] for task, one in results.items() if task in one.get("n-shot", {})}
    revision, sha = config.get("model_revision"), config.get("model_sha")
    known = {
        "model": next(iter(models), "") or slug(name),
        "parameters": config.get("model_num_parameters"),
        "revision": revision,
        "checksum": f"commit:{sha}" if sha else None,
        "dtype": str(config.get("model_dtype") or "").removeprefix("torch.") or None,
        "device": config.get("device"),
        "few_shot": next(iter(few.values())) if len(set(few.values())) == 1 else few or None,
        "versions": {
            key: about[f"{key}_version"] for key in ("lm_eval", "transformers") if about.get(f"{key}_version")
        },
        "notes": notes,
    }
    return {"engine": "lm-evaluation-harness"} | {k: v for k, v in known.items() if v is not None}


def _model_name(about: dict[str, Any]) -> str:
    """The model by the run's own account; a path keeps its last part only."""
    args = (about.get("config") or {}).get("model_args") or {}
    if isinstance(args, str):
        args = dict(part.split("=", 1) for part in args.split(",") if "=" in part)
    name = args.get("gguf_file") or about.get("model_name") or args.get("pretrained") or args.get("model")
    name = str(name or "").removesuffix(".gguf").rstrip("/")
    return plain_name(name if HUB_ID.fullmatch(name) else Path(name).name)
