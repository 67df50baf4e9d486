"""Written answers: greedy continuations of a batch of prompts."""

from __future__ import annotations

from collections.abc import Sequence

from cclib.models.local import LanguageModel
from cclib.prompts import NEW_TOKENS


def generate(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> tuple[list[tuple[str, int]], float]:
    """Greedy continuations up to the first line break: [(text, tokens)], and the seconds they took."""
    import time

    import torch

    began = time.perf_counter()
    network = model.network
    network.set_attn_implementation("sdpa")
    width = max(map(len, prompts))
    device = network.get_input_embeddings().weight.device
    end = network.generation_config.eos_token_id
    end = end if end is not None else model.tokenizer.eos_token_id
    pad = end[0] if isinstance(end, list) else end or 0
    tokens = torch.full((len(prompts), width), pad, device=device)
    mask = torch.zeros_like(tokens)
    for i, ids in enumerate(prompts):  # padded on the left, so that all go on from the last column
        tokens[i, width - len(ids) :] = torch.tensor(ids, device=device)
        mask[i, width - len(ids) :] = 1
    with torch.inference_mode():
        out = network.generate(
            tokens, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=pad
        )
    responses = []
    for row in out[:, width:].tolist():
        stop = {end} if isinstance(end, int) else set(end or ())
        row = row[: next((i for i, t in enumerate(row) if t in stop), len(row))]
        text = model.tokenizer.decode(row, skip_special_tokens=True).strip()
        line = text.splitlines()[0] if text else ""
        responses.append((line, max(1, len(row) if line == text else len(model.encode(line)))))
    return responses, time.perf_counter() - began
