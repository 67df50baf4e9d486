"""What the chapter on prompts says of its tables (see `cclib.experiments.prompt_effect`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cclib.display.in_short import IN_SHORT
from cclib.experiments.prompt_effect import shown_better
from cclib.names import verbatim
from cclib.prompts import TABLE_7

Tables = Mapping[str, pd.DataFrame]


def which_prompts(found: Tables, notes: Sequence[str]) -> str:
    """Which prompts are compared, on how many questions, and why some are not."""
    if "models" not in found:
        return "No other prompt is on record of these models: run them, and they are asked with each."
    table = found["models"]
    names = ", ".join(table.index.unique("prompt"))
    least, most = int(table["questions"].min()), int(table["questions"].max())
    asked = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    absent = "".join(f"\n- Not to be had: {verbatim(note)}." for note in notes)
    parts = " and ".join(table["part"].unique())
    return f"Compared are {names}, on {asked} questions of the {parts}.\n{absent}"


def prompts_moved(found: Tables) -> str:
    """A line a model: its accuracy and its favourite letter over the prompts."""
    if "models" not in found:
        return ""
    lines = []
    for name, rows in found["models"].groupby(level="model", sort=False):
        best, worst = rows["accuracy"].idxmax()[1], rows["accuracy"].idxmin()[1]
        moved = 100 * (rows["accuracy"].max() - rows["accuracy"].min())
        letters = ", ".join(
            f"{letter} ({share:.0%}) with {prompt}"
            for (_, prompt), letter, share in zip(
                rows.index, rows["favourite letter"], rows["share of its letter"]
            )
        )
        line = f"- **{name}** chooses {letters} most often"
        if len(rows) > 1:
            line += f"; its accuracy moves by {moved:.1f} points, from {worst} to {best}"
        lines.append(line + ".")
    return "\n".join(lines)


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
