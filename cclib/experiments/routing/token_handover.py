"""U-HLM (Oh et al.): the small model drafts an answer token by token, the large one checks unsure tokens.

A drafted token's uncertainty is the share of samples, drawn at perturbed temperatures, that differ from it;
here in expectation, so nothing is drawn. Where it is above a threshold, the large model reads what stands
so far and puts its own most likely token in place of another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from cclib import cost, stats
from cclib.confidence.batching import batches, end_tokens
from cclib.confidence.generation import Growing
from cclib.models.local import LanguageModel
from cclib.questions import ABSTAINED, RIGHT, string_match
from cclib.study import Study

TEMPERATURES = np.linspace(0.2, 2.0, 10)
NEW_TOKENS = 24
THRESHOLDS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
EVERY_TOKEN = -1.0


@dataclass(frozen=True)
class HandOver:
    """What came of n questions, and of the t tokens of all their answers."""

    responses: list[str]  # n
    uncertainty: np.ndarray  # (t,) of each drafted token
    checked: np.ndarray  # (t,) bool: the large model was asked
    replaced: np.ndarray  # (t,) bool: and said another token
    small_tokens: np.ndarray  # (n,) that the small model read or wrote
    large_tokens: np.ndarray  # (n,) that the large model read or wrote; 0 where it was never asked


def uncertainty(logits: torch.Tensor | np.ndarray) -> np.ndarray:
    """(n,) chance that a token drawn at a perturbed temperature is not the most likely one; logits (n, v)."""
    logits = torch.as_tensor(logits)
    below = (logits - logits.amax(1, keepdim=True)).double()
    agree = torch.stack([1 / (below / t).exp().sum(1) for t in TEMPERATURES.tolist()])
    return (1 - agree.mean(0)).cpu().numpy()


def hand_over(
    small: LanguageModel,
    large: LanguageModel,
    prompts: Sequence[Sequence[int]],
    threshold: float,
    new_tokens: int = NEW_TOKENS,
) -> HandOver:
    """Answer prompts (token lists) with both models together, up to the first line break or end token.

    Args:
        threshold: on the uncertainty; 1 leaves all to the small model, below 0 checks every token.

    Raises:
        ValueError: the models do not share a vocabulary, so one cannot check the other's tokens.
    """
    if small.tokenizer.get_vocab() != large.tokenizer.get_vocab():
        raise ValueError(
            f"{small.name} and {large.name} have different tokenizers, so the one cannot check the other's "
            "tokens; choose two models of one family"
        )
    stop = end_tokens(small)
    written: list[list[int]] = [[] for _ in prompts]
    read_by_large = np.zeros(len(prompts), int)
    log: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for batch in batches(large, prompts, new_tokens):
        drafts, checks, running = Growing(small, [prompts[i] for i in batch]), None, np.array(batch)
        for _step in range(new_tokens):
            so_far = [[*prompts[i], *written[i]] for i in running]
            logits = drafts.next_logits()
            token, unsure = logits.argmax(1).cpu().numpy(), uncertainty(logits)
            ask, replaced = unsure > threshold, np.zeros(len(running), bool)
            if ask.any():
                checks = checks or Growing(large, so_far)
                said = checks.next_logits().argmax(1).cpu().numpy()
                replaced, token = ask & (said != token), np.where(ask, said, token)
                read_by_large[running[ask]] = [len(so_far[j]) + 1 for j in np.flatnonzero(ask)]
            log.append((unsure, ask, replaced))
            goes_on = ~np.isin(token, stop)
            for i, t in zip(running[goes_on], token[goes_on].tolist()):
                written[i].append(t)
            lines = small.tokenizer.batch_decode([written[i] for i in running])
            going = np.flatnonzero(goes_on & ["\n" not in line.strip() for line in lines])
            if not len(going):
                break
            running = running[going]
            for texts in (drafts, checks):
                if texts:
                    texts.append(token, going)
    texts = [small.tokenizer.decode(w, skip_special_tokens=True).strip() for w in written]
    return HandOver(
        [t.splitlines()[0] if t else "" for t in texts],
        *(np.concatenate(column) for column in zip(*log)),
        small_tokens=np.array([len(p) + len(w) for p, w in zip(prompts, written)]),
        large_tokens=read_by_large,
    )


def over_thresholds(study: Study, thresholds: Sequence[float] = THRESHOLDS) -> tuple[pd.DataFrame, HandOver]:
    """U-HLM of a study's smallest and largest model on its open questions, a row a threshold.

    Costs are tokens times parameters, as shares of the large model alone. "paper" charges each token of an
    answer to the model that had the last word on it; "every pass" all that either model read or wrote.

    Returns:
        The table, and the run in which every token was checked.

    Raises:
        ValueError: the study is replayed, or the models do not share a vocabulary.
    """
    small, large = study.model(0), study.model(-1)
    sizes = cost.stage_sizes([study.test[0], study.test[-1]])
    ratio = sizes[0] / sizes[1]
    alone = study.test[-1].prompt_tokens + study.test[-1].output_tokens
    prompts = [small.encode(small.text(q)) for q in study.questions]
    rows = {}
    for threshold in [*thresholds, EVERY_TOKEN]:
        ran = hand_over(small, large, prompts, threshold)
        verdicts = np.array([string_match(q, r) for q, r in zip(study.questions, ran.responses)])
        rows["every token" if threshold == EVERY_TOKEN else f"over {threshold:.2f}"] = {
            "accuracy": stats.accuracy(verdicts == RIGHT),
            "accuracy interval": stats.accuracy_interval(verdicts == RIGHT),
            "share declined": stats.accuracy(verdicts == ABSTAINED),
            "share of tokens checked": float(ran.checked.mean()),
            "share of tokens replaced": float(ran.replaced.mean()),
            "cost, paper": float(ran.checked.mean() + (1 - ran.checked.mean()) * ratio),
            "cost, every pass": float((ratio * ran.small_tokens + ran.large_tokens).sum() / alone.sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("tokens that are checked"), ran
