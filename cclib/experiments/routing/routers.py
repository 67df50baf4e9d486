"""Routers of Appendix A: one score a question, before any answer, for how much the large model is needed.

Every function takes (t, d) features of training questions with the (t,) right and wrong answers of both
models, and (n, d) features of new questions; the higher the (n,) score it returns, the sooner a question
should go to the large model. Features may be sparse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from cclib.confidence.p_ik import one_thread

NEIGHBOURS = 40
EAGLE_NEIGHBOURS, EAGLE_STEP, EAGLE_GLOBAL = 20, 32.0, 0.5  # Zhao et al.: N, K and P
FACTORS, FACTOR_EPOCHS = 32, 100
HASHED = {"n_features": 2**18, "norm": None, "alternate_sign": False}

Features = np.ndarray | sparse.spmatrix


def words(train: Sequence[str], *others: Sequence[str]) -> list[sparse.csr_matrix]:
    """Hashed TF-IDF of words and pairs of words; the weights are those of the training texts."""
    return _weighted(HashingVectorizer(ngram_range=(1, 2), **HASHED), train, *others)


def words_with_answer(*parts: Sequence[tuple[str, str]]) -> list[sparse.csr_matrix]:
    """The same of (question, answer): words, the answer, and each word together with the answer."""

    def split(pair: tuple[str, str]) -> list[str]:
        read, said = pair[0].lower().split(), pair[1].lower()
        return [*read, f"= {said}", *(f"{word} = {said}" for word in read)]

    return _weighted(HashingVectorizer(analyzer=split, **HASHED), *parts)


def _weighted(counts: HashingVectorizer, train: Sequence, *others: Sequence) -> list[sparse.csr_matrix]:
    made = make_pipeline(counts, TfidfTransformer(sublinear_tf=True))
    return [made.fit_transform(train), *(made.transform(texts) for texts in others)]


def standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Dense features with the training part's mean taken off and spread made one."""
    mean, scale = train.mean(0), train.std(0) + 1e-6
    return [(x - mean) / scale for x in (train, *others)]


def options(probs: np.ndarray) -> np.ndarray:
    """(n, c) log-probabilities of the options, the most likely first; NaN marks no option."""
    return np.log(np.maximum(-np.sort(-np.nan_to_num(probs, nan=0.0), axis=1), 1e-9))


def probability_right(x: Features, right: np.ndarray, new: Features, strength: float = 1.0) -> np.ndarray:
    """(n,) logistic regression's probability that a model is right; constant where it always or never was."""
    if len(np.unique(right)) < 2:
        return np.full(new.shape[0], float(np.mean(right)))
    x, new = _seen_in_training(x, new)
    return LogisticRegression(C=strength, max_iter=2000).fit(x, right).predict_proba(new)[:, 1]


def linear(
    x: Features, small: np.ndarray, large: np.ndarray, new: Features, strength: float = 1.0
) -> np.ndarray:
    """The large model's predicted accuracy less the small one's, each by a linear model (RouterBench)."""
    return probability_right(x, large, new, strength) - probability_right(x, small, new, strength)


def nearest_neighbours(
    x: Features, small: np.ndarray, large: np.ndarray, new: Features, k: int = NEIGHBOURS
) -> np.ndarray:
    """The same difference, as the mean over the k most similar training questions (RouterBench)."""
    near = _nearest(x, new, k)
    return (large.astype(float) - small)[near].mean(1)


def quality_gap(
    x: Features, small: np.ndarray, large: np.ndarray, new: Features, strength: float = 1.0
) -> np.ndarray:
    """Probability that the small model's answer is the worse one (Hybrid-LLM, Ding et al.)."""
    return 1 - probability_right(x, small >= large, new, strength)


def similarity_weighted(x: Features, small: np.ndarray, large: np.ndarray, new: Features) -> np.ndarray:
    """Win rate of the large model over training questions, weighed by similarity (RouteLLM, Ong et al.).

    Of two models, the Bradley-Terry ratings that RouteLLM fits anew for each question have a closed form:
    the log-odds of the weighted win rate, ties counting half. A weight is 10 to the power of 1 + the cosine,
    the largest cosine of a question scaled to one.
    """
    won = (large.astype(float) - small + 1) / 2  # (t,) 1 large, 0 small, 1/2 a tie
    close = _dense(normalize(new) @ normalize(x).T)  # (n, t)
    top = np.maximum(close.max(1, keepdims=True), 1e-9)
    weight = 10.0 ** (1 + close / top)
    return weight @ won / weight.sum(1)


