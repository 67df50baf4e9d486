"""All checks of the audit in one table: how many numbers each looks at, and how many fit."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cclib.paper.audit import accuracies, costs, significance, times_and_prices


def summary() -> pd.DataFrame:
    """One row a check: the tables it compares, numbers looked at, numbers that fit, those that do not."""
    counts = accuracies.integer_counts()
    drops = accuracies.drop_definitions()
    eq6 = costs.equation6()
    tests = significance.discordant_counts()
    both = accuracies.table5_against_table15()
    judged = accuracies.table10_against_table11()
    f1, classes = accuracies.probe_f1(), ["know", "does not know", "mean of both"]
    totals = costs.reductions_from_totals()
    pik = costs.more_kept_without_pik()
    shares = costs.kept_shares("all weights").groupby(["table", "smaller model"])["kept, implied"]
    spread = (shares.max() - shares.min())[shares.count() > 1].droplevel("table")
    one_share = spread < 0.01  # far more than the printed digits can move it
    gpqa = costs.kept_on_gpqa()
    ratios = times_and_prices.speed_ratios().set_index("ratio")
    asked, implied = ratios.filter(like="timed"), ratios.filter(like="by the other").to_numpy()
    one_speed = ((asked / implied - 1).abs() < 0.1).any(axis=1)  # by either reading of "end-to-end"
    popqa = times_and_prices.tokens_on_popqa()
    mmlu = times_and_prices.tokens_on_mmlu().set_index("model").filter(like="input tokens").loc["3B":"70B"]
    one_length = (mmlu.iloc[:, 0] <= mmlu.iloc[:, 1].min()) & (mmlu.iloc[:, 1] >= mmlu.iloc[:, 0].max())
    rows = [
        (
            "accuracies are whole numbers of questions",
            "1, 3, 4, 6, 14, 15",
            counts["fit"] != "no",
            _of(counts),
        ),
        (
            "performance drops follow one of two definitions",
            "all with PD",
            drops["fit"] != "neither",
            _of(drops),
        ),
        ("Eq. 6 gives the reduced compute from the counts", "1, 8", eq6["fit"] != "none", eq6["models"]),
        ("both pairs of a model ask one kept share of it", "1, 3", one_share, one_share.index),
        ("some counts give the test statistic", "1, 4, 9", tests["fit"] == "yes", tests["comparison"]),
        (
            "reduced compute is the same in both tables",
            "5, 15",
            both["difference"] == 0,
            both["P(IK)"] + " P(IK)",
        ),
        ("leaving P(IK) out saves no less", "5, 15", pik["agrees"], pik["setting"]),
        (
            "accuracies are the same in both tables",
            "10, 11",
            judged["Table 11 less Table 10"] == 0,
            judged["model"],
        ),
        ("reductions follow from the totals", "4, 11, 13", totals["fit"] != "no", _of(totals, "models")),
        ("whole questions kept give the saving", "6", [(gpqa["fit"] != "none").any()], ["8B → 70B on GPQA"]),
        ("the pairs' times ask for one ratio of speeds", "1, 3, 8", one_speed, one_speed.index),
        (
            "the dollars buy the shortest prompt for a tenth of PopQA",
            "7, 11, 12",
            popqa["a question of a tenth"] >= popqa["prompt, at least"],
            popqa["model"],
        ),
        ("the dollars buy one length of prompt", "12, 13", one_length, one_length.index),
        ("accuracy and F1 go together, for some class", "1, 14", f1[classes].any(axis=1), f1["model"]),
    ]
    return pd.DataFrame([_row(*row) for row in rows])


def _row(check: str, tables: str, fits: pd.Series, names: Sequence[str]) -> dict[str, object]:
    fits = [bool(f) for f in fits]
    failing = [name for name, fit in zip(names, fits) if not fit]
    return {
        "check": check,
        "tables": tables,
        "numbers": len(fits),
        "fit": sum(fits),
        "do not fit": "; ".join(failing) or "-",
    }


def _of(frame: pd.DataFrame, name: str = "setting") -> pd.Series:
    return "Table " + frame["table"].astype(str) + ", " + frame[name]
