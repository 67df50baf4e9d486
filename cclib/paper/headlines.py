"""The page "Paper against this edition": one headline number of every table, in one place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cclib import cost, paper, stats
from cclib.cascades import Cascade, cascade
from cclib.experiments import commercial_api, results
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

    Chains stand beside those of the paper that `beside.counterpart` gives them; Table 15 has 8B → 70B alone,
    which stands beside the last two models. `served` is `commercial_api.with_gpt4`'s, for Table 4. "derived"
    marks what the paper does not print but its numbers give. What an edition cannot measure has a dash and a
    reason; p-values have no difference.
    """
    t1, t2, t3, t8, t9, t13 = (paper.table(n) for n in (1, 2, 3, 8, 9, 13))
    t1, t2, t3, t8, t13 = (t.set_index("models") for t in (t1, t2, t3, t8, t13))
    pair, three, qwen = beside.main_pair(study), "3B → 8B → 70B", beside.main_pair(study, 3)
    two, of_qwen, whole = (
        beside.playing(study, pt, pik, chain, number) for chain, number in ((pair, 1), (qwen, 3), (three, 1))
    )
    counts = t8.loc[pair, paper.stages(pair)].astype(float)
    p_value = t9.set_index("cascade").loc[pair, "p_value"]
    every_pass = beside.every_pass_at_the_papers_counts().loc[pair, "reduced, every pass"]
    saved = t1.loc[pair, "reduced_compute_percent"], t3.loc[qwen, "reduced_compute_percent"]
    rows = [
        _row(1, "accuracy, 70B", t1.loc["70B", "accuracy_percent"], _accuracy(study)),
        _row(1, f"points lost, {pair}", t1.loc[pair, "pd_percent"], _of(two, _points)),
        _row(1, f"compute saved, {pair}", saved[0], _of(two, _saved)),
        _row(1, f"compute saved, every pass counted, {pair}", 100 * every_pass, _of(two, _every_pass), True),
        *([_row(1, f"points lost, {three}", t1.loc[three, "pd_percent"], _points(whole))] if whole else []),
        _row(2, f"macro F1, {pair}", 100 * t2.loc[pair, "f1"], _of(two, _f1)),
        _row(3, f"compute saved, {qwen}", saved[1], _of(of_qwen, _saved)),
        _api(study, pt, pik, served),
        *_ablation(study, pair, pt, pik),
        *_transfer(transferred, pair, pt, pik),
        _row(
            8,
            f"answered before the last stage, {pair}",
            100 * (1 - counts.iloc[-1] / counts.sum()),
            _of(two, lambda result: (*beside.kept_before_last(result.stage_counts), "")),
            derived=True,
        ),
        _row(9, f"p-value, {pair} against 70B", p_value, _of(two, _p)),
        *_open(open_questions, pair, pt, pik),
        _row(13, f"dollars saved, {pair}", t13.loc[pair, "reduced_cost_percent"], _of(two, _dollars)),
        *_probe(study),
    ]
    return pd.DataFrame(rows).set_index(["table", "what"])


Found = tuple[float, tuple[float, float], str]  # a share of one, its interval, and what to do where it is NaN


def _row(number: int, what: str, printed: float, found: Found, derived: bool = False) -> dict:
    """A headline from our share of one and the printed per cent; a p-value is neither and stays as it is."""
    ours, interval, why = found
    unit = "points" if what.startswith("points") else "p" if what.startswith("p-value") else "%"
    one = 1 if unit == "p" else 100
    return {
        "table": number,
        "what": what,
        "unit": unit,
        "paper": printed,
        "derived": derived,
        "here": one * ours,
        "interval": (one * interval[0], one * interval[1]),
        "difference": np.nan if unit == "p" else one * ours - printed,
        "if missing": why if np.isnan(ours) else "",
    }


def signed(table: pd.DataFrame) -> pd.DataFrame:
    """The headlines whose sign says something and that are not zero here: points moved, and savings."""
    moved = table.index.get_level_values("what").str.contains("^points|saved")
    return table[moved & table["here"].notna() & (table["here"] != 0)]


def _accuracy(study: Study) -> Found:
    last = study.test[-1].correct
    return stats.accuracy(last), stats.accuracy_interval(last), ""


ONE_MODEL = (np.nan, stats.NO_INTERVAL, "name two or more models")


def _of(result: Cascade | None, measure: Callable[[Cascade], Found]) -> Found:
    """What is measured of a chain; where there is none, what to do about it."""
    return ONE_MODEL if result is None else measure(result)


def _points(result: Cascade) -> Found:
    return _moved(result.correct, result.stages[-1].correct)


def _moved(right: np.ndarray, other: np.ndarray) -> Found:
    """Accuracy of (n,) answers less that of others, and its paired interval."""
    points, (low, high) = points_above(right, other)
    return points / 100, (low / 100, high / 100), ""


def _saved(result: Cascade, accounting: str = "paper") -> Found:
    charged = cost.compute(result, accounting)
    return charged.reduced, cost.saving_interval(result, accounting), "; ".join(charged.missing)


