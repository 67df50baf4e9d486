"""Routing between models of which only the answers are known: what words, a proxy and agreement can tell.

Nothing says how sure the small model was, so the decision rests on what else is at hand: the question's
words; a *proxy*, a smaller model that runs here, whose reading of the question (option probabilities, hidden
state) predicts whether the larger ones will be right; whether two cheap models agree. Each is charged for
every pass that it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cclib.benchmarks import load_benchmark
from cclib.experiments.estimators.estimate import entropy
from cclib.experiments.routing import routers
from cclib.experiments.routing.frontier import Method, Setting
from cclib.prices import read_prices
from cclib.questions import Question
from cclib.traces import Trace, read_trace

PAIR, SECOND, PROXY = ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct"), "phi-3-mini", "qwen2.5-coder-1.5b"
PAIRS = [
    PAIR,
    ("phi-3-mini", "llama-3.1-70b-instruct"),
    ("llama-2-7b", "llama-2-70b"),
    ("llama-2-13b", "llama-2-70b"),
    ("yi-6b", "yi-34b"),
    ("qwen1.5-7b-chat", "qwen1.5-72b-chat"),
]
# Rows of Table 12 that models are charged by; the nearest larger price where a model has none of its own.
PRICED = {
    "llama-3.1-8b-instruct": "meta-llama-3.1-8b-instruct",
    "llama-3.1-70b-instruct": "llama-3.3-70b-instruct",
    "phi-3-mini": "llama-3.2-3b-instruct",
    PROXY: "llama-3.2-3b-instruct",
}
SHARES = (0.5, 0.25, 0.25)  # of the questions: to learn from, to choose thresholds on, to judge
STRENGTH = {"words": 1.0, "reading": 0.01}  # of linear models; dense features need more restraint


@dataclass(frozen=True)
class Published:
    """n questions, what models answered to them, and a proxy's reading of each, all in one order."""

    questions: list[Question]
    answers: dict[str, Trace]
    reading: Trace  # with option_probs, hidden and prompt_tokens
    part: np.ndarray  # (n,) 0: to learn from, 1: to choose on, 2: to judge

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """Of each question its words, and what the proxy's pass left: hidden state, options, length."""
        learn = self.part == 0
        probs = routers.options(self.reading.option_probs)
        more = [entropy(self.reading.option_probs), np.log(self.reading.prompt_tokens)]
        dense = np.column_stack([self.reading.hidden, probs, *more]).astype(float)
        return {
            "words": routers.words(
                [t for t, known in zip(routers.texts(self.questions), learn) if known],
                routers.texts(self.questions),
            )[1],
            "reading": routers.standardised(dense[learn], dense)[1],
        }

    def right(self, model: str) -> np.ndarray:
        """(n,) bool"""
        return self.answers[model].correct

    def predicted(self, kind: str, label: np.ndarray, also: np.ndarray | None = None) -> np.ndarray:
        """(n,) probability of a label, learned from the first part; `also` is (n,) more to know."""
        x, learn = self.features[kind], self.part == 0
        if also is not None:
            x = np.column_stack([x, also])
        return routers.probability_right(x[learn], label[learn], x, STRENGTH[kind])

    @cached_property
    def characters_per_token(self) -> float:
        """Of the prompts, as the proxy's tokenizer divides them."""
        return sum(len(q.prompt) for q in self.questions) / float(self.reading.prompt_tokens.sum())

    def dollars(self, model: str) -> np.ndarray:
        """(n,) dollars of a model's pass: the question's tokens, and its answer's by its length."""
        price = read_prices().loc[PRICED[model]]
        written = 0.0
        if model != PROXY:
            written = self.answers[model].column("response_characters") / self.characters_per_token
        read = self.reading.prompt_tokens * price["input_usd_per_million"]
        return (read + written * price["output_usd_per_million"]) / 1e6


def read(folder: str | Path, proxy: str | Path | None = None, seed: int = 0) -> Published:
    """MMLU-Pro with the published answers and a proxy's reading.

    Args:
        folder: with `questions.parquet`, `outcomes.parquet` (question_id, model, correct, prediction,
            response_characters) and the proxy's reading, `qwen2.5-coder-1.5b.parquet`.
        proxy: another reading: the folder of a trace that `cclib.collect` recorded of these questions.
        seed: of the division into parts.

    Raises:
        FileNotFoundError: a file is not there.
    """
    folder = Path(folder)
    questions = load_benchmark("mmlu-pro", folder)
    ids = [q.id for q in questions]
    models = pd.read_parquet(folder / "outcomes.parquet", columns=["model"])["model"].unique()
    answers = {m: read_trace(f"{folder / 'outcomes.parquet'}#{m}").select(ids) for m in sorted(models)}
    if proxy is None:
        table = pd.read_parquet(folder / f"{PROXY}.parquet").rename(columns={"hidden_pca": "hidden"})
        reading = Trace(table.assign(question_id=table["question_id"].astype(str)), {"model": PROXY})
    else:
        reading = read_trace(proxy)
    shuffled = np.random.default_rng(seed).permutation(len(ids)) / len(ids)
    part = np.searchsorted(np.cumsum(SHARES)[:-1], shuffled, side="right")
    return Published(questions, answers, reading.select(ids), part)


def agrees(data: Published, a: str, b: str) -> np.ndarray:
    """(n,) bool: both chose the same option."""
    said = [data.answers[m].column("prediction") for m in (a, b)]
    return (said[0] == said[1]) & (said[0] >= 0)


def setting(data: Published, small: str, large: str, part: int, ratio: float) -> Setting:
    at = data.part == part
    return Setting(data.right(small)[at], data.right(large)[at], ratio)


def methods(data: Published, small: str, large: str, second: str, cost: dict[str, float]) -> list[Method]:
    """Ways to decide who answers where the small model's confidence is not known.

    Args:
        second: a cheap model that is asked too, to see whether it agrees with the small one.
        cost: of the proxy's pass and the second model's, as shares of the large model's.
    """
    s, needless = data.right(small), ~(data.right(large) & ~data.right(small))
    same = agrees(data, small, second)
    keep = {kind: data.predicted(kind, needless) for kind in STRENGTH}
    both = data.predicted("reading", needless, same)
    read, asked = f"a pass of {PROXY}", f"an answer of {second}"
    learned = "; answers of both to learn from"
    found = [
        ("words: is the large one needed", f"the question's words{learned}", keep["words"], 0.0, 0.0),
        ("words: is the small one right", "the same", data.predicted("words", s), 0.0, 0.0),
        ("proxy's P(T)", read, data.reading.p_t, 0.0, cost[PROXY]),
        ("proxy's P(IK) of the small one", read + learned, data.predicted("reading", s), 0.0, cost[PROXY]),
        ("proxy: is the large one needed", read + learned, keep["reading"], 0.0, cost[PROXY]),
        ("proxy and words", read + learned, keep["reading"] + keep["words"], 0.0, cost[PROXY]),
        ("agreement", asked, same.astype(float), 1.0, cost[second]),
        ("agreement and proxy", f"{asked}; {read}{learned}", both, 1.0, cost[second] + cost[PROXY]),
    ]
    choose, judge = data.part == 1, data.part == 2
    return [
        Method(name, "answers only", needs, -score[judge], -score[choose], depth, extra)
        for name, needs, score, depth, extra in found
    ]
