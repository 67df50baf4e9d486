"""What pages say of a first stage: whether it can pay, and what it spares GPT-4."""

from __future__ import annotations

import pandas as pd

from cclib.display.verdicts import signed


def main_chain(table: pd.DataFrame | None) -> str:
    """The chain as a small table and a sentence, for a front page (Markdown); "" where it is not known."""
    if table is None:
        return ""
    lines = [
        "| who answers | accuracy | against GPT-4, points (95 %) | questions saved | USD for 1,000 questions "
        "| above random mixing, points (95 %) |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for name, row in table.iterrows():
        cells = [
            name,
            f"{row['accuracy']:.1%}",
            signed(row["PD (points)"], row["PD (points) interval"]),
            f"{row['reduced questions']:.1%}",
            f"{row['USD for 1,000 questions']:.2f}",
            signed(row["points above random mixing"], row["points above random mixing interval"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", in_words(table), ""])


def in_words(table: pd.DataFrame) -> str:
    """A sentence: what the chosen thresholds save, or that none were proven."""
    chosen = table[table.index.str.endswith(", chosen")]
    if chosen.empty:
        return (
            "No thresholds are proven on the validation part to lose at most a point, so every question goes "
            "to GPT-4."
        )
    row = chosen.iloc[0]
    low, high = row["reduced questions interval"]
    chain = row.name.removesuffix(", chosen")
    moved = signed(row["PD (points)"], row["PD (points) interval"])
    return (
        f"{chain} is proven on the validation part to lose at most a point (at 95 %); on the test part it "
        f"spares GPT-4 {row['reduced questions']:.1%} of the questions "
        f"({low:.1%} to {high:.1%}) and moves accuracy by {moved} points."
    )


def can_pay(table: pd.DataFrame) -> str:
    """A line a first stage: what it knows, what is seen of it, whether it keeps enough to pay (Markdown)."""
    lines = []
    for name, row in table.iterrows():
        low, high = row["AUROC of P(T) interval"]
        line = (
            f"- **{name}** is right on {row['accuracy']:.1%} of the questions; an oracle would keep "
            f"{row['share an oracle keeps']:.1%}, those that both get wrong among them. P(T) tells its right "
            "answers from its wrong ones with an "
            f"AUROC of {row['AUROC of P(T)']:.2f} ({low:.2f} to {high:.2f}; 0.5 is a coin). "
            f"It keeps {row['share kept']:.1%}"
        )
        if pd.notna(row["share it must keep to pay"]):
            pays = row["share kept"] > row["share it must keep to pay"]
            line += (
                f" and must keep more than {row['share it must keep to pay']:.1%} to pay for its own passes: "
                f"it {'pays' if pays else 'does not pay'} in compute"
            )
        moved = signed(row["PD (points)"], row["PD (points) interval"])
        lines.append(f"{line}; against the last model alone accuracy moves by {moved} points.")
    return "\n".join(lines) or "No model before the last has P(T)."
