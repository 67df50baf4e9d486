"""P(T) made to mean what it says, by the validation part's labels, and what a threshold then keeps."""

from __future__ import annotations

import pandas as pd

from cclib import stats
from cclib.policies.readings import Readings
from cclib.policies.scores import isotonic, temperature
from cclib.study import Study


def rescaled(study: Study, pt: float) -> pd.DataFrame:
    """P(T) of the test questions as stated, by temperature and by isotonic regression, a row a model and way.

    Both are fitted on the validation part; where a model has none on record it has one row only. "share kept"
    is of questions at or above `pt`, "accuracy where kept" of their answers.
    """
    rows = {}
    for stage, (name, test) in enumerate(zip(study.models, study.test)):
        if test.p_t is None:
            continue
        validation, ways = study.part(stage, "validation"), {"as stated": test.p_t}
        if validation is not None and validation.p_t is not None:
            if test.option_probs is not None and validation.option_probs is not None:
                fitted = temperature(validation.option_probs, validation.column("answer"))
                ways["temperature"] = fitted.of(Readings.of(test))
            ways["isotonic"] = isotonic(validation.p_t, validation.correct).of(Readings.of(test))
        for way, p in ways.items():
            keeps = p >= pt
            rows[name, way] = {
                "AUROC": stats.auroc(test.correct, p),
                "AUROC interval": stats.auroc_interval(test.correct, p),
                "ECE": stats.ece(test.correct, p),
                "ECE interval": stats.ece_interval(test.correct, p),
                "share kept": float(keeps.mean()),
                "accuracy where kept": stats.accuracy(test.correct[keeps]),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["model", "P(T)"])
