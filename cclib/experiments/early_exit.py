"""A pass that ends where P(IK) says escalate: the layers above the probe's run on the rest alone.

P(IK) is read at a layer below the top. A question that it sends on needs nothing from the layers above, nor
from the vocabulary, so its tokens leave the pack there. What stays is computed as if the others had
never been there: tails of a pack do not see each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cclib.cascades import passes
from cclib.confidence.attention import packed
from cclib.confidence.forward import PACK_TOKENS, encode_questions
from cclib.confidence.p_ik import PIK
from cclib.confidence.packing import Group, make_packs
from cclib.models.local import LanguageModel
from cclib.questions import Question


@dataclass(frozen=True)
class Exit:
    """What one pack's pass gave, m questions of which s stayed to its end."""

    index: list[int]  # (m,) which prompts
    p_ik: np.ndarray  # (m,)
    stayed: np.ndarray  # (s,) places in `index`
    log_probs: np.ndarray  # (s, v)
    tokens: int  # that the lower layers ran on
    tokens_above: int  # that the layers above the probe's ran on
    seconds: float


class _NobodyStays(Exception):
    """Ends a forward pass that no question needs any more."""


def read_leaving(
    model: LanguageModel,
    encoded: Sequence[Sequence[int]],
    probe: PIK,
    threshold: float,
    budget: int | None = None,
) -> Iterator[Exit]:
    """Run prompts pack by pack; those whose P(IK) is under the threshold leave after the probe's layer."""
    network = model.network
    attending = ExitStack()
    attending.enter_context(packed(network))
    state: dict[str, Any] = {}

    def decide(_module: Any, _inputs: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output  # (1, t, d)
        pack = state["pack"]
        last = torch.tensor(pack.last, device=hidden.device)
        # float16 as in a recorded trace, so that both come to the same decision
        seen = hidden[0, last].clamp(-65504, 65504).to(torch.float16).cpu().float().numpy()
        state["p_ik"] = probe.probability(seen)
        state["stayed"] = np.flatnonzero(passes(state["p_ik"], threshold))
        if not len(state["stayed"]):
            raise _NobodyStays
        groups, kept = remaining(pack.groups, set(state["stayed"].tolist()))
        state["groups"] = groups
        state["kept"] = torch.tensor(kept, device=hidden.device)
        hidden = hidden[:, state["kept"]]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def narrow(_module: Any, inputs: Any, options: dict[str, Any]) -> Any:
        kept = state["kept"].to(options["position_ids"].device)
        cos, sin = options["position_embeddings"]
        options = options | {
            "groups": state["groups"],
            "position_ids": options["position_ids"][:, kept],
            "position_embeddings": (cos[:, kept], sin[:, kept]),
        }
        return inputs, options

    def last_only(_module: Any, inputs: Any) -> Any:
        ends = [start + length - 1 for g in state["groups"] for start, length in g.tails]
        return (inputs[0][:, ends],)

    handles = [model.layers[probe.layer - 1].register_forward_hook(decide)]
    handles += [m.register_forward_pre_hook(narrow, with_kwargs=True) for m in model.layers[probe.layer :]]
    handles.append(network.get_output_embeddings().register_forward_pre_hook(last_only))
    try:
        for pack in make_packs(encoded, budget or PACK_TOKENS.get(model.device.split(":")[0], 4096)):
            began = time.perf_counter()
            state["pack"] = pack
            device = network.get_input_embeddings().weight.device
            try:
                with torch.inference_mode():
                    logits = network(
                        input_ids=torch.tensor([pack.tokens], device=device),  # (1, t)
                        position_ids=torch.tensor([pack.positions], device=device),
                        use_cache=False,
                        groups=pack.groups,
                    ).logits[0]  # (s, v)
                log_probs, above = logits.float().log_softmax(-1).cpu().numpy(), len(state["kept"])
            except _NobodyStays:
                log_probs, above = np.empty((0, 0)), 0
            seconds = time.perf_counter() - began
            yield Exit(
                pack.index, state["p_ik"], state["stayed"], log_probs, len(pack.tokens), above, seconds
            )
    finally:
        attending.close()
        for handle in handles:
            handle.remove()


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
    letters = {
        c: model.option_tokens(prompt, c)
        for c, prompt in {len(q.choices): q.prompt for q in questions}.items()
    }
    rows: list[dict[str, Any]] = [{}] * len(questions)
    ran = whole = 0
    for done in read_leaving(model, encode_questions(model, questions), probe, threshold):
        for place, i in enumerate(done.index):
            rows[i] = {"p_ik": float(done.p_ik[place]), "p_t": None, "prediction": None}
        for place, log_probs in zip(done.stayed, done.log_probs):
            i = done.index[place]
            probs = np.exp(log_probs[letters[len(questions[i].choices)]].astype(float))  # (c,)
            rows[i] |= {"p_t": float(probs.max()), "prediction": int(probs.argmax())}
        ran += done.tokens * probe.layer + done.tokens_above * (model.n_layers - probe.layer)
        whole += done.tokens * model.n_layers
    return rows, 1 - ran / whole if whole else 0.0
