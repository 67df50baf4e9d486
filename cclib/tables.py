"""The book's tables: what an edition measured, with intervals, and the paper's numbers beside it.

Every function returns a plain numeric DataFrame; `show` gives it the book's format. Shares are of one,
intervals are 95 %.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from cclib import cost, stats
from cclib.cascade import Cascade, cascade
from cclib.study import EXPORT_FILE, Study
from cclib.traces import read_trace

GAP = (np.nan, np.nan)
PERCENT, POINTS, DECIMAL = "{:.1%}", "{:+.2f}", "{:.4f}"
FORMATS = {
    "accuracy": PERCENT,
    "share": PERCENT,
    "answers right": PERCENT,
    "reduced": PERCENT,
    "time": "{:+.1%}",
    "PD (points)": POINTS,
    "PD (relative)": "{:+.2f}%",
    "precision": DECIMAL,
    "recall": DECIMAL,
    "F1": DECIMAL,
    "AUROC": "{:.3f}",
    "ECE": "{:.3f}",
    "Brier": "{:.3f}",
    "AUPRC": "{:.3f}",
    "AURC": "{:.3f}",
    "extra cost": PERCENT,
    "AIQ": PERCENT,
    "APGR": "{:.3f}",
    "gap closed": PERCENT,
    "CPT": PERCENT,
    "cost": PERCENT,
    "sent": PERCENT,
    "p": "{:.4g}",
    "chi-squared": "{:.2f}",
    "USD": "{:,.4g}",
    "difference": "{:+.2f}",
}
UNITS = {"_percent": "{:.2f}%", "_usd": "${:.3f}"}  # endings of published columns: values as printed


def show(table: pd.DataFrame, caption: str = "") -> Styler:
    """A table as the book prints it: a number's format goes by its column's name, gaps are dashes.

    Row numbers that nobody named are left out.
    """
    formats = {}
    for column in table.columns:
        unit = next((u for u in UNITS if str(column).endswith(u)), None)
        key = next((k for k in FORMATS if str(column).startswith(k)), None)
        if pd.api.types.is_float_dtype(table[column]) or table[column].dtype == object:
            formats[column] = _formatter(UNITS[unit] if unit else FORMATS.get(key, "{:,.4g}"))
        elif pd.api.types.is_integer_dtype(table[column]):
            formats[column] = "{:,}"
    styler = table.style.format(formats, na_rep="–", escape="html")
    styler.format_index(_heading, axis=1, escape="html")  # names are others' text as much as the cells
    styler.format_index(str, axis=0, escape="html")
    if isinstance(table.index, pd.RangeIndex) and table.index.name is None:
        styler.hide(axis="index")  # mere row numbers
    styler.set_table_attributes('class="table"')
    return styler.set_caption(html.escape(caption)) if caption else styler


def _heading(name: object) -> str:
    """A column's name in words: "reduced_tokens_percent" is printed "reduced tokens"."""
    ending = next((u for u in UNITS if str(name).endswith(u)), "")
    return str(name).removesuffix(ending).replace("_", " ")


def _formatter(pattern: str):
    def text(value: object) -> str:
        if isinstance(value, tuple):  # an interval
            return "–" if np.isnan(value[0]) else f"[{pattern.format(value[0])}, {pattern.format(value[1])}]"
        if isinstance(value, int | float | np.number):
            return "–" if np.isnan(value) else pattern.format(value)
        return str(value)

    return text


def chain_name(study: Study, members: Sequence[int]) -> str:
    return " → ".join(study.models[i] for i in members)


def run_chains(study: Study, pt: float, pik: float | None) -> dict[str, Cascade]:
    """Every chain of the family at one pair of thresholds; single models are chains of one."""
    members = [(i,) for i in range(len(study.models))] + study.chains()
    results = {}
    for chain in members:
        stages = study.chain(chain)
        usable = pik if all(t.p_ik is not None for t in stages[:-1]) else None
        results[chain_name(study, chain)] = cascade(stages, pt, usable)
    return results


