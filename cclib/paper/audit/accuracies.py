"""Accuracies and what follows from them: counts, performance drops, rates, the probes' F1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import pandas as pd

from cclib import paper
from cclib.paper.audit.digits import overlap, prints_as, span
from cclib.stats import performance_drop

# table -> (column, what 1 is printed as, questions)
ACCURACIES = {
    1: ("accuracy_percent", 100, "mmlu"),
    3: ("accuracy_percent", 100, "mmlu"),
    4: ("accuracy_percent", 100, "mmlu"),
    6: ("accuracy_percent", 100, "gpqa"),
    14: ("accuracy_percent", 100, "mmlu"),
    15: ("accuracy", 1, "mmlu"),
}
DROPS = {1: 100, 3: 100, 4: 100, 6: 100, 11: 1, 15: 1}  # table -> what an accuracy of one is printed as


def whole_counts(cell: str, size: int, one: float = 100) -> list[int]:
    """Numbers of right answers out of `size` whose share is printed as `cell`, rounded or cut off."""
    near = int(float(cell) / one * size)
    return [k for k in (near, near + 1) if prints_as(k / size * one, cell) != "no"]


def integer_counts(tables: Iterable[int] = tuple(ACCURACIES)) -> pd.DataFrame:
    """Does each accuracy print a whole number of right answers out of 1,430 (or 448)?

    `count` is the nearest whole number, `count prints` its accuracy with two more digits than printed,
    `fit` how the one comes to be printed as the other.
    """
    rows = []
    for n in tables:
        column, one, benchmark = ACCURACIES[n]
        size = paper.TEST_QUESTIONS[benchmark]
        for label, cell in zip(_labels(n), paper.printed(n)[column]):
            count = round(float(cell) / one * size)
            best = min((count, count + 1), key=lambda k: _order(prints_as(k / size * one, cell)))
            value = best / size * one
            rows.append(
                {
                    "table": n,
                    "setting": label,
                    "printed": cell,
                    "questions": size,
                    "count": best,
                    "count prints": f"{value:.{paper.decimals(cell) + 2}f}",
                    "fit": prints_as(value, cell),
                }
            )
    return pd.DataFrame(rows)


def sizes_that_fit(cells: Sequence[str], sizes: Iterable[int], one: float = 100) -> list[int]:
    """The test sizes for which all printed accuracies are whole numbers of questions, rounded."""
    return [
        size
        for size in sizes
        if all(prints_as(round(float(c) / one * size) / size * one, c) == "rounded" for c in cells)
    ]


def drop_definitions() -> pd.DataFrame:
    """Which definition of PD each printed drop follows: points, or per cent of the reference.

    A drop may have been worked out from the printed accuracies or from the whole numbers of right answers
    behind them. Where there are none, `fit` allows for the digits that the accuracies lost.
    """
    rows = []
    for n, one in DROPS.items():
        printed = paper.printed(n)
        column = "accuracy_percent" if one == 100 else "accuracy"
        accuracy = dict(zip(_labels(n), printed[column]))
        if n == 15:  # its reference is Table 1's 70B
            accuracy["70B"] = f"{float(paper.printed(1)['accuracy_percent'][2]) / 100:.4f}"
        for label, cell in zip(_labels(n), printed["pd_percent"]):
            if cell:
                last = "70B" if n == 15 else paper.stages(label)[-1]
                rows.append(_drop(n, label, accuracy[last], accuracy[label], cell, one))
    reference = paper.printed(1)["accuracy_percent"][2]
    with_pik, without = paper.printed(1)["accuracy_percent"], paper.printed(15)["accuracy"]
    known = [with_pik[5], with_pik[6], f"{100 * float(without[5]):.2f}"]  # Table 5 prints no accuracies
    for label, accuracy, cell in zip(_labels(5), known, paper.printed(5)["pd_percent"]):
        rows.append(_drop(5, label, reference, accuracy, cell, 100))
    return pd.DataFrame(rows).sort_values("table", kind="stable", ignore_index=True)


def _drop(n: int, label: str, reference: str, accuracy: str, cell: str, one: float) -> dict[str, object]:
    drop = performance_drop(float(reference) / one, float(accuracy) / one)
    size = None if n == 11 else paper.TEST_QUESTIONS["gpqa" if n == 6 else "mmlu"]  # PopQA's is not printed
    fits = [kind for kind in ("absolute", "relative") if _follows(kind, reference, accuracy, cell, one, size)]
    return {
        "table": n,
        "setting": label,
        "reference": reference,
        "accuracy": accuracy,
        "absolute": drop.absolute,
        "relative": drop.relative,
        "printed": cell,
        "fit": " or ".join(fits) or "neither",
    }


def _follows(kind: str, reference: str, accuracy: str, cell: str, one: float, size: int | None) -> bool:
    whole = [whole_counts(c, size, one) if size else [] for c in (reference, accuracy)]
    if all(whole):
        right = [[k / size for k in counts] for counts in whole]
        pairs = [(float(reference) / one, float(accuracy) / one), *product(*right)]
        return any(prints_as(getattr(performance_drop(*pair), kind), cell) != "no" for pair in pairs)
    ends = [(r / one, a / one) for r in span(reference) for a in span(accuracy)]
    drops = [getattr(performance_drop(*end), kind) for end in ends]
    return overlap((min(drops), max(drops)), cell)


def table5_against_table15() -> pd.DataFrame:
    """8B → 70B at P(T) >= 90 %, which both tables show.

    `PD of Table 15's accuracy` is in points, as Table 5's is.
    """
    five, fifteen = paper.table(5), paper.table(15)
    reference = paper.table(1)["accuracy_percent"][2]
    rows = []
    for pik in ("with", "without"):
        a = five[(five["pik"] == pik) & (five["models"] == "8B → 70B")].iloc[0]
        b = fifteen[(fifteen["pik"] == pik) & (fifteen["pt_percent"] == 90)].iloc[0]
        rows.append(
            {
                "P(IK)": pik,
                "PD, Table 5": a["pd_percent"],
                "PD of Table 15's accuracy": round(100 * b["accuracy"] - reference, 2),
                "PD, Table 15": b["pd_percent"],
                "saved (%), Table 5": a["reduced_compute_percent"],
                "saved (%), Table 15": b["reduced_compute_percent"],
                "difference": round(b["reduced_compute_percent"] - a["reduced_compute_percent"], 2),
            }
        )
    return pd.DataFrame(rows)


def table10_against_table11() -> pd.DataFrame:
    """Single models on PopQA by the grounded judge, in both tables; and Table 10's own differences."""
    ten, eleven = paper.table(10), paper.table(11).set_index("models")
    rows = []
    for model in ("3B", "8B", "70B"):
        without, judged = ten[ten["model"] == model]["accuracy"]
        rows.append(
            {
                "model": model,
                "Table 10, grounded": judged,
                "Table 11": eleven.loc[model, "accuracy"],
                "Table 11 less Table 10": round(eleven.loc[model, "accuracy"] - judged, 4),
                "Table 10's delta": ten[ten["model"] == model]["delta"].iloc[1],
                "delta computed": round(judged - without, 4),
            }
        )
    return pd.DataFrame(rows)


