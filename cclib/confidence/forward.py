"""One forward pass a question: its answer, P(T), the option probabilities and a hidden state."""

from __future__ import annotations

import ctypes
import sys
import time
from array import array
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cclib.confidence.attention import Layout, packed, placed
from cclib.confidence.packing import Pack, filled, packs_to_run
from cclib.models.local import LanguageModel, check_layer, default_layer  # noqa: F401
from cclib.questions import Question

# Tokens in one forward pass: enough to fill the matrix units, small enough for the caches.
PACK_TOKENS = {"cpu": 2048, "cuda": 16384}
ENCODE_ROWS = 1024
HEAD_ROWS = 16384  # of the vocabulary that are turned to float32 at a time
HEAD_KEPT = 2**25  # numbers in all up to which they stay so while packs are read: 128 MiB
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
    log_probs: np.ndarray  # (m, w) of the wanted tokens, at each prompt's last position
    greatest: np.ndarray  # (m,) log-probability of the likeliest token of all
    hidden: np.ndarray | None  # (m, d) float16; (m, l, d) where several layers were asked for
    prompt_tokens: list[int]
    seconds: float


class Stopwatch:
    """Seconds of one pass. A GPU takes its own time, and is waited for only where that is asked for."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
        self.marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device.type == "cuda" else []
        self.began = time.perf_counter()
        self.mark(0)

    def mark(self, which: int) -> None:
        if self.marks:
            self.marks[which].record(self.stream)

    def seconds(self) -> float:
        """Since it was made; on a GPU, until the second mark, once that is reached."""
        if not self.marks:
            return time.perf_counter() - self.began
        self.marks[1].synchronize()
        return self.marks[0].elapsed_time(self.marks[1]) / 1000


class Seen:
    """What the hooks of one pass see of it: hidden states, where its prompts end at the positions `last`."""

    last: torch.Tensor  # (m,), or more where the last one is repeated
    tokens: int  # t of the pass

    def __init__(self, model: LanguageModel, layers: Sequence[int]) -> None:
        self.model, self.layers = model, layers
        self.states: dict[int, torch.Tensor] = {}  # layer: (m, d)

    @contextmanager
    def watching(self, narrowed: bool = True) -> Iterator[None]:
        """Inside, passes leave their states here; the top layer's MLP runs on the last positions alone."""
        layers = self.model.layers
        handles = [layers[at - 1].register_forward_hook(self.capture(at)) for at in self.layers]
        top = getattr(layers[-1], "mlp", None)
        if narrowed and type(top).__name__.endswith("MLP"):  # nobody reads its others; experts may mix them
            handles += [top.register_forward_pre_hook(self.narrow), top.register_forward_hook(self.widen)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def capture(self, layer: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple | list) else output  # (1, t, d)
            if states.shape != (1, self.tokens, self.model.d_model):
                raise ValueError(
                    f"{self.model.name}: layer {layer} of {self.model.config.model_type} hands on numbers of "
                    f"shape {tuple(states.shape)}, not {(1, self.tokens, self.model.d_model)}, so it has no "
                    "hidden state for P(IK); such a model cannot be used"
                )
            self.states[layer] = states[0, self.last.to(states.device)]

        return hook

    def narrow(self, _module: Any, inputs: Any) -> Any:
        return (inputs[0][:, self.last.to(inputs[0].device)],)

    def widen(self, _module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        whole = output.new_zeros(1, self.tokens, output.shape[-1])
        return whole.index_copy_(1, self.last.to(output.device), output)

    def found(self, logits: torch.Tensor, wanted: torch.Tensor) -> list[torch.Tensor]:
        """Of m prompts' (m, v) logits and the states: (m, w) and (m,) log-probabilities, (m, d) a layer."""
        m = len(logits)
        # a few models have single activations beyond float16
        states = [self.states[at][:m].clamp(-65504, 65504).to(torch.float16) for at in self.layers]
        return [*log_probs_of(logits, wanted), *states]


@contextmanager
def float32_head(network: Any) -> Iterator[None]:
    """Inside, the vocabulary's product is one of float32, whatever the weights are kept in.

    In bfloat16 it would round the likeliest options' logits to the same number every few questions. The
    network's own steps after it (a scale, a cap) follow in float32 too.
    """
    head = network.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.dtype not in (torch.bfloat16, torch.float16):
        yield
        return

    kept: dict[int, torch.Tensor] = {}

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.float()
        logits = hidden.new_empty(*hidden.shape[:-1], head.out_features)
        for start in range(0, head.out_features, HEAD_ROWS):  # a copy of all weights could be gigabytes
            rows = slice(start, start + HEAD_ROWS)
            weight = kept[start] if start in kept else head.weight[rows].float()
            if head.weight.numel() <= HEAD_KEPT:
                kept[start] = weight
            bias = None if head.bias is None else head.bias[rows].float()
            logits[..., rows] = torch.nn.functional.linear(hidden, weight, bias)
        return logits

    # accelerate keeps a module's own way aside, and brings weights and inputs together before it
    place = "_old_forward" if hasattr(head, "_old_forward") else "forward"
    before = vars(head).get(place)
    setattr(head, place, forward)
    try:
        yield
    finally:
        delattr(head, place) if before is None else setattr(head, place, before)


def log_probs_of(logits: torch.Tensor, wanted: torch.Tensor) -> list[torch.Tensor]:
    """(m, w) log-probabilities of the (w,) wanted tokens and (m,) the greatest, of (m, v) logits."""
    wanted = wanted.to(logits.device)
    some = []
    for rows in logits.split(64):  # 64 x v numbers more, not m x v
        all_of = rows.float().log_softmax(-1)
        some.append((all_of.index_select(1, wanted), all_of.amax(-1)))
    return [torch.cat(parts) for parts in zip(*some)]


def first_device(model: LanguageModel) -> torch.device:
    """Where tokens go in: the device, or the first of those that a model is spread over."""
    return model.network.get_input_embeddings().weight.device


def pack_tokens(model: LanguageModel) -> int:
    """Tokens of one pass that suit the model's device."""
    return PACK_TOKENS.get(model.device.split(":")[0], 4096)


def to_run(model: LanguageModel, pack: Pack) -> tuple[Pack, list[int]]:
    """The pack as it runs and where its prompts end: on a CPU below float32 both of a few lengths."""
    last = pack.last
    if model.device == "cpu" and model.dtype != "float32":
        return filled(pack, TOKENS_APART), last + last[-1:] * (-len(last) % PROMPTS_APART)
    return pack, last


def hand_back(model: LanguageModel, seconds: float) -> None:
    """After a long pass on a CPU, what it has freed."""
    if _hand_back and model.device == "cpu" and seconds > LONG_PASS_SECONDS:
        _hand_back(0)


def read_packs(
    model: LanguageModel,
    encoded: Sequence[Sequence[int]],
    layer: int | Sequence[int] | None,
    budget: int | None = None,
    skip: Collection[int] = (),
    wanted: Sequence[int] = (),
) -> Iterator[Reading]:
    """Run the prompts pack by pack; only the last position of each prompt meets the vocabulary.

    A GPU is sent a pack while it computes the one before, and waited for only where a pack's few numbers
    are due.

    Args:
        encoded: n prompts as token lists.
        layer: 1-based layer, or layers, after which the hidden state is read; None reads none.
        budget: tokens in one pass; the default suits the device.
        skip: prompts that need not run.
        wanted: w tokens whose probabilities are read.
    """
    device = first_device(model)
    layers = [layer] if isinstance(layer, int) else list(layer or ())
    tokens = placed(np.asarray(wanted, np.int64), device)
    seen = Seen(model, layers)

    def send(pack: Pack) -> tuple[Pack, Stopwatch, list[torch.Tensor]]:
        watch, m = Stopwatch(device), len(pack.index)
        whole, last = to_run(model, pack)
        seen.tokens, seen.last = len(whole.tokens), placed(last, device)
        # as it was before after each pass: what has begun to be read may never be read to its end
        network = model.network
        with torch.inference_mode(), packed(network), float32_head(network), seen.watching():
            logits = network(
                input_ids=placed([whole.tokens], device),  # (1, t)
                position_ids=placed([whole.positions], device),
                logits_to_keep=seen.last,
                use_cache=False,
                layout=Layout(whole.groups),
            ).logits[0, :m]  # (m, v)
            found = seen.found(logits, tokens)
            found = [x.to(device).to("cpu", non_blocking=device.type == "cuda") for x in found]
        watch.mark(1)
        return pack, watch, found

    def receive(pack: Pack, watch: Stopwatch, found: list[torch.Tensor]) -> Reading:
        seconds = watch.seconds()
        log_probs, greatest, *states = (x.numpy() for x in found)
        hidden = None if not states else states[0] if isinstance(layer, int) else np.stack(states, 1)
        hand_back(model, seconds)
        return Reading(pack.index, log_probs, greatest, hidden, pack.lengths, seconds)

    sent: deque[tuple[Pack, Stopwatch, list[torch.Tensor]]] = deque()
    for pack in packs_to_run(encoded, skip, budget or pack_tokens(model)):
        sent.append(send(pack))
        if len(sent) > (device.type == "cuda"):
            yield receive(*sent.popleft())
    for left in sent:
        yield receive(*left)


def encode_questions(model: LanguageModel, questions: Sequence[Question]) -> list[array[int]]:
    """Tokens of the questions' prompts, a few bytes each: the tokenizer's own results are far larger.

    Raises:
        ValueError: a prompt does not fit the model's context.
    """
    encoded: list[array[int]] = []
    for start in range(0, len(questions), ENCODE_ROWS):
        some = [model.text(q) for q in questions[start : start + ENCODE_ROWS]]
        encoded += (array("i", ids) for ids in model.encode_all(some))
    for question, ids in zip(questions, encoded):
        if len(ids) > model.context_length:
            raise ValueError(
                f"question {question.id} has {len(ids)} tokens with the prompt {model.prompt.name}, and "
                f"{model.name} reads {model.context_length}; leave it out, show fewer examples, or choose a "
                "model with a longer context"
            )
    return encoded
