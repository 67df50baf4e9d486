"""One forward pass a question: its answer, P(T), the option probabilities and a hidden state.

Prompts of one subject share their first lines. They are laid out as a *pack*: the shared head once,
then every question's own tail, all in one row of tokens without padding. Each tail attends to the head
and to itself, at the positions it would have alone, so the result is that of the separate prompts.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cclib.benchmarks import Question
from cclib.models import LanguageModel

# Tokens in one forward pass: enough to fill the matrix units, small enough for the caches.
PACK_TOKENS = {"cpu": 2048, "cuda": 16384}
ENCODE_ROWS = 1024


@dataclass(frozen=True)
class Group:
    """Where a pack holds one shared head, (start, length), and its tails, [(start, length), ...]."""

    head: tuple[int, int]
    tails: list[tuple[int, int]]


@dataclass(frozen=True)
class Pack:
    """One row of t tokens that answers several questions."""

    tokens: list[int]  # (t,)
    positions: list[int]  # (t,) place of each token in its own prompt
    groups: list[Group]
    index: list[int]  # (m,) which prompts, in the order of their tails
    lengths: list[int]  # (m,) tokens of each whole prompt

    @property
    def last(self) -> list[int]:
        """(m,) the pack's position of each prompt's last token."""
        return [start + length - 1 for group in self.groups for start, length in group.tails]


@dataclass(frozen=True)
class Reading:
    """What one pack's forward pass gave, m questions."""

    index: list[int]
    log_probs: np.ndarray  # (m, v) over the vocabulary, at each prompt's last position
    hidden: np.ndarray | None  # (m, d) float16; (m, l, d) where several layers were asked for
    prompt_tokens: list[int]
    seconds: float


def default_layer(n_layers: int) -> int:
    """The layer nearest to 24/28 of the depth: the paper's 24th of Llama-3.2-3B's 28."""
    return max(1, round(n_layers * 24 / 28))


def check_layer(layer: int | None, n_layers: int) -> int:
    if layer is None:
        return default_layer(n_layers)
    if not isinstance(layer, int | np.integer) or not 1 <= layer <= n_layers:
        raise ValueError(f"layer must be from 1 to {n_layers} (this model's depth), found {layer!r}")
    return layer


def make_packs(encoded: Sequence[Sequence[int]], budget: int) -> list[Pack]:
    """Lay prompts (token lists) out in packs of about `budget` tokens, heads shared.

    Prompts are sorted by their tokens, so that those with a common beginning are neighbours.
    """
    order = sorted(range(len(encoded)), key=lambda i: encoded[i])
    packs, batch, used = [], [], 0
    for i in order:
        if batch and used + len(encoded[i]) > budget:
            packs.append(_lay_out(encoded, batch))
            batch, used = [], 0
        # neighbours share a head, so count what this prompt adds
        shared = _common_prefix(encoded[batch[-1]], encoded[i]) if batch else 0
        batch.append(i)
        used += len(encoded[i]) - shared
    if batch:
        packs.append(_lay_out(encoded, batch))
    return packs


def packs_to_run(encoded: Sequence[Sequence[int]], skip: Container[int], budget: int) -> list[Pack]:
    """The packs that hold what is not to be skipped.

    Where a run is gone on with, each pack was either run or not: those left are the ones it would have
    run, and compute the same to the bit. Where some are mixed, another set was asked for before, and
    what is left is laid out anew.
    """
    packs = make_packs(encoded, budget)
    left = [[i for i in pack.index if i not in skip] for pack in packs]
    if all(len(some) in (0, len(pack.index)) for some, pack in zip(left, packs)):
        return [pack for some, pack in zip(left, packs) if some]
    wanted = sorted(i for some in left for i in some)
    anew = make_packs([encoded[i] for i in wanted], budget)
    return [replace(pack, index=[wanted[i] for i in pack.index]) for pack in anew]


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    n = 0
    for x, y in zip(a, b):
        if x != y:
            break
        n += 1
    return n


def _lay_out(encoded: Sequence[Sequence[int]], batch: list[int]) -> Pack:
    """Group neighbours of a batch by their common head: a new group where sharing drops by half."""
    groups: list[tuple[int, list[int]]] = []  # (length of the head, members)
    for i in batch:
        if groups:
            head, members = groups[-1]
            common = min(head, _common_prefix(encoded[members[0]], encoded[i]), len(encoded[i]) - 1)
            if len(members) == 1:
                common = min(_common_prefix(encoded[members[0]], encoded[i]), len(encoded[i]) - 1)
                common = min(common, len(encoded[members[0]]) - 1)
            # joining shortens the head for all members; worth it only while it saves tokens
            if common * len(members) > head * (len(members) - 1):
                groups[-1] = (common, [*members, i])
                continue
        groups.append((0, [i]))
    tokens: list[int] = []
    positions: list[int] = []
    placed: list[Group] = []
    index: list[int] = []
    for head, members in groups:
        if len(members) == 1:
            head = 0
        start = len(tokens)
        tokens += encoded[members[0]][:head]
        positions += range(head)
        tails = []
        for i in members:
            tail = encoded[i][head:]
            tails.append((len(tokens), len(tail)))
            tokens += tail
            positions += range(head, head + len(tail))
        placed.append(Group((start, head), tails))
        index += members
    return Pack(tokens, positions, placed, index, [len(encoded[i]) for i in index])


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


