"""How the shipped models were trained, and how accuracy goes with popularity. No torch."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from cclib.atlas import WEIGHTS, model_folder


def training(name: str) -> pd.DataFrame:
    """A shipped model's log: a row a validation, with step, seconds, sequences seen, loss, accuracies."""
    return pd.read_csv(model_folder(name) / "training.csv")


def card(name: str) -> dict[str, Any]:
    """The model card's facts: shape, training and what was measured."""
    recipe = json.loads((model_folder(name) / "recipe.json").read_text())
    measured = json.loads((WEIGHTS / "measured.json").read_text())[name]
    log = training(name).iloc[-1]
    return {
        "layers": recipe["layers"],
        "width": recipe["width"],
        "parameters (all)": f"{measured['parameters']:,}",
        "parameters (Eq. 3)": f"{12 * recipe['layers'] * recipe['width'] ** 2:,}",
        "steps": f"{int(log['step']):,}",
        "sequences seen": f"{int(log['seen']):,}",
        "minutes of training": round(log["seconds"] / 60),
        "seed": recipe["seed"],
        "accuracy, atlas test part": f"{measured['test']['accuracy']:.1%}",
        "accuracy, atlas-ood": f"{measured['atlas-ood']:.1%}",
        "accuracy, atlas-open": f"{measured['atlas-open']:.1%}",
    }


def by_popularity(study: Any, groups: int = 10) -> pd.DataFrame | None:
    """Accuracy (groups, k models) by popularity, rarest first; None where questions carry none."""
    popularity = np.array([q.popularity or np.nan for q in study.texts() or []], float)
    rows = np.flatnonzero(np.isfinite(popularity))
    if len(rows) < 2 * groups:
        return None
    parts = np.array_split(rows[np.argsort(popularity[rows], kind="stable")], groups)
    return pd.DataFrame(
        {t.model: [t.correct[part].mean() for part in parts] for t in study.test}, index=range(1, groups + 1)
    )