def _every_pass(result: Cascade) -> Found:
    return _saved(result, "every-pass")


def _p(result: Cascade) -> Found:
    return stats.mcnemar(result.correct, result.stages[-1].correct).p, stats.NO_INTERVAL, ""


def _f1(result: Cascade) -> Found:
    scores, intervals = results.macro_of(result)
    return scores.f1, intervals.f1, "the last stage's predictions are not on record"


def _api(study: Study, pt: float, pik: float | None, served: pd.DataFrame | None) -> dict:
    bought = commercial_api.commercial(study, pt, pik) if served is None else served
    before = study.models[-2 if served is None else -1] if len(bought) > 1 else None
    column, chain = commercial_api.saved_column(bought), f"{before} → {bought.index[0]}"
    printed = paper.table(4).set_index("models").loc["70B → GPT-4o", "reduced_tokens_percent"]
    what = "tokens of the last stage saved, 70B → GPT-4o"
    if chain not in bought.index:
        return _row(4, what, printed, ONE_MODEL)
    if "tokens" not in column:
        what = what.replace("tokens", "tokens (here questions)")
    return _row(4, what, printed, (bought.loc[chain, column], bought.loc[chain, f"{column}, interval"], ""))


def _ablation(study: Study, pair: str, pt: float, pik: float | None) -> list[dict]:
    t5 = paper.table(5).set_index(["pik", "models"])["pd_percent"]
    t15 = paper.table(15).set_index(["pik", "pt_percent"])["accuracy"]
    lost = t5["without", "8B → 70B"] - t5["with", "8B → 70B"]
    fall = 100 * (t15["without", 50] - t15["without", 95])
    two = study.chain(study.two_stages())
    here = moved = ONE_MODEL
    if len(two) > 1:
        moved = _moved(*(cascade(two, least, None).correct for least in (0.5, 0.95)))
        here = _no_counterpart(5, pair)
        if pair == "8B → 70B":
            both, alone = (beside.playing(study, pt, p, pair) for p in (pik, None))
            has = both is not None and both.pik[0] is not None
            here = _moved(alone.correct, both.correct) if has else _without("this edition has no P(IK)")
    return [
        _row(5, "points changed by dropping P(IK), 8B → 70B", lost, here, derived=True),
        _row(15, "points changed by P(T) ≥ 50 in place of 95 %, 8B → 70B", fall, moved, derived=True),
    ]


def _without(why: str) -> Found:
    return np.nan, stats.NO_INTERVAL, why


def _no_counterpart(number: int, pair: str) -> Found:
    return _without(f"these models stand for {pair}, which is not in Table {number}")


def _transfer(other: Study | None, pair: str, pt: float, pik: float | None) -> list[dict]:
    printed = paper.table(6).set_index("models").loc["8B → 70B"]
    points = saved = _without("no traces on other questions")
    if other is not None:
        points = saved = _no_counterpart(6, pair)
        if pair == "8B → 70B":
            result = beside.playing(other, pt, pik, pair)
            points, saved = _of(result, _points), _of(result, _saved)
    return [
        _row(6, "points lost on other questions, 8B → 70B", printed["pd_percent"], points),
        _row(6, "compute saved on other questions, 8B → 70B", printed["reduced_compute_percent"], saved),
    ]


def _open(study: Study | None, pair: str, pt: float, pik: float | None) -> list[dict]:
    t10, t11 = paper.table(10), paper.table(11).set_index("models")
    by_match = t10[(t10["model"] == "70B") & (t10["grounding"] == "without")]["accuracy"].iloc[0]
    last = two = _without("no open questions on record")
    if study is not None:
        fates = results.fates(study, pt, pik)
        one = fates.loc[study.models[-1]]
        last, two = (one["accuracy"], one["accuracy interval"], ""), ONE_MODEL
        if (name := beside.counterpart(study, pair)) in fates.index:
            of_pair = fates.loc[name]
            two = of_pair["share false (hallucination rate)"], of_pair["share false, interval"], ""
    return [
        _row(10, "open questions right by string match, 70B", 100 * by_match, last),
        _row(11, f"false responses, {pair}", 100 * t11.loc[pair, "hallucination_rate"], two),
    ]


def _dollars(result: Cascade) -> Found:
    spent = cost.dollars(result)
    return spent.reduced, stats.NO_INTERVAL, "; ".join(spent.missing)


def _probe(study: Study) -> list[dict]:
    rows, place = [], beside.roles(study)
    for label, printed in paper.table(14).set_index("model")["auroc_percent"].items():
        if label not in place or place[label] == len(study.models) - 1:
            continue
        trace, found = study.test[place[label]], _without("no P(IK)")
        if trace.p_ik is not None:
            interval = stats.auroc_interval(trace.correct, trace.p_ik)
            found = stats.auroc(trace.correct, trace.p_ik), interval, ""
        rows.append(_row(14, f"AUROC of P(IK), {label}", printed, found))
    return rows
