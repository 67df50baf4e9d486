"""The data of the page "Cascade explorer": each edition's recorded traces as a script, and Plotly's bundle.

A page that is opened from a disk may not fetch files, so an edition's data is a script that sets a global.
Columns are the base64 of their float64 values: the page starts from the very numbers that cclib starts from.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from cclib import cost
from cclib.book.editions import Book, Edition, refresh
from cclib.cascades import check_stages
from cclib.experiments.routing.frontier import hull
from cclib.paper import PT_THRESHOLD
from cclib.study import Study, load_study
from cclib.thresholds import choose_thresholds
from cclib.traces import Trace

PAGE = Path("book") / "explorer.md"
FOLDER = Path("book") / "_static" / "explorer"
COLUMNS = ("p_t", "p_ik", "correct", "prompt_tokens", "output_tokens")
PAPER = {"pt": PT_THRESHOLD, "pik": 0.5}  # as the chapters; the paper does not print its threshold on P(IK)


def write(book: Book, names: Sequence[str] = (), echo: Callable[[str], None] = print) -> list[Path]:
    """Write what the page loads: data of the editions that are out of date, the list of all, and Plotly.

    A book without the page needs none of it.

    Args:
        names: editions; all where none is named.

    Returns:
        The editions' scripts that were written.
    """
    if not (book.root / PAGE).exists():
        return []
    folder = book.root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for edition in book.choose(names):
        path, heading = folder / f"{edition.name}.js", f"// {fingerprint(book, edition)}\n"
        if path.exists() and path.read_text().startswith(heading):
            continue
        echo(f"[{edition.name}] the explorer's data: writing")
        path.write_text(heading + script(edition.name, data(read_study(book, edition), edition.title)))
        written.append(path)
    for path in folder.glob("*.js"):
        if path.stem not in {*book.editions, "editions", "plotly.min"}:  # its edition is gone
            path.unlink()
    listed = [{"name": e.name, "title": e.title} for e in book.editions.values()]
    shown = [e for e in listed if (folder / f"{e['name']}.js").exists()]
    refresh(folder / "editions.js", f"window.cascadeEditions = {json.dumps(shown)};\n")
    refresh(folder / "plotly.min.js", get_plotlyjs())  # asked of no other host
    return written


def read_study(book: Book, edition: Edition) -> Study:
    """An edition's study as its notebooks load it."""
    known = inspect.signature(load_study).parameters
    given = {k: v for k, v in edition.parameters.items() if k in known}
    given["traces_dir"] = book.root / (edition.traces or given.get("traces_dir", "traces"))
    return load_study(**given)


def fingerprint(book: Book, edition: Edition) -> str:
    """A hash of all that decides an edition's data: as for a notebook, and this module."""
    depends = {
        "title": edition.title,
        "parameters": edition.parameters,
        "explorer": Path(__file__).read_text(),
    }
    return book.hash_with_traces(edition, depends)


def data(study: Study, title: str) -> dict[str, Any]:
    """A study's test part for the page, ready for JSON.

    `stages` has one entry a model, `chains` one a cascade with the sizes that `cclib.cost` charges its stages
    for, random mixing, and the thresholds that are proven. What was not recorded is None.
    """
    stages = check_stages(study.test)
    columns = (t.column("subject") for t in stages)
    subject = next((c for c in columns if c is not None), np.repeat("all questions", len(study)))
    subjects, codes = np.unique(subject.astype(str), return_inverse=True)
    chains = study.chains()
    sizes = [cost.stage_sizes([stages[i] for i in members]) for members in chains]
    return {
        "title": title,
        "benchmark": study.benchmark,
        "n": len(study),
        "paper": PAPER,
        "subjects": subjects.tolist(),
        "subject": encode(codes),
        "stages": [stage_data(name, t) for name, t in zip(study.models, stages)],
        "chains": [
            {
                "members": members,
                "sizes": [None if np.isnan(v) else v for v in values],
                "mixing": mixing(stages, members),
                "proven": proven(study, members),
            }
            for members, values in zip(chains, sizes)
        ],
    }


def mixing(stages: Sequence[Trace], members: Sequence[int]) -> dict[str, Any] | None:
    """What random mixing of any of the family's models reaches, as `results.above_mixing` judges a chain.

    `alone` has a row for each model whose size is known by the rule that the chain's are: its number, cost as
    a share of the chain's last model, its accuracy. `hull` joins the best of them: costs and accuracies.
    None where a size of the chain is not known.
    """
    chain = [stages[i] for i in members]
    sizes = cost.stage_sizes(chain)
    if np.isnan(sizes).any():
        return None
    alone = []
    for i, trace in enumerate(stages):
        *own, size = cost.stage_sizes([*chain, trace])
        if own == sizes and not np.isnan(size):
            alone.append([i, size / sizes[-1], float(trace.correct.mean())])
    _, costs, accuracies = np.array(alone).T
    return {"alone": alone, "hull": np.stack(hull(costs, accuracies), axis=1).tolist()}


def proven(study: Study, members: Sequence[int]) -> dict[str, Any] | None:
    """The cheapest thresholds on P(T) that are proven to lose little, every pass charged, or why none are.

    The validation questions prove them. They stopped and calibrated the probes, so nothing that they say of
    P(IK) would be a proof, and it is left out. None where a model did not answer them, or has no known size.
    """
    parts = [study.part(i, "validation") for i in members]
    if any(t is None or not len(t) for t in parts) or np.isnan(cost.stage_sizes(parts)).any():
        return None
    choice = choose_thresholds(check_stages(parts), with_pik=False)
    if not choice.found:
        return {"reason": choice.reason}
    return {
        "pt": choice.pt,
        "maxDrop": choice.max_drop,
        "probability": 1 - choice.delta,
        "saved": choice.reduced,
        "questions": len(parts[0]),
    }


def stage_data(name: str, trace: Trace) -> dict[str, Any]:
    """One model's columns, (n,) each, and its price in dollars a million input and output tokens."""
    probe = cost.probe_cost(trace) if trace.p_ik is not None else None
    return {
        "model": name,
        **{column: encode(getattr(trace, column)) for column in COLUMNS},
        "probe": encode(probe),  # FLOPs of reading P(IK), in the unit of Eq. 6
        "price": cost.price_of(trace.model, cost.read_prices()),
    }


def encode(values: np.ndarray | None) -> str | None:
    """Base64 of the values as little-endian float64; None for what was not recorded."""
    return None if values is None else base64.b64encode(np.asarray(values, "<f8").tobytes()).decode()


def script(name: str, content: dict[str, Any]) -> str:
    """The script that hands an edition's data to the page."""
    return (
        "window.cascadeData = window.cascadeData || {};\n"
        f"window.cascadeData[{json.dumps(name)}] = {json.dumps(content, allow_nan=False)};\n"
    )
