"""Estimators for answers in words: what the tokens of an answer tell, and what several answers tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cclib.confidence.generation import continue_prompts
from cclib.experiments.estimators import estimate, sampled
from cclib.experiments.estimators.compare import REPLAYED
from cclib.experiments.estimators.estimate import ONE_PASS, Estimate
from cclib.models.local import LanguageModel
from cclib.prompts import NEW_TOKENS
from cclib.study import Study

# name: source, what it needs, whether it is a probability; the columns of `read_answers`
FROM_TOKENS = {
    "mean token probability": ("Chuang et al.", ONE_PASS, True),
    "sequence probability": ("Kuhn et al.", ONE_PASS, True),
    "mean token entropy": ("Appendix A", ONE_PASS, False),
    "self-consistency": ("Wang et al.", f"{sampled.SAMPLES} samples", True),
    "semantic entropy, counts": ("Kuhn et al.", f"{sampled.SAMPLES} samples", False),
    "semantic entropy, likelihoods": ("Kuhn et al.", f"{sampled.SAMPLES} samples", False),
    "semantic entropy, embeddings": ("Kuhn et al.", f"{sampled.SAMPLES} samples, token embeddings", False),
}


def estimate_open(study: Study, stage: int = 0) -> tuple[list[Estimate], np.ndarray | None]:
    """Every estimator of Appendix A that has a meaning for open answers, on one model of an open study.

    Returns:
        The estimates, and the (v,) right and wrong answers to the validation part (None where not recorded).
    """
    test, validation = study.test[stage], study.part(stage, "validation")
    labels = None if validation is None else validation.correct
    estimates = [
        e for e in estimate.from_one_pass(test, validation) if e.name not in ("margin", "predictive entropy")
    ]
    if not study.runs(stage):
        missing = [Estimate(n, s, needs, missing=REPLAYED) for n, (s, needs, _) in FROM_TOKENS.items()]
        return estimates + missing, labels
    traces = [t for t in (test, validation) if t is not None]
    said = [str(r) for t in traces for r in t.column("response")]

    def read() -> pd.DataFrame:
        model = study.model(stage)
        prompts = [model.text(q) for t in traces for q in study.questions_of(t)]
        return read_answers(model, prompts, said, study.seed)

    made_of = [said, sampled.SAMPLES, sampled.TEMPERATURE, sampled.ALIKE]
    found = study.kept(stage, "answers", made_of, read)
    n = len(test)
    own = (test.prompt_tokens + test.output_tokens).mean()
    extra = float(found["sampled tokens"].iloc[:n].mean() / own)
    for column, (source, needs, is_probability) in FROM_TOKENS.items():
        test_part, validation_part = np.split(found[column].to_numpy(), [n])
        scores = test_part, validation_part if len(validation_part) else None
        cost = extra if needs != ONE_PASS else 0.0
        estimates.append(Estimate(column, source, needs, *scores, cost, is_probability=is_probability))
    return estimates, labels


def read_answers(
    model: LanguageModel, prompts: Sequence[str], answers: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """A row a question: the columns of `FROM_TOKENS` (higher is surer), and the tokens that were sampled."""
    encoded = [model.encode(p) for p in prompts]
    end = model.tokenizer.eos_token_id or 0
    given = [model.tokenizer(a, add_special_tokens=False)["input_ids"] or [end] for a in answers]
    tokens = sampled.score_tokens(model, encoded, given)
    drawn, log_probs = continue_prompts(
        model, encoded, NEW_TOKENS, sampled.SAMPLES, sampled.TEMPERATURE, seed
    )
    texts = [[_line(model.tokenizer.decode(s, skip_special_tokens=True)) for s in d] for d in drawn]
    said = [[_line(a), *several] for a, several in zip(answers, texts)]
    clusters = np.array([sampled.meanings(s) for s in said])
    embed = sampled.token_embeddings(model)
    embedded = np.array([sampled.meanings(s, embed) for s in said])
    return pd.DataFrame(
        {
            "mean token probability": [t.mean_probability for t in tokens],
            "sequence probability": [t.sequence_probability for t in tokens],
            "mean token entropy": [-t.mean_entropy for t in tokens],
            "self-consistency": sampled.agreement(clusters[:, 1:], clusters[:, 0]),
            "semantic entropy, counts": -sampled.semantic_entropy(clusters[:, 1:]),
            "semantic entropy, likelihoods": -sampled.semantic_entropy(clusters[:, 1:], log_probs),
            "semantic entropy, embeddings": -sampled.semantic_entropy(embedded[:, 1:]),
            "sampled tokens": [sum(map(len, d)) for d in drawn],
        }
    )


def _line(text: str) -> str:
    """The first line, without the word that all answers begin with, which would make them all alike."""
    return text.strip().splitlines()[0].removeprefix("Answer:").strip() if text.strip() else ""
