"""The Time columns of Tables 1 and 3 on a card: true shapes with random weights, `speed/gpu.py` measured.

How many questions reach each stage is the paper's: Table 8's counts for Table 1; for Table 3, which prints
none, the shares kept follow from its reduced compute by Eq. 6 at nominal sizes, for chains of two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cclib.paper import published

MEASURED = Path(__file__).parent / "measured"
FAMILIES = {1: ("llama-3", "Llama"), 3: ("qwen3", "Qwen3")}  # of a table: the paper's, and its shapes' name
SECONDS = "seconds of n questions"


def measured() -> dict[str, dict[str, Any]]:
    """{card: what `speed/gpu.py` measured on it}."""
    found = [json.loads(file.read_text()) for file in sorted(MEASURED.glob("*.json"))]
    return {m["card"]: m for m in found}


def reached(number: int) -> dict[str, list[int]]:
    """{chain: questions that each stage runs on, of the test part's 1,430}, where they can be worked out."""
    n = published.TEST_QUESTIONS["mmlu"]
    chains = [m for m in published.table(number)["models"] if len(published.stages(m)) > 1]
    if number == 1:
        counts = published.table(8).set_index("models")
        kept = {m: counts.loc[m, published.stages(m)].to_numpy() for m in chains}
        return {m: [int(n - k[:i].sum()) for i in range(len(k))] for m, k in kept.items()}
    saved = published.table(number).set_index("models")["reduced_compute_percent"] / 100
    out = {}
    for chain in chains:
        sizes = [published.model(label, FAMILIES[number][0]).nominal for label in published.stages(chain)]
        if len(sizes) == 2:  # saved = share kept x (1 - small / large)
            share = saved[chain] / (1 - sizes[0] / sizes[1])
            out[chain] = [n, round(n * (1 - share))]
    return out


def counts(shape: str, n: int = published.TEST_QUESTIONS["mmlu"]) -> set[int]:
    """Numbers of questions that a shape ("Llama 8B") runs on in some chain, scaled to n in all."""
    whole, found = published.TEST_QUESTIONS["mmlu"], set()
    for number, (_, family) in FAMILIES.items():
        for chain, runs in reached(number).items():
            for label, asked in zip(published.stages(chain), runs):
                if shape == f"{family} {label}":
                    found.add(scaled(asked, n, whole))
    return found


def seconds_for(shape: dict[str, Any], asked: int, n: int) -> float:
    """Seconds of some of the n questions: as measured, or in proportion where only all of them were run."""
    return shape[SECONDS].get(str(asked), shape["seconds"] * asked / n)


def scaled(asked: int, n: int, whole: int = published.TEST_QUESTIONS["mmlu"]) -> int:
    return max(1, round(asked * n / whole))


def beside(number: int, card: dict[str, Any]) -> pd.DataFrame:
    """The Time column of Table 1 or 3 beside a card's: time against the last model alone, as shares.

    Returns:
        A row a chain: "time, paper", "time, true shapes" and the seconds of both; NaN where one is missing.
    """
    family, rows = FAMILIES[number][1], {}
    runs = reached(number)
    for row in published.table(number).to_dict("records"):
        chain = published.stages(row["models"])
        if len(chain) < 2:
            continue
        seconds = [np.nan, np.nan]
        shapes = [card["shapes"].get(f"{family} {label}") for label in chain]
        if all(shapes) and row["models"] in runs:
            n = card["questions"]
            took = [seconds_for(s, scaled(k, n), n) for s, k in zip(shapes, runs[row["models"]])]
            seconds = [sum(took), shapes[-1]["seconds"]]
        rows[row["models"]] = {
            "time, paper": row["time_percent"] / 100,
            "time, true shapes": seconds[0] / seconds[1] - 1,
            "seconds, cascade": seconds[0],
            "seconds, last model alone": seconds[1],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("paper")
