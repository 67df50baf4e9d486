"""Written answers: what a model writes after prompts, greedily, as samples, or token by token with others.

Batches are as large as the device takes. A prompt is read once, whatever is wanted of it: what its last
position says (probabilities, a hidden state) comes from the same pass that the continuation starts from.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cclib.confidence.attention import placed
from cclib.confidence.batching import Batch, batches, end_tokens, padded
from cclib.confidence.forward import Stopwatch, first_device, float32_head, log_probs_of
from cclib.confidence.reading import refuse_no_numbers
from cclib.models.local import LanguageModel
from cclib.prompts import NEW_TOKENS

AT_A_TIME = 8  # greedy tokens; the rows that have ended then are left out


@dataclass(frozen=True)
class Written:
    """What a model wrote after n prompts, and what the end of each prompt said of it."""

    responses: list[tuple[str, int]]  # n first lines, and the tokens that they have
    log_probs: np.ndarray  # (n, w) of the wanted tokens, right after the prompt
    greatest: np.ndarray  # (n,) log-probability of the likeliest token there
    hidden: np.ndarray | None  # (n, d) float16 at the prompt's last position
    seconds: float


@dataclass
class _Steps:
    """Hooks that note what each step says, and what the first one says of the prompts."""

    wanted: torch.Tensor
    first: Sequence[torch.Tensor] = ()  # (r, w) and (r,), after the prompts
    hidden: torch.Tensor | None = None  # (r, d) float16
    said: list[torch.Tensor] | None = None  # (r,) log-probability of each step's token, where a list is given
    _next: torch.Tensor | None = None  # (r, v) of the token to come

    def see_layer(self, _module: Any, _inputs: Any, output: Any) -> None:
        if self.hidden is None:
            states = (output[0] if isinstance(output, tuple | list) else output)[:, -1]  # (r, d)
            self.hidden = states.clamp(-65504, 65504).to(torch.float16)

    def see_step(self, _module: Any, _inputs: Any, given: dict[str, Any], output: Any) -> None:
        if not self.first:
            self.first = log_probs_of(output.logits[:, -1], self.wanted)
        elif self.said is not None:
            self.see_token(given["input_ids"][:, -1])
        if self.said is not None:
            self._next = output.logits[:, -1].float().log_softmax(-1)

    def see_token(self, token: torch.Tensor) -> None:
        self.said.append(self._next.gather(1, token[:, None].to(self._next.device))[:, 0])


def continuations(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    samples: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[list[list[int]]]:
    """Tokens that follow each prompt, up to the end token: one greedy list, or as many as `samples`.

    A greedy list grows a few tokens at a time, since a batch goes on until its last row has ended.
    """
    if samples:
        return continue_prompts(model, prompts, new_tokens, samples, temperature, seed)[0]
    out, left = [[[]] for _ in prompts], list(range(len(prompts)))
    for start in range(0, new_tokens, AT_A_TIME):
        more = min(AT_A_TIME, new_tokens - start)
        wrote, _ = continue_prompts(model, [[*prompts[i], *out[i][0]] for i in left], more)
        for i, (tokens,) in zip(left, wrote):
            out[i][0] += tokens
        left = [i for i, (tokens,) in zip(left, wrote) if len(tokens) == more]
    return out


def continue_prompts(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    samples: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> tuple[list[list[list[int]]], np.ndarray]:
    """As `continuations`, and (n, k) their log-probabilities; an empty one has that of the end token."""
    k, stop = samples or 1, end_tokens(model)
    out: list[list[list[int]]] = [[] for _ in prompts]
    log_probs = np.zeros((len(prompts), k))
    device = first_device(model)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for rows in batches(model, prompts, new_tokens, k):
            batch = padded(model, prompts, rows)
            steps = _Steps(placed(np.zeros(0, np.int64), device), said=[])
            made = _generate(model, batch, new_tokens, steps, samples, temperature)  # (r k, t)
            said = torch.stack(steps.said, 1).double().cpu().numpy()  # (r k, t)
            for row, (ids, p) in enumerate(zip(made.tolist(), said)):
                cut = next((j for j, t in enumerate(ids) if t in stop), len(ids))
                i, j = rows[row // k], row % k
                out[i].append(ids[:cut])
                log_probs[i, j] = p[: max(1, cut)].sum()
    return out, log_probs


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    layer: int | None = None,
    wanted: Sequence[int] = (),
    skip: Container[int] = (),
) -> Iterator[tuple[list[int], Written]]:
    """Greedy continuations up to the first line break, batch by batch of like length.

    Args:
        prompts: n token lists.
        layer: 1-based layer of the hidden state; None reads none.
        wanted: w tokens whose probabilities right after the prompt are read.
        skip: prompts that need not run; a batch of such alone does not.

    Returns:
        Which prompts a batch holds, and what was written. Batches depend on nothing but the prompts' lengths
        and the device.
    """
    stop, device = set(end_tokens(model)), first_device(model)
    for index in batches(model, prompts, NEW_TOKENS):
        if all(i in skip for i in index):
            continue
        batch = padded(model, prompts, index)
        watch = Stopwatch(device)
        steps = _Steps(placed(np.asarray(wanted, np.int64), device))
        made = _generate(model, batch, NEW_TOKENS, steps, layer=layer)
        watch.mark(1)
        log_probs, greatest = (x.cpu().numpy() for x in steps.first)
        hidden = None if steps.hidden is None else steps.hidden.cpu().numpy()
        refuse_no_numbers(model, log_probs, greatest, hidden)
        rows = [ids[: next((j for j, t in enumerate(ids) if t in stop), len(ids))] for ids in made.tolist()]
        responses = []
        for ids, text in zip(rows, model.tokenizer.batch_decode(rows, skip_special_tokens=True)):
            line = text.strip().splitlines()[0] if text.strip() else ""
            n_tokens = len(ids) if line == text.strip() else len(model.encode(line))
            responses.append((line, max(1, n_tokens)))
        yield index, Written(responses, log_probs, greatest, hidden, watch.seconds())


def score_answers(
    model: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Log-probabilities of each answer's (t,) tokens after its prompt, and (t,) entropies there, in nats."""
    whole = [[*prompt, *answer] for prompt, answer in zip(prompts, answers)]
    out: list[Any] = [None] * len(whole)
    for rows in batches(model, whole, 0, read=max(map(len, answers))):
        batch, longest = padded(model, whole, rows), max(len(answers[i]) for i in rows)
        with torch.inference_mode(), float32_head(model.network):
            logits = model.network(
                input_ids=batch.tokens,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                use_cache=False,
                logits_to_keep=longest + 1,
            ).logits[:, :-1]  # (r, longest, v)
            said = logits.float().log_softmax(-1)
            chosen = said.gather(2, batch.tokens[:, -longest:, None].to(said.device))[..., 0]
            spread = -(said.exp() * said.clamp_min(-1e4)).sum(-1)
            chosen, spread = (x.double().cpu().numpy() for x in (chosen, spread))
        refuse_no_numbers(model, chosen)
        for row, i in enumerate(rows):
            out[i] = tuple(x[row, longest - len(answers[i]) :] for x in (chosen, spread))
    return out


