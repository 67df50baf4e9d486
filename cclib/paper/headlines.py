"""The page "Paper against this edition": one headline number of every table, in one place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cclib import cost, paper, stats
from cclib.cascades import Cascade, cascade
from cclib.experiments import ablation, commercial_api, results
from cclib.experiments.results import points_above
from cclib.paper import beside
from cclib.study import Study


def headlines(
    study: Study,
    pt: float,
    pik: float | None,
    transferred: Study | None = None,
    open_questions: Study | None = None,
    served: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """A row a table: what is compared, the paper's number and this edition's with its interval, in its unit.

    The paper's 8B → 70B stands beside this edition's last two models, 3B → 8B → 70B beside its longest
    chain; `served` is `commercial_api.with_gpt4`'s, for Table 4. What an edition cannot measure has a dash
    and a reason.
    """
    chains = study.run_chains(pt, pik)
    pair = study.two_stages()
    two, longest = chains[study.chain_name(pair)], list(chains.values())[-1]
    t1, t2, t3, t8, t9, t13 = (paper.table(n) for n in (1, 2, 3, 8, 9, 13))
    t1, t2, t3, t8, t13 = (t.set_index("models") for t in (t1, t2, t3, t8, t13))
    counts = t8.loc["8B → 70B", ["8B", "70B"]].astype(float)
    p_value = t9.set_index("cascade").loc["8B → 70B", "p_value"]
    every_pass = beside.every_pass_at_the_papers_counts().loc["8B → 70B", "reduced, every pass"]
    saved = t1.loc["8B → 70B", "reduced_compute_percent"], t3.loc["8B → 32B", "reduced_compute_percent"]
    rows = [
        _row(1, "accuracy of the last model", t1.loc["70B", "accuracy_percent"], *_accuracy(study)),
        _row(1, "points lost, two stages", t1.loc["8B → 70B", "pd_percent"], *_of(two, _points)),
        _row(1, "compute saved, two stages", saved[0], *_of(two, _saved)),
        _row(1, "the same, every pass counted", 100 * every_pass, *_of(two, _saved, "every-pass")),
        _row(1, "points lost, longest chain", t1.loc["3B → 8B → 70B", "pd_percent"], *_of(longest, _points)),
        _row(2, "macro F1, two stages", 100 * t2.loc["8B → 70B", "f1"], *_f1(two)),
        _row(3, "compute saved, two stages", saved[1], *_of(two, _saved)),
        _api(study, pt, pik, served),
        *_ablation(study, pair, pt, pik),
        *_transfer(transferred, pt, pik),
        _row(
            8,
            "answered before the last stage, two stages",
            100 * counts["8B"] / counts.sum(),
            *_of(two, lambda result: beside.kept_before_last(result.stage_counts)),
        ),
        _row(9, "p-value, two stages against the last", p_value, *_of(two, _p)),
        *_open(open_questions, pt, pik),
        _row(13, "dollars saved, two stages", t13.loc["8B → 70B", "reduced_cost_percent"], *_dollars(two)),
        *_probe(study),
    ]
    return pd.DataFrame(rows).set_index(["table", "what"])


def _row(number: int, what: str, printed: float, ours: float, interval: tuple, why: str = "") -> dict:
    """A headline from our share of one and the printed per cent; a p-value is neither and stays as it is."""
    unit = "points" if what.startswith("points") else "p" if what.startswith("p-value") else "%"
    one = 1 if unit == "p" else 100
    return {
        "table": number,
        "what": what,
        "unit": unit,
        "paper": printed,
        "here": one * ours,
        "interval": (one * interval[0], one * interval[1]),
        "difference": one * ours - printed,
        "if missing": why if np.isnan(ours) else "",
    }


def signed(table: pd.DataFrame) -> pd.DataFrame:
    """The headlines whose sign says something and that are not zero here: points moved, and savings."""
    moved = table.index.get_level_values("what").str.contains("^points|saved|every pass counted")
    return table[moved & table["here"].notna() & (table["here"] != 0)]


def _accuracy(study: Study) -> tuple[float, tuple]:
    last = study.test[-1].correct
    return stats.accuracy(last), stats.accuracy_interval(last)


ONE_MODEL = (np.nan, stats.NO_INTERVAL, "name two or more models")


def _of(result: Cascade | None, measure: Callable[..., tuple], *how: str) -> tuple:
    """What is measured of a chain; where there is none, what to do about it."""
    return ONE_MODEL if result is None or len(result.stages) < 2 else measure(result, *how)


def _points(result: Cascade) -> tuple:
    points, (low, high) = points_above(result.correct, result.stages[-1].correct)
    return points / 100, (low / 100, high / 100)


def _saved(result: Cascade, accounting: str = "paper") -> tuple:
    charged = cost.compute(result, accounting)
    return charged.reduced, cost.saving_interval(result, accounting), "; ".join(charged.missing)


def _p(result: Cascade) -> tuple:
    return stats.mcnemar(result.correct, result.stages[-1].correct).p, stats.NO_INTERVAL


def _f1(result: Cascade) -> tuple:
    scores, intervals = results.macro_of(result)
    return scores.f1, intervals.f1, "the last stage's predictions are not on record"


def _api(study: Study, pt: float, pik: float | None, served: pd.DataFrame | None) -> dict:
    bought = commercial_api.commercial(study, pt, pik) if served is None else served
    before = study.models[-2 if served is None else -1] if len(bought) > 1 else None
    last = bought.index[0]
    printed = paper.table(4).set_index("models").loc["70B → GPT-4o", "reduced_tokens_percent"]
    what = "tokens of the last stage saved, next-largest before it" + ("" if served is None else f", {last}")
    if f"{before} → {last}" not in bought.index:
        return _row(4, what, printed, *ONE_MODEL)
    row = bought.loc[f"{before} → {last}"]
    return _row(4, what, printed, row["reduced tokens of the last stage"], row["reduced interval"])


def _ablation(study: Study, pair: tuple, pt: float, pik: float | None) -> list[dict]:
    t5 = paper.table(5).set_index(["pik", "models"])["pd_percent"]
    t15 = paper.table(15).set_index(["pik", "pt_percent"])["accuracy"]
    lost = t5["without", "8B → 70B"] - t5["with", "8B → 70B"]
    fall = 100 * (t15["without", 50] - t15["without", 95])
    rules = ablation.without_pik(study, pt, pik)
    name = study.chain_name(pair)
    here = (np.nan, stats.NO_INTERVAL, "this edition has no P(IK)" if len(pair) > 1 else ONE_MODEL[2])
    if len(rules) and (name, "P(T) and P(IK)") in rules.index:
        here = _moved(study, pair, (pt, None), (pt, pik))
    moved = (np.nan, stats.NO_INTERVAL, ONE_MODEL[2])
    if len(pair) > 1:
        moved = _moved(study, pair, (0.5, None), (0.95, None))
    return [
        _row(5, "points changed by dropping P(IK), two stages", lost, *here),
        _row(15, "points changed by P(T) ≥ 50 in place of 95 %, without P(IK)", fall, *moved),
    ]


def _moved(study: Study, pair: tuple, *thresholds: tuple[float, float | None]) -> tuple:
    """Accuracy at the first thresholds less that at the second, and its paired interval."""
    points, (low, high) = points_above(*(cascade(study.chain(pair), *t).correct for t in thresholds))
    return points / 100, (low / 100, high / 100)


def _transfer(other: Study | None, pt: float, pik: float | None) -> list[dict]:
    printed = paper.table(6).set_index("models").loc["8B → 70B"]
    result = None
    if other is not None:
        result = other.run_chains(pt, pik)[other.chain_name(other.two_stages())]
    why = "" if other is not None else "no traces on other questions"
    points, saved = _of(result, _points), _of(result, _saved)
    return [
        _row(6, "points lost on other questions", printed["pd_percent"], *points[:2], why),
        _row(6, "compute saved on other questions", printed["reduced_compute_percent"], *saved[:2], why),
    ]


def _open(study: Study | None, pt: float, pik: float | None) -> list[dict]:
    t10, t11 = paper.table(10), paper.table(11).set_index("models")
    by_match = t10[(t10["model"] == "70B") & (t10["grounding"] == "without")]["accuracy"].iloc[0]
    last = two = (np.nan, stats.NO_INTERVAL, "no open questions on record")
    if study is not None:
        fates = results.fates(study, pt, pik)
        one, pair = fates.loc[study.models[-1]], fates.loc[study.chain_name(study.two_stages())]
        last = one["accuracy"], one["accuracy interval"]
        two = pair["share false (hallucination rate)"], pair["share false, interval"]
    false = t11.loc["8B → 70B", "hallucination_rate"]
    return [
        _row(10, "open questions right by string match, last model", 100 * by_match, *last),
        _row(11, "false responses, two stages", 100 * false, *two),
    ]


def _dollars(result: Cascade) -> tuple:
    spent = cost.dollars(result)
    return spent.reduced, stats.NO_INTERVAL, "; ".join(spent.missing)


def _probe(study: Study) -> list[dict]:
    rows = []
    for label, trace in zip(paper.table(14)["model"], study.test[:-1]):
        printed = paper.table(14).set_index("model").loc[label, "auroc_percent"]
        what = f"AUROC of P(IK), {'smallest' if label == '3B' else 'middle'} model"
        if trace.p_ik is None:
            rows.append(_row(14, what, printed, np.nan, stats.NO_INTERVAL, "no P(IK)"))
        else:
            interval = stats.auroc_interval(trace.correct, trace.p_ik)
            rows.append(_row(14, what, printed, stats.auroc(trace.correct, trace.p_ik), interval))
    return rows
