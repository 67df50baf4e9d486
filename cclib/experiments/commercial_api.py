"""A last stage that is known by its answers only: somebody else's record, or one's own from an API."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import replay, stats
from cclib.cascades import Cascade, cascade, keeps
from cclib.experiments.results import points_above
from cclib.names import slug
from cclib.stats import NO_INTERVAL
from cclib.study import Study
from cclib.thresholds import choose_thresholds
from cclib.traces import Trace

GPT4 = "gpt-4-1106-preview"
GPT4_PRICE = 10.0, 30.0  # dollars a million tokens in and out, OpenAI, November 2023
MAX_DROP, DELTA = 0.01, 0.05  # of the thresholds that the validation part chooses
ROUTELLM = "correct.csv"  # subject, row (0-based in the subject's test file), one boolean column a model


def recorded_answers(path: str | Path, model: str) -> Trace:
    """One model's answers from a table of MMLU's: subject, row, and a boolean column `<model>_correct`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks a column, or holds something else than True and False.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no recorded answers at {path}; give RouteLLM's correct.csv")
    table = pd.read_csv(path)
    column = f"{model.replace('-', '_')}_correct"
    missing = {"subject", "row", column} - set(table.columns)
    if missing:
        raise ValueError(f"{path.name}: missing {sorted(missing)}; found {', '.join(table.columns)}")
    odd = table[column][~table[column].isin([True, False])]
    if len(odd):  # as words, all would count as true
        raise ValueError(f"{path.name}: {column} must be True or False, found {odd.iloc[0]!r}")
    ids = [f"mmlu/{s}/{r}" for s, r in zip(table["subject"], table["row"])]
    frame = pd.DataFrame({"question_id": ids, "correct": table[column].astype(bool)})
    return Trace(frame, {"model": model})


def write_outside(trace: Trace, path: str | Path) -> Path:
    """What an API would have told of a trace: what was asked, whether right, tokens. For own records."""
    columns = ("question_id", "question_hash", "correct", "prompt_tokens", "output_tokens")
    frame = pd.DataFrame({c: trace.column(c) for c in columns if trace.column(c) is not None})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def with_last_stage(study: Study, last: Trace, keep: int | None = None) -> Study:
    """The study with this trace as its last stage, on the questions that both hold.

    Args:
        keep: how many of the study's models stay before it; default all.
    """
    last = last.answered()
    known = set(last.question_id)
    ids = [q for q in study.test[0].question_id if q in known]
    if not ids:
        raise ValueError(
            f"{last.model} has answered none of this study's {len(study)} test questions: its question_id "
            f"are like {last.question_id[0]!r}, the study's like {study.test[0].question_id[0]!r}"
        )
    n = len(study.models) if keep is None else keep
    test = [t.select(ids) for t in [*study.test[:n], last]]
    rest = {k: [*getattr(study, k)[:n], None] for k in ("train", "validation", "probes")}
    return replace(study, models=[*study.models[:n], slug(last.model)], test=test, questions=None, **rest)