def matrix_factorisation(
    x: Features, small: np.ndarray, large: np.ndarray, new: Features, seed: int = 0
) -> np.ndarray:
    """Probability that the large model wins, from a bilinear score (RouteLLM, Ong et al.).

    delta(model, question) = w . (v_model * W question); trained so that the sigmoid of the difference of two
    models' deltas is the probability of winning. Ties count half. Text features are first reduced to 128
    dimensions, so that W is small.
    """
    import torch

    x, new = _seen_in_training(x, new)
    if sparse.issparse(x):
        svd = TruncatedSVD(min(128, x.shape[1] - 1, x.shape[0] - 1), random_state=seed).fit(x)
        x, new = svd.transform(x), svd.transform(new)
    x, new = standardised(np.asarray(x, float), np.asarray(new, float))
    x, new = x / np.sqrt(x.shape[1]), new / np.sqrt(x.shape[1])
    won = torch.tensor((large.astype(float) - small + 1) / 2, dtype=torch.float32)
    features, asked = (torch.tensor(np.c_[a, np.ones(len(a))], dtype=torch.float32) for a in (x, new))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models = torch.nn.Parameter(torch.randn(2, FACTORS) / FACTORS**0.5)
        project = torch.nn.Linear(features.shape[1], FACTORS, bias=False)
        read = torch.nn.Linear(FACTORS, 1, bias=False)
        weights = [models, *project.parameters(), *read.parameters()]
        optimizer = torch.optim.AdamW(weights, lr=1e-2, weight_decay=1e-2)

        def delta(q: torch.Tensor) -> torch.Tensor:
            both = read(torch.nn.functional.normalize(models, dim=1)[:, None] * project(q))[..., 0]  # (2, n)
            return both[1] - both[0]

        for _epoch in range(FACTOR_EPOCHS):
            for rows in torch.randperm(len(features)).split(256):
                optimizer.zero_grad()
                loss = torch.nn.functional.binary_cross_entropy_with_logits(delta(features[rows]), won[rows])
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            return torch.sigmoid(delta(asked)).double().numpy()


def eagle(x: Features, small: np.ndarray, large: np.ndarray, new: Features) -> np.ndarray:
    """Difference of Elo ratings, global and among the nearest training questions (Eagle, Zhao et al.).

    Nothing is trained: ratings are played out over recorded comparisons. With two models the global
    difference is the same for every question, so the local one makes the order.
    """
    won = (large.astype(float) - small + 1) / 2
    overall = np.zeros(())
    for w in won:
        overall = _elo_step(overall, w)
    local = np.full(new.shape[0], float(overall))
    near = _nearest(x, new, EAGLE_NEIGHBOURS)[:, ::-1]  # the nearest is played last and counts most
    for games in near.T:
        local = _elo_step(local, won[games])
    return EAGLE_GLOBAL * overall + (1 - EAGLE_GLOBAL) * local


def _elo_step(difference: np.ndarray, won: np.ndarray) -> np.ndarray:
    """Both ratings move by K times the surprise, in opposite directions."""
    return difference + 2 * EAGLE_STEP * (won - 1 / (1 + 10 ** (-difference / 400)))


def profile(
    skill: np.ndarray, small: np.ndarray, large: np.ndarray | None, new_skill: np.ndarray
) -> np.ndarray:
    """Difference of the models' accuracies on the question's skill (Shnitzer et al.; Symbolic-MoE).

    A skill's accuracy is drawn towards the whole's by five questions, for skills with few. Where the large
    model's answers were not recorded (None), it is taken to be equally good everywhere.
    """
    score = -_by_skill(skill, small, new_skill)
    return score if large is None else score + _by_skill(skill, large, new_skill)


def _by_skill(skill: np.ndarray, right: np.ndarray, new_skill: np.ndarray) -> np.ndarray:
    frame = pd.Series(right.astype(float)).groupby(np.asarray(skill)).agg(["sum", "size"])
    accuracy = (frame["sum"] + 5 * right.mean()) / (frame["size"] + 5)
    return pd.Series(new_skill).map(accuracy).fillna(right.mean()).to_numpy()


def _nearest(x: Features, new: Features, k: int) -> np.ndarray:
    """(n, k) rows of the training questions with the largest cosine, the nearest first."""
    index = NearestNeighbors(n_neighbors=min(k, x.shape[0]), metric="cosine", algorithm="brute").fit(x)
    return index.kneighbors(new, return_distance=False)


def _seen_in_training(x: Features, new: Features) -> tuple[Features, Features]:
    """Without the words that no training text has: nothing is learned of them, and hashing has many."""
    if not sparse.issparse(x):
        return x, new
    seen = x.getnnz(axis=0) > 0
    return x[:, seen], new[:, seen]


def _dense(x: Features) -> np.ndarray:
    return x.toarray() if sparse.issparse(x) else np.asarray(x)