ALL_ATTENTION_FUNCTIONS.register("packed", packed_attention)


def read_packs(
    model: LanguageModel,
    encoded: Sequence[Sequence[int]],
    layer: int | Sequence[int] | None,
    budget: int | None = None,
    skip: Container[int] = (),
) -> Iterator[Reading]:
    """Run the prompts pack by pack; only the last position of each prompt meets the vocabulary.

    Args:
        encoded: n prompts as token lists.
        layer: 1-based layer, or layers, after which the hidden state is read; None reads none.
        budget: tokens in one pass; the default suits the device.
        skip: prompts that need not run.
    """
    network = model.network
    network.set_attn_implementation("packed")
    captured: dict[int, torch.Tensor] = {}  # layer: (m, d)
    last: torch.Tensor  # (m,) where each prompt of the pack ends
    tokens: int  # of the pack

    def capture(at: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output  # (1, t, d)
            captured[at] = states[0, last.to(states.device)]

        return hook

    def narrow(_module: Any, inputs: Any) -> Any:
        return (inputs[0][:, last.to(inputs[0].device)],)

    def widen(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output.new_zeros(1, tokens, output.shape[-1]).index_copy_(1, last.to(output.device), output)

    wanted = [layer] if isinstance(layer, int) else list(layer or ())
    handles = [model.layers[at - 1].register_forward_hook(capture(at)) for at in wanted]
    top = getattr(model.layers[-1], "mlp", None)
    if type(top).__name__.endswith("MLP"):  # nothing reads its other positions; experts may mix them
        handles += [top.register_forward_pre_hook(narrow), top.register_forward_hook(widen)]
    try:
        for pack in packs_to_run(encoded, skip, budget or PACK_TOKENS.get(model.device.split(":")[0], 4096)):
            began = time.perf_counter()
            tokens = len(pack.tokens)
            device = network.get_input_embeddings().weight.device
            last = torch.tensor(pack.last, device=device)
            with torch.inference_mode():
                logits = network(
                    input_ids=torch.tensor([pack.tokens], device=device),  # (1, t)
                    position_ids=torch.tensor([pack.positions], device=device),
                    logits_to_keep=last,
                    use_cache=False,
                    groups=pack.groups,
                ).logits[0]  # (m, v)
                log_probs = logits.float().log_softmax(-1).cpu().numpy()
            hidden = None
            if wanted:  # a few models have single activations beyond float16
                states = [captured[at].cpu().clamp(-65504, 65504).to(torch.float16) for at in wanted]
                hidden = (states[0] if isinstance(layer, int) else torch.stack(states, 1)).numpy()
            yield Reading(pack.index, log_probs, hidden, pack.lengths, time.perf_counter() - began)
    finally:
        for handle in handles:
            handle.remove()


def encode_questions(model: LanguageModel, questions: Sequence[Question]) -> list[array[int]]:
    """Tokens of the questions' prompts, a few bytes each: the tokenizer's own results are far larger.

    Raises:
        ValueError: a prompt does not fit the model's context.
    """
    encoded: list[array[int]] = []
    for start in range(0, len(questions), ENCODE_ROWS):
        some = [q.prompt for q in questions[start : start + ENCODE_ROWS]]
        encoded += (array("i", ids) for ids in model.tokenizer(some)["input_ids"])
    for question, ids in zip(questions, encoded):
        if len(ids) > model.context_length:
            raise ValueError(
                f"question {question.id} has {len(ids)} tokens, {model.name} reads "
                f"{model.context_length}; leave it out or choose a model with a longer context"
            )
    return encoded


def answer_questions(
    model: LanguageModel,
    questions: Sequence[Question],
    layer: int | None = None,
    hidden: bool = True,
    budget: int | None = None,
    known: Container[str] = (),
) -> Iterator[list[dict[str, Any]]]:
    """Answer multiple-choice questions, one forward pass each; rows of a trace, pack by pack.

    P(T) is Eq. 1: the probability, over the whole vocabulary, of the most likely option's letter.

    Args:
        known: ids of questions that were answered before; they get no row.
    """
    letters = {
        c: model.option_tokens(prompt, c)
        for c, prompt in {len(q.choices): q.prompt for q in questions}.items()
    }
    at = check_layer(layer, model.n_layers) if hidden else None
    skip = {i for i, q in enumerate(questions) if q.id in known}
    for reading in read_packs(model, encode_questions(model, questions), at, budget, skip):
        share = reading.seconds / sum(reading.prompt_tokens)
        rows = []
        for row, i in enumerate(reading.index):
            question = questions[i]
            probs = np.exp(reading.log_probs[row, letters[len(question.choices)]].astype(float))  # (c,)
            prediction = int(probs.argmax())
            rows.append(
                {
                    "question_id": question.id,
                    "subject": question.subject,
                    "answer": question.answer,
                    "prediction": prediction,
                    "correct": prediction == question.answer,
                    "p_t": float(probs[prediction]),
                    "option_probs": probs.tolist(),
                    "first_token_prob": float(np.exp(reading.log_probs[row].max())),
                    "hidden": None if reading.hidden is None else reading.hidden[row],
                    "prompt_tokens": reading.prompt_tokens[row],
                    "output_tokens": 1,
                    "seconds": share * reading.prompt_tokens[row],
                }
            )
        yield rows
