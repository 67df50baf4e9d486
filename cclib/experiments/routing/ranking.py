"""Tables of routers and cascades: bounds, ranking with intervals, thresholds tuned for a target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cclib import stats
from cclib.experiments.results import points_above
from cclib.experiments.routing.frontier import (
    Method,
    Setting,
    aiq,
    apgr,
    at_random,
    bands,
    cpt,
    every_pass,
    hull_height,
    oracle,
    trade_off_curve,
)

WHEN = {0.0: "before any pass", 1.0: "after an answer"}
BOUND = "bound"  # the source of what is no method: the oracle, sending at random


def bounds(setting: Setting) -> pd.DataFrame:
    """What no method is needed for, and what no method can beat: accuracy and cost by both accountings."""
    small, large, s = setting.small.astype(float), setting.large.astype(float), setting.small_cost
    needed = float((large > small).mean())  # the oracle sends only what the large model alone gets right
    rows = {
        "always small": (small.mean(), s, s),
        "always large": (large.mean(), 1.0, 1.0),
        "random, half of the questions": ((small.mean() + large.mean()) / 2, (1 + s) / 2, (1 + s) / 2),
        "oracle": (np.maximum(small, large).mean(), *[needed + (1 - needed) * s] * 2),
    }
    columns = ["accuracy", "cost, paper", "cost, every pass"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("method")


def ranking(methods: Sequence[Method], setting: Setting) -> pd.DataFrame:
    """All methods by AIQ with every pass counted, the best first; those that could not be had last.

    Intervals are 95 %, from the same draws of questions for all methods, and so are those of differences: to
    the cascade on P(T), to the first method, and to sending at random, whose hull gains by hindsight too.
    "gap closed" is how far APGR comes from random (0) to the oracle (1). "cost of deciding" is of all that
    runs before the choice, "extra cost" of what of it is no part of the small model's answering pass.
    """
    had = [m for m in methods if m.score is not None]
    fronts = {m.name: trade_off_curve(m, setting) for m in had}
    drawn = {m.name: bands(m, setting) for m in had}
    heights = {m: _heights(fronts[m].every_pass, drawn[m], setting) for m in fronts}
    chance = _heights(
        trade_off_curve(at_random(setting), setting).every_pass, bands(at_random(setting), setting), setting
    )
    rivals = [m.name for m in had if m.source != BOUND]
    first = max(rivals, key=lambda m: aiq(fronts[m], setting), default="")
    span = apgr(trade_off_curve(oracle(setting), setting).quality) - 0.5
    rows = {}
    for m in methods:
        row = {"decides": WHEN.get(m.depth, "within a pass"), "needs": m.needs, "source": m.source}
        rows[m.name] = row | {
            "extra cost": np.nan,
            "note": f"not available: {m.missing}" if m.missing else "",
        }
        if m.score is None:
            rows[m.name] |= {"decides": "–"}
            continue
        front, height = fronts[m.name], heights[m.name]
        eighty = cpt(front.quality, 0.8)
        rows[m.name] |= {
            "extra cost": m.extra,
            "cost of deciding": m.depth * setting.small_cost + m.extra,
            "AIQ, every pass": round(aiq(front, setting), 12),  # ties are ties
            "AIQ, every pass, interval": interval(height),
            "AIQ above P(T), interval": interval(height - heights["P(T)"])
            if "P(T)" in heights
            else stats.NO_INTERVAL,
            "AIQ above the first, interval": interval(height - heights[first])
            if first
            else stats.NO_INTERVAL,
            "AIQ above random, interval": interval(height - chance),
            "AIQ, paper": aiq(front, setting, "paper"),
            "APGR": apgr(front.quality),
            "APGR interval": interval(apgr(drawn[m.name])),
            "gap closed": (apgr(front.quality) - 0.5) / span,
            "CPT 50 %": cpt(front.quality, 0.5),
            "CPT 80 %": eighty,
            "cost at CPT 80 %, every pass": float(np.interp(eighty, front.rate, front.every_pass)),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    by = [c for c in ("AIQ, every pass", "APGR") if c in table]
    return table.sort_values(by, ascending=False, kind="stable", na_position="last") if by else table


def _heights(cost: np.ndarray, qualities: np.ndarray, setting: Setting) -> np.ndarray:
    return np.array([hull_height(cost, q, setting.small_cost) for q in qualities])


def interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values; those that are NaN are left out."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def curves(
    methods: Sequence[Method], setting: Setting, names: Sequence[str], accounting: str = "every-pass"
) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """(cost, accuracy) of the named methods and (cost, low, high) of their bands, for `plots.frontier`."""
    by_name = {m.name: m for m in methods}
    lines, around = {}, {}
    for name in names:
        front = trade_off_curve(by_name[name], setting)
        cost = front.cost(accounting)
        lines[name] = (cost, front.quality)
        around[name] = (cost, *np.quantile(bands(by_name[name], setting), [0.025, 0.975], axis=0))
    return lines, around


def tuned(
    methods: Sequence[Method], setting: Setting, validation: Setting, may_lose: float = 1.0
) -> pd.DataFrame:
    """Thresholds chosen on the validation part for at most so many points lost, judged on the test part.

    Hybrid-LLM's calibration, for every method: the highest threshold at which the validation part's accuracy
    is within the target. Savings are against the large model on every question; the methods come in the order
    of what they save on the validation part, so that the first is what one would have picked.
    """
    target = validation.large.mean() - may_lose / 100
    rows = {}
    for m in methods:
        if m.score is None or m.validation is None:
            continue
        threshold = choose_threshold(m.validation, validation, target)
        sent = m.score >= threshold
        right = np.where(sent, setting.large, setting.small)
        rate = sent.mean()
        points, around = points_above(right, setting.large)
        rows[m.name] = {
            "sent to the large model": float(rate),
            "accuracy": float(right.mean()),
            "difference (points)": points,
            "difference interval": around,
            "reduced compute, every pass": 1 - every_pass(m, setting, rate),
            "reduced compute, paper": 1 - ((1 - rate) * setting.small_cost + rate),
            "reduced on validation, every pass": 1
            - every_pass(m, setting, np.mean(m.validation >= threshold)),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    return table if not rows else table.sort_values("reduced on validation, every pass", ascending=False)


def choose_threshold(score: np.ndarray, setting: Setting, target: float) -> float:
    """The highest threshold at which sending all scores at or above it reaches the target accuracy.

    Where none does, everything is sent.
    """
    order = np.argsort(-score, kind="stable")
    gain = (setting.large.astype(float) - setting.small)[order].cumsum() / len(score)
    ends = np.append(np.diff(score[order]) != 0, True)  # a threshold takes all of a score or none
    if setting.small.mean() >= target:
        return np.inf
    good = np.flatnonzero(ends & (setting.small.mean() + gain >= target))
    return float(score[order][good[0]]) if len(good) else -np.inf
