"""Table 9: the discordant counts that its statistics allow, and whether Tables 1 and 4 allow them too.

McNemar's statistic depends on b (only the cascade is right) and c (only its last model is right). Their
difference c - b is known: it is the difference of two accuracies, in questions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cclib import paper
from cclib.paper.audit.digits import prints_as
from cclib.stats import (
    EXACT_BELOW,
    NO_INTERVAL,
    equivalence,
    holm,
    mcnemar_from_counts,
    paired_interval_from_counts,
)

QUESTIONS = paper.TEST_QUESTIONS["mmlu"]


def counts_that_give(
    cell: str, difference: int, corrected: bool = True, most: int = QUESTIONS
) -> list[tuple[int, int]]:
    """All (b, c) with c - b = difference and b + c <= most whose chi-squared prints as `cell`.

    For a test that prints only a p-value, see `exact_counts`.
    """
    if difference < 0:
        return [(c, b) for b, c in counts_that_give(cell, -difference, corrected, most)]
    pairs = [(b, b + difference) for b in range((most - difference) // 2 + 1) if 2 * b + difference]
    statistic = {pair: max(difference - corrected, 0) ** 2 / sum(pair) for pair in pairs}
    return [pair for pair in pairs if sum(pair) >= EXACT_BELOW and prints_as(statistic[pair], cell) != "no"]


def exact_counts(p_cell: str, difference: int) -> list[tuple[int, int]]:
    """All (b, c) with c - b = difference, few enough for the exact test, whose p prints as `p_cell`."""
    pairs = [(b, b + difference) for b in range((EXACT_BELOW - 1 - difference) // 2 + 1)]
    return [pair for pair in pairs if prints_as(mcnemar_from_counts(*pair).p, p_cell) != "no"]


def right_answers() -> dict[str, int]:
    """Right answers of every setting of Tables 1 and 4, out of 1,430."""
    rows = pd.concat([paper.table(1), paper.table(4)])
    counts = (rows["accuracy_percent"] / 100 * QUESTIONS).round().astype(int)
    return dict(zip(rows["models"], counts))


def discordant_counts() -> pd.DataFrame:
    """Each row of Table 9 with the counts that fit it, by the corrected and the plain statistic.

    A pair must give the printed p-value too. `digits` says how the computed statistic and p-value come
    to be printed: rounded, or cut off.
    """
    right = right_answers()
    rows = []
    for row in paper.printed(9).to_dict("records"):
        difference = right[row["reference"]] - right[row["cascade"]]
        if row["chi_squared"]:
            corrected = counts_that_give(row["chi_squared"], difference)
            plain = counts_that_give(row["chi_squared"], difference, corrected=False)
            corrected = [pair for pair in corrected if _p_prints(pair, row["p_value"], True)]
            plain = [pair for pair in plain if _p_prints(pair, row["p_value"], False)]
        else:
            corrected, plain = exact_counts(row["p_value"], difference), []
        best = (corrected or plain or [None])[0]
        rows.append(
            {
                "comparison": f"{row['cascade']} vs {row['reference']}",
                "chi-squared": row["chi_squared"] or "exact",
                "p": row["p_value"],
                "right": f"{right[row['cascade']]} vs {right[row['reference']]}",
                "c - b": difference,
                "(b, c), corrected": corrected,
                "(b, c), plain": plain,
                "computed": _computed(best, bool(corrected)),
                "digits": _digits(best, bool(corrected), row),
                "fit": "yes" if best else "no",
            }
        )
    return pd.DataFrame(rows)


def paired_differences(margin: float = 0.01) -> pd.DataFrame:
    """Each comparison of Table 9 by the counts that fit it: difference, interval, and two kinds of test.

    `p, Holm` is corrected for the number of comparisons that Table 9 makes, `p, equivalence` is of two
    one-sided tests that the accuracies differ by the margin or more. Where no counts fit, both are NaN.
    """
    printed = paper.table(9)
    corrected = holm(printed["p_value"])
    rows = []
    for row, counts, p in zip(printed.to_dict("records"), discordant_counts().to_dict("records"), corrected):
        pair = (counts["(b, c), corrected"] or [None])[0]
        interval = paired_interval_from_counts(*pair, QUESTIONS) if pair else NO_INTERVAL
        rows.append(
            {
                "comparison": counts["comparison"],
                "difference (points)": -100 * counts["c - b"] / QUESTIONS,
                "difference interval": (100 * interval[0], 100 * interval[1]),
                "p, printed": row["p_value"],
                "p, Holm": p,
                "p, equivalence": equivalence(*pair, QUESTIONS, margin) if pair else np.nan,
            }
        )
    return pd.DataFrame(rows)


def shared_results() -> pd.DataFrame:
    """Comparisons of Table 9 that share drop, statistic and p with another, digit by digit."""
    drops = pd.concat([paper.printed(1), paper.printed(4)]).set_index("models")["pd_percent"]
    rows = paper.printed(9)
    rows.insert(2, "pd_percent", drops.reindex(rows["cascade"]).to_numpy())
    same = ["pd_percent", "chi_squared", "p_value"]
    return rows[rows.duplicated(same, keep=False)].reset_index(drop=True)


def nearest_differences(cell: str, difference: int, reach: int = 10) -> pd.DataFrame:
    """The differences nearest to one that Table 1 gives for which some counts print as `cell`."""
    rows = [
        {"c - b": d, "away": d - difference, "statistic": kind, "b": b, "c": c}
        for d in range(max(difference - reach, 1), difference + reach + 1)
        for kind, corrected in (("corrected", True), ("plain", False))
        for b, c in counts_that_give(cell, d, corrected)
    ]
    frame = pd.DataFrame(rows, columns=["c - b", "away", "statistic", "b", "c"])
    return frame.sort_values("away", key=abs, kind="stable", ignore_index=True)


def _p_prints(pair: tuple[int, int], cell: str, corrected: bool) -> bool:
    return prints_as(mcnemar_from_counts(*pair, corrected=corrected).p, cell) != "no"


def _computed(pair: tuple[int, int] | None, corrected: bool) -> str:
    if pair is None:
        return "none fits"
    test = mcnemar_from_counts(*pair, corrected=corrected)
    chi2 = "" if test.test == "exact" else f"{test.chi2:.4f}, "
    return f"{chi2}p = {test.p:.6f}"


def _digits(pair: tuple[int, int] | None, corrected: bool, row: dict[str, str]) -> str:
    if pair is None:
        return "-"
    test = mcnemar_from_counts(*pair, corrected=corrected)
    ways = [prints_as(test.p, row["p_value"])]
    if row["chi_squared"]:
        ways.append(prints_as(test.chi2, row["chi_squared"]))
    return "cut off" if "cut off" in ways else "rounded"
