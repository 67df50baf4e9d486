"""A last stage that is known by its answers only: somebody else's record, or one's own from an API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import cost, stats
from cclib.cascade import cascade
from cclib.comparison import NONE
from cclib.models import slug
from cclib.study import Study
from cclib.tables import chain_name
from cclib.traces import Trace

ROUTELLM = "correct.csv"  # subject, row (0-based in the subject's test file), one boolean column a model


def recorded_answers(path: str | Path, model: str) -> Trace:
    """One model's answers from a table of MMLU's: subject, row, and a boolean column `<model>_correct`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks a column.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no recorded answers at {path}; give RouteLLM's correct.csv")
    table = pd.read_csv(path)
    column = f"{model.replace('-', '_')}_correct"
    missing = {"subject", "row", column} - set(table.columns)
    if missing:
        raise ValueError(f"{path.name}: missing {sorted(missing)}; found {', '.join(table.columns)}")
    ids = [f"mmlu/{s}/{r}" for s, r in zip(table["subject"], table["row"])]
    frame = pd.DataFrame({"question_id": ids, "correct": table[column].astype(bool)})
    return Trace(frame, {"model": model})


def write_outside(trace: Trace, path: str | Path) -> Path:
    """What an API would have told of a trace: ids, whether right, tokens. The form for one's own records."""
    columns = ("question_id", "correct", "prompt_tokens", "output_tokens")
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
    """Table 4 for this study: every model, and none, before its last stage.

    P(IK) is used where every stage before the last has it. Reduced tokens are output tokens, as in the
    paper; where the last stage has no tokens on record, all questions count alike.
    """
    last = study.test[-1]
    rows = {
        study.models[-1]: {
            "accuracy": stats.accuracy(last.correct),
            "accuracy interval": stats.accuracy_interval(last.correct),
            "questions sent": len(study),
        }
    }
    for i, trace in enumerate(study.test[:-1]):
        if trace.p_t is None:
            continue
        result = cascade([trace, last], pt, pik if trace.p_ik is not None else None)
        drop = stats.performance_drop(float(last.correct.mean()), result.accuracy)
        low, high = stats.paired_difference_interval(result.correct, last.correct)
        saved = _last_stage_saving(result)
        rows[chain_name(study, (i, len(study.models) - 1))] = {
            "accuracy": result.accuracy,
            "accuracy interval": stats.accuracy_interval(result.correct),
            "questions sent": int(result.stage_counts[-1]),
            "PD (points)": drop.absolute,
            "PD (points) interval": (100 * low, 100 * high),
            "reduced tokens of the last stage": saved,
            "reduced interval": stats.wilson(int(result.stage_counts[0]), len(study)) if len(study) else NONE,
            "P(IK) used": "yes" if trace.p_ik is not None else "no",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


def _last_stage_saving(result) -> float:
    """Share of the last stage's output tokens that are not bought; of its questions without tokens."""
    tokens = cost.tokens(result, "paper", "output")
    if np.isnan(tokens.reference):
        return 1 - result.stage_counts[-1] / len(result.stage)
    return float(1 - tokens.stages[-1] / tokens.reference)


def write_figures(table: pd.DataFrame, path: str | Path) -> Path:
    """Keep a table of measured figures (not the answers they came from) as CSV; intervals as two columns."""
    flat = table.copy()
    for column in [c for c in flat if str(c).endswith("interval")]:
        pairs = [v if isinstance(v, tuple) else NONE for v in flat[column]]
        flat[f"{column}: low"], flat[f"{column}: high"] = zip(*pairs)
        flat = flat.drop(columns=column)
    flat.to_csv(path)
    return Path(path)


def read_figures(path: str | Path) -> pd.DataFrame:
    """What `write_figures` kept."""
    flat = pd.read_csv(path, index_col=0)
    for low in [c for c in flat if c.endswith(": low")]:
        name = low.removesuffix(": low")
        flat[name] = list(zip(flat[low], flat[f"{name}: high"]))
        flat = flat.drop(columns=[low, f"{name}: high"])
    return flat
