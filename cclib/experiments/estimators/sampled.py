"""Estimates from several answers: self-consistency, semantic entropy; and from an answer's own tokens.

A one-token answer's samples are draws from the option probabilities that the pass gave. Answers in words
are sampled from the model, all samples of a batch at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cclib.models.local import LanguageModel

SAMPLES, TEMPERATURE = 10, 1.0
BATCH = 128  # sequences that are generated at once
ALIKE = 0.9  # cosine from which two answers in words mean the same; keeps Sudan from South Sudan

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Scored:
    """The tokens of one answer: (t,) log-probabilities of what was said, (t,) entropies, in nats."""

    log_probs: np.ndarray
    entropies: np.ndarray

    @property
    def mean_probability(self) -> float:
        """Geometric mean: exp of the mean log-probability (lm-polygraph's perplexity, the sign turned)."""
        return float(np.exp(self.log_probs.mean()))

    @property
    def sequence_probability(self) -> float:
        return float(np.exp(self.log_probs.sum()))

    @property
    def mean_entropy(self) -> float:
        return float(self.entropies.mean())


def draw_options(option_probs: np.ndarray, k: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """(n, k) sampled options, from (n, c) probabilities (rows are scaled to sum to one; NaN is no option)."""
    p = np.nan_to_num(option_probs, nan=0.0)
    steps = (p / p.sum(1, keepdims=True)).cumsum(1)  # (n, c)
    draws = np.random.default_rng(seed).random((len(p), k, 1))
    return np.minimum((draws > steps[:, None, :]).sum(-1), p.shape[1] - 1)


def agreement(samples: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """(n,) self-consistency: share of the (n, k) samples that say what the (n,) given answers say."""
    return (samples == np.asarray(answer)[:, None]).mean(1)


def semantic_entropy(clusters: np.ndarray, log_probs: np.ndarray | None = None) -> np.ndarray:
    """(n,) entropy over meanings, in nats (Kuhn et al.).

    Args:
        clusters: (n, k) meaning of each sample, as a number.
        log_probs: (n, k) log-probability of each sample. Without them a meaning weighs as many samples as
            it has; with them, the sum of their probabilities, as lm-polygraph's SemanticEntropy has it.
    """
    same = clusters[:, :, None] == clusters[:, None, :]  # (n, k, k)
    if log_probs is None:
        return -np.log(same.mean(2)).mean(1)
    weight = np.where(same, log_probs[:, None, :], -np.inf)
    return -np.logaddexp.reduce(weight, axis=2).mean(1)


def spelling(texts: Sequence[str]) -> np.ndarray:
    """(m, d) unit vectors of texts: hashed counts of their groups of two to four letters."""
    from sklearn.feature_extraction.text import HashingVectorizer

    plain = [f" {t.strip().strip('.').lower()} " for t in texts]
    return (
        HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**12).transform(plain).toarray()
    )


def token_embeddings(model: LanguageModel) -> Embed:
    """(m, d) unit vectors of texts: the mean of the model's own token embeddings.

    The vocabulary's mean and its strongest directions, which all tokens share, are taken out first (Mu and
    Viswanath 2018: d / 100 of them). An embedding model that is always at hand, blind to the words' order.
    """
    table = model.network.get_input_embeddings().weight.detach().float().cpu().numpy()
    table = table - table.mean(0)
    _, directions = np.linalg.eigh(table.T @ table)  # (d, d), the strongest last
    shared = directions[:, -max(1, table.shape[1] // 100) :]
    table = table - (table @ shared) @ shared.T

    def embed(texts: Sequence[str]) -> np.ndarray:
        tokens = [model.tokenizer(f" {t}" if t else t, add_special_tokens=False)["input_ids"] for t in texts]
        vectors = np.stack([table[ids].mean(0) if ids else np.zeros(table.shape[1]) for ids in tokens])
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    return embed


def meanings(answers: Sequence[str], embed: Embed = spelling, alike: float = ALIKE) -> np.ndarray:
    """(k,) a number for the meaning of each answer: that of the first answer which is close enough.

    Args:
        embed: unit vectors of texts: `spelling`, `token_embeddings(model)`, or any embedding model's.
    """
    names = list(dict.fromkeys(answers))
    vectors = embed(names)
    cluster: list[int] = []
    for i in range(len(names)):
        close = [cluster[j] for j in range(i) if vectors[i] @ vectors[j] >= alike]
        cluster.append(close[0] if close else i)
    place = {name: c for name, c in zip(names, cluster)}
    return np.array([place[a] for a in answers])


def continuations(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    samples: int | None = None,
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> list[list[list[int]]]:
    """Tokens that follow each prompt, up to the end token: one greedy list, or as many as `samples`."""
    import torch

    network = model.network
    network.set_attn_implementation("sdpa")
    device = network.get_input_embeddings().weight.device
    end = network.generation_config.eos_token_id
    end = end if end is not None else model.tokenizer.eos_token_id
    stop = set(end) if isinstance(end, list) else {end}
    pad = next(iter(stop)) or 0
    how = {"do_sample": False}
    if samples:
        how = {"do_sample": True, "num_return_sequences": samples, "temperature": temperature}
        how |= {"top_k": 0, "top_p": 1.0}  # the model's own distribution
    out: list[list[list[int]]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    size = max(1, BATCH // (samples or 1))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            width = len(prompts[batch[-1]])
            tokens = torch.full((len(batch), width), pad, device=device)
            mask = torch.zeros_like(tokens)
            for row, i in enumerate(batch):  # padded on the left, so that all go on from the last column
                tokens[row, width - len(prompts[i]) :] = torch.tensor(list(prompts[i]), device=device)
                mask[row, width - len(prompts[i]) :] = 1
            made = network.generate(
                tokens, attention_mask=mask, max_new_tokens=new_tokens, pad_token_id=pad, **how
            )
            for row, ids in enumerate(made[:, width:].tolist()):
                cut = next((j for j, t in enumerate(ids) if t in stop), len(ids))
                out[batch[row // (samples or 1)]].append(ids[:cut])
    return out


def score_tokens(
    model: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[Scored]:
    """What the model thinks of each token of the answers, read in one pass after their prompts.

    Raises:
        ValueError: an answer has no tokens.
    """
    import torch

    if not all(len(a) for a in answers):
        raise ValueError("an answer without tokens cannot be scored; give at least the end token")
    network = model.network
    network.set_attn_implementation("sdpa")
    device = network.get_input_embeddings().weight.device
    out: list[Scored | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(answers[i]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        whole = [[*prompts[i], *answers[i]] for i in batch]
        tokens = torch.zeros((len(batch), max(map(len, whole))), dtype=torch.long, device=device)
        mask = torch.zeros_like(tokens)
        for row, ids in enumerate(whole):  # padded on the right: what comes after is not seen
            tokens[row, : len(ids)] = torch.tensor(ids, device=device)
            mask[row, : len(ids)] = 1
        with torch.inference_mode():
            logits = network(input_ids=tokens, attention_mask=mask, use_cache=False).logits
        for row, i in enumerate(batch):
            h = len(prompts[i])
            said = logits[row, h - 1 : len(whole[row]) - 1].float().log_softmax(-1)  # (t, v)
            chosen = said.gather(1, tokens[row, h : len(whole[row]), None])[:, 0]
            spread = -(said.exp() * said.clamp_min(-1e4)).sum(-1)
            out[i] = Scored(chosen.double().cpu().numpy(), spread.double().cpu().numpy())
    return out
