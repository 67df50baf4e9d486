"""One forward pass a question: its answer, P(T), the option probabilities and a hidden state."""

from __future__ import annotations

import ctypes
import sys
import time
from array import array
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cclib.confidence.attention import packed
from cclib.confidence.packing import filled, packs_to_run
from cclib.models.local import LanguageModel, check_layer, default_layer  # noqa: F401
from cclib.questions import Question

# Tokens in one forward pass: enough to fill the matrix units, small enough for the caches.
PACK_TOKENS = {"cpu": 2048, "cuda": 16384}
ENCODE_ROWS = 1024
# Below float32 a CPU makes and keeps a kernel of its own, up to a megabyte, for each number of rows that a
# layer is given: few different numbers of tokens in a pack, and of prompts, keep them few.
TOKENS_APART, PROMPTS_APART = 32, 8
# glibc keeps what a pass has freed, in pieces that the next, of another size, does not fit. Handing it back
# takes some 20 ms, which a long pass can spare. Other C libraries have no such call.
LONG_PASS_SECONDS = 0.5
_hand_back = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Reading:
    """What one pack's forward pass gave, m questions."""

    index: list[int]
    log_probs: np.ndarray  # (m, v) over the vocabulary, at each prompt's last position
    hidden: np.ndarray | None  # (m, d) float16; (m, l, d) where several layers were asked for
    prompt_tokens: list[int]
    seconds: float


class _Seen:
    """Hooks of one pass over a pack, whose prompts end at the positions `last`."""

    last: torch.Tensor  # (m,), or more where the last one is repeated
    tokens: int  # t of the pack

    def __init__(self) -> None:
        self.states: dict[int, torch.Tensor] = {}  # layer: (m, d)

    def capture(self, layer: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output  # (1, t, d)
            self.states[layer] = states[0, self.last.to(states.device)]

        return hook

    def narrow(self, _module: Any, inputs: Any) -> Any:
        return (inputs[0][:, self.last.to(inputs[0].device)],)

    def widen(self, _module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        whole = output.new_zeros(1, self.tokens, output.shape[-1])
        return whole.index_copy_(1, self.last.to(output.device), output)


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
    wanted = [layer] if isinstance(layer, int) else list(layer or ())
    seen = _Seen()
    handles = [model.layers[at - 1].register_forward_hook(seen.capture(at)) for at in wanted]
    top = getattr(model.layers[-1], "mlp", None)
    if type(top).__name__.endswith("MLP"):  # nothing reads its other positions; experts may mix them
        handles += [top.register_forward_pre_hook(seen.narrow), top.register_forward_hook(seen.widen)]
    attending = ExitStack()
    attending.enter_context(packed(network))
    try:
        for pack in packs_to_run(encoded, skip, budget or PACK_TOKENS.get(model.device.split(":")[0], 4096)):
            began = time.perf_counter()
            last, m = pack.last, len(pack.last)
            if model.device == "cpu" and model.dtype != "float32":
                pack, last = filled(pack, TOKENS_APART), last + last[-1:] * (-m % PROMPTS_APART)
            device = network.get_input_embeddings().weight.device
            seen.tokens, seen.last = len(pack.tokens), torch.tensor(last, device=device)
            with torch.inference_mode():
                logits = network(
                    input_ids=torch.tensor([pack.tokens], device=device),  # (1, t)
                    position_ids=torch.tensor([pack.positions], device=device),
                    logits_to_keep=seen.last,
                    use_cache=False,
                    groups=pack.groups,
                ).logits[0, :m]  # (m, v)
                log_probs = logits.float().log_softmax(-1).cpu().numpy()
            hidden = None
            if wanted:  # a few models have single activations beyond float16
                states = [seen.states[at][:m].cpu().clamp(-65504, 65504).to(torch.float16) for at in wanted]
                hidden = (states[0] if isinstance(layer, int) else torch.stack(states, 1)).numpy()
            seconds = time.perf_counter() - began
            if _hand_back and model.device == "cpu" and seconds > LONG_PASS_SECONDS:
                _hand_back(0)
            yield Reading(pack.index, log_probs, hidden, pack.lengths, seconds)
    finally:
        attending.close()
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
