"""A pass that ends where P(IK) says escalate: the layers above the probe's run on the rest alone.

P(IK) is read at a layer below the top. A question that it sends on needs nothing from the layers above, nor
from the vocabulary, so its tokens leave the pack there. What stays is computed as if the others had
never been there: tails of a pack do not see each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cclib.cascades import passes
from cclib.confidence.attention import Layout, packed, placed
from cclib.confidence.forward import (
    Stopwatch,
    encode_questions,
    first_device,
    float32_head,
    hand_back,
    log_probs_of,
    pack_tokens,
    to_run,
)
from cclib.confidence.p_ik import PIK
from cclib.confidence.p_t import letter_tokens
from cclib.confidence.packing import Group, Pack, make_packs
from cclib.confidence.reading import how_read, refuse_no_numbers
from cclib.models.local import LanguageModel
from cclib.questions import Question


@dataclass(frozen=True)
class Exit:
    """What one pack's pass gave, m questions of which s stayed to its end."""

    index: list[int]  # (m,) which prompts
    p_ik: np.ndarray  # (m,)
    stayed: np.ndarray  # (s,) places in `index`
    log_probs: np.ndarray  # (s, w) of the wanted tokens
    tokens: int  # that the lower layers ran on
    tokens_above: int  # that the layers above the probe's ran on
    seconds: float


class _NobodyStays(Exception):
    """Ends a forward pass that no question needs any more."""


