"""Whether chosen thresholds keep their promise: they are chosen many times over, where the truth is known.

The questions at hand stand for all questions there are, so the drop on all of them is the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cclib import cost, stats
from cclib.cascades import cascade, sweep
from cclib.experiments.results import GRID, against_last_model, in_brief, points_above, to_frame
from cclib.study import Study
from cclib.thresholds import candidates, choose_thresholds, keep_promise
from cclib.traces import Trace

WAYS = ("with the promise", "not corrected")
EQUAL = 1e-12  # a drop of exactly max_drop is allowed, whatever its last digit


def over_draws(
    traces: Sequence[Trace],
    max_drop: float = 0.01,
    delta: float = 0.05,
    accounting: str = "every-pass",
    draws: int = 500,
    halves: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose thresholds many times over on drawn questions, and judge each choice where the truth is known.

    The n questions of the traces stand for all questions there are. Each time n of them are drawn with
    replacement to choose on, and a choice is judged on all n: its drop there is the true one. With `halves`,
    one half is drawn to choose on and the other judges; the drop is then what that half measures.

    Returns:
        Two rows a draw, one a way of choosing ("with the promise"; "not corrected": the cheapest candidate
        whose drop on the drawn questions is allowed): found, drop, reduced, candidate (its place).
        Where none is found, the last model answers: drop 0, reduced 0.
    """
    tried = candidates(traces, accounting)
    n = tried.loss.shape[1]
    rng = np.random.default_rng(seed)
    if halves:
        order = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
        weight = (order < n // 2).astype(float)  # (draws, n)
        judges = 1 - weight
    else:
        weight = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
        judges = np.ones((draws, n))
    lost, gained, price, true, true_price = (
        (of @ w.T).T  # (draws, s)
        for of, w in (
            ((tried.loss > 0).astype(float), weight),
            ((tried.loss < 0).astype(float), weight),
            (tried.cost, weight / weight.sum(1, keepdims=True)),
            (tried.loss.astype(float), judges / judges.sum(1, keepdims=True)),
            (tried.cost, judges / judges.sum(1, keepdims=True)),
        )
    )
    size = int(weight[0].sum())
    proven = [keep_promise(tried.shares, a, b, size, max_drop, delta) for a, b in zip(lost, gained)]
    allowed = np.stack(proven), (lost - gained) / size <= max_drop + EQUAL
    chosen = [_cheapest(these, price, true, true_price).assign(way=way) for way, these in zip(WAYS, allowed)]
    return pd.concat(chosen).sort_index(kind="stable").reset_index(drop=True)


def _cheapest(allowed: np.ndarray, price: np.ndarray, drop: np.ndarray, paid: np.ndarray) -> pd.DataFrame:
    """The cheapest allowed one of s candidates in each of d draws, all (d, s); see `over_draws`."""
    place = np.where(allowed & (price < 1), price, np.inf).argmin(1)
    at = np.arange(len(place)), place
    found = allowed[at] & (price[at] < 1)
    columns = {"drop": (drop[at], 0.0), "reduced": (1 - paid[at], 0.0), "candidate": (place, -1)}
    return pd.DataFrame({"found": found} | {c: np.where(found, *either) for c, either in columns.items()})


def best_known(
    traces: Sequence[Trace], max_drop: float = 0.01, accounting: str = "every-pass"
) -> dict[str, float]:
    """What knowing the truth gives: the cheapest candidate whose drop on all questions is allowed."""
    tried = candidates(traces, accounting)
    drop, price = tried.loss.mean(1, keepdims=True).T, tried.cost.mean(1, keepdims=True).T  # (1, s)
    return _cheapest(drop <= max_drop + EQUAL, price, drop, price).iloc[0].to_dict()


def promise_check(
    traces: Sequence[Trace],
    max_drop: float = 0.01,
    delta: float = 0.05,
    accounting: str = "every-pass",
    draws: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether the promise holds and what it costs, a row a way of choosing; see `over_draws`."""
    drawn, halved = (
        over_draws(traces, max_drop, delta, accounting, draws, halves, seed) for halves in (False, True)
    )
    rows = {}
    for way in WAYS:
        of, other = drawn[drawn["way"] == way], halved[halved["way"] == way]
        broken = int((of["drop"] > max_drop + EQUAL).sum())
        rows[way] = {
            "share found": of["found"].mean(),
            "share broken": broken / len(of),
            "share broken, interval": stats.wilson(broken, len(of)),
            "difference (points)": 100 * -of["drop"].mean() + 0.0,
            "reduced compute": of["reduced"].mean(),
            "share of halves broken": (other["drop"] > max_drop + EQUAL).mean(),
        }
    known = best_known(traces, max_drop, accounting)
    rows["knowing the truth"] = {
        "share found": float(known["found"]),
        "difference (points)": 100 * -known["drop"] + 0.0,
        "reduced compute": known["reduced"],
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("choice")


def chosen_on_half(study: Study, max_drop: float = 0.01, delta: float = 0.05, seed: int = 0) -> pd.DataFrame:
    """Thresholds of every chain, chosen on one half of the test questions and applied to the other half.

    A row an accounting and a chain; where none qualifies the note says why.
    """
    order = np.random.default_rng(seed).permutation(len(study))
    choose, judge = (study.test[0].question_id[np.sort(half)] for half in np.array_split(order, 2))
    rows = {}
    for accounting in ("every-pass", "paper"):
        for members in study.chains():
            stages = study.chain(members)
            choice = choose_thresholds([t.select(choose) for t in stages], max_drop, delta, accounting)
            row: dict[str, object] = {"P(T) at least": "–", "P(IK) at least": "–"}
            if choice.found:
                result = cascade([t.select(judge) for t in stages], choice.pt, choice.pik)
                points, interval = points_above(result.correct, result.stages[-1].correct)
                row = {
                    "P(T) at least": _listed(choice.pt),
                    "P(IK) at least": _listed(choice.pik or ()) or "not used",
                    "difference (points)": points,
                    "difference interval": interval,
                    "reduced compute": cost.reduced(result, accounting),
                }
            rows[accounting.replace("-", " "), study.chain_name(members)] = row | {"note": choice.reason}
    columns = ("P(T) at least", "P(IK) at least", "difference (points)", "difference interval")
    return to_frame(rows, ["accounting", "chain"]).reindex(columns=[*columns, "reduced compute", "note"])


def _listed(thresholds: Sequence[float]) -> str:
    return ", ".join(f"{t:.3f}" for t in thresholds)


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
        row = in_brief(result) | {
            f"AUROC of P(IK), {name}": stats.auroc(t.correct, t.p_ik)
            for name, t in zip(study.models, study.test)
            if t.p_ik is not None
        }
        rows[f"seed {study.seed + i}"] = row
    return to_frame(rows, ["seed of the probe"])


def subset_questions(study: Study, rows: np.ndarray) -> Study:
    """The study on some of its test questions, by their places."""
    return replace(study, test=[Trace(t.table.take(rows), t.provenance) for t in study.test], questions=None)


def judge_thresholds(
    tuned: Surface, cell: tuple[int, int] | None, study: Study, members: Sequence[int]
) -> dict[str, float]:
    """How a pair of thresholds that was chosen on one set of questions fares on another."""
    if cell is None:
        return {"P(T) at least": np.nan}
    theta_t, theta_ik = float(tuned.pt[cell[0]]), float(tuned.pik[cell[1]])
    result = cascade(study.chain(members), theta_t, theta_ik if np.isfinite(theta_ik) else None)
    judged = against_last_model(result)
    return {
        "P(T) at least": theta_t,
        "P(IK) at least": theta_ik if np.isfinite(theta_ik) else np.nan,
        "accuracy": judged["accuracy"],
        "difference (points)": judged["PD (points)"],
        "reduced, paper": judged["reduced compute, paper"],
        "reduced, every pass": judged["reduced compute, every pass"],
    }
