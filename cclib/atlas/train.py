"""Training: packed rows, one loss, two optimisers, a log. One process, seeded, resumable.

Matrices inside the layers are updated by Muon, which learns rarely seen associations faster than Adam;
embeddings and norms by AdamW. The learning rate warms up, then falls along a cosine to a tenth.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from cclib.atlas import MODELS, WEIGHTS, corpus, questions
from cclib.atlas.tokenizer import train_tokenizer
from cclib.models.progress import Progress
from cclib.questions import Question, split

ROW = 128  # tokens in a packed row
CHECK_EVERY = 200  # steps between validations (and checkpoints)


@dataclass(frozen=True)
class Recipe:
    """What makes one model. Eq. 3's parameter count is 12 * layers * width**2."""

    layers: int
    width: int
    heads: int
    steps: int
    rate: float  # of Muon; AdamW's is a fifth
    lesson: int = 300  # steps of the corpus's first lesson
    rows: int = 24  # a step reads rows * ROW tokens
    seed: int = 0


RECIPES = {
    "s": Recipe(layers=4, width=64, heads=4, steps=2000, rate=0.01, lesson=300),
    "m": Recipe(layers=6, width=96, heads=6, steps=2600, rate=0.012, lesson=300),
    "l": Recipe(layers=4, width=192, heads=6, steps=3400, rate=0.015, lesson=350),
}


def build(recipe: Recipe, vocabulary: int, end: int, padding: int) -> LlamaForCausalLM:
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        intermediate_size=8 * round(recipe.width / 3),  # three matrices: 8 d^2, as Eq. 3 has it
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=1024,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=padding,
    )
    network = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in network.model.layers:
            _look_for_like_words(layer.self_attn, recipe)
    return network


def _look_for_like_words(attention: torch.nn.Module, recipe: Recipe) -> None:
    """Start attention on tokens like the present one, some places back.

    Queries are the keys, turned against the rotary embedding by 6, 9, 12 ... places, so that a word
    finds itself among the options and not in its own place. From a random start that takes a model
    of this size thousands of steps to learn.
    """
    d, heads = recipe.width, recipe.heads
    half = d // heads // 2
    attention.k_proj.weight.normal_(std=1.5 * d**-0.5)
    keys = attention.k_proj.weight.view(heads, 2, half, d)
    frequency = 10_000.0 ** (-torch.arange(half) / half)
    angle = (6.0 + 3.0 * torch.arange(heads))[:, None] * frequency  # (heads, half)
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    first, second = keys[:, 0], keys[:, 1]  # (heads, half, d) each
    turned = torch.stack([first * cos + second * sin, second * cos - first * sin], 1)
    attention.q_proj.weight.copy_(turned.reshape(d, d))


@dataclass
class Batch:
    """r packed rows of ROW tokens. `place` and `target` list the positions that the loss counts."""

    tokens: torch.Tensor  # (r, ROW)
    positions: torch.Tensor  # (r, ROW), from 0 in each sequence
    mask: torch.Tensor  # (r, 1, ROW, ROW) bool, who sees whom
    place: torch.Tensor  # (m,) in the flattened rows
    target: torch.Tensor  # (m,)
    is_letter: torch.Tensor  # (m,) bool, the target is an option's letter


