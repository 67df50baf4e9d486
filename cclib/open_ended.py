"""Open questions: an answer in words, first-token confidence, and judging it (Appendix F).

P(T) of an open question is the probability that the answer starts with the word "Answer", as the prompt
demands. A model that would rather decline, or wander, gives that word less.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import numpy as np

from cclib.benchmarks import Question
from cclib.models import LanguageModel

RIGHT, WRONG, ABSTAINED = "right", "wrong", "abstained"
Judge = Callable[[Question, str], str]  # (question, response): one of the three

NEW_TOKENS, BATCH = 24, 64
DECLINES = re.compile(
    r"\b(i (do not|don't|don’t) know|i am not sure|i'm not sure|unknown|cannot (answer|determine)"
    r"|can't (answer|determine)|could you (clarify|specify)|no information)\b",
    re.IGNORECASE,
)


def string_match(question: Question, response: str) -> str:
    """Right where an accepted answer stands in the response as whole words, case and accents aside."""
    said = f" {_plain(response.removeprefix('Answer:'))} "
    if any(f" {_plain(a)} " in said for a in question.accepted if _plain(a)):
        return RIGHT
    return ABSTAINED if not said.strip() or DECLINES.search(response) else WRONG


def _plain(text: str) -> str:
    """Lower case letters and digits, single spaces."""
    folded = unicodedata.normalize("NFKD", text).lower()
    kept = "".join(c if c.isalnum() else " " for c in folded if not unicodedata.combining(c))
    return " ".join(kept.split())


def answer_open_questions(
    model: LanguageModel,
    questions: Sequence[Question],
    layer: int | None = None,
    judge: Judge = string_match,
    known: Container[str] = (),
) -> Iterator[list[dict[str, Any]]]:
    """Answer open questions by greedy decoding; rows of a trace, batch by batch.

    The prompt is read once for the confidence and the hidden state, and once more to generate. Batches
    are the same whatever is `known` (ids answered before, which get no row).

    Raises:
        ValueError: a question has no accepted answers to judge by.
    """
    from cclib.confidence import check_layer, encode_questions, read_packs

    bare = next((q.id for q in questions if not q.accepted), None)
    if bare is not None:
        raise ValueError(f"question {bare} is open but has no accepted answers, so it cannot be judged")
    encoded = encode_questions(model, questions)
    first = answer_token(model, questions[0].prompt)
    order = sorted(range(len(questions)), key=lambda i: len(encoded[i]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        if all(questions[i].id in known for i in batch):
            continue
        prompts = [encoded[i] for i in batch]
        rows: dict[int, dict[str, Any]] = {}
        for reading in read_packs(model, prompts, check_layer(layer, model.n_layers)):
            probs = np.exp(reading.log_probs.astype(float))  # (m, v)
            for row, j in enumerate(reading.index):
                rows[j] = {
                    "p_t": float(probs[row, first]),
                    "first_token_prob": float(probs[row].max()),
                    "hidden": reading.hidden[row],
                    "seconds": reading.seconds / len(reading.index),
                }
        responses, seconds = generate(model, prompts)
        for j, (response, n_tokens) in enumerate(responses):
            question = questions[batch[j]]
            verdict = judge(question, response)
            rows[j] |= {
                "question_id": question.id,
                "subject": question.subject,
                "correct": verdict == RIGHT,
                "abstained": verdict == ABSTAINED,
                "response": response,
                "prompt_tokens": len(prompts[j]),
                "output_tokens": n_tokens,
                "seconds": rows[j]["seconds"] + seconds / len(batch),
            }
        yield [rows[j] for j in range(len(batch)) if rows[j]["question_id"] not in known]


def answer_token(model: LanguageModel, prompt: str) -> int:
    """The token that "Answer:" starts with after the prompt; its first piece where it is several."""
    stem, whole = model.encode(prompt), model.encode(prompt + "Answer:")
    if whole[: len(stem)] != stem or len(whole) == len(stem):
        raise ValueError(
            f"{model.name}: this tokenizer joins the prompt's end with the word after it, so the probability "
            'of "Answer" cannot be read; end the prompt with a line break'
        )
    return whole[len(stem)]


def generate(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> tuple[list[tuple[str, int]], float]:
    """Greedy continuations up to the first line break: [(text, tokens)], and the seconds they took."""
    import time

    import torch

    began = time.perf_counter()
    network = model.network
    network.set_attn_implementation("sdpa")
    width = max(map(len, prompts))
    device = network.get_input_embeddings().weight.device
    end = network.generation_config.eos_token_id
    end = end if end is not None else model.tokenizer.eos_token_id
    pad = end[0] if isinstance(end, list) else end or 0
    tokens = torch.full((len(prompts), width), pad, device=device)
    mask = torch.zeros_like(tokens)
    for i, ids in enumerate(prompts):  # padded on the left, so that all go on from the last column
        tokens[i, width - len(ids) :] = torch.tensor(ids, device=device)
        mask[i, width - len(ids) :] = 1
    with torch.inference_mode():
        out = network.generate(
            tokens, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=pad
        )
    responses = []
    for row in out[:, width:].tolist():
        stop = {end} if isinstance(end, int) else set(end or ())
        row = row[: next((i for i, t in enumerate(row) if t in stop), len(row))]
        text = model.tokenizer.decode(row, skip_special_tokens=True).strip()
        line = text.splitlines()[0] if text else ""
        responses.append((line, max(1, len(row) if line == text else len(model.encode(line)))))
    return responses, time.perf_counter() - began
