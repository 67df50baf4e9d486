"""The lengths of MMLU's test prompts and what neighbours share, without any text: `mmlu_lengths.csv`.

A row a prompt, in the order of their tokens: how many it has, and how many of the first equal those of the
row before. That is all that packing sees, so prompts made from it run as MMLU's do.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import typer

FILE = Path(__file__).parent / "mmlu_lengths.csv"


def structure(encoded: list[list[int]]) -> pd.DataFrame:
    """Lengths and shared beginnings of token lists."""
    rows, before = [], []
    for tokens in sorted(map(list, encoded)):
        same = [a == b for a, b in zip(before, tokens)]
        rows.append((len(tokens), same.index(False) if False in same else len(same)))
        before = tokens
    return pd.DataFrame(rows, columns=["tokens", "shared"])


def prompts(rows: pd.DataFrame, vocabulary: int, seed: int = 0) -> list[list[int]]:
    """Random token lists of that structure, which sort in the same order."""
    rng = np.random.default_rng(seed)
    made: list[list[int]] = []
    for length, shared in rows[["tokens", "shared"]].to_numpy().tolist():
        before = made[-1] if made else []
        tokens = before[:shared] + rng.integers(0, vocabulary // 2, length - shared).tolist()
        if shared < min(length, len(before)):
            tokens[shared] = before[shared] + 1
        made.append(tokens)
    return made


def main(model: str = "", data_dir: str = "") -> None:
    """Print what the file holds; with a model, whose tokenizer counts, and MMLU's folder, write it first."""
    if model:
        from transformers import AutoTokenizer

        import cclib
        from cclib.models.weights import locate

        place, options = locate(model, None)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        asked = cclib.split(cclib.load_benchmark("mmlu", data_dir=data_dir)).test
        structure(tokenizer([q.prompt for q in asked])["input_ids"]).to_csv(FILE, index=False)
    rows = pd.read_csv(FILE)
    typer.echo(
        f"{len(rows):,} prompts of MMLU's test part, {rows.tokens.sum():,} tokens, "
        f"longest {rows.tokens.max():,}; {rows.shared.sum():,} are those of the prompt before"
    )


if __name__ == "__main__":
    typer.run(main)