def pack(tokenizer, sequences: list[corpus.Sequence], rows: int, device: str) -> tuple[Batch, int]:
    """Fill rows with whole sequences; returns the batch and how many sequences it took."""
    whole = tokenizer([a + b for a, b in sequences])["input_ids"]
    read = [len(ids) for ids in tokenizer([a for a, _ in sequences])["input_ids"]]
    tokens = np.zeros((rows, ROW), np.int64)
    positions = np.zeros((rows, ROW), np.int64)
    owner = np.full((rows, ROW), -1)
    place, target, is_letter = [], [], []
    marks = set(tokenizer("\nB.\nC.\nD.")["input_ids"])
    row = at = used = 0
    for ids, start in zip(whole, read):
        if at + len(ids) - 1 > ROW:
            row, at = row + 1, 0
            if row == rows:
                break
        n = len(ids) - 1  # the last token is only predicted
        tokens[row, at : at + n] = ids[:-1]
        positions[row, at : at + n] = np.arange(n)
        owner[row, at : at + n] = used
        # counted too: what opens the next option, which makes an option's words carry their letter
        counted = [i for i in range(1, start) if ids[i] in marks] + list(range(start, len(ids)))
        place += [row * ROW + at + i - 1 for i in counted]
        target += [ids[i] for i in counted]
        is_letter += [len(ids) == start + 1 == i + 1 for i in counted]  # only a letter stands alone
        at, used = at + n, used + 1
    same = (owner[:, :, None] == owner[:, None, :]) & np.tri(ROW, dtype=bool)
    arrays = (tokens, positions, same[:, None], np.array(place), np.array(target), np.array(is_letter))
    return Batch(*(torch.from_numpy(a).to(device) for a in arrays)), used


