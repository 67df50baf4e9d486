"""The files of an exported study, which replays without models: one writer and one reader for each.

    study.json                    the benchmark, the seed, the models, the prompt
    MODEL/part-*.parquet          rows of all parts, told apart by the column `part`
    MODEL/provenance.json         what made them
    MODEL/layers.csv, sizes.csv   probes at every layer, and from ever more training questions
    MODEL/precision.csv           what bfloat16 changes, on the machine that its first line names
    gpt-4.csv, gpt-4-chain.csv    figures with GPT-4 as the last stage, at the thresholds in its first line
    prompts-*.csv                 figures of the same models asked with other prompts
    on-BENCHMARK/, open/          exports of their own: the same models on other questions, and on open ones

No hidden states and no question texts. Probes of other seeds and of other questions are columns of the rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cclib.prompts import TABLE_7
from cclib.stats import NO_INTERVAL
from cclib.traces import Trace, part_name, read_trace

ABOUT, LAYERS, SIZES, GPT4, OPEN = "study.json", "layers.csv", "sizes.csv", "gpt-4.csv", "open"
GPT4_CHAIN, GPT4_POLICY, PROMPTS = "gpt-4-chain.csv", "gpt-4-policy.csv", "prompts-{}.csv"
PARTS = ("train", "validation", "test")
TEXTS = ("question", "choices", "prompt")  # of logs, and somebody else's
SEEDED, FROM = "p_ik_seed_{}", "p_ik_from_{}"  # columns: P(IK) from another seed, from other questions


class NotAtHand(FileNotFoundError):
    """Questions or traces that a chapter can do without are not there."""


def is_export(folder: str | Path) -> bool:
    """Whether a folder holds an exported study, and not a store of traces."""
    return (Path(folder) / ABOUT).exists()


def write_about(folder: Path, benchmark: str, seed: int, models: list[str], prompt: str) -> None:
    about = {"benchmark": benchmark, "seed": seed, "models": models, "prompt": prompt}
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def read_about(folder: Path) -> dict[str, Any]:
    """The keys benchmark, seed, models and prompt.

    Raises:
        NotAtHand: no study was exported there.
        ValueError: the file is damaged.
    """
    if not is_export(folder):
        raise NotAtHand(f"{folder} holds no exported study; run the models, and export it")
    try:
        return {"prompt": TABLE_7} | json.loads((folder / ABOUT).read_text())
    except ValueError as error:
        raise ValueError(f"{folder / ABOUT} is damaged ({error}); export the study again") from error


def write_parts(folder: Path, model: str, parts: Mapping[str, Trace], provenance: dict[str, Any]) -> None:
    """A model's traces of the parts of a study, in place of those that lie there."""
    slim = (t.without("hidden", "prompt_hash", "model", *TEXTS) for t in parts.values())
    tables = [t.with_column("part", np.repeat(part, len(t))).table for part, t in zip(parts, slim)]
    written = pa.BufferOutputStream()
    table = pa.concat_tables(tables, promote_options="default")
    pq.write_table(table, written, compression="zstd", compression_level=19)
    content, place = written.getvalue().to_pybytes(), folder / model
    place.mkdir(parents=True, exist_ok=True)
    for before in place.glob("part-*.parquet"):
        before.unlink()
    (place / part_name(0, content)).write_bytes(content)
    (place / "provenance.json").write_text(json.dumps({"model": model} | provenance, indent=1) + "\n")


def read_parts(folder: Path, model: str) -> dict[str, Trace]:
    """A model's traces by part; a part that nothing was recorded of is left out."""
    whole = read_trace(folder / model)
    part = whole.column("part")
    return {str(name): whole.select(whole.question_id[part == name]) for name in np.unique(part)}


def write_figures(table: pd.DataFrame, path: Path, about: str) -> Path:
    """Keep a table of measured figures as CSV, under a line that says what they are of; see `read_figures`.

    Args:
        about: ends in JSON. Intervals become two columns.
    """
    flat = table.copy()
    for column in [c for c in flat if str(c).endswith("interval")]:
        pairs = [v if isinstance(v, tuple) else NO_INTERVAL for v in flat[column]]
        flat[f"{column}: low"], flat[f"{column}: high"] = zip(*pairs)
        flat = flat.drop(columns=column)
    path.write_text(f"# {about}\n{flat.to_csv()}")
    return path


def read_figures(path: Path) -> tuple[pd.DataFrame | None, Any]:
    """What `write_figures` kept, and the JSON of its first line; None and None where there is nothing."""
    if not path.exists():
        return None, None
    flat = pd.read_csv(path, index_col=0, comment="#")
    for low in [c for c in flat if c.endswith(": low")]:
        name = low.removesuffix(": low")
        flat[name] = list(zip(flat[low], flat[f"{name}: high"]))
        flat = flat.drop(columns=[low, f"{name}: high"])
    return flat, json.loads(re.search(r"[\[{].*", path.read_text())[0])


def on(folder: Path, benchmark: str) -> Path:
    """Where the export of the same models on another benchmark lies."""
    return folder / f"on-{benchmark}"


def benchmarks_of(folder: Path) -> list[str]:
    """The other benchmarks that models were exported on."""
    return sorted(p.parent.name.removeprefix("on-") for p in folder.glob(f"on-*/{ABOUT}"))
