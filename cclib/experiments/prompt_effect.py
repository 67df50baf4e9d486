"""How much hangs on the prompt: the same models and questions, put in other words.

An exported study holds the figures (`cclib.replay`), for its models cannot be asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cclib import cost, replay, stats
from cclib.cascades import cascade, keeps
from cclib.experiments.letter_counts import letters
from cclib.experiments.results import above_mixing, of_the_kept, points_above
from cclib.prompts import CHAT, FEW_SHOT, TABLE_7
from cclib.study import Study, load_study
from cclib.traces import Trace

TRIED = (TABLE_7, CHAT, FEW_SHOT)
ABOVE = ("points above table-7", "points above table-7 interval")
ANSWERS = (
    "questions", "subjects", "accuracy, validation", "accuracy, validation, interval", "accuracy",
    "accuracy interval", *ABOVE, "favourite letter", "share of its letter", "tokens of a prompt",
)  # fmt: skip
CONFIDENCES = (
    "AUROC of P(T)", "AUROC of P(T) interval", "AUROC of P(IK)", "AUROC of P(IK) interval", "share kept",
    "share kept, interval", "accuracy where kept", "accuracy where kept, interval",
)  # fmt: skip
LIMIT = 200  # test questions, as many for validation: enough to see what a prompt moves


def by_prompt(
    study: Study, tried: Sequence[str] = TRIED, limit: int | None = LIMIT
) -> tuple[dict[str, Study], list[str]]:
    """The study on some of its questions, asked with each prompt; and why some prompts cannot be had."""
    source, found, notes = study.source, {}, []
    for prompt in tried:
        try:
            asked = load_study(
                source.names,
                study.benchmark,
                source.data_dir,
                limit,
                seed=study.seed,
                traces_dir=source.traces_dir,
                device=source.device,
                probe_last=True,
                prompt=prompt,
            )
        except ValueError as error:
            notes.append(f"{prompt}: {error}")
        else:
            found[asked.prompt] = asked
    return found, notes


def models(studies: dict[str, Study], pt: float, pik: float | None) -> pd.DataFrame:
    """A row a model and prompt: `asked` of its test answers, and its accuracy on the validation part.

    Points above the paper's prompt are those of `choose_among`.
    """
    rows = {}
    for prompt, study in studies.items():
        for name, test, validation in zip(study.models, study.test, study.validation):
            rows[name, prompt] = {"part": "test part", **asked(test, pt, pik)}
            if validation is not None:
                right = validation.correct
                rows[name, prompt] |= {
                    "accuracy, validation": stats.accuracy(right),
                    "accuracy, validation, interval": stats.accuracy_interval(right),
                }
    names = studies[TABLE_7].models if TABLE_7 in studies else []
    for i, name in enumerate(names):
        tests = {prompt: study.test[i] for prompt, study in studies.items()}
        _, compared = choose_among(tests.pop(TABLE_7), tests)
        for prompt, row in compared.iterrows():
            rows[name, prompt] |= row[[*ABOVE]].to_dict()
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["model", "prompt"])
    return table.sort_index(level=0, sort_remaining=False)


def asked(trace: Trace, pt: float, pik: float | None) -> dict[str, object]:
    """What one prompt made of one model: right answers, its favourite letter, AUROCs, what it would keep."""
    right, subject = trace.correct, trace.column("subject")
    row = {
        "questions": len(trace),
        "subjects": 0 if subject is None else len({*subject}),
        "accuracy": stats.accuracy(right),
        "accuracy interval": stats.accuracy_interval(right),
        "tokens of a prompt": float(trace.prompt_tokens.mean()),
    }
    if (chosen := letters(trace)) is not None:
        favourite = chosen["share chosen"].idxmax()
        row["favourite letter"] = favourite
        row["share of its letter"] = float(chosen.loc[favourite, "share chosen"])
    for name, score in (("P(T)", trace.p_t), ("P(IK)", trace.p_ik)):
        if score is not None:
            row[f"AUROC of {name}"] = stats.auroc(right, score)
            row[f"AUROC of {name} interval"] = stats.auroc_interval(right, score)
    if trace.p_t is not None:
        used = pik if trace.p_ik is not None else None
        row |= of_the_kept(right, keeps(trace.p_t, trace.p_ik, pt, used))
    return row


def chains(studies: dict[str, Study], pt: float, pik: float | None) -> pd.DataFrame:
    """A row a prompt: the chain of the last two models against its last one, and against random mixing."""
    rows = {}
    for prompt, study in studies.items():
        members = study.two_stages()
        stages = study.chain(members)
        if len(stages) < 2:
            continue
        result = cascade(stages, pt, pik if stages[0].p_ik is not None else None)
        points, interval = points_above(result.correct, stages[-1].correct)
        mixing = above_mixing(result, dict(zip(study.models, study.test)))
        rows[prompt] = {
            "chain": study.chain_name(members),
            "accuracy": result.accuracy,
            "PD (points)": points,
            "PD (points) interval": interval,
            "reduced, paper's count": cost.reduced(result),
            "reduced, every pass": cost.reduced(result, "every-pass"),
            "points above random mixing": mixing.points if mixing else np.nan,
            "points above random mixing interval": mixing.interval if mixing else stats.NO_INTERVAL,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("prompt")


def chosen(studies: dict[str, Study], stage: int = 0) -> tuple[str, pd.DataFrame]:
    """The prompt that the validation part chooses for a stage: the paper's, unless another is shown better.

    Returns:
        Its name, and a row for every other prompt: points of accuracy above the paper's, paired, with 95 %
        intervals that hold for all rows together (Bonferroni's correction).
    """
    ours = studies[TABLE_7].validation[stage]
    others = {p: s.validation[stage] for p, s in studies.items() if p != TABLE_7}
    return choose_among(ours, others)


def choose_among(paper: Trace, others: dict[str, Trace]) -> tuple[str, pd.DataFrame]:
    """`chosen`, of traces of one model on the validation questions; compared where both were answered."""
    rows = {}
    for prompt, trace in others.items():
        shared = set(trace.question_id)
        ids = [q for q in paper.question_id if q in shared]
        one, other = trace.select(ids).correct, paper.select(ids).correct
        low, high = stats.paired_difference_interval(one, other, level=1 - 0.05 / len(others))
        rows[prompt] = {
            "questions": len(ids),
            "accuracy": stats.accuracy(one),
            "accuracy, table-7": stats.accuracy(other),
            ABOVE[0]: 100 * float(one.mean() - other.mean()),
            ABOVE[1]: (100 * low, 100 * high),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("prompt")
    return shown_better(table), table


def shown_better(table: pd.DataFrame) -> str:
    """The prompt that such a table chooses: of those above Table 7's with all of their interval, the best."""
    if table.empty:
        return TABLE_7
    above = table.loc[table[ABOVE[1]].str[0] > 0, ABOVE[0]]
    return above.idxmax() if len(above) else TABLE_7


def on_record(study: Study) -> dict[str, pd.DataFrame]:
    """What an export holds of other prompts: the tables "models" and "chosen"; none where it holds none."""
    folder, found = Path(study.source.traces_dir), {}
    for name in ("models", "chosen"):
        table, _ = replay.read_figures(folder / replay.PROMPTS.format(name))
        if table is not None:
            found[name] = table.set_index("prompt", append=True) if name == "models" else table
    return found


def write(folder: Path, tables: dict[str, pd.DataFrame], about: str) -> None:
    """Keep the tables in an export's folder, for `on_record`."""
    for name, table in tables.items():
        flat = table.reset_index(level="prompt") if table.index.nlevels > 1 else table
        replay.write_figures(flat, folder / replay.PROMPTS.format(name), about)


def tables_of(studies: dict[str, Study], pt: float, pik: float | None) -> dict[str, pd.DataFrame]:
    """The tables of the chapter, of live studies: "models", "chains" and, with other prompts, "chosen"."""
    found = {"models": models(studies, pt, pik), "chains": chains(studies, pt, pik)}
    return found | ({"chosen": chosen(studies)[1]} if {TABLE_7} < {*studies} else {})


def moved(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of "models" with points above the paper's prompt, the largest move first."""
    rows = table.reindex(columns=["questions", *ABOVE]).dropna(subset=ABOVE[0])
    return rows.sort_values(ABOVE[0], key=abs, ascending=False)


def measured() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Five prompts of two models on MMLU's test questions, as a GPU measured them once, with intervals.

    Returns:
        The table; and how many questions there are, and how often each letter is right.
    """
    table, about = replay.read_figures(Path(__file__).parent / "figures" / "prompts-h200.csv")
    table = table.reset_index().set_index(["model", "prompt"])
    n = about["questions"]
    right = (table["accuracy"] * n).round().astype(int)
    table.insert(1, "accuracy interval", [stats.wilson(k, n) for k in right])
    without = (table["accuracy, prior taken out"] * n).round().astype(int)
    table["accuracy, prior taken out, interval"] = [stats.wilson(k, n) for k in without]
    for name in ("P(T)", "P(IK)"):
        pairs = zip(table[f"AUROC of {name}"], right)
        table[f"AUROC of {name} interval"] = [stats.auroc_interval_from_counts(a, k, n - k) for a, k in pairs]
    letters = table[[*"ABCD"]]
    table["favourite letter"], table["share of its letter"] = letters.idxmax(axis=1), letters.max(axis=1)
    return table.drop(columns=[*"ABCD"]), about