def accuracy(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Tables 1 and 3: accuracy, performance drop, reduced compute by both accountings, and time.

    All differences are to the chain's own last model. "time" is the change of the summed seconds of
    all passes made, as recorded, against the last model on every question.
    """
    rows = {}
    for name, result in run_chains(study, pt, pik).items():
        last = result.stages[-1].correct
        row: dict[str, object] = {
            "accuracy": result.accuracy,
            "accuracy interval": stats.accuracy_interval(result.correct),
        }
        if len(result.stages) > 1:
            drop = stats.performance_drop(float(last.mean()), result.accuracy)
            low, high = stats.paired_difference_interval(result.correct, last)
            row |= {
                "PD (points)": drop.absolute,
                "PD (points) interval": (100 * low, 100 * high),
                "PD (relative)": drop.relative,
                "reduced compute, paper": cost.reduced(result, "paper"),
                "reduced compute, paper, interval": saving_interval(result, "paper"),
                "reduced compute, every pass": cost.reduced(result, "every-pass"),
                "reduced compute, every pass, interval": saving_interval(result, "every-pass"),
                "time": -cost.seconds(result, "every-pass").reduced,
            }
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


def saving_interval(result: Cascade, accounting: str) -> tuple[float, float]:
    """95 % interval of reduced compute: questions are drawn, so who answers them varies."""
    sizes = np.array(cost.stage_sizes(result.stages))
    if np.isnan(sizes).any():
        return (np.nan, np.nan)
    paid = sizes if accounting == "paper" else sizes.cumsum()
    spread = (paid[result.stage] / sizes[-1]).std(ddof=1) / np.sqrt(len(result.stage))
    centre = cost.reduced(result, accounting)
    return (centre - 1.96 * spread, centre + 1.96 * spread)


def macro(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 2: macro precision, recall and F1 over the options."""
    rows = {}
    for name, result in run_chains(study, pt, pik).items():
        answer = result.stages[0].column("answer")
        if result.prediction is None or answer is None:
            scores = (np.nan, np.nan, np.nan)
        else:
            scores = stats.macro(answer, result.prediction)
        rows[name] = dict(zip(("precision", "recall", "F1"), scores))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


def stage_counts(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 8: questions answered by each model, a row a chain; NaN where a model is not in it."""
    rows = {
        name: dict(zip((t.model for t in result.stages), result.stage_counts))
        for name, result in run_chains(study, pt, pik).items()
        if len(result.stages) > 1
    }
    names = {t.model: m for t, m in zip(study.test, study.models)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename(columns=names)
    return table.reindex(columns=[m for m in study.models if m in table]).rename_axis("chain")


def significance(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 9: each chain against its last model on the same questions, by McNemar's test."""
    rows = {}
    for name, result in run_chains(study, pt, pik).items():
        if len(result.stages) > 1:
            test = stats.mcnemar(result.correct, result.stages[-1].correct)
            rows[f"{name} vs. {study.models[_place(study, result.stages[-1])]}"] = {
                "only chain right": test.b,
                "only last right": test.c,
                "chi-squared": test.chi2,
                "p": test.p,
                "test": test.test,
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("comparison")


def _place(study: Study, trace: object) -> int:
    return next(i for i, t in enumerate(study.test) if t.model == trace.model)


def confidence(study: Study) -> pd.DataFrame:
    """How well P(T) and P(IK) tell right answers from wrong ones, a row a model and confidence."""
    rows = {}
    for name, trace in zip(study.models, study.test):
        for kind, score in (("P(T)", trace.p_t), ("P(IK)", trace.p_ik)):
            if score is not None:
                rows[f"{name}: {kind}"] = {
                    "AUROC": stats.auroc(trace.correct, score),
                    "AUROC interval": stats.bootstrap(stats.auroc, trace.correct, score, n=400),
                    "Brier": stats.brier(trace.correct, score),
                    "ECE": stats.ece(trace.correct, score),
                }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("confidence")


def on_record(study: Study, traces_dir: str | Path) -> pd.DataFrame:
    """Accuracy on the test part and on all questions that an export holds of a model; empty where no more."""
    rows = {}
    exported = (Path(traces_dir) / EXPORT_FILE).exists()
    for name, test in zip(study.models, study.test if exported else ()):
        whole = read_trace(Path(traces_dir) / name)
        if len(whole) == len(test):
            continue
        for part, right in (("test part", test.correct), ("all on record", whole.correct)):
            rows[f"{name}, {part}"] = {
                "questions": len(right),
                "accuracy": stats.accuracy(right),
                "accuracy interval": stats.accuracy_interval(right),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def kept(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """What each stage would keep of all questions, and how much of that is right."""
    rows = {}
    for name, trace in zip(study.models[:-1], study.test[:-1]):
        if trace.p_t is None:
            continue
        usable = pik if trace.p_ik is not None else None
        keep = cascade([trace, study.test[-1]], pt, usable).stage == 0
        rows[name] = {
            "questions kept": int(keep.sum()),
            "share kept": float(keep.mean()),
            "accuracy where kept": stats.accuracy(trace.correct[keep]),
            "accuracy interval": stats.accuracy_interval(trace.correct[keep])
            if keep.any()
            else (np.nan,) * 2,
            "accuracy where passed on": stats.accuracy(trace.correct[~keep]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def walk(study: Study, index: int, pt: float, pik: float | None) -> pd.DataFrame:
    """The stages that the study's question number `index` goes through, as `live.Walk.table` shows them."""
    question = study.questions[index] if study.questions else None
    result = cascade(study.test, pt, study.threshold(pik))
    rows = []
    for i, trace in enumerate(study.test[: result.stage[index] + 1]):
        prediction = trace.column("prediction")
        named = prediction is not None and prediction[index] >= 0  # a reply may name no option
        said = "ABCDEFGHIJ"[prediction[index]] if named else "–"
        if question is not None and named:
            said = f"{said}. {question.choices[prediction[index]]}"
        low = [
            name
            for name, score, at in (("P(IK)", trace.p_ik, study.threshold(pik)), ("P(T)", trace.p_t, pt))
            if score is not None and at is not None and score[index] < at
        ]
        last = i == len(study.test) - 1
        passed = i < result.stage[index]
        row = {"model": study.models[i]}
        row |= {
            name: np.nan if score is None else float(score[index])
            for name, score in (("P(IK)", trace.p_ik), ("P(T)", trace.p_t))
        }
        row["would answer"] = said
        row["decision"] = (
            f"escalate: {' and '.join(low)} too low"
            if passed
            else f"answer ({'right' if trace.correct[index] else 'wrong'})"
            + (": the last stage always does" if last else ": confident enough")
        )
        rows.append(row)
    return pd.DataFrame(rows)


def fates(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Right, false and declined responses of every model and chain, with intervals (Table 11)."""
    rows = {}
    for name, result in run_chains(study, pt, pik).items():
        declined = np.choose(result.stage, [t.column("abstained").astype(bool) for t in result.stages])
        false = ~result.correct & ~declined
        rows[name] = {
            "accuracy": stats.accuracy(result.correct),
            "accuracy interval": stats.accuracy_interval(result.correct),
            "share false (hallucination rate)": stats.accuracy(false),
            "share false, interval": stats.accuracy_interval(false),
            "share declined": stats.accuracy(declined),
            "share answered by the last stage": result.stage_counts[-1] / len(study),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")