class Growing:
    """A batch of texts that grow by a token at a time; what was read of them is kept as keys and values."""

    def __init__(self, model: LanguageModel, texts: Sequence[Sequence[int]]) -> None:
        self.model = model
        batch = padded(model, texts, range(len(texts)))
        self.tokens, self.mask = batch.tokens, batch.mask  # (r, width) both
        self.kept: Any = None  # transformers' cache of the first `read` columns
        self.read = 0

    def next_logits(self) -> torch.Tensor:
        """(r, v) float32 logits of the token that follows each text."""
        new = slice(self.read if self.kept is not None else 0, None)
        with torch.inference_mode(), float32_head(self.model.network):
            out = self.model.network(
                input_ids=self.tokens[:, new],
                attention_mask=self.mask,
                position_ids=Batch(self.tokens, self.mask).positions[:, new],
                past_key_values=self.kept,
                use_cache=True,
                logits_to_keep=1,
            )
        self.kept, self.read = getattr(out, "past_key_values", None), self.tokens.shape[1]
        return out.logits[:, -1].float()

    def append(self, token: np.ndarray, rows: np.ndarray) -> None:
        """One more token of each text, (r,); then go on with some of them alone."""
        column, kept = placed(token, self.tokens.device), placed(rows, self.tokens.device)
        self.tokens = torch.cat([self.tokens, column[:, None]], 1)[kept]
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], 1)[kept]
        if self.kept is not None and len(kept) < len(column):
            self.kept.batch_select_indices(kept)


def _generate(
    model: LanguageModel,
    batch: Batch,
    new_tokens: int,
    steps: _Steps,
    samples: int | None = None,
    temperature: float = 1.0,
    layer: int | None = None,
) -> torch.Tensor:
    """(r, t) tokens that follow the batch's prompts; (r k, t) where k samples of each are drawn."""
    network, (tokens, mask) = model.network, (batch.tokens, batch.mask)
    how: dict[str, Any] = {"do_sample": False}
    if samples:  # the model's own distribution
        how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    with ExitStack() as during:
        during.enter_context(torch.inference_mode())
        during.enter_context(float32_head(network))
        if samples:
            how["past_key_values"] = _read_once(network, batch, samples)
            tokens, mask = (x.repeat_interleave(samples, 0) for x in (tokens, mask))
        during.callback(network.register_forward_hook(steps.see_step, with_kwargs=True).remove)
        if layer is not None:
            during.callback(model.layers[layer - 1].register_forward_hook(steps.see_layer).remove)
        pad = next(iter(end_tokens(model)), 0)
        made = network.generate(
            tokens, attention_mask=mask, max_new_tokens=new_tokens, pad_token_id=pad, **how
        )[:, tokens.shape[1] :]
        if (
            steps.said is not None and len(steps.said) < made.shape[1]
        ):  # a GPU may have looked one step further than it needed
            steps.see_token(made[:, -1])
    return made


def _read_once(network: Any, batch: Batch, copies: int) -> Any:
    """Keys and values of all columns but the last, for several continuations of each prompt.

    None where a network keeps something else, which cannot be copied; it then reads its prompts anew.
    """
    if batch.tokens.shape[1] < 2:
        return None
    kept = network(
        input_ids=batch.tokens[:, :-1],
        attention_mask=batch.mask[:, :-1],
        position_ids=batch.positions[:, :-1],
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    if not all(hasattr(part, "keys") for part in getattr(kept, "layers", [None])):
        return None
    kept.batch_repeat_interleave(copies)
    return kept
