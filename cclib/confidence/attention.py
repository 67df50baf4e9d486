"""Attention over a pack: what each token of it sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cclib.confidence.packing import Group


@contextmanager
def packed(network: Any) -> Iterator[None]:
    """Inside, the network's passes take `groups`, a pack's; afterwards it attends as it did before."""
    before = network.config._attn_implementation
    ALL_ATTENTION_FUNCTIONS.register("packed", packed_attention)
    network.set_attn_implementation("packed")
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (1, heads, t, e)
    key: torch.Tensor,  # (1, key heads, t, e)
    value: torch.Tensor,  # (1, key heads, t, e)
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    groups: Sequence[Group] = (),
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over a pack: a head sees itself, a tail sees its head and itself, both causally."""
    if softcap is not None:
        raise ValueError("models that cap attention scores (Gemma 2) are not supported; use Gemma 3")
    attend = torch.nn.functional.scaled_dot_product_attention
    grouped = query.shape[1] != key.shape[1]
    out = torch.empty_like(query)
    for group in groups:
        h0, h = group.head
        pieces = [(h0, h, 0)] if h else []
        pieces += [(start, length, h) for start, length in group.tails]
        for start, length, seen in pieces:
            q = query[:, :, start : start + length]
            k = key[:, :, start : start + length]
            v = value[:, :, start : start + length]
            mask = None
            if seen:
                k = torch.cat([key[:, :, h0 : h0 + h], k], dim=2)
                v = torch.cat([value[:, :, h0 : h0 + h], v], dim=2)
                mask = torch.ones(length, seen + length, dtype=torch.bool, device=q.device).tril(seen)
            if sliding_window is not None and seen + length > sliding_window:
                if mask is None:
                    mask = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
                mask = mask.triu(seen - sliding_window + 1)
            out[:, :, start : start + length] = attend(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
            )
    return out.transpose(1, 2), None
