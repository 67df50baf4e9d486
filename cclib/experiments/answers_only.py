"""Routing between models of which only the answers are known: what words, a proxy and agreement can tell.

Nothing says how sure the small model was, so the decision rests on what else is at hand: the question's
words; a *proxy*, a smaller model that runs here, whose reading of the question (option probabilities, hidden
state) predicts whether the larger ones will be right; whether two cheap models agree. Each is charged for
every pass that it makes.

In a study a proxy is the stage before the first one that is known by its answers alone, and the second cheap
model the stage after it, where another one comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from cclib.benchmarks import load_benchmark
from cclib.cost import stage_sizes
from cclib.experiments.estimators.estimate import Estimate
from cclib.experiments.routing import routers
from cclib.experiments.routing.frontier import Method, Setting
from cclib.logs.published import SHAPES, SIZES
from cclib.policies.gate import texts
from cclib.policies.readings import entropy
from cclib.prices import read_prices
from cclib.questions import Question
from cclib.study import Study
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
    reading: Trace | None  # with option_probs, hidden and prompt_tokens; None where there is no proxy
    part: np.ndarray  # (n,) 0: to learn from, 1: to choose on, 2: to judge
    proxy: str = PROXY  # the reading's model

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """Of each question its words, and what the proxy's pass left: hidden state, options, length."""
        learn, read = self.part == 0, texts(self.questions)
        found = {"words": routers.words([t for t, known in zip(read, learn) if known], read)[1]}
        if self.reading is not None:
            probs = self.reading.option_probs
            parts = [] if self.reading.hidden is None else [self.reading.hidden]
            parts += [routers.options(probs), entropy(probs), np.log(self.reading.prompt_tokens)]
            dense = np.column_stack(parts).astype(float)
            found["reading"] = routers.standardised(dense[learn], dense)[1]
        return found

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
        proxy = folder / f"{PROXY}.parquet"
    reading = _with_hidden(read_trace(proxy))
    shuffled = np.random.default_rng(seed).permutation(len(ids)) / len(ids)
    part = np.searchsorted(np.cumsum(SHARES)[:-1], shuffled, side="right")
    return Published(questions, answers, reading.select(ids), part)