def table11_rates() -> pd.DataFrame:
    """Table 11's three outcomes: right, wrong (hallucinated), and the rest, which is neither."""
    eleven = paper.table(11)
    rest = (1 - eleven["accuracy"] - eleven["hallucination_rate"]).round(4)
    right, wrong = eleven["accuracy"], eleven["hallucination_rate"]
    return pd.DataFrame({"models": eleven["models"], "right": right, "wrong": wrong, "neither": rest})


def probe_f1() -> pd.DataFrame:
    """Which F1 Table 14 can be, given its accuracy and Table 1's share of right answers.

    For a class of share s, F1 = 2t / (2t + e) with e = 1 - accuracy gives the share t that is rightly
    said to be of that class. What is missed, s - t, and what is wrongly added, e - (s - t), must both lie
    in 0..e. "know" is the class of questions that the model gets right. The mean of both classes' F1 has
    a range, over all ways to share the errors out.
    """
    right = dict(zip(_labels(1), paper.table(1)["accuracy_percent"] / 100))
    rows = []
    for row in paper.table(14).to_dict("records"):
        accuracy, f1, share = row["accuracy_percent"] / 100, row["f1_percent"] / 100, right[row["model"]]
        errors = 1 - accuracy
        found = f1 * errors / (2 * (1 - f1))
        missed = {"know": share - found, "does not know": 1 - share - found}
        means = [_mean_f1(share, accuracy, errors * i / 1000) for i in range(1001)]
        rows.append(
            {
                "model": row["model"],
                "printed F1 (%)": row["f1_percent"],
                "errors": errors,
                "missed if know": missed["know"],
                "missed if does not know": missed["does not know"],
                "know": bool(0 <= missed["know"] <= errors),
                "does not know": bool(0 <= missed["does not know"] <= errors),
                "least mean": min(means),
                "greatest mean": max(means),
                "mean of both": bool(min(means) <= f1 <= max(means)),
            }
        )
    return pd.DataFrame(rows)


def _mean_f1(share: float, accuracy: float, missed: float) -> float:
    """Mean F1 of both classes where `missed` of the true class are called false."""
    errors = 1 - accuracy
    kept = max(share - missed, 0.0)
    left = max(1 - share - (errors - missed), 0.0)
    return kept / (2 * kept + errors) + left / (2 * left + errors)


def _labels(n: int) -> list[str]:
    """What each row of a table is of, in one text."""
    rows = paper.printed(n)
    if n == 15:
        return [f"P(T) >= {t} %, {p} P(IK)" for t, p in zip(rows["pt_percent"], rows["pik"])]
    if n == 5:
        return [f"{m}, {p} P(IK)" for m, p in zip(rows["models"], rows["pik"])]
    return rows[rows.columns[0]].tolist()


def _order(fit: str) -> int:
    return ("rounded", "cut off", "no").index(fit)
