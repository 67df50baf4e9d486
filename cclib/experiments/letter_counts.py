"""How often each letter is chosen, and how often it is right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cclib import stats
from cclib.prompts import LETTERS
from cclib.study import Study
from cclib.traces import Trace

NO_LETTER = "none"  # of an answer in text that names no option


def letters(trace: Trace) -> pd.DataFrame | None:
    """A row a letter: the shares of questions where it is right and where it is chosen, and how right then.

    "share right" is over all questions, so the letters that only some questions have are right less often.
    NaN where the right answers are not on record; None where the chosen ones are not.
    """
    said, answer = places(trace.column("prediction")), places(trace.column("answer"))
    if said is None:
        return None
    rows = {}
    for place in np.unique(said if answer is None else np.concatenate([said, answer])):
        chosen = said == place
        rows[LETTERS[place] if place >= 0 else NO_LETTER] = {
            "share right": np.nan if answer is None else float((answer == place).mean()),
            "share chosen": float(chosen.mean()),
            "accuracy where chosen": stats.accuracy(trace.correct[chosen]) if chosen.any() else np.nan,
            "accuracy where chosen, interval": stats.accuracy_interval(trace.correct[chosen])
            if chosen.any()
            else stats.NO_INTERVAL,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("letter")


def by_model(study: Study) -> pd.DataFrame:
    """`letters` of every model of a study that chose letters; empty where none did."""
    found = {name: letters(trace) for name, trace in zip(study.models, study.test)}
    found = {name: table for name, table in found.items() if table is not None}
    return pd.concat(found, names=["model", "letter"]) if found else pd.DataFrame()


def places(values: np.ndarray | None) -> np.ndarray | None:
    """(n,) the options' places, of numbers or of letters; -1 where there is none."""
    if values is None:
        return None
    known = dict(zip(LETTERS, range(len(LETTERS))))
    return np.array([known[v] if v in known else -1 if pd.isna(v) else int(v) for v in values.tolist()])
