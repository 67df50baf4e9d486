"""Every published number: Tables 1-15 as data, and the facts of the setup.

The tables lie in `cclib/paper/tables/` as printed: in the units of the column's name (`_percent` is 0 to 100,
accuracies without it are shares of one), with the printed number of digits, empty where the paper has a
dash or none. Chains are named smallest first ("3B → 8B"). Performance drops keep the paper's sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cclib import prompts

FOLDER = Path(__file__).parent / "tables"
ARROW = " → "

# what each table holds, in our words
titles: dict[int, str] = {
    1: "LLaMA on MMLU: accuracy, performance drop, reduced compute, end-to-end time",
    2: "LLaMA on MMLU: macro precision, recall and F1",
    3: "Qwen 3 on MMLU: accuracy, performance drop, reduced compute, end-to-end time",
    4: "GPT-4o as the last stage: accuracy and output tokens",
    5: "With and without P(IK)",
    6: "LLaMA on GPQA, with probes trained on MMLU",
    7: "Prompts",
    8: "Questions answered by each stage",
    9: "McNemar's test of cascades against their last model",
    10: "PopQA: accuracy by string match and by a grounded judge",
    11: "PopQA: accuracy, hallucination rate and dollars",
    12: "Prices of tokens, April 2025",
    13: "Dollars of every setting on MMLU",
    14: "The P(IK) classifiers",
    15: "8B → 70B at four thresholds on P(T), with and without P(IK)",
}

TEST_QUESTIONS = {"mmlu": 1430, "gpqa": 448}  # Table 8's rows sum to the first; Section 4.2 states the second
PT_THRESHOLD = 0.9  # Section 2.2
PIK_THRESHOLD = None  # "predefined" (Section 2.1), but its value is not printed
PIK_LAYER = 24  # Section 2.2, of all models
SPLIT = (0.8, 0.1, 0.1)  # train, validation, test (Section 2.2)
SEEDS = None  # one run a configuration (Appendix B); no seed is printed
HARDWARE = "4 x NVIDIA RTX A6000 (48 GB)"  # Appendix B
OOD_KEPT, OOD_KEPT_RIGHT = 21, 14  # Section 4.2: GPQA questions that 8B kept, and those it got right
POPQA_QUESTIONS = 14_000  # "14k" (Appendix F)
POPQA_ROWS = 14_267  # questions of the public data set


@dataclass(frozen=True)
class Model:
    """A model of the paper. Shapes and weight counts are those of the public configurations."""

    label: str  # as the tables name it
    family: str
    hub_id: str | None
    nominal: float | None  # parameters as the label says, which Appendix D computes with
    parameters: int | None  # all weights, embeddings included, tied ones counted once
    n_layers: int | None
    d_model: int | None


MODELS = (
    Model("3B", "llama-3", "meta-llama/Llama-3.2-3B-Instruct", 3e9, 3_212_749_824, 28, 3072),
    Model("8B", "llama-3", "meta-llama/Meta-Llama-3.1-8B-Instruct", 8e9, 8_030_261_248, 32, 4096),
    Model("70B", "llama-3", "meta-llama/Llama-3.3-70B-Instruct", 70e9, 70_553_706_496, 80, 8192),
    Model("4B", "qwen3", "Qwen/Qwen3-4B", 4e9, 4_022_468_096, 36, 2560),
    Model("8B", "qwen3", "Qwen/Qwen3-8B", 8e9, 8_190_735_360, 36, 4096),
    Model("32B", "qwen3", "Qwen/Qwen3-32B", 32e9, 32_762_123_264, 64, 5120),
    Model("GPT-4o", "gpt-4o", None, None, None, None, None),
)


def model(label: str, family: str = "llama-3") -> Model:
    """A model by its label, "70B"; labels are unique within a family.

    Raises:
        KeyError: no such model.
    """
    for m in MODELS:
        if m.label == label and m.family in (family, "gpt-4o"):
            return m
    known = [m.label for m in MODELS if m.family == family]
    raise KeyError(f"no model {label!r} in {family!r}; known there: {', '.join(known) or 'none'}")


def printed(n: int) -> pd.DataFrame:
    """Table n with every cell as it is printed, a text ("" where there is none).

    Raises:
        ValueError: there is no such table.
    """
    if n not in titles:
        raise ValueError(f"the paper has Tables 1 to {max(titles)}, found {n!r}")
    if n == 7:
        return pd.DataFrame(
            {
                "questions": ["multiple choice", "open-ended, system turn", "open-ended, user turn"],
                "prompt": [prompts.MULTIPLE_CHOICE, prompts.OPEN_ENDED_SYSTEM, prompts.OPEN_ENDED_USER],
            }
        )
    return pd.read_csv(FOLDER / f"table{n:02d}.csv", dtype=str, keep_default_na=False)


def table(n: int) -> pd.DataFrame:
    """Table n with numbers as floats (NaN where there is none), a row as printed each."""
    frame = printed(n)
    for column in frame.columns:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        if (numbers.notna() | (frame[column] == "")).all():
            frame[column] = numbers
    return frame


def decimals(cell: str) -> int:
    """How many digits a printed number has after its point."""
    return len(cell.partition(".")[2])


def stages(models: str) -> list[str]:
    """["3B", "8B"] of "3B → 8B"."""
    return models.split(ARROW)
