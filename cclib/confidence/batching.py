"""Prompts that go on: batched by length, padded on the left, as many at once as the device takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cclib.confidence.attention import placed
from cclib.confidence.forward import first_device
from cclib.confidence.reading import how_read
from cclib.models.local import LanguageModel

SEQUENCES = {"cpu": 128, "cuda": 1024}  # at once, if they fit


@dataclass
class Batch:
    """Prompts padded on the left, so that all go on from the last column."""

    tokens: torch.Tensor  # (r, width)
    mask: torch.Tensor  # (r, width)

    @property
    def positions(self) -> torch.Tensor:
        return (self.mask.cumsum(1) - 1).clamp(min=0)


def end_tokens(model: LanguageModel) -> list[int]:
    """The tokens that end an answer; the first one fills rows up."""
    end = model.network.generation_config.eos_token_id
    end = model.tokenizer.eos_token_id if end is None else end
    return list(end) if isinstance(end, list | tuple) else [] if end is None else [end]


def batches(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    copies: int = 1,
    read: int = 1,
) -> Iterator[list[int]]:
    """Which prompts run at once, from short to long: as many as fit with `copies` of each.

    One where the model is read one prompt a pass: a recurrence would go through the padding.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    together = how_read(model, prompts).together if order else 0

    def fit(i: int) -> int:
        if not together:
            return 1
        return max(1, _sequences(model, len(prompts[i]) + new_tokens, read) // copies)

    start = 0
    while start < len(order):
        rows = fit(order[start])
        rows = min(rows, fit(order[min(start + rows, len(order)) - 1]))  # the last is the longest
        yield order[start : start + rows]
        start += rows


def _sequences(model: LanguageModel, length: int, read: int) -> int:
    """How many sequences of a length run at once, `read` positions of each up to the vocabulary.

    By the size of the card and not by what is free on it, so that batches are the same each time.
    """
    device, most = first_device(model), SEQUENCES.get(model.device.split(":")[0], 128)
    if device.type != "cuda":
        return most
    weights = list(model.network.parameters())
    cards = {w.device for w in weights if w.device.type == "cuda"}
    memory = sum(torch.cuda.get_device_properties(card).total_memory for card in cards)
    free = 0.8 * memory - sum(w.numel() * w.element_size() for w in weights)
    config, size = model.config, weights[0].element_size()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    e = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # keys and values, twice while they grow; a row of logits with its copies; the first pass's activations
    a_row = 4 * length * model.n_layers * heads * e * size + 16 * read * config.vocab_size
    a_row += 16 * length * config.hidden_size * size
    return int(max(1, min(most, free // a_row)))


def padded(model: LanguageModel, prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> Batch:
    width = max(len(prompts[i]) for i in rows)
    tokens = np.full((len(rows), width), next(iter(end_tokens(model)), 0))
    mask = np.zeros_like(tokens)
    for row, i in enumerate(rows):
        tokens[row, width - len(prompts[i]) :] = prompts[i]
        mask[row, width - len(prompts[i]) :] = 1
    device = first_device(model)
    return Batch(placed(tokens, device), placed(mask, device))
