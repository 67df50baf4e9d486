"""How a model is read: many prompts in one pass, or one prompt a pass with the model's own attention.

A pack is exact where layers mix positions by attention alone, and hand on to it where each prompt lies. Tests
prove that of the architectures of PACKED. Any other is read both ways at its first prompts.
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cclib.confidence.attention import placed
from cclib.confidence.forward import Reading, Seen, Stopwatch, first_device, float32_head, read_packs
from cclib.models.local import HowRead, LanguageModel

# Model types, as in config.json, whose packs tests/test_architectures.py shows to equal plain passes.
PACKED = frozenset(
    "cohere cohere2 deepseek_v3 gemma gemma3_text glm4 granite llama ministral ministral3 mistral mixtral "
    "olmo2 olmo3 olmoe phi3 qwen2 qwen3 qwen3_moe smollm3 starcoder2".split()
)
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
# What rounding moves log-probabilities by, in parts of their spread over the vocabulary.
ROUNDING = {"float32": 3e-5, "float64": 3e-5, "float16": 0.005, "bfloat16": 0.03}
COMPARED = 4  # prompts that are read both ways, the longest beside them, and each cut short
WITHOUT_END = 1 << 30


def read_prompts(
    model: LanguageModel,
    encoded: Sequence[Sequence[int]],
    layer: int | Sequence[int] | None,
    budget: int | None = None,
    skip: Container[int] = (),
    wanted: Sequence[int] = (),
) -> Iterator[Reading]:
    """Read prompts in packs where that is exact for this model, one a pass where it is not.

    Args:
        encoded, layer, budget, skip, wanted: as `cclib.confidence.forward.read_packs` takes them.

    Raises:
        ValueError: the model cannot be read, or gives no numbers (NaN).
    """
    if all(i in skip for i in range(len(encoded))):
        return
    together = how_read(model, encoded).together
    short = [i for i, ids in enumerate(encoded) if len(ids) <= together]
    left_out = {place for place, i in enumerate(short) if i in skip}
    for reading in read_packs(model, [encoded[i] for i in short], layer, budget, left_out, wanted):
        yield _numbers(model, replace(reading, index=[short[place] for place in reading.index]))
    for i in sorted(set(range(len(encoded))) - set(short)):
        if i not in skip:
            yield _numbers(model, replace(read_alone(model, encoded[i], layer, wanted), index=[i]))


def read_alone(
    model: LanguageModel, ids: Sequence[int], layer: int | Sequence[int] | None, wanted: Sequence[int] = ()
) -> Reading:
    """One prompt in a pass of its own, with the attention that the model has by itself."""
    device = first_device(model)
    layers = [layer] if isinstance(layer, int) else list(layer or ())
    watch, seen = Stopwatch(device), Seen(model, layers)
    seen.tokens, seen.last = len(ids), placed([len(ids) - 1], device)
    with torch.inference_mode(), float32_head(model.network), seen.watching(narrowed=False):
        logits = _logits(model, ids, 1)
        log_probs, greatest, *states = (
            x.cpu().numpy() for x in seen.found(logits, placed(np.asarray(wanted, np.int64), device))
        )
    watch.mark(1)
    hidden = None if not states else states[0] if isinstance(layer, int) else np.stack(states, 1)
    return Reading([0], log_probs, greatest, hidden, [len(ids)], watch.seconds())


def _logits(model: LanguageModel, ids: Sequence[int], last: int) -> torch.Tensor:
    """(last, v) at the last positions of one prompt."""
    network = model.network
    kept = (
        {"logits_to_keep": last} if "logits_to_keep" in inspect.signature(network.forward).parameters else {}
    )
    given = placed([list(ids)], first_device(model))  # (1, t)
    return network(input_ids=given, use_cache=False, **kept).logits[0, -last:]


def refuse_no_numbers(model: LanguageModel, *values: np.ndarray | None) -> None:
    """Where a probability or a hidden state is NaN, there is no answer."""
    if any(x is not None and np.isnan(x).any() for x in values):
        raise ValueError(
            f"{model.name} in {model.dtype} gives no number (NaN) where a probability or a hidden state is "
            "read, so nothing is recorded of it: its weights are damaged, or its activations pass what this "
            "precision holds; try dtype='float32' or 'bfloat16'"
        )


def _numbers(model: LanguageModel, reading: Reading) -> Reading:
    refuse_no_numbers(model, reading.greatest, reading.log_probs, reading.hidden)
    return reading


def how_read(model: LanguageModel, encoded: Iterable[Sequence[int]]) -> HowRead:
    """How this model is read, found out once, at its first prompts, and kept with it.

    Raises:
        ValueError: it cannot be read at all, or reads its prompts in both directions.
    """
    if model.how_read is None:
        model.how_read = _found_out(model, encoded)
    return model.how_read


def _found_out(model: LanguageModel, encoded: Iterable[Sequence[int]]) -> HowRead:
    network, kind, end = model.network, model.network.config.model_type, longest_together(model.config)
    if kind in PACKED and type(network).__module__.startswith("transformers."):
        return HowRead(end, f"packs of {kind} equal plain passes in the package's tests")
    encoded = sorted(list(ids) for ids in encoded)
    some = _sample([ids for ids in encoded if len(ids) <= end] or encoded)
    try:
        whole = range(_logits(model, some[0], 1).shape[-1])
        alone = [read_alone(model, ids, None, whole).log_probs[0] for ids in some]
        _refuse_what_is_not_read_so(model, some[0])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever an architecture makes of what it does not expect
        reason = _first_line(error).removeprefix(f"{model.name}: ")
        raise ValueError(f"{model.name}: {kind} cannot be read here: {reason}") from error
    if mixed := _other_than_attention(model):
        return HowRead(0, f"{kind} mixes positions by {mixed}, and would mix the prompts of a pack")
    if not network._can_set_attn_implementation():
        return HowRead(0, f"{kind} computes its attention in a way of its own")
    try:
        (pack,) = read_packs(model, some, None, 1 << 40, wanted=whole)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return HowRead(0, f"{kind} cannot be packed: {_first_line(error)}")
    apart = max(_apart(alone[i], packed) for i, packed in zip(pack.index, pack.log_probs))
    differ = f"packed and plain passes of {kind} differ by {apart:.1g} of their spread"
    if not apart <= ROUNDING.get(model.dtype, 0):
        return HowRead(0, f"{differ}, more than rounding")
    return HowRead(min(end, max(map(len, some))), f"{differ} on the first prompts, up to the longest of them")


def longest_together(config: Any) -> int:
    """Tokens up to which a prompt is read the same whatever its neighbours' lengths are.

    Beyond, Llama 4 attends in chunks, and positions that are scaled by the longest prompt (longrope, dynamic)
    change for all of a pass.
    """
    ropes = getattr(config, "rope_parameters", None) or {}
    ropes = [ropes] if "rope_type" in ropes else [r for r in ropes.values() if isinstance(r, dict)]
    limits = [getattr(config, "attention_chunk_size", None)]
    for rope in ropes:
        if rope.get("rope_type") == "longrope":
            limits.append(rope.get("original_max_position_embeddings"))
        if rope.get("rope_type") == "dynamic":
            limits.append(config.max_position_embeddings)
    return min((n for n in limits if n), default=WITHOUT_END)


def _other_than_attention(model: LanguageModel) -> str:
    """What its layers say to mix positions by, beside attention."""
    others = set(getattr(model.config, "layer_types", None) or ()) - ATTENTION
    if any(isinstance(m, torch.nn.Conv1d) for m in model.layers.modules()):
        others.add("convolution")
    return ", ".join(sorted(o.replace("_", " ") for o in others))


def _sample(ordered: Sequence[list[int]]) -> list[list[int]]:
    """A few prompts that share beginnings, the longest, and each of these cut short: a pack of neighbours."""
    some = [*ordered[:COMPARED], max(ordered, key=len)]
    return [*(ids[: max(1, len(ids) * 2 // 3)] for ids in some), *some]


def _refuse_what_is_not_read_so(model: LanguageModel, ids: list[int]) -> None:
    """A model that reads in both directions, or whose layers hand on no hidden state, gives other numbers."""
    with torch.inference_mode():
        before, after = _logits(model, ids, 1)[0], _logits(model, [*ids, ids[0]], 2)[0]
        if _apart(*(x.float().cpu().numpy() for x in (before, after))) > 3 * ROUNDING.get(model.dtype, 0.03):
            raise ValueError("what follows a text changes what it says of it: it reads in both directions")
        seen, device = Seen(model, [1]), first_device(model)
        seen.tokens, seen.last = len(ids), torch.tensor([len(ids) - 1], device=device)
        with seen.watching(narrowed=False):
            states = model.network(
                input_ids=placed([ids], device), use_cache=False, output_hidden_states=True
            ).hidden_states
        if not any(torch.equal(seen.states[1], x[0, seen.last.to(x.device)]) for x in states[:3]):
            raise ValueError("what its first layer hands on is none of its hidden states")


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Root mean square of the difference of two (v,) of log-probabilities, in parts of the first's spread."""
    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both].astype(float), other[both].astype(float)
    difference = (one - other) - (one - other).mean()
    return float(np.sqrt((difference**2).mean()) / (one.std() + 1e-12))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
