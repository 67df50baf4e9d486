"""Attention over a pack: what each token of it sees.

A head sees itself, a tail sees its head and itself, both causally. On a CUDA device that is one call of
variable length a layer, each tail's keys gathered behind its head's; elsewhere the pieces take turns.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cclib.confidence.packing import Group


class Segments(NamedTuple):
    """s heads and tails for one call: their t queries lie as in the pack, their n keys are gathered."""

    keys: torch.Tensor  # (n,) place in the pack of each key, a head's before its tail's
    query_ends: torch.Tensor  # (s + 1,) int32, from 0
    key_ends: torch.Tensor  # (s + 1,) int32, from 0
    longest_query: int
    longest_key: int


class Layout:
    """The heads and tails of one pack; what a call over all of them needs is worked out once a pack."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.pieces: list[
            tuple[int, int, int, int]
        ] = []  # start, length; start and length of what it follows
        for group in groups:
            if group.head[1]:
                self.pieces.append((*group.head, 0, 0))
            self.pieces += [(*tail, *group.head) for tail in group.tails]
        self.tokens = sum(length for _, length, _, _ in self.pieces)
        self._segments: dict[torch.device, Segments] = {}

    def segments(self, device: torch.device) -> Segments:
        """For one call on that device; a model that is spread over several asks on each."""
        if device not in self._segments:
            start, length, head, seen = np.array(self.pieces, np.int64).T
            ranges = [np.r_[h : h + n, s : s + k] for s, k, h, n in self.pieces]
            ends = [np.concatenate([[0], x.cumsum()]).astype(np.int32) for x in (length, seen + length)]
            on_device = [placed(x, device) for x in (np.concatenate(ranges), *ends)]
            self._segments[device] = Segments(*on_device, int(length.max()), int((seen + length).max()))
        return self._segments[device]


def placed(values: Any, device: torch.device) -> torch.Tensor:
    """Numbers as a tensor on a device; a GPU is not waited for."""
    tensor = torch.as_tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@contextmanager
def packed(network: Any) -> Iterator[None]:
    """Inside, the network's passes take a pack's `layout`; afterwards it attends as it did before."""
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
    s_aux: torch.Tensor | None = None,
    layout: Layout | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """(1, t, heads, e) of attention over a pack of t tokens.

    Raises:
        ValueError: the model caps scores, attends to sinks or brings a mask of its own, or its layers do not
            hand the pack's layout on to their attention.
    """
    own = {"a cap on scores": softcap, "sinks": s_aux, "a mask of its own": attention_mask}
    if found := [what for what, given in own.items() if given is not None]:
        raise ValueError(f"its attention has {found[0]}")
    if layout is None or layout.tokens != query.shape[2]:
        found = "none" if layout is None else f"one of {layout.tokens} tokens"
        raise ValueError(
            f"layers must hand on to attention, in a pack, the layout of its {query.shape[2]} tokens, "
            f"found {found}"
        )
    grouped = query.shape[1] != key.shape[1]
    one_call = call_for(query, value)
    if one_call:
        keys, *ends = layout.segments(query.device)
        window = (-1, 0) if sliding_window is None else (sliding_window - 1, 0)
        query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))  # (t, heads, e)
        key, value = key.index_select(0, keys), value.index_select(0, keys)  # (n, key heads, e)
        out = one_call(query, key, value, *ends, scale=scaling, window_size=window, enable_gqa=grouped)
        return out[None], None
    return _in_turns(query, key, value, layout, scaling, sliding_window, grouped).transpose(1, 2), None


def _in_turns(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    sliding_window: int | None,
    grouped: bool,
) -> torch.Tensor:
    attend = torch.nn.functional.scaled_dot_product_attention
    out = torch.empty_like(query[..., : value.shape[-1]])
    for start, length, h0, seen in layout.pieces:
        q = query[:, :, start : start + length]
        k = key[:, :, start : start + length]
        v = value[:, :, start : start + length]
        mask = None
        if seen:
            k = torch.cat([key[:, :, h0 : h0 + seen], k], dim=2)
            v = torch.cat([value[:, :, h0 : h0 + seen], v], dim=2)
            mask = torch.ones(length, seen + length, dtype=torch.bool, device=q.device).tril(seen)
        if sliding_window is not None and seen + length > sliding_window:
            if mask is None:
                mask = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
            mask = mask.triu(seen - sliding_window + 1)
        out[:, :, start : start + length] = attend(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
        )
    return out


def call_for(query: torch.Tensor, value: torch.Tensor) -> Callable[..., torch.Tensor] | None:
    """torch's attention over segments of different lengths, where it takes such tensors; None elsewhere."""
    if query.device.type != "cuda":
        return None
    one_call, e = _varlen(), query.shape[-1]
    if one_call is None:
        return _say(f"torch {torch.__version__} has none for windows and scales; 2.11 or later has")
    if query.dtype not in (torch.bfloat16, torch.float16):
        return _say(f"it takes bfloat16 and float16, not {str(query.dtype).removeprefix('torch.')}")
    if e % 8 or e > 256 or value.shape[-1] != e:
        return _say(f"it takes heads of 8, 16, ... 256 numbers, not of {e} and {value.shape[-1]}")
    if torch.cuda.get_device_capability(query.device) < (8, 0):
        return _say("this card is older than it needs")
    return one_call


@cache
def _varlen() -> Callable[..., torch.Tensor] | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    if not {"scale", "window_size"} <= known.keys():
        return None
    if "enable_gqa" in known:
        return varlen_attn
    # before there was that argument, the kernel grouped heads by their numbers
    return lambda *tensors, enable_gqa, **options: varlen_attn(*tensors, **options)


@cache
def _say(why: str) -> None:
    """Once a process and reason."""
    logging.getLogger(__name__).warning(
        "on this GPU the attention of a pack goes piece by piece, several times slower than in one call: %s",
        why,
    )
