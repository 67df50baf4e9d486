"""Estimates from several answers: self-consistency, semantic entropy; and from an answer's own tokens.

A one-token answer's samples are draws from the option probabilities that the pass gave. Answers in words
are sampled from the model, all samples of a batch at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cclib.confidence.generation import score_answers
from cclib.models.local import LanguageModel

SAMPLES, TEMPERATURE = 10, 1.0
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


def score_tokens(
    model: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[Scored]:
    """What the model thinks of each token of the answers, read in one pass after their prompts.

    Raises:
        ValueError: an answer has no tokens.
    """
    if not all(len(a) for a in answers):
        raise ValueError("an answer without tokens cannot be scored; give at least the end token")
    return [Scored(*said) for said in score_answers(model, prompts, answers)]
