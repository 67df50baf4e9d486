"""Measuring the shipped models; what was found is kept beside them, and a test measures it again."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cclib.atlas import MODELS, WEIGHTS, questions
from cclib.atlas.train import accuracies, option_probs
from cclib.models.load import load_model
from cclib.questions import Question, split

RECORD = WEIGHTS / "measured.json"
SURE = 0.9  # the paper's threshold on P(T)


def fingerprint(asked: list[Question]) -> str:
    """sha256 of the questions, options and answers."""
    text = json.dumps([(q.id, q.text, q.choices, q.answer, q.accepted) for q in asked])
    return hashlib.sha256(text.encode()).hexdigest()


@torch.inference_mode()
def open_answers(network: Any, tokenizer: Any, asked: list[Question]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) P("Answer" comes first), and (n,) bool whether the greedy continuation is an accepted answer."""
    encoded = tokenizer([q.prompt for q in asked])["input_ids"]
    by_length = defaultdict(list)
    for i, ids in enumerate(encoded):
        by_length[len(ids)].append(i)
    first, right = np.zeros(len(asked)), np.zeros(len(asked), bool)
    answer = tokenizer("Answer")["input_ids"][0]
    for rows in by_length.values():
        tokens = torch.tensor([encoded[i] for i in rows])
        first[rows] = network(tokens).logits[:, -1].softmax(-1)[:, answer].numpy()
        longer = network.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=14, do_sample=False
        )
        for i, ids in zip(rows, longer[:, tokens.shape[1] :]):
            said = tokenizer.decode(ids, skip_special_tokens=True)
            right[i] = said.removeprefix("Answer:").strip() in asked[i].accepted
    return first, right


def measure(name: str) -> dict[str, Any]:
    """Accuracies of one shipped model on the test part (split seed 0) and on the siblings."""
    model = load_model(name, device="cpu")
    network, tokenizer = model.network, model.tokenizer
    test = split(questions("atlas"), seed=0).test
    probs = option_probs(network, tokenizer, test)
    sure = probs.max(1) >= SURE
    right = probs.argmax(1) == np.array([q.answer for q in test])
    beyond = questions("atlas-ood")
    beyond_right = option_probs(network, tokenizer, beyond).argmax(1) == [q.answer for q in beyond]
    first, open_right = open_answers(network, tokenizer, questions("atlas-open"))
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "test": accuracies(probs, test),
        "sure": round(float(sure.mean()), 4),
        "accuracy where sure": round(float(right[sure].mean()), 4),
        "accuracy where not": round(float(right[~sure].mean()), 4),
        "atlas-ood": round(float(np.mean(beyond_right)), 4),
        "atlas-open": round(float(open_right.mean()), 4),
        "P(Answer) where right": round(float(first[open_right].mean()), 4),
        "P(Answer) where wrong": round(float(first[~open_right].mean()), 4),
    }


def evaluate(path: Path = RECORD) -> str:
    """Measure all three, write the record, and return it as text."""
    record = {name: measure(name) for name in MODELS}
    record["questions"] = {n: fingerprint(questions(n)) for n in ("atlas", "atlas-ood", "atlas-open")}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return "\n".join(
        f"{name}: test {m['test']['accuracy']:.1%}, where P(T) >= {SURE} {m['accuracy where sure']:.1%} "
        f"({m['sure']:.0%} of questions), elsewhere {m['accuracy where not']:.1%}; "
        f"atlas-ood {m['atlas-ood']:.1%}; atlas-open {m['atlas-open']:.1%}"
        for name, m in record.items()
        if name in MODELS
    )
