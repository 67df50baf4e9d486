"""One row a question from the samples that lm-evaluation-harness logs (`--log_samples`).

A sample holds the document, the target, and the log-likelihood of every option. Versions differ in form:
`arguments` is a list or a dict, numbers are numbers or texts, `target` is an option's index or its text.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

LETTER = re.compile(r"\(?([A-Za-z])[).]?")
TEXT = ("question", "query", "ctx", "goal", "sentence", "input", "premise", "problem", "text")
OPTIONS = ("choices", "options", "endings", "mc1_targets", "mc2_targets", "answer_choices")

# How P(T) was read, which a trace's provenance says.
OF_LETTER = "probability of the chosen option's letter (Eq. 1)"
OF_TEXT = "softmax over the log-likelihoods of the options' whole texts"


class NotMultipleChoice(ValueError):
    """The samples hold no log-likelihood for each of several options, or are not judged right or wrong."""


def read_samples(samples: Iterable[dict[str, Any]], task: str) -> tuple[pd.DataFrame, str, list[str]]:
    """The questions of one task, in the order of their documents.

    Args:
        samples: the log's rows; of several filters the first is taken.
        task: names the subject and starts the ids, which go on with the document's hash.

    Returns:
        Columns `question_id`, `subject`, `answer`, `prediction`, `correct`, `p_t`, `option_probs`, and the
        texts `question`, `choices`, `prompt`; how P(T) was read; what is to be said of these rows.

    Raises:
        NotMultipleChoice: there is nothing to choose among.
        ValueError: a row cannot be used, or a document occurs twice.
    """
    rows, seen, first_filter = [], set(), None
    for number, sample in enumerate(samples, 1):
        where = f"{task}, row {number}"
        if not isinstance(sample, dict) or not {"doc_id", "doc", "target", "resps"} <= sample.keys():
            raise ValueError(
                f"{where}: expected a sample with doc_id, doc, target and resps, found "
                f"{sorted(sample)[:8] if isinstance(sample, dict) else type(sample).__name__}; "
                "is this a file of lm_eval --log_samples?"
            )
        first_filter = sample.get("filter") if first_filter is None else first_filter
        if sample.get("filter") != first_filter:
            continue
        if sample["doc_id"] in seen:
            raise ValueError(
                f"{where}: document {sample['doc_id']} occurs twice, so two runs may be in one file; "
                "remove one of them, or log the task again"
            )
        seen.add(sample["doc_id"])
        rows.append(_row(sample, where))
    if not rows:
        raise ValueError(f"{task}: there are no samples in the file; log the task again")
    rows.sort(key=lambda row: row["doc_id"])
    letters = all(LETTER.fullmatch(text) for row in rows for text in row["continuations"])
    notes = _judge(rows, task)
    ids: Counter[str] = Counter()
    for row in rows:
        row["option_probs"] = _probabilities(row.pop("log_likelihoods"), letters, f"{task}, {row['doc_id']}")
        row["p_t"] = float(row["option_probs"].max())
        ids[row["hash"]] += 1
        again = f"-{ids[row['hash']]}" if ids[row["hash"]] > 1 else ""
        row["question_id"] = f"{task}/{row['hash'][:16]}{again}"
        row["subject"] = task
    if letters and any(row["choices"] == row["continuations"] for row in rows):
        notes.append(f"{task}: the texts of the options are not in the log, only their letters")
    columns = ["question_id", "subject", "answer", "prediction", "correct", "p_t", "option_probs"]
    frame = pd.DataFrame(rows)[[*columns, "question", "choices", "prompt"]]
    return frame, OF_LETTER if letters else OF_TEXT, notes


def _row(sample: dict[str, Any], where: str) -> dict[str, Any]:
    """What one sample says, its target not yet looked up among the options."""
    scores, requests = _scores(sample, where), _requests(sample, where)
    if len(requests) != len(scores):
        raise ValueError(f"{where}: {len(requests)} arguments for {len(scores)} responses; copy it again")
    half = len(requests) // 2
    if (
        len(set(requests)) == len(requests)
        and len({context for context, _ in requests[:half]}) == 1 < half
        and [r[1] for r in requests[:half]] == [r[1] for r in requests[half:]]
    ):
        scores, requests = scores[:half], requests[:half]  # the rest are options without their question
    if len(scores) < 2:
        raise NotMultipleChoice(f"{where}: one log-likelihood; a multiple-choice task has one an option")
    continuations = [text.strip() for _, text in requests]
    prompt, doc = requests[0][0], sample["doc"]
    contexts = len(set(continuations)) == 1
    if contexts:  # as in Winogrande: the options stand in the contexts, what follows is the same
        continuations = _differences([context for context, _ in requests])
    named = {str(k).lower(): v for k, v in doc.items()} if isinstance(doc, dict) else {}
    text = next((named[k] for k in TEXT if isinstance(named.get(k), str) and named[k].strip()), prompt)
    return {
        "doc_id": sample["doc_id"],
        "hash": sample.get("doc_hash") or _hash(doc),
        "question": text,
        "prompt": prompt,
        "continuations": continuations,
        "choices": _option_texts(named, continuations),
        "log_likelihoods": scores,
        "prediction": int(np.argmax(scores)),
        "target": None if contexts else sample["target"],
        "acc": sample.get("acc"),
        "where": where,
    }


def _hash(doc: Any) -> str:
    """As the harness takes it, for logs of versions that did not write it."""
    dumped = json.dumps(doc, indent=2, ensure_ascii=False, default=str)
    return hashlib.sha256(dumped.encode()).hexdigest()


def _scores(sample: dict[str, Any], where: str) -> np.ndarray:
    """(c,) log-likelihoods of the options."""
    try:
        first = [response[0] for response in sample["resps"] if response is not None]
        if any(isinstance(one, str) for one in first):
            raise NotMultipleChoice(
                f"{where}: the answer is a text that the model wrote, without log-likelihoods of options; "
                "log a task whose output_type is multiple_choice"
            )
        scores = np.array([float(one[0]) for one in first])
    except NotMultipleChoice:
        raise
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise NotMultipleChoice(
            f"{where}: expected resps to hold a log-likelihood an option, found {str(sample['resps'])[:60]}"
        ) from error
    if np.isnan(scores).any() or (scores > 1e-3).any() or np.isneginf(scores).all():
        raise ValueError(f"{where}: a log-likelihood is a number up to 0, found {scores.tolist()}")
    return scores


def _requests(sample: dict[str, Any], where: str) -> list[tuple[str, str]]:
    """Context and continuation of each request; a dict is {gen_args_0: {arg_0, arg_1}, ...}."""
    given = sample.get("arguments")
    if isinstance(given, dict):
        given = [given[k] for k in sorted(given, key=lambda k: int(k.rpartition("_")[2]))]
    pairs = [list(one.values()) if isinstance(one, dict) else one for one in given or () if one is not None]
    pairs = [pair for pair in pairs if pair[0] is not None]  # a table fills up rows of fewer options
    if not pairs or any(len(pair) < 2 or not isinstance(pair[1], str) for pair in pairs):
        raise NotMultipleChoice(f"{where}: expected arguments of a context and a continuation an option")
    return [(str(context), continuation) for context, continuation, *_ in pairs]


def _differences(contexts: Sequence[str]) -> list[str]:
    """What differs between texts that begin and end alike, in whole words."""
    words = [text.split() for text in contexts]
    shortest = min(map(len, words))
    start = next((i for i in range(shortest) if len({w[i] for w in words}) > 1), shortest)
    end = next((i for i in range(shortest - start) if len({w[-1 - i] for w in words}) > 1), shortest - start)
    return [" ".join(w[start : len(w) - end]) for w in words]


def _option_texts(doc: dict[str, Any], continuations: list[str]) -> list[str]:
    """The options as the document has them, where the model was asked for their letters only."""
    if not all(LETTER.fullmatch(text) for text in continuations):
        return continuations
    n = len(continuations)
    for name in OPTIONS:
        found = doc.get(name)
        found = found.get("text", found.get("choices")) if isinstance(found, dict) else found
        found = [one for one in found if one is not None] if isinstance(found, list) else []
        if len(found) == n:
            return [str(one) for one in found]
    letters = [LETTER.fullmatch(text)[1].lower() for text in continuations]
    stems = ("choice", "option", "sol")
    numbered = [[f"{stem}{i}" for i in range(at, at + n)] for stem in stems for at in (0, 1)]
    for names in [letters, [f"option_{letter}" for letter in letters], *numbered]:
        if all(doc.get(name) is not None for name in names):
            return [str(doc[name]) for name in names]
    return continuations


def _judge(rows: list[dict[str, Any]], task: str) -> list[str]:
    """Adds `answer` and `correct` to the rows, from their targets; returns what is to be said of it."""
    share = next((row for row in rows if row["acc"] not in (None, 0, 1)), None)
    if share is not None:
        raise NotMultipleChoice(
            f"{share['where']}: acc is {share['acc']}, so this task is scored by shares, not right or wrong"
        )
    if rows[0]["target"] is None:
        return _judge_by_acc(rows, task)
    readings = [_readings(row) for row in rows]
    works = [sum(bool(one[i]) for one in readings) for i in (0, 1)]
    agree = [sum((r["prediction"] in one[i]) == r["acc"] for r, one in zip(rows, readings)) for i in (0, 1)]
    text, index = zip(works, agree)
    unsure = next((row for row, one in zip(rows, readings) if all(one) and one[0] != one[1]), None)
    if unsure is not None and text == index:
        raise ValueError(
            f"{unsure['where']}: the target {unsure['target']!r} may be an option's index or its text, and "
            f"the options are {unsure['continuations']}; log the task with targets that tell"
        )
    for row, (by_text, by_index) in zip(rows, readings):
        right = (by_text or by_index) if text >= index else (by_index or by_text)
        if not right:
            raise ValueError(
                f"{row['where']}: the target {row['target']!r} is none of the options {row['continuations']}"
            )
        row["answer"] = row["prediction"] if row["prediction"] in right else min(right)
        row["correct"] = row["prediction"] in right
    other = sum(row["acc"] is not None and bool(row["acc"]) != row["correct"] for row in rows)
    return [f"{task}: {other} of {len(rows)} rows say otherwise in acc than by their target"] * (other > 0)


def _judge_by_acc(rows: list[dict[str, Any]], task: str) -> list[str]:
    """Where the options are contexts the target is what follows, alike for all, so only acc can tell."""
    for row in rows:
        if row["acc"] is None or len(row["continuations"]) != 2:
            raise NotMultipleChoice(f"{row['where']}: neither target nor acc says which context is right")
        row["correct"] = bool(row["acc"])
        row["answer"] = row["prediction"] if row["correct"] else 1 - row["prediction"]
    return [f"{task}: the options are contexts, so right and wrong are by acc"]


def _readings(row: dict[str, Any]) -> tuple[set[int], set[int]]:
    """The right options, the target read as text and as index (or a list of either)."""
    target = row["target"]
    if isinstance(target, str) and target.strip().startswith("["):
        try:
            target = ast.literal_eval(target.strip())
        except (ValueError, SyntaxError):
            pass
    texts, index = set(), set()
    for one in target if isinstance(target, list) else [target]:
        said = str(one).strip()
        if isinstance(one, str):
            texts |= {i for i, text in enumerate(row["continuations"]) if text == said}
        if re.fullmatch(r"\d+(\.0)?", said):
            index.add(int(float(said)))
        elif LETTER.fullmatch(said):
            index.add(ord(LETTER.fullmatch(said)[1].upper()) - ord("A"))
    return texts, {i for i in index if i < len(row["continuations"])}


def _probabilities(scores: np.ndarray, letters: bool, where: str) -> np.ndarray:
    """(c,) probabilities of the options: in all where they are letters, among each other if whole texts."""
    if not letters:
        relative = np.exp(scores - scores.max())
        return relative / relative.sum()
    probs = np.exp(np.minimum(scores, 0))
    if probs.sum() > 1.02:  # 16-bit models round
        raise ValueError(
            f"{where}: the options' probabilities add up to {probs.sum():.3f}, so they are no log-likelihoods"
        )
    return probs