def commercial(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 4 for this study: every model, and none, before its last stage; then all of them, where several.

    P(IK) is used where every stage before the last has it. Saved are output tokens, as in the paper; where
    the last stage has none on record, questions, and the column says so. Random mixing sends as many
    questions to the last stage by chance, and lets the stage before it answer the others.
    """
    last = study.test[-1]
    unit = "questions" if _tokens(last) is None else "tokens"
    column = f"reduced {unit} of the last stage"
    rows = {
        study.models[-1]: {
            "accuracy": stats.accuracy(last.correct),
            "accuracy interval": stats.accuracy_interval(last.correct),
            "questions sent": len(study),
        }
    }
    end = len(study.models) - 1
    before = [(i,) for i in range(end)] + [tuple(range(end))] * (end > 1)
    for members in before:
        stages = study.chain(members)
        if any(trace.p_t is None for trace in stages):
            continue
        with_pik = all(trace.p_ik is not None for trace in stages)
        result = cascade([*stages, last], pt, pik if with_pik else None)
        points, interval = points_above(result.correct, last.correct)
        kept, (saved, saved_interval) = result.stage < len(members), _last_stage_saving(result)
        rows[study.chain_name((*members, end))] = {
            "accuracy": result.accuracy,
            "accuracy interval": stats.accuracy_interval(result.correct),
            "questions sent": int((~kept).sum()),
            "PD (points)": points,
            "PD (points) interval": interval,
            column: saved,
            f"{column}, interval": saved_interval,
            **_above_mixing(result.correct, stages[-1].correct, last.correct, kept),
            "P(IK) used": "yes" if with_pik else "no",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


def _tokens(last: Trace) -> np.ndarray | None:
    """(n,) output tokens of a last stage, or None where not all are on record."""
    tokens = last.column("output_tokens")
    return None if tokens is None or np.isnan(tokens.astype(float)).any() else tokens.astype(float)


def saved_column(table: pd.DataFrame) -> str | None:
    """The column of `commercial`'s table that holds what is saved; None where the table has no chain."""
    return next((c for c in table if re.fullmatch(r"reduced (questions|tokens) of the last stage", c)), None)


def _last_stage_saving(result: Cascade) -> tuple[float, tuple[float, float]]:
    """Share of the last stage's output tokens, else questions, that is not bought, and its interval."""
    kept, tokens = result.stage < len(result.stages) - 1, _tokens(result.stages[-1])
    if tokens is None or np.ptp(tokens) == 0:  # all questions count alike
        return float(kept.mean()), stats.wilson(int(kept.sum()), len(kept))
    saved = stats.bootstrap(lambda spared, bought: spared.sum() / bought.sum(), tokens * kept, tokens)
    return float(tokens[kept].sum() / tokens.sum()), saved


def _above_mixing(
    right: np.ndarray, small: np.ndarray, large: np.ndarray, kept: np.ndarray
) -> dict[str, object]:
    """Points above sending as many of n questions to the large model by chance; all (n,), right answers."""
    points, interval = np.nan, NO_INTERVAL
    if 0 < kept.sum() < len(kept):
        gain = right - (kept.mean() * small + (1 - kept.mean()) * large)
        low, high = stats.bootstrap(lambda drawn: drawn.mean(axis=1), gain, vectorised=True)
        points, interval = 100 * float(gain.mean()), (100 * low, 100 * high)
    return {"points above random mixing": points, "points above random mixing interval": interval}


def with_gpt4(study: Study, pt: float, pik: float | None) -> pd.DataFrame | None:
    """`commercial` with GPT-4's recorded answers to MMLU as the last stage; None where it is not to be had.

    The answers are RouteLLM's table beside the folder of MMLU. Without them an export's `gpt-4.csv` holds
    the figures, at the thresholds that it was made with.
    """
    answers = gpt4_answers(study)
    if answers is not None:
        return commercial(with_last_stage(study, answers), pt, pik)
    return _figures(study, replay.GPT4, [pt, pik])


def _figures(study: Study, file: str, at: list[float | None]) -> pd.DataFrame | None:
    """What an export holds with GPT-4 as the last stage, at these thresholds; GPT-4 alone comes first."""
    table, made_at = replay.read_figures(Path(study.source.traces_dir) / file)
    whole = table is not None and table["questions sent"].iloc[0] == len(study)  # not a part of them (limit)
    if not whole or made_at != at or study.benchmark != "mmlu":
        return None
    questions = "reduced questions of the last stage"  # GPT-4's tokens are on no record; exports said tokens
    return table.rename(
        columns={
            "reduced tokens of the last stage": questions,
            "reduced interval": f"{questions}, interval",
        }
    )


def gpt4_answers(study: Study) -> Trace | None:
    """GPT-4's recorded answers to MMLU, where they are at hand."""
    path = Path(study.source.data_dir or ".").parent / "routellm_mmlu" / ROUTELLM
    return recorded_answers(path, GPT4) if study.benchmark == "mmlu" and path.exists() else None


def before_gpt4(study: Study, pt: float, pik: float | None) -> pd.DataFrame | None:
    """The study's largest model before GPT-4: at the paper's thresholds, and at those that validation proves.

    A row a way of asking: each model alone, the cascade at (pt, pik), and at the threshold on P(T) that
    `choose_thresholds` proves on the validation part to lose at most MAX_DROP with probability 1 - DELTA,
    where it proves any. P(IK) has no part in that one: its probe was calibrated on these questions. Dollars
    count GPT-4 alone, the question's tokens as the smaller model's tokenizer divides them, and one token of
    answer.
    None where GPT-4's answers, and figures of them, are not at hand.
    """
    gpt4 = gpt4_answers(study)
    if gpt4 is None:
        return _figures(study, replay.GPT4_CHAIN, [pt, pik])
    stage = len(study.models) - 1
    small, large = study.test[stage], gpt4.select(study.test[stage].question_id)
    name, nothing = f"{study.models[stage]} → {GPT4}", np.zeros(len(study), bool)
    p_ik = pik if small.p_ik is not None else None
    at_paper = keeps(small.p_t, small.p_ik, pt, p_ik)
    rows = {
        GPT4: _kept(small, large, nothing),
        study.models[stage]: _kept(small, large, ~nothing),
        f"{name}, {_at(pt, p_ik)}": _kept(small, large, at_paper),
    }
    validation = study.part(stage, "validation")
    if validation is not None:
        proof = [validation, gpt4.select(validation.question_id)]
        found = choose_thresholds(proof, MAX_DROP, DELTA, with_pik=False, sizes=[1e-9, 1.0])
        if found.found:
            kept = keeps(small.p_t, None, found.pt[0], None)
            rows[f"{name}, {_at(found.pt[0], None)}, chosen"] = _kept(small, large, kept)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("who answers")


def _at(pt: float, pik: float | None) -> str:
    return f"P(T) ≥ {pt:.3g}" + ("" if pik is None else f", P(IK) ≥ {pik:.3g}")


def _kept(small: Trace, large: Trace, kept: np.ndarray) -> dict[str, object]:
    """What comes of it where the small model keeps some of n questions, and the large one has the rest."""
    n, sent = len(kept), int((~kept).sum())
    right = np.where(kept, small.correct, large.correct)
    points, interval = points_above(right, large.correct)
    read = small.prompt_tokens if small.prompt_tokens is not None else np.full(n, np.nan)
    dollars = (read * GPT4_PRICE[0] + GPT4_PRICE[1]) / 1e6
    return {
        "questions": n,
        "accuracy": stats.accuracy(right),
        "accuracy interval": stats.accuracy_interval(right),
        "PD (points)": points if sent < n else np.nan,
        "PD (points) interval": interval if sent < n else NO_INTERVAL,
        "questions sent": sent,
        "reduced questions": 1 - sent / n,
        "reduced questions interval": stats.wilson(n - sent, n),
        "USD for 1,000 questions": float(1000 * dollars[~kept].sum() / n),
        **_above_mixing(right, small.correct, large.correct, kept),
    }
