"""Answers that others published as tables: several models in one file, or as MMLU-Pro's authors pack them."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cclib.prompts import LETTERS

# Shapes of models whose answers to MMLU-Pro are at hand, as config.json in their repositories on the hub has.
SHAPES = pd.read_csv(Path(__file__).parent / "sizes.csv", index_col="model")


def parameters(shape: pd.DataFrame) -> pd.Series:
    """(k,) weights of decoders with a gated feed-forward part, embeddings included, from their shapes.

    A layer has queries and the output (d x d), keys and values (d x kv), three matrices of the feed-forward
    part and two norms; Qwen's have biases on queries, keys and values.
    """
    d, kv = shape["width"], shape["key_value_width"]
    layer = 2 * d * d + 2 * d * kv + 3 * d * shape["feed_forward"] + 2 * d + shape["bias"] * (d + 2 * kv)
    return (2 - shape["tied"]) * shape["vocabulary"] * d + shape["layers"] * layer + d


SIZES = (parameters(SHAPES) / 1e9).round(2).to_dict()  # billions


def one_model(table: pd.DataFrame, model: str | None, path: Path) -> pd.DataFrame:
    """A model's rows of a table of several models' answers, its letters as indices (-1 for none).

    Raises:
        ValueError: no model is named and there are several, or it is not in the table.
    """
    if "model" in table and (table["model"].nunique() > 1 or model is not None):
        names = sorted(table["model"].astype(str).unique())
        if model not in names:
            raise ValueError(
                f"holds the answers of {', '.join(names)}; name one of them, as {path.name}#{names[0]}"
                + (f", found {model!r}" if model else "")
            )
        table = table[table["model"] == model].drop(columns="model").reset_index(drop=True)
    if "prediction" in table and not pd.api.types.is_numeric_dtype(table["prediction"]):
        table = table.assign(prediction=[_index(said) for said in table["prediction"]])
    return table.assign(question_id=table["question_id"].astype(str)) if "question_id" in table else table


def read_zip(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One model's answers from a file of MMLU-Pro's `eval_results/*.zip`: a JSON list, or one a subject.

    Columns `question_id`, `subject`, `answer`, `prediction` (-1 where none was found in its text), `correct`,
    `response_characters`.

    Raises:
        ValueError: it is no such file, or a row lacks the question's number, the answer or what was said.
    """
    rows: list[dict[str, Any]] = []
    try:
        with zipfile.ZipFile(path) as packed:
            names = [n for n in packed.namelist() if n.endswith(".json") and "__MACOSX" not in n]
            for name in names:
                found = json.loads(packed.read(name))
                rows += found if isinstance(found, list) else []  # summaries are dicts
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"{path.name}: expected a zip of JSON as MMLU-Pro publishes it, found: {error}"
        ) from error
    needed = {"question_id", "answer", "pred"}
    lacking = next((row for row in rows if not isinstance(row, dict) or not needed <= row.keys()), None)
    if lacking is not None or not rows:
        raise ValueError(
            f"{path.name}: expected rows with question_id, answer and pred, found "
            f"{str(lacking)[:60] if rows else 'no list of rows'}; is it one of eval_results/?"
        )
    said = np.array([_index(row["pred"]) for row in rows])
    right = np.array([_index(row["answer"]) for row in rows])
    text = [row.get("generated_text") or row.get("model_outputs") or "" for row in rows]
    frame = pd.DataFrame(
        {
            "question_id": [str(row["question_id"]) for row in rows],
            "subject": [str(row.get("category", "mmlu-pro")).replace(" ", "_") for row in rows],
            "answer": right,
            "prediction": said,
            "correct": said == right,
            "response_characters": [len(one if isinstance(one, str) else str(one)) for one in text],
        }
    )
    model = re.sub(r"^model_outputs_|_\d+[-_]?shots?$", "", path.stem)
    return frame, {"model": model}


def _index(letter: object) -> int:
    """The option that a letter names; -1 for none."""
    said = str(letter).strip().upper()
    return LETTERS.index(said) if len(said) == 1 and said in LETTERS else -1
