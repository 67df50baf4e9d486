"""What the chapter on prompts says of its tables (see `cclib.experiments.prompt_effect`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cclib.display.in_short import IN_SHORT
from cclib.display.verdicts import estimate, signed
from cclib.experiments.prompt_effect import ABOVE, moved, shown_better
from cclib.names import verbatim
from cclib.prompts import TABLE_7

Tables = Mapping[str, pd.DataFrame]


def which_prompts(found: Tables, notes: Sequence[str]) -> str:
    """Which prompts are compared, on how many questions, and why some are not."""
    if "models" not in found:
        return "No other prompt is on record of these models: run them, and they are asked with each."
    table = found["models"]
    asked = table["questions"].groupby(level="prompt", sort=False).max()
    names = ", ".join(f"{prompt} on {n:,.0f}" for prompt, n in asked.items())
    absent = "".join(f"\n- Not to be had: {verbatim(note)}." for note in notes)
    parts = " and ".join(table["part"].unique())
    return f"Compared are {names} questions of the {parts}.\n{absent}"


def prompts_moved(found: Tables) -> str:
    """A line a model: its favourite letter with each prompt, and what the prompt moves."""
    if "models" not in found:
        return ""
    lines, moves = [], moved(found["models"])
    for name, rows in found["models"].groupby(level="model", sort=False):
        letters = ", ".join(
            f"{letter} ({share:.0%}) with {prompt}"
            for (_, prompt), letter, share in zip(
                rows.index, rows["favourite letter"], rows["share of its letter"]
            )
        )
        own = moves[moves.index.get_level_values("model") == name]
        compared = "; ".join(
            f"with {prompt} {signed(row[ABOVE[0]], row[ABOVE[1]])} on {row['questions']:,.0f} questions"
            for (_, prompt), row in own.iterrows()
        )
        line = f"- **{name}** chooses {letters} most often"
        lines.append(f"{line}. Points of accuracy above {TABLE_7}: {compared}." if compared else f"{line}.")
    return "\n".join(lines)


def title(found: Tables) -> str:
    """A figure's title: the largest move of a model's accuracy that is shown, if one is."""
    moves = moved(found["models"])
    low, high = moves[ABOVE[1]].str[0], moves[ABOVE[1]].str[1]
    shown = moves[(low > 0) | (high < 0)]
    if shown.empty:
        return "No prompt is shown to move a model's accuracy"
    (name, prompt), row = shown.index[0], shown.iloc[0]
    return f"{prompt} moves {name}'s accuracy by\n{signed(row[ABOVE[0]], row[ABOVE[1]])} points"


def on_every_question(table: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """What `prompt_effect.measured` says of its smallest model."""
    name = table.index[0][0]
    rows = table.loc[name]
    right, without, auroc = (
        _highest(rows, *what)
        for what in (
            ("accuracy", "accuracy interval", ".1%"),
            ("accuracy, prior taken out", "accuracy, prior taken out, interval", ".1%"),
            ("AUROC of P(T)", "AUROC of P(T) interval", ".3f"),
        )
    )
    letter, n = max(about["right"].items(), key=lambda item: item[1])
    chosen = rows["share of its letter"]
    return (
        f"The {name} knows little of MMLU with any prompt. Right are at most {right}, where always answering "
        f"{letter} is right in {n / about['questions']:.1%}; without its letters' prior at most {without}. "
        f"P(T) has an AUROC of at most {auroc}. What moves most is the letter that it prefers: "
        f"{' or '.join(rows['favourite letter'].unique())}, chosen for {chosen.min():.0%} to "
        f"{chosen.max():.0%} of the questions. Intervals are of one prompt; the best of several is so "
        "in part by luck."
    )


def _highest(rows: pd.DataFrame, what: str, interval: str, pattern: str) -> str:
    best = rows.loc[rows[what].idxmax()]
    return estimate(best[what], best[interval], pattern)


def chosen_prompt(found: Tables) -> str:
    """Which prompt the validation part chooses, and why."""
    if "chosen" not in found or found["chosen"].empty:
        return f"{IN_SHORT}No other prompt was asked of the validation part, so Table 7 stays."
    table = found["chosen"]
    if (name := shown_better(table)) != TABLE_7:
        return f"{IN_SHORT}The validation part chooses {name}."
    most = table["points above table-7"].idxmax()
    points, (low, high) = table.loc[most, ["points above table-7", "points above table-7 interval"]]
    return (
        f"{IN_SHORT}The validation part keeps {TABLE_7}: no other prompt is shown to be better. The one that "
        f"comes nearest, {most}, is {points:+.1f} points ({low:+.1f} to {high:+.1f}) from it, on "
        f"{int(table.loc[most, 'questions']):,} questions."
    )
