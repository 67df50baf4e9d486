"""Questions a second on one machine: cclib against lm-evaluation-harness, plain loops and a bare forward.

All ways get the same loaded weights, questions, prompts and dtype, and take turns on slices of questions, so
that a machine that slows down slows all of them. Prints a table; no claim is checked here.

    python speed/throughput.py --model qwen2.5-coder-0.5b.gguf --data-dir mmlu --questions 300
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import typer

import cclib
from cclib.confidence.forward import PACK_TOKENS
from cclib.confidence.p_t import answer_questions
from cclib.models.local import LanguageModel

Answers = tuple[list[int], int]  # predictions in the order of the questions, tokens run


def packed(model: LanguageModel, questions: list) -> Answers:
    """What `cclib.collect` does: shared heads, no padding, one hidden state, last positions only."""
    rows = {r["question_id"]: r for batch in answer_questions(model, questions) for r in batch}
    return [rows[q.id]["prediction"] for q in questions], sum(r["prompt_tokens"] for r in rows.values())


def harness(batch_size: int) -> Callable[[LanguageModel, list], Answers]:
    """lm-evaluation-harness: log-likelihoods of " A" ... " D" after the prompt, as its MMLU task asks for."""

    def run(model: LanguageModel, questions: list) -> Answers:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        model.network.set_attn_implementation("sdpa")
        lm = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=batch_size)
        asked = [
            Instance("loglikelihood", {}, (q.prompt, f" {letter}"), i)
            for q in questions
            for i, letter in enumerate("ABCD"[: len(q.choices)])
        ]
        scores = iter(lm.loglikelihood(asked, disable_tqdm=True))
        found = [int(np.argmax([next(scores)[0] for _ in q.choices])) for q in questions]
        return found, sum(len(model.encode(q.prompt)) for q in questions)

    return run


def padded(batch_size: int) -> Callable[[LanguageModel, list], Answers]:
    """A plain loop over batches of like length, padded, with logits of the last position only."""

    def run(model: LanguageModel, questions: list) -> Answers:
        model.network.set_attn_implementation("sdpa")
        encoded = [model.encode(q.prompt) for q in questions]
        order = np.argsort([len(e) for e in encoded], kind="stable")
        found = np.zeros(len(questions), int)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            width = max(len(encoded[i]) for i in rows)
            tokens, mask = torch.zeros(2, len(rows), width, dtype=torch.long)
            for r, i in enumerate(rows):
                tokens[r, width - len(encoded[i]) :] = torch.tensor(encoded[i])
                mask[r, width - len(encoded[i]) :] = 1
            places = (mask.cumsum(1) - 1).clamp(min=0)
            with torch.inference_mode():
                out = model.network(
                    tokens, attention_mask=mask, position_ids=places, logits_to_keep=1, use_cache=False
                )
            for r, i in enumerate(rows):
                letters = model.option_tokens(questions[i].prompt, len(questions[i].choices))
                found[i] = int(out.logits[r, -1, letters].argmax())
        return found.tolist(), sum(map(len, encoded))

    return run


def one_by_one(model: LanguageModel, questions: list) -> Answers:
    """The straightforward way: one question at a time, all logits, all hidden states."""
    model.network.set_attn_implementation("sdpa")
    found, tokens = [], 0
    for q in questions:
        ids = model.encode(q.prompt)
        tokens += len(ids)
        with torch.inference_mode():
            out = model.network(torch.tensor([ids]), output_hidden_states=True)
        letters = model.option_tokens(q.prompt, len(q.choices))
        found.append(int(out.logits[0, -1, letters].argmax()))
    return found, tokens


def bare(model: LanguageModel, questions: list) -> Answers:
    """The limit: the transformer alone on the same number of tokens in full rectangles, nothing read out."""
    model.network.set_attn_implementation("sdpa")
    ids = [t for q in questions for t in model.encode(q.prompt)]
    # rows as long as a mean prompt: attention costs what it costs the questions
    length = round(len(ids) / len(questions))
    rows = PACK_TOKENS["cpu"] // length
    whole = len(ids) // length * length
    tokens = torch.tensor(ids[:whole]).view(-1, length)
    with torch.inference_mode():
        for batch in tokens.split(rows):
            model.network.model(batch, use_cache=False)
    return [], whole


def runs_of(benchmark: list, runs: int, questions: int) -> list[list]:
    """Runs of neighbours, evenly spaced over the benchmark: a recording meets them subject by subject."""
    length = questions // runs
    starts = np.linspace(0, len(benchmark) - length, runs).round().astype(int)
    return [benchmark[start : start + length] for start in starts]


def main(
    model: str = "atlas-l",
    data_dir: str | None = None,
    questions: int = 300,
    dtype: str = "float32",
    slices: int = 6,
    harness_batches: str = "1,4,8,16",
) -> None:
    """Take turns, then print questions and tokens a second of each way."""
    loaded = cclib.load_model(model, dtype=dtype)
    runs = runs_of(
        cclib.load_benchmark("mmlu" if data_dir else "atlas", data_dir=data_dir), slices, questions
    )
    asked = [q for run in runs for q in run]
    ways: dict[str, Callable[[LanguageModel, list], Answers]] = {"cclib (packed)": packed}
    try:
        import lm_eval

        sizes = [int(b) for b in harness_batches.split(",")]
        ways |= {f"lm-eval {lm_eval.__version__}, batch {b}": harness(b) for b in sizes}
    except ImportError:
        typer.echo("lm-eval is not installed: pip install lm-eval==0.4.13")
    ways |= {"plain loop, padded, batch 8": padded(8), "one by one, everything kept": one_by_one}
    ways |= {"bare forward (limit)": bare}
    packed(loaded, asked[:8])  # first calls pay for warming up
    seconds, tokens = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0)
    found: dict[str, list[int]] = {name: [] for name in ways}
    for part, mine in enumerate(runs):
        for name, way in ways.items():
            began = time.perf_counter()
            predictions, n = way(loaded, mine)
            seconds[name] += time.perf_counter() - began
            tokens[name] += n
            found[name] += predictions
            typer.echo(f"slice {part + 1} of {slices}, {name}: {seconds[name]:.1f} s so far", err=True)
    ours = found["cclib (packed)"]
    rows = {
        name: {
            "seconds": round(seconds[name], 1),
            "questions/s": len(asked) / seconds[name] if found[name] else np.nan,
            "prompt tokens/s": tokens[name] / seconds[name],
            "cclib is faster by": (tokens["cclib (packed)"] / seconds["cclib (packed)"])
            / (tokens[name] / seconds[name]),
            "same predictions": np.mean(np.array(ours) == found[name]) if found[name] else np.nan,
        }
        for name in ways
    }
    typer.echo(f"{loaded.slug}, {dtype}, {len(asked)} questions, {torch.get_num_threads()} threads")
    typer.echo(pd.DataFrame.from_dict(rows, orient="index").to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    typer.run(main)
