"""What each part of the rule is worth: without P(IK), at other thresholds, with other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cclib import cost, paper, stats
from cclib.cascade import Cascade, cascade, sweep
from cclib.comparison import LABELS, NONE, counterpart
from cclib.study import Study
from cclib.tables import chain_name, saving_interval
from cclib.traces import Trace

GRID = np.linspace(0, 1, 101)


def measured(result: Cascade) -> dict[str, object]:
    """The three numbers that the paper's ablations show, with intervals and by both accountings."""
    last = result.stages[-1].correct
    drop = stats.performance_drop(float(last.mean()), result.accuracy)
    low, high = stats.paired_difference_interval(result.correct, last)
    return {
        "accuracy": result.accuracy,
        "PD (points)": drop.absolute,
        "PD (points) interval": (100 * low, 100 * high),
        "PD (relative)": drop.relative,
        "reduced compute, paper": cost.reduced(result),
        "reduced compute, paper, interval": saving_interval(result, "paper"),
        "reduced compute, every pass": cost.reduced(result, "every-pass"),
    }


def without_pik(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Every chain with and without P(IK) (Table 5), and what P(IK) alone would do."""
    rows = {}
    for members in study.chains():
        stages, name = study.chain(members), chain_name(study, members)
        rules: dict[str, tuple[float, float | None]] = {"P(T) alone": (pt, None)}
        if pik is not None and all(t.p_ik is not None for t in stages[:-1]):
            rules = {"P(T) and P(IK)": (pt, pik)} | rules | {"P(IK) alone": (0.0, pik)}
        for rule, thresholds in rules.items():
            rows[name, rule] = measured(cascade(stages, *thresholds))
    return _frame(rows, ["chain", "rule"])


def worth_of_pik(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Points of accuracy that P(IK) adds to each chain at the same threshold on P(T), with intervals.

    Also what it costs, and the accuracy of a P(T)-only chain whose threshold is raised until it sends
    the same number of questions to the last stage: only the rest is due to P(IK) itself.
    """
    rows = {}
    for members in study.chains():
        stages = study.chain(members)
        if pik is None or any(t.p_ik is None for t in stages[:-1]):
            continue
        both, alone = cascade(stages, pt, pik), cascade(stages, pt, None)
        swept = sweep(stages, GRID)
        matched = cascade(stages, _same_share(swept.stage_counts[:, 0, -1], both.stage_counts[-1]), None)
        low, high = stats.paired_difference_interval(both.correct, alone.correct)
        fair = stats.paired_difference_interval(both.correct, matched.correct)
        rows[chain_name(study, members)] = {
            "difference (points)": 100 * (both.accuracy - alone.accuracy),
            "difference interval": (100 * low, 100 * high),
            "more questions to the last stage": int(both.stage_counts[-1] - alone.stage_counts[-1]),
            "difference at equal share (points)": 100 * (both.accuracy - matched.accuracy),
            "difference at equal share, interval": (100 * fair[0], 100 * fair[1]),
        }
    return _frame(rows, ["chain"])


def _same_share(reached: np.ndarray, wanted: int) -> float:
    """The threshold on P(T) at which nearest to `wanted` questions reach the last stage."""
    return float(GRID[np.abs(reached - wanted).argmin()])


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
            "PD (points) interval": here.get("PD (points) interval", NONE),
            "reduced, paper": row["reduced_compute_percent"] / 100,
            "reduced, here": here.get("reduced compute, paper", np.nan),
            "reduced, here, every pass": here.get("reduced compute, every pass", np.nan),
        }
    return _frame(rows, ["paper", "rule"])


def two_stages(study: Study) -> tuple[int, ...]:
    """The chain that plays 8B → 70B: the one before the last, if it has P(T), and the last."""
    return study.chains()[-1][-2:] if study.chains() else (len(study.models) - 1,)


