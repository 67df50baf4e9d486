"""What rounding decides: a model in bfloat16 and in float32, its vocabulary's product in bfloat16 too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from cclib import replay, stats
from cclib.experiments.estimators.estimate import margin
from cclib.experiments.results import points_above
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.questions import Question, spread
from cclib.study import Study
from cclib.traces import Trace

QUESTIONS, FILE = 300, "precision.csv"
ARITHMETIC, PRODUCT = "all but the product", "the vocabulary's product"  # what is in bfloat16


def apart(rounded: Trace, exact: Trace, pt: float) -> dict[str, object]:
    """Two recordings of the same n questions by one model: what the rounding of the first changed.

    "tied" are questions whose two likeliest options have the same probability to the last bit, so that the
    lower letter is the answer. "across" are those that `pt` keeps in one of the two only.
    """
    changed = rounded.column("prediction") != exact.column("prediction")
    across = (rounded.p_t >= pt) != (exact.p_t >= pt)
    moved = np.abs(rounded.p_t - exact.p_t)
    points, interval = points_above(rounded.correct, exact.correct)
    return {
        "questions": len(exact),
        "share of answers changed": float(changed.mean()),
        "share of answers changed, interval": stats.accuracy_interval(changed),
        "P(T) moved, mean": float(moved.mean()),
        "P(T) moved, largest": float(moved.max()),
        "share across the threshold": float(across.mean()),
        "share across the threshold, interval": stats.accuracy_interval(across),
        "share tied": float((margin(rounded.option_probs) == 0).mean()),
        "accuracy (points)": points,
        "accuracy (points), interval": interval,
    }


@contextmanager
def product_in_bfloat16(network: Any) -> Iterator[None]:
    """Inside, what the vocabulary's product gives is rounded to bfloat16, as a product of bfloat16 is."""
    import torch

    head = network.get_output_embeddings()
    handle = head.register_forward_hook(lambda _module, _given, logits: logits.to(torch.bfloat16))
    try:
        yield
    finally:
        handle.remove()


def readings(study: Study, stage: int, n: int = QUESTIONS) -> dict[str, Trace]:
    """A model's answers to n test questions in float32, in bfloat16, and with the product in bfloat16 too.

    Asked once, and kept with its trace.
    """
    questions = spread(study.questions, n)

    def read() -> pd.DataFrame:
        found = {}
        for dtype in ("float32", "bfloat16"):
            if study.test[stage].provenance.get("dtype") == dtype:
                model = study.model(stage)
            else:
                model = load_model(study.source.names[stage], device=study.source.device, dtype=dtype)
                model = model.asked(study.source.prompt, is_open=False)
            found[dtype] = _options(model, questions)
        with product_in_bfloat16(model.network):
            found["product"] = _options(model, questions)
        return pd.DataFrame(found)

    kept = study.kept(stage, "precision", n, read)
    return {way: _trace(questions, kept[way]) for way in kept}


def _options(model: LanguageModel, questions: Sequence[Question]) -> list[list[float]]:
    from cclib.confidence.p_t import answer_questions

    rows = [row for part in answer_questions(model, questions, hidden=False) for row in part]
    found = {row["question_id"]: row["option_probs"] for row in rows}
    return [found[q.id] for q in questions]


def _trace(questions: Sequence[Question], options: Sequence[Sequence[float]]) -> Trace:
    said = [int(np.argmax(probs)) for probs in options]
    return Trace(
        pd.DataFrame(
            {
                "question_id": [q.id for q in questions],
                "correct": [s == q.answer for s, q in zip(said, questions)],
                "prediction": said,
                "p_t": [max(probs) for probs in options],
                "option_probs": list(options),
            }
        )
    )


def by_precision(study: Study, pt: float) -> tuple[pd.DataFrame, dict[str, str]]:
    """What bfloat16 changes against float32, a row a model and step; and by model, what it was measured on.

    An exported study has the tables as `precision.csv`. Empty where no model can be asked, where the
    questions are open, and where the export's threshold is another one.
    """
    tables, where = {}, {}
    for stage, name in enumerate(study.models):
        if not study.live:
            table, about = replay.read_figures(study.folder(stage) / FILE)
            if table is not None and about["pt"] == pt:
                tables[name], where[name] = table.rename_axis("in bfloat16"), about["device"]
        elif study.runs(stage) and study.questions[0].choices:
            read = readings(study, stage)
            rows = {
                ARITHMETIC: apart(read["bfloat16"], read["float32"], pt),
                PRODUCT: apart(read["product"], read["bfloat16"], pt),
            }
            tables[name] = pd.DataFrame.from_dict(rows, orient="index").rename_axis("in bfloat16")
            where[name] = study.test[stage].provenance.get("device", "this machine")
    return (pd.concat(tables, names=["model"]) if tables else pd.DataFrame()), where