class _Leaving:
    """Hooks of one pass over a pack: after the probe's layer it goes on as a smaller pack."""

    pack: Pack
    p_ik: np.ndarray  # (m,)
    stayed: np.ndarray  # (s,)
    above: int  # tokens that go on
    kept: torch.Tensor  # their places, and some more to fill up where packs are filled
    last: torch.Tensor  # (s,) ends of the prompts among them, or more where the last one is repeated
    layout: Layout

    def __init__(self, model: LanguageModel, probe: PIK, threshold: float) -> None:
        self.model, self.probe, self.threshold = model, probe, threshold

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Inside, passes leave so; afterwards the network is as it was."""
        network, layers, at = self.model.network, self.model.layers, self.probe.layer
        handles = [layers[at - 1].register_forward_hook(self.decide)]
        handles += [m.register_forward_pre_hook(self.narrow, with_kwargs=True) for m in layers[at:]]
        handles.append(network.get_output_embeddings().register_forward_pre_hook(self.last_only))
        with ExitStack() as during:
            for handle in handles:
                during.callback(handle.remove)
            during.enter_context(packed(network))
            during.enter_context(float32_head(network))
            yield

    def decide(self, _module: Any, _inputs: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output  # (1, t, d)
        last = placed(self.pack.last, hidden.device)
        # float16 as in a recorded trace, so that both come to the same decision
        seen = hidden[0, last].clamp(-65504, 65504).to(torch.float16).cpu().float().numpy()
        self.p_ik = self.probe.probability(seen)
        self.stayed = np.flatnonzero(passes(self.p_ik, self.threshold))
        if not len(self.stayed):
            raise _NobodyStays
        groups, kept = remaining(self.pack.groups, set(self.stayed.tolist()))
        self.above = len(kept)
        left, last = to_run(self.model, replace(self.pack, tokens=kept, positions=kept, groups=groups))
        self.kept, self.last = placed(left.tokens, hidden.device), placed(last, hidden.device)
        self.layout = Layout(left.groups)
        hidden = hidden[:, self.kept]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def narrow(self, _module: Any, inputs: Any, options: dict[str, Any]) -> Any:
        if "position_embeddings" not in options:
            raise ValueError(
                f"{self.model.name}: its {self.model.config.model_type} layers are not told where tokens "
                "stand, so prompts cannot leave between them"
            )
        cos, sin = options["position_embeddings"]
        places = options["position_ids"]
        return inputs, options | {
            "layout": self.layout,
            "position_ids": places[:, self.kept.to(places.device)],
            "position_embeddings": tuple(x[:, self.kept.to(x.device)] for x in (cos, sin)),
        }

    def last_only(self, _module: Any, inputs: Any) -> Any:
        return (inputs[0][:, self.last.to(inputs[0].device)],)


def read_leaving(
    model: LanguageModel,
    encoded: Sequence[Sequence[int]],
    probe: PIK,
    threshold: float,
    wanted: Sequence[int],
    budget: int | None = None,
) -> Iterator[Exit]:
    """Run prompts pack by pack; those whose P(IK) is under the threshold leave after the probe's layer.

    Args:
        encoded: n prompts as token lists.
        wanted: w tokens whose probabilities are read of those that stay.
        budget: tokens in one pass; the default suits the device.

    Raises:
        ValueError: this model is not read in packs.
    """
    device = first_device(model)
    tokens = placed(np.asarray(wanted, np.int64), device)
    how = how_read(model, encoded)
    if max(map(len, encoded), default=0) > how.together:
        raise ValueError(f"{model.name}: it is not read in packs, which prompts leave: {how.why}")
    leaving = _Leaving(model, probe, threshold)
    for pack in make_packs(encoded, budget or pack_tokens(model)):
        watch = Stopwatch(device)
        leaving.pack = pack
        whole, _ = to_run(model, pack)
        try:
            with torch.inference_mode(), leaving.attached():
                logits = model.network(
                    input_ids=placed([whole.tokens], device),  # (1, t)
                    position_ids=placed([whole.positions], device),
                    use_cache=False,
                    layout=Layout(whole.groups),
                ).logits[0]  # (s, v)
                log_probs = log_probs_of(logits, tokens)[0][: len(leaving.stayed)].cpu().numpy()
            above = leaving.above
        except _NobodyStays:
            log_probs, above = np.empty((0, len(wanted))), 0
        refuse_no_numbers(model, leaving.p_ik, log_probs)
        watch.mark(1)
        seconds = watch.seconds()
        hand_back(model, seconds)
        yield Exit(pack.index, leaving.p_ik, leaving.stayed, log_probs, len(pack.tokens), above, seconds)


def remaining(groups: Sequence[Group], stayed: set[int]) -> tuple[list[Group], list[int]]:
    """The groups of the tails that stay, laid out without the rest, and the (t,) positions they keep."""
    out: list[Group] = []
    kept: list[int] = []
    place = 0
    for group in groups:
        tails = [t for j, t in enumerate(group.tails, place) if j in stayed]
        place += len(group.tails)
        if not tails:
            continue
        moved = []
        head = (len(kept), group.head[1])
        kept += range(group.head[0], sum(group.head))
        for start, length in tails:
            moved.append((len(kept), length))
            kept += range(start, start + length)
        out.append(Group(head, moved))
    return out, kept


def answer_leaving(
    model: LanguageModel, questions: Sequence[Question], probe: PIK, threshold: float
) -> tuple[list[dict[str, Any]], float]:
    """Answers of the questions that P(IK) lets stay.

    Returns:
        n rows in the order of the questions: p_ik, and where it is at the threshold or above, p_t and
        prediction (None elsewhere); and the share of the tokens times layers that was not run.
    """
    tokens, places = letter_tokens(model, questions)
    rows: list[dict[str, Any]] = [{}] * len(questions)
    ran = whole = 0
    for done in read_leaving(model, encode_questions(model, questions), probe, threshold, tokens):
        for place, i in enumerate(done.index):
            rows[i] = {"p_ik": float(done.p_ik[place]), "p_t": None, "prediction": None}
        for place, log_probs in zip(done.stayed, done.log_probs):
            i = done.index[place]
            some = places[len(questions[i].choices)]
            probs = np.exp(log_probs[some].astype(float))  # (c,)
            rows[i] |= {"p_t": float(probs.max()), "prediction": int(probs.argmax())}
        ran += done.tokens * probe.layer + done.tokens_above * (model.n_layers - probe.layer)
        whole += done.tokens * model.n_layers
    return rows, 1 - ran / whole if whole else 0.0