def charged() -> pd.DataFrame:
    """What each model is charged by: its size, whose shape that is, and its row of the price table."""
    prices, rows = read_prices(), {}
    for name, row in PRICED.items():
        paid = prices.loc[row]
        rows[name] = {
            "billions of parameters": SIZES[name],
            "shape in config.json of": SHAPES.loc[name, "repository"],
            "dollars as": row,
            "a million tokens read": paid["input_usd_per_million"],
            "a million tokens written": paid["output_usd_per_million"],
            "price from": f"{paid['source']}, {paid['date']}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def agrees(data: Published, a: str, b: str) -> np.ndarray:
    """(n,) bool: both chose the same option."""
    said = [data.answers[m].column("prediction") for m in (a, b)]
    return (said[0] == said[1]) & (said[0] >= 0)


def setting(data: Published, small: str, large: str, part: int, ratio: float) -> Setting:
    at = data.part == part
    return Setting(data.right(small)[at], data.right(large)[at], ratio)


def methods(
    data: Published, small: str, large: str, second: str | None, cost: dict[str, float]
) -> list[Method]:
    """Ways to decide who answers where the small model's confidence is not known.

    Args:
        second: a cheap model that is asked too, to see whether it agrees with the small one; None for none.
        cost: of the proxy's pass and the second model's, as shares of the large model's.
    """
    s, needless = data.right(small), ~(data.right(large) & ~data.right(small))
    keep = {kind: data.predicted(kind, needless) for kind in data.features}
    learned = "; answers of both to learn from"
    found = [
        ("words: is the large one needed", f"the question's words{learned}", keep["words"], 0.0, 0.0),
        ("words: is the small one right", "the same", data.predicted("words", s), 0.0, 0.0),
    ]
    if data.reading is not None:
        read, paid = f"a pass of {data.proxy}", cost[data.proxy]
        found += [
            ("proxy's P(T)", read, data.reading.p_t, 0.0, paid),
            ("proxy's P(IK) of the small one", read + learned, data.predicted("reading", s), 0.0, paid),
            ("proxy: is the large one needed", read + learned, keep["reading"], 0.0, paid),
            ("proxy and words", read + learned, keep["reading"] + keep["words"], 0.0, paid),
        ]
    if second is not None:
        same, asked = agrees(data, small, second), f"an answer of {second}"
        found.append(("agreement", asked, same.astype(float), 1.0, cost[second]))
        if data.reading is not None:
            both, paid = data.predicted("reading", needless, same), cost[second] + paid
            found.append(("agreement and proxy", f"{asked}; {read}{learned}", both, 1.0, paid))
    choose, judge = data.part == 1, data.part == 2
    return [
        Method(name, "answers only", needs, -score[judge], -score[choose], depth, extra)
        for name, needs, score, depth, extra in found
    ]


def first_bare(study: Study) -> int | None:
    """The first stage, of those before the last, that is known by its answers alone; None where none is."""
    return next((i for i, t in enumerate(study.test[:-1]) if t.p_t is None), None)


def of_study(study: Study, stage: int) -> Published | None:
    """A study's parts as the questions to learn from, to choose on and to judge, for a stage without P(T).

    None where the parts' questions or answers are not at hand.
    """
    near = range(max(0, stage - 1), min(stage + 2, len(study.models)))
    wholes = {i: _whole(study, i) for i in {*near, len(study.models) - 1}} if study.live else {}
    if wholes.get(stage) is None:
        return None
    proxy = wholes.get(stage - 1)
    if proxy is not None and (proxy.p_t is None or proxy.option_probs is None or proxy.prompt_tokens is None):
        proxy = None
    parts = [study.source.parts[p] for p in ("train", "validation")] + [study.test[stage].question_id]
    answers = {study.models[i]: t for i, t in wholes.items() if t is not None}
    return Published(
        [study.all_questions[q] for part in parts for q in part],
        answers,
        None if proxy is None else _with_hidden(proxy),
        np.repeat([0, 1, 2], [len(part) for part in parts]),
        study.models[stage - 1],
    )


def _whole(study: Study, stage: int) -> Trace | None:
    """A stage's answers to the training, validation and test part, one after the other."""
    parts = [study.part(stage, "train"), study.part(stage, "validation"), study.test[stage]]
    if any(t is None or t.set_aside.any() for t in parts):
        return None
    tables = [t.without("p_ik").table for t in parts]
    return Trace(pa.concat_tables(tables, promote_options="default"), study.test[stage].provenance)


def _with_hidden(reading: Trace) -> Trace:
    """Principal components of the hidden state in its place, where a reading keeps these."""
    kept = "hidden_pca" in reading.table.column_names
    names = ["hidden" if name == "hidden_pca" else name for name in reading.table.column_names]
    return Trace(reading.table.rename_columns(names), reading.provenance) if kept else reading


def second_of(data: Published, study: Study, stage: int) -> str | None:
    """The cheap model whose agreement can be looked at: the next stage, where it is not the last."""
    name = study.models[stage + 1] if stage + 2 < len(study.models) else None
    told = [data.answers.get(m) for m in (study.models[stage], name)]
    return name if all(t is not None and t.column("prediction") is not None for t in told) else None


def shares(study: Study, of: int) -> dict[str, float]:
    """What a pass of each stage costs, as a share of one stage's pass (parameters, Eq. 3 or all weights)."""
    sizes = stage_sizes(study.test)
    return {name: float(size / sizes[of]) for name, size in zip(study.models, sizes)}


def study_methods(study: Study, stage: int) -> list[Method]:
    """`methods` of the pair of a stage without P(T) and the last model; none where they cannot be had."""
    data = of_study(study, stage)
    if data is None or study.models[-1] not in data.answers:
        return []
    names = study.models[stage], study.models[-1], second_of(data, study, stage)
    return methods(data, *names, shares(study, -1))


def estimates(study: Study, stage: int = 0) -> list[Estimate]:
    """What foretells whether a stage is right that is known by its answers alone; none for one with P(T)."""
    data = of_study(study, stage) if study.test[stage].p_t is None else None
    if data is None:
        return []
    name, right = study.models[stage], data.right(study.models[stage])
    cost, learned = shares(study, stage), "labelled training questions"
    found = [("words", f"the question's words; {learned}", data.predicted("words", right), 0.0, 0.0)]
    if data.reading is not None:
        read, paid = f"a pass of {data.proxy}", cost[data.proxy]
        found.append(("proxy's P(T)", read, data.reading.p_t, paid, 0.0))
        found.append(("proxy's P(IK)", f"{read}; {learned}", data.predicted("reading", right), paid, 0.0))
    if second := second_of(data, study, stage):
        same = agrees(data, name, second).astype(float)
        found.append(("agreement", f"an answer of {second}", same, cost[second], 1.0))
    choose, judge = data.part == 1, data.part == 2
    return [
        Estimate(label, "answers only", needs, score[judge], score[choose], paid, depth, label != "agreement")
        for label, needs, score, paid, depth in found
    ]
