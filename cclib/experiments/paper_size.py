"""The tables of the chapter "At the paper's size": 8B → 70B on MMLU-Pro, from published answers.

The answers are not committed; these figures are, so that the chapter can be read without them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

from cclib import replay, stats
from cclib.experiments.answers_only import (
    PAIR,
    PAIRS,
    PROXY,
    SECOND,
    Published,
    agrees,
    methods,
    read,
    setting,
)
from cclib.experiments.results import points_above
from cclib.experiments.routing.frontier import (
    RATES,
    Method,
    Setting,
    at_random,
    bands,
    oracle,
    trade_off_curve,
)
from cclib.experiments.routing.ranking import bounds, choose_threshold, interval, ranking
from cclib.logs.published import SIZES
from cclib.replay import NotAtHand
from cclib.thresholds import choose_thresholds
from cclib.traces import Trace

FIGURES = Path(__file__).parent / "figures"
LOSSES = (1.0, 2.0, 5.0)  # points that may be lost
TABLES = (
    "known",
    "pairs",
    "agreement",
    "bounds",
    "compute",
    "dollars",
    "curves",
    "tuned",
    "promise",
    "needed",
)


def at_hand(
    data_dir: str | Path | None, seed: int = 0, figures: str | Path = FIGURES
) -> dict[str, pd.DataFrame]:
    """The chapter's tables: measured from the published answers in a folder, or as they were measured.

    Raises:
        NotAtHand: neither the answers nor the figures are there.
    """
    if data_dir is not None and (Path(data_dir) / "outcomes.parquet").exists():
        return measure(read(data_dir, seed=seed))
    found = {name: replay.read_figures(Path(figures) / f"{name}.csv")[0] for name in TABLES}
    if any(table is None for table in found.values()):
        raise NotAtHand(
            f"neither outcomes.parquet in {data_dir} nor the figures in {figures}; give data_dir, a folder "
            "with MMLU-Pro's questions and the answers that its authors published"
        )
    return found


def write(data_dir: str | Path, figures: str | Path = FIGURES, seed: int = 0) -> None:
    """Measure, and keep the figures where the chapter looks for them."""
    Path(figures).mkdir(parents=True, exist_ok=True)
    for name, table in measure(read(data_dir, seed=seed)).items():
        replay.write_figures(table, Path(figures) / f"{name}.csv", f'seed: {{"seed": {seed}}}')


def measure(data: Published) -> dict[str, pd.DataFrame]:
    """All tables, by the names in `TABLES`."""
    small, large = PAIR
    sized = {m: SIZES[m] / SIZES[large] for m in (small, SECOND, PROXY)}
    paid = {m: data.dollars(m).mean() / data.dollars(large).mean() for m in (small, SECOND, PROXY)}
    tables = {"known": known(data), "pairs": pairs(data), "agreement": agreement(data)}
    for name, cost in (("compute", sized), ("dollars", paid)):
        judged = setting(data, small, large, 2, cost[small])
        found = methods(data, small, large, SECOND, cost)
        tables[name] = ranking([*found, oracle(judged), at_random(judged)], judged).drop(
            columns=["note", "source"]
        )
        if name == "compute":
            tables |= {"bounds": bounds(judged), "curves": curves([*found, oracle(judged)], judged)}
        else:
            tables["tuned"] = tuned(data, found)
    tables |= {"promise": promise(data), "needed": needed(data)}
    return {name: tables[name] for name in TABLES}


def known(data: Published) -> pd.DataFrame:
    """What can be told beforehand of whether each model will be right: AUROC, by what it is told from."""
    judge = data.part == 2
    rows = {}
    for model in sorted(data.answers, key=SIZES.__getitem__):
        right = data.right(model)
        scores = {
            "words": data.predicted("words", right),
            "proxy's P(T)": data.reading.p_t,
            "proxy's reading": data.predicted("reading", right),
        }
        rows[model] = {"accuracy": right[judge].mean()}
        for name, score in scores.items():
            rows[model][f"AUROC, {name}"] = stats.auroc(right[judge], score[judge])
            rows[model][f"AUROC, {name}, interval"] = stats.auroc_interval(right[judge], score[judge])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def pairs(data: Published) -> pd.DataFrame:
    """How pairs of models share the questions, and how well "only the large one is right" is foreseen."""
    judge = data.part == 2
    rows = {}
    for small, large in PAIRS:
        s, lg = data.right(small), data.right(large)
        only = lg & ~s
        scores = {kind: data.predicted(kind, only) for kind in ("words", "reading")}
        judged = setting(data, small, large, 2, SIZES[small] / SIZES[large])
        half = int(np.argmin(np.abs(RATES - 0.5)))
        routed = Method("reading", "", "", scores["reading"][judge])
        mixed = (judged.small.mean() + judged.large.mean()) / 2
        drawn = bands(routed, judged)
        chance = (drawn[:, 0] + drawn[:, -1]) / 2
        rows[f"{small} → {large}"] = {
            "accuracy of the small": judged.small.mean(),
            "accuracy of the large": judged.large.mean(),
            "both right": (s & lg)[judge].mean(),
            "only the large": only[judge].mean(),
            "only the small": (s & ~lg)[judge].mean(),
            "AUROC of only the large, words": stats.auroc(only[judge], scores["words"][judge]),
            "AUROC of only the large, reading": stats.auroc(only[judge], scores["reading"][judge]),
            "AUROC of only the large, reading, interval": stats.auroc_interval(
                only[judge], scores["reading"][judge]
            ),
            "points above mixing, half sent": 100 * (trade_off_curve(routed, judged).quality[half] - mixed),
            "points above mixing, interval": interval(100 * (drawn[:, half] - chance)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pair")


def agreement(data: Published) -> pd.DataFrame:
    """Where the small model and a second cheap one agree, and where not: who is right (all questions)."""
    small, large = PAIR
    same = agrees(data, small, SECOND)
    rows = {}
    for name, at in (("they agree", same), ("they differ", ~same)):
        rows[name] = {"share of questions": at.mean()}
        for model in (small, large):
            rows[name][f"{model} right"] = data.right(model)[at].mean()
            rows[name][f"{model} right, interval"] = stats.accuracy_interval(data.right(model)[at])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("answers")


def curves(found: list[Method], judged: Setting) -> pd.DataFrame:
    """Cost (every pass) and accuracy of each method at each share of questions sent on, with 95 % bands."""
    tables = []
    for m in found:
        front = trade_off_curve(m, judged)
        low, high = np.quantile(bands(m, judged), [0.025, 0.975], axis=0)
        columns = {
            "rate": RATES,
            "cost": front.every_pass,
            "accuracy": front.quality,
            "low": low,
            "high": high,
        }
        tables.append(pd.DataFrame(columns).assign(method=m.name))
    return pd.concat(tables, ignore_index=True)


def tuned(data: Published, found: list[Method]) -> pd.DataFrame:
    """Thresholds chosen on one part for at most so many points lost, judged in dollars on another."""
    small, large = PAIR
    judged, chosen = (setting(data, small, large, part, 1.0) for part in (2, 1))
    at = data.part == 2
    paid = {m: data.dollars(m)[at] for m in (small, large, SECOND, PROXY)}
    rows = []
    for lose in LOSSES:
        for m in found:
            sent = m.score >= choose_threshold(m.validation, chosen, chosen.large.mean() - lose / 100)
            difference, around = points_above(np.where(sent, judged.large, judged.small), judged.large)
            answered = np.where(sent, paid[large], paid[small])
            every = paid[large] * sent + paid[small] * (~sent if m.depth == 0 else 1)
            every = every + (paid[PROXY] if "proxy" in m.name else 0) + (paid[SECOND] if m.depth else 0)
            rows.append(
                {
                    "points that may be lost": lose,
                    "method": m.name,
                    "sent to the large model": sent.mean(),
                    "difference (points)": difference,
                    "difference (points) interval": around,
                    "saved, paper": 1 - answered.sum() / paid[large].sum(),
                    "saved, every pass": 1 - every.sum() / paid[large].sum(),
                    "dollars a million questions, every pass": 1e6 * every.mean(),
                }
            )
    return pd.DataFrame(rows)


def promise(data: Published) -> pd.DataFrame:
    """Thresholds with a promise (`choose_thresholds`), on the predicted needlessness of the large model."""
    small, large = PAIR
    needless = ~(data.right(large) & ~data.right(small))
    scores = {"words": data.predicted("words", needless), "proxy": data.predicted("reading", needless)}
    scores["agreement and proxy"] = data.predicted("reading", needless, agrees(data, small, SECOND))
    sizes = [SIZES[small], SIZES[large]]
    ids = np.array([q.id for q in data.questions])
    rows = []
    for name, score in scores.items():
        stages = [
            Trace(pd.DataFrame({"question_id": ids, "correct": data.right(m), "p_t": score}), {"model": m})
            for m in PAIR
        ]
        choose, judge = ([t.select(ids[data.part == part]) for t in stages] for part in (1, 2))
        for lose in LOSSES:
            choice = choose_thresholds(choose, lose / 100, accounting="paper", sizes=sizes)
            row = {"confidence": name, "points that may be lost": lose, "threshold": np.nan, "kept": 0.0}
            if choice.found:
                kept = judge[0].p_t >= choice.pt[0]
                right = np.where(kept, judge[0].correct, judge[1].correct)
                difference, around = points_above(right, judge[1].correct)
                row |= {"threshold": choice.pt[0], "kept": kept.mean()}
                row |= {"difference (points)": difference, "difference (points) interval": around}
            rows.append(row | {"why none": choice.reason})
    return pd.DataFrame(rows)


def needed(data: Published) -> pd.DataFrame:
    """How good the small model's own P(T) would have to be for the paper's rule, by a confidence made up.

    Two normal curves a distance apart give any AUROC of the small model's being right, and know nothing of
    the large one's.
    """
    s, lg = (data.right(m) for m in PAIR)
    every = Setting(s, lg, SIZES[PAIR[0]] / SIZES[PAIR[1]])
    noise = np.random.default_rng(0).normal(size=len(s))
    rows = {}
    for area in (0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        score = -(np.sqrt(2) * ndtri(area) * s + noise)
        rows[f"{area:.2f}"] = {}
        for lose in (0.0, *LOSSES):
            threshold = choose_threshold(score, every, lg.mean() - lose / 100)
            rows[f"{area:.2f}"][f"kept for {lose:g} points"] = float(np.mean(score < threshold))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("AUROC of P(T)")
