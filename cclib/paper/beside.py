"""The paper's numbers beside an edition's: rows are matched by the models' roles in their family.

The smallest stands beside the smallest, the largest beside the largest, and a middle one where both
families have it. What has no counterpart stays in the table, with a dash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

from cclib import cost, paper, stats
from cclib.cascades import Cascade, cascade
from cclib.experiments.ablation import without_pik
from cclib.experiments.results import against_last_model, fates, macro_of, time_moved, to_frame
from cclib.paper.audit.costs import every_pass
from cclib.study import Study

LABELS = {n: ("3B", "8B", "70B") for n in (1, 2, 6, 8, 11)} | {3: ("4B", "8B", "32B")}
PD = {1: "PD (points)", 3: "PD (relative)", 6: "PD (points)"}  # the unit that a table prints its drops in


def roles(study: Study, labels: Sequence[str] = LABELS[1]) -> dict[str, int]:
    """{paper's label: place in the study}, for the labels smallest first."""
    k = len(study.models)
    places = {0: 0, len(labels) - 1: k - 1} if k > 1 else {0: 0}
    if k > 2:
        places[1] = k // 2
    return {labels[i]: place for i, place in sorted(places.items())}


def counterpart(study: Study, chain: str, labels: Sequence[str] = LABELS[1]) -> str | None:
    """The study's chain that plays the part of "3B → 8B", or None."""
    place = roles(study, labels)
    members = [place.get(label) for label in paper.stages(chain)]
    return None if None in members else study.chain_name(members)


def main_pair(study: Study, number: int = 1) -> str:
    """The chain of two in a table of the paper that this family's largest models play: "8B → 70B".

    Two models are the smallest and the largest, so that they stand for "3B → 70B".
    """
    small, middle, large = LABELS[number]
    return f"{small if len(study.models) == 2 else middle}{paper.ARROW}{large}"


def playing(study: Study, pt: float, pik: float | None, chain: str, number: int = 1) -> Cascade | None:
    """What the chain did here that plays one of the paper's; None where none of two models or more does."""
    result = study.run_chains(pt, pik).get(counterpart(study, chain, LABELS[number]))
    return result if result and len(result.stages) > 1 else None


Row = tuple[dict, str, Cascade | None]  # of the paper's table; the chain here, or a dash; what it did


def _pairs(study: Study, number: int, pt: float, pik: float | None) -> Iterator[Row]:
    """The rows of a table of the paper, each with the model or chain of the study that plays its part."""
    results = study.run_chains(pt, pik)
    for row in paper.table(number).to_dict("records"):
        name = counterpart(study, row["models"], LABELS[number])
        yield row, name or "–", results.get(name)


def beside(study: Study, number: int, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 1, 3 or 6 and this edition, a row a model or chain of the paper; PD in the table's own unit."""
    rows, drop = {}, PD[number]
    for row, name, result in _pairs(study, number, pt, pik):
        printed = row["accuracy_percent"] / 100
        low, high = stats.accuracy_interval(result.correct) if result else stats.NO_INTERVAL
        ours = result.accuracy if result else np.nan
        against = against_last_model(result) if result and len(result.stages) > 1 else {}
        rows[row["models"]] = {
            "here": name,
            "accuracy, paper": printed,
            "accuracy, here": ours,
            "accuracy interval": (low, high),
            "difference (points)": 100 * (ours - printed),
            "difference interval": _apart(result, printed, number),
            f"{drop}, paper": row["pd_percent"],
            f"{drop}, here": against.get(drop, np.nan),
            f"{drop} interval": against.get(f"{drop} interval", stats.NO_INTERVAL),
        }
    return to_frame(rows, ["paper"])


def _apart(result: Cascade | None, printed: float, number: int) -> tuple[float, float]:
    """Interval of our accuracy less the paper's, in points: both are of so many questions and no more."""
    if result is None:
        return stats.NO_INTERVAL
    n = paper.TEST_QUESTIONS["gpqa" if number == 6 else "mmlu"]
    counts = int(result.correct.sum()), len(result.correct), round(printed * n), n
    low, high = confint_proportions_2indep(*counts, method="newcomb")
    return 100 * low, 100 * high


def compute_beside(study: Study, number: int, pt: float, pik: float | None) -> pd.DataFrame:
    """Reduced compute and time of Table 1, 3 or 6 beside this edition's, by both accountings."""
    rows = {}
    for row, name, result in _pairs(study, number, pt, pik):
        if len(paper.stages(row["models"])) < 2:
            continue
        ours = against_last_model(result) if result else {}
        every = (result, "every-pass")
        rows[row["models"]] = {
            "here": name,
            "reduced, paper": row["reduced_compute_percent"] / 100,
            "reduced, here, by the paper's count": ours.get("reduced compute, paper", np.nan),
            "reduced, here, by the paper's count, interval": ours.get(
                "reduced compute, paper, interval", stats.NO_INTERVAL
            ),
            "reduced, here, every pass": ours.get("reduced compute, every pass", np.nan),
            "reduced, here, every pass, interval": ours.get(
                "reduced compute, every pass, interval", stats.NO_INTERVAL
            ),
            "reduced, here, with early exit": cost.reduced(*every, early_exit=True) if result else np.nan,
            "time, paper": row.get("time_percent", np.nan) / 100,
            "time, here": time_moved(result) if result else np.nan,
        }
    return to_frame(rows, ["paper"])


def macro_beside(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 2's macro F1 beside this edition's."""
    rows = {}
    for row, name, result in _pairs(study, 2, pt, pik):
        ours, interval = np.nan, stats.NO_INTERVAL
        if result:
            ours, interval = (scores.f1 for scores in macro_of(result))
        rows[row["models"]] = {
            "here": name,
            "F1, paper": row["f1"],
            "F1, here": ours,
            "F1 interval": interval,
            "F1 difference": ours - row["f1"],
        }
    return to_frame(rows, ["paper"])


def first_stage_keeps(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Share of questions that never reach the last stage, the paper's chains (Table 8) and ours."""
    rows = {}
    for row, name, result in _pairs(study, 8, pt, pik):
        counts = np.array([row[label] for label in paper.stages(row["models"])], int)
        share, interval = kept_before_last(counts)
        ours = kept_before_last(result.stage_counts) if result else (np.nan, stats.NO_INTERVAL)
        rows[row["models"]] = {
            "here": name,
            "share, paper": share,
            "share interval, paper": interval,
            "share, here": ours[0],
            "share interval, here": ours[1],
        }
    return to_frame(rows, ["paper"])


def kept_before_last(counts: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Share of the questions that stages before the last answered, from (k,) counts, and its interval."""
    kept, n = int(counts[:-1].sum()), int(counts.sum())
    return kept / n, stats.wilson(kept, n)


def probes_beside(study: Study) -> pd.DataFrame:
    """Table 14 and this edition's probes, all on test questions, in order of size."""
    rows = {}
    for row in paper.table(14).to_dict("records"):
        rows[f"{row['model']} (paper)"] = {
            "accuracy": row["accuracy_percent"] / 100,
            "F1, as printed": row["f1_percent"] / 100,
            "AUROC": row["auroc_percent"] / 100,
        }
    for name, trace in zip(study.models, study.test):
        if trace.p_ik is None:
            continue
        scores = stats.binary_scores(trace.correct, trace.p_ik)
        rows[name] = {
            "accuracy": scores["accuracy"],
            "accuracy interval": stats.accuracy_interval((trace.p_ik >= 0.5) == trace.correct),
            "F1, knows": scores["f1"],
            "F1, does not": scores["f1_false"],
            "F1, mean": scores["f1_macro"],
            "AUROC": stats.auroc(trace.correct, trace.p_ik),
            "AUROC interval": stats.auroc_interval(trace.correct, trace.p_ik),
            "answers right": float(trace.correct.mean()),
        }
    order = ["accuracy", "accuracy interval", "F1, as printed", "F1, knows", "F1, does not", "F1, mean"]
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("probe of")
    return frame[[c for c in [*order, "AUROC", "AUROC interval", "answers right"] if c in frame]]


def open_beside(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 11 and this edition's open questions, by whoever judged these."""
    rows, fate = {}, fates(study, pt, pik)
    for row, name, result in _pairs(study, 11, pt, pik):
        here = fate.loc[name] if result else {}
        chain = result if result and len(result.stages) > 1 else None
        ours = against_last_model(chain) if chain else {}
        rows[row["models"]] = {
            "here": name,
            "accuracy, paper": row["accuracy"],
            "accuracy, here": here.get("accuracy", np.nan),
            "accuracy interval": here.get("accuracy interval", stats.NO_INTERVAL),
            "share false, paper": row["hallucination_rate"],
            "share false, here": here.get("share false (hallucination rate)", np.nan),
            "share false, interval": here.get("share false, interval", stats.NO_INTERVAL),
            **_lost(row, ours),
            "reduced cost, paper": row["reduced_cost_percent"] / 100,
            **_saved("reduced compute", ours),
        }
    return to_frame(rows, ["paper"])


def _lost(row: Mapping, ours: Mapping) -> dict[str, object]:
    """The relative drop of a published row and of a chain here (`against_last_model`, empty where none)."""
    return {
        "PD (relative), paper": row["pd_percent"],
        "PD (relative), here": ours.get("PD (relative)", np.nan),
        "PD (relative) interval": ours.get("PD (relative) interval", stats.NO_INTERVAL),
    }


def _saved(name: str, ours: Mapping) -> dict[str, object]:
    """What a chain here saves by both accountings, each with its interval."""
    missing, none = np.nan, stats.NO_INTERVAL
    return {
        f"{name}, here": ours.get("reduced compute, paper", missing),
        f"{name}, here, interval": ours.get("reduced compute, paper, interval", none),
        f"{name}, here, every pass": ours.get("reduced compute, every pass", missing),
        f"{name}, here, every pass, interval": ours.get("reduced compute, every pass, interval", none),
    }


def every_pass_at_the_papers_counts() -> pd.DataFrame:
    """Table 8's counts charged both ways: for the stage that answers, and for every stage that ran."""
    counted = every_pass().set_index("models")
    table = pd.DataFrame(
        {
            "last stage answers": counted["answered"].str[-1],
            "reduced, printed": paper.table(1).set_index("models")["reduced_compute_percent"] / 100,
            "reduced, Eq. 6": counted["saved by Eq. 6 (%)"] / 100,
            "reduced, every pass": counted["saved, every pass (%)"] / 100,
        }
    )
    return table.loc[counted.index].rename_axis("paper").astype({"last stage answers": int})


def table5_beside(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 5 and this edition's chains that play the same parts."""
    ours = without_pik(study, pt, pik)
    rows = {}
    for row in paper.table(5).to_dict("records"):
        name = counterpart(study, row["models"], LABELS[1])
        rule = "P(T) and P(IK)" if row["pik"] == "with" else "P(T) alone"
        here = ours.loc[(name, rule)] if (name, rule) in ours.index else {}
        rows[row["models"], f"{row['pik']} P(IK)"] = {
            "here": name or "–",
            "PD (points), paper": row["pd_percent"],
            "PD (points), here": here.get("PD (points)", np.nan),
            "PD (points) interval": here.get("PD (points) interval", stats.NO_INTERVAL),
            "reduced, paper": row["reduced_compute_percent"] / 100,
            **_saved("reduced", here),
        }
    return to_frame(rows, ["paper", "rule"])


def table15_beside(study: Study, pik: float | None) -> pd.DataFrame:
    """Table 15 and the last two models of this edition at the same four thresholds on P(T).

    The level "threshold" is the least P(T), as a share of one.
    """
    stages = study.chain(study.two_stages())
    can = pik is not None and all(t.p_ik is not None for t in stages[:-1])
    rows = {}
    for row in paper.table(15).to_dict("records"):
        used = pik if row["pik"] == "with" else None
        possible = len(stages) > 1 and (can or row["pik"] == "without")
        here = against_last_model(cascade(stages, row["pt_percent"] / 100, used)) if possible else {}
        rows[f"{row['pik']} P(IK)", row["pt_percent"] / 100] = {
            "accuracy, paper": row["accuracy"],
            "accuracy, here": here.get("accuracy", np.nan),
            "accuracy interval": here.get("accuracy interval", stats.NO_INTERVAL),
            **_lost(row, here),
            "reduced, paper": row["reduced_compute_percent"] / 100,
            **_saved("reduced", here),
        }
    return to_frame(rows, ["rule", "threshold"])