def table15_beside(study: Study, pik: float | None) -> pd.DataFrame:
    """Table 15 and the last two models of this edition at the same four thresholds on P(T)."""
    stages = study.chain(two_stages(study))
    can = pik is not None and all(t.p_ik is not None for t in stages[:-1])
    rows = {}
    for row in paper.table(15).to_dict("records"):
        used = pik if row["pik"] == "with" else None
        possible = len(stages) > 1 and (can or row["pik"] == "without")
        here = measured(cascade(stages, row["pt_percent"] / 100, used)) if possible else {}
        rows[f"{row['pik']} P(IK)", f"P(T) ≥ {row['pt_percent']:g} %"] = {
            "accuracy, paper": row["accuracy"],
            "accuracy, here": here.get("accuracy", np.nan),
            "PD (relative), paper": row["pd_percent"],
            "PD (relative), here": here.get("PD (relative)", np.nan),
            "reduced, paper": row["reduced_compute_percent"] / 100,
            "reduced, here": here.get("reduced compute, paper", np.nan),
            "reduced, here, every pass": here.get("reduced compute, every pass", np.nan),
        }
    return _frame(rows, ["rule", "threshold"])


@dataclass(frozen=True)
class Surface:
    """A cascade over both thresholds; without P(IK) the second axis has one place."""

    pt: np.ndarray  # (a,)
    pik: np.ndarray  # (b,)
    accuracy: np.ndarray  # (a, b)
    reduced_paper: np.ndarray  # (a, b) share of the last model's compute that is saved
    reduced_every_pass: np.ndarray  # (a, b), without the reading of P(IK) itself


def surface(study: Study, members: Sequence[int]) -> Surface:
    """Accuracy and saving for every pair of thresholds (Appendix I)."""
    stages = study.chain(members)
    can = all(t.p_ik is not None for t in stages[:-1])
    swept = sweep(stages, GRID, GRID if can else None)
    sizes = np.array(cost.stage_sizes(stages))
    passes = swept.stage_counts[..., ::-1].cumsum(-1)[..., ::-1]
    whole = len(stages[0]) * sizes[-1]
    return Surface(
        swept.pt,
        swept.pik,
        swept.accuracy,
        1 - swept.stage_counts @ sizes / whole,
        1 - passes @ sizes / whole,
    )


def best_within(surface: Surface, accuracy: float) -> tuple[int, int] | None:
    """The cell with the largest every-pass saving among those at least this accurate; None if none is."""
    saved = np.where(surface.accuracy >= accuracy - 1e-12, surface.reduced_every_pass, -np.inf)
    if not np.isfinite(saved).any():
        return None
    i, j = np.unravel_index(saved.argmax(), saved.shape)
    return int(i), int(j)


def over_seeds(studies: Sequence[Study], pt: float, pik: float | None) -> pd.DataFrame:
    """The longest chain with probes of several seeds: what moves when only the probe's seed does."""
    rows = {}
    for i, study in enumerate(studies):
        chains = study.chains()
        if not chains:
            break
        result = cascade(study.chain(chains[-1]), pt, study.threshold(pik))
        row = measured(result)
        del row["PD (relative)"], row["reduced compute, paper, interval"]
        row |= {
            f"AUROC of P(IK), {name}": stats.auroc(t.correct, t.p_ik)
            for name, t in zip(study.models, study.test)
            if t.p_ik is not None
        }
        rows[f"seed {study.seed + i}"] = row
    return _frame(rows, ["seed of the probe"])


def _frame(rows: dict, names: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict(rows, orient="index")
    if len(names) > 1:
        frame.index = pd.MultiIndex.from_tuples(list(rows), names=names)
    return frame.rename_axis(names if len(names) > 1 else names[0])


def replace_test(study: Study, rows: np.ndarray) -> Study:
    """The study on some of its test questions, by their places."""
    return replace(study, test=[Trace(t.table.take(rows), t.provenance) for t in study.test], questions=None)


def judged(
    tuned: Surface, cell: tuple[int, int] | None, study: Study, members: Sequence[int]
) -> dict[str, float]:
    """How a pair of thresholds that was chosen on one set of questions fares on another."""
    if cell is None:
        return {"P(T) at least": np.nan}
    pt, pik = float(tuned.pt[cell[0]]), float(tuned.pik[cell[1]])
    result = cascade(study.chain(members), pt, pik if np.isfinite(pik) else None)
    last = result.stages[-1].correct
    return {
        "P(T) at least": pt,
        "P(IK) at least": pik if np.isfinite(pik) else np.nan,
        "accuracy": result.accuracy,
        "difference (points)": 100 * (result.accuracy - float(last.mean())),
        "reduced, paper": cost.reduced(result),
        "reduced, every pass": cost.reduced(result, "every-pass"),
    }