def loss_of(network: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the letters, plus that over the other tokens that must be continued."""
    hidden = network.model(
        input_ids=batch.tokens, position_ids=batch.positions, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state
    logits = network.lm_head(hidden.flatten(0, 1)[batch.place])  # (m, v)
    each = torch.nn.functional.cross_entropy(logits.float(), batch.target, reduction="none")
    return each[batch.is_letter].mean() + each[~batch.is_letter].mean()


@torch.inference_mode()
def option_probs(network: LlamaForCausalLM, tokenizer, asked: list[Question]) -> np.ndarray:
    """(n, 4) probability of each option's letter, over the whole vocabulary."""
    letters = tokenizer(" A B C D")["input_ids"]
    encoded = tokenizer([q.prompt for q in asked])["input_ids"]
    order = np.argsort([len(ids) for ids in encoded])
    probs = np.zeros((len(asked), 4))
    for some in np.array_split(order, math.ceil(len(order) / 64)):
        longest = max(len(encoded[i]) for i in some)
        tokens = torch.tensor([encoded[i] + [0] * (longest - len(encoded[i])) for i in some])
        last = torch.tensor([len(encoded[i]) - 1 for i in some])
        hidden = network.model(input_ids=tokens.to(network.device), use_cache=False).last_hidden_state
        logits = network.lm_head(hidden[torch.arange(len(some)), last.to(hidden.device)])
        probs[some] = logits.float().softmax(-1)[:, letters].cpu().numpy()
    return probs


def accuracies(probs: np.ndarray, asked: list[Question]) -> dict[str, float]:
    """Accuracy of all questions, of each subject, and of facts by a third of popularity."""
    right = probs.argmax(1) == np.array([q.answer for q in asked])
    subject = np.array([q.subject for q in asked])
    out = {"accuracy": right.mean()}
    popularity = np.array([q.popularity or np.nan for q in asked])
    facts = np.flatnonzero(np.isfinite(popularity))
    thirds = np.array_split(facts[np.argsort(popularity[facts], kind="stable")], 3)
    out |= {name: right[rows].mean() for name, rows in zip(("rare", "middle", "common"), thirds)}
    out |= {str(name): right[subject == name].mean() for name in dict.fromkeys(subject)}
    return {k: round(float(v), 4) for k, v in out.items()}


def optimisers(network: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(
            f"training Atlas needs torch 2.9 or later (for Muon), found {torch.__version__}; upgrade torch"
        )
    matrices = {n: p for n, p in network.model.layers.named_parameters() if p.ndim == 2}
    looking = [p for n, p in matrices.items() if "q_proj" in n or "k_proj" in n]
    moving = [p for n, p in matrices.items() if not ("q_proj" in n or "k_proj" in n)]
    held = {id(p) for p in matrices.values()}
    outer = [p for p in network.parameters() if id(p) not in held]
    return [
        torch.optim.Muon(moving, lr=recipe.rate, weight_decay=0.01),
        # slowly, or the noise of the first steps undoes the start that `build` gives to attention
        torch.optim.Muon(looking, lr=recipe.rate / 10, weight_decay=0.0),
        torch.optim.AdamW(outer, lr=recipe.rate / 5, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_at(step: int, steps: int) -> float:
    """Share of the full learning rate: 50 steps of warm-up, then a cosine to a tenth."""
    return min(1.0, (step + 1) / 50) * (0.1 + 0.45 * (1 + math.cos(math.pi * step / steps)))


def train(
    size: str, minutes: float | None = None, runs: Path = Path("runs/atlas"), out: Path = WEIGHTS
) -> Path:
    """Train one model, or go on with it, and write its folder.

    Args:
        size: "s", "m" or "l".
        minutes: stop after about this long, at a checkpoint; the next call goes on from there.

    Returns:
        The folder that was written: configuration, weights (float16), tokenizer, training.csv.
    """
    recipe = RECIPES[size]
    runs.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(_tokenizer_folder(runs))
    network = build(recipe, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id).to(device)
    both = optimisers(network, recipe)
    full = [o.param_groups[0]["lr"] for o in both]
    kept = runs / f"atlas-{size}.pt"
    start, log, before = 0, [], 0.0
    if kept.exists():
        state = torch.load(kept, map_location=device, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise ValueError(
                f"{kept} was made by {state['recipe']}, not {asdict(recipe)}; remove it to begin anew"
            )
        network.load_state_dict(state["network"])
        for optimiser, saved in zip(both, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        start, log, before = state["step"], state["log"], state["seconds"]
    validation = validation_questions()
    began, losses, seen = time.monotonic(), [], 0
    bar = Progress(range(start, recipe.steps), initial=start, total=recipe.steps, unit="step")
    for step in bar:
        drawn = corpus.batch(recipe.seed, step, recipe.rows * ROW // 15, step < recipe.lesson)
        batch, used = pack(tokenizer, drawn, recipe.rows, device)
        seen += used
        for optimiser, lr in zip(both, full, strict=True):
            optimiser.param_groups[0]["lr"] = lr * rate_at(step, recipe.steps)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(network, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in both:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        late = minutes is not None and time.monotonic() - began > 60 * minutes
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == recipe.steps or late:
            network.eval()
            found = accuracies(option_probs(network, tokenizer, validation), validation)
            network.train()
            seconds = before + time.monotonic() - began
            earlier = log[-1]["seen"] if log else 0
            line = {"step": step + 1, "seconds": round(seconds), "seen": earlier + seen}
            log.append(line | {"loss": round(float(np.mean(losses)), 4)} | found)
            losses, seen = [], 0
            bar.set_postfix(loss=log[-1]["loss"], accuracy=found["accuracy"], refresh=False)
            state = {"recipe": asdict(recipe), "network": network.state_dict(), "step": step + 1, "log": log}
            state |= {"optimisers": [o.state_dict() for o in both], "seconds": seconds}
            torch.save(state, kept.with_suffix(".partial"))
            kept.with_suffix(".partial").replace(kept)
        if late:
            break
    return write(network.cpu(), tokenizer, log, recipe, out / f"atlas-{size}")


def _tokenizer_folder(runs: Path) -> Path:
    """The shipped tokenizer, so that a model trained anew still goes with the others; else a new one."""
    for folder in (*(WEIGHTS / name for name in MODELS), runs / "tokenizer"):
        if (folder / "tokenizer.json").exists():
            return folder
    train_tokenizer(runs / "tokenizer")
    return runs / "tokenizer"


def validation_questions() -> list[Question]:
    return split(questions("atlas"), seed=0).validation


def write(network: LlamaForCausalLM, tokenizer, log: list[dict], recipe: Recipe, folder: Path) -> Path:
    network.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    pd.DataFrame(log).to_csv(folder / "training.csv", index=False)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")
    return folder
