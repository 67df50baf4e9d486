"""Open questions: an answer in words, first-token confidence, and judging it (Appendix F).

P(T) of an open question is the probability that the answer starts with the word "Answer", as the prompt
demands. A model that would rather decline, or wander, gives that word less.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

import numpy as np

from cclib.confidence.forward import check_layer, encode_questions
from cclib.confidence.generation import generate
from cclib.confidence.reading import read_prompts
from cclib.models.local import LanguageModel
from cclib.questions import ABSTAINED, RIGHT, Question, string_match


def answer_open_questions(
    model: LanguageModel,
    questions: Sequence[Question],
    layer: int | None = None,
    known: Container[str] = (),
    encoded: Sequence[Sequence[int]] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Answer open questions by greedy decoding; rows of a trace, batch by batch.

    One pass over a prompt gives the confidence and the hidden state, and the answer goes on from it. Batches
    are the same whatever is `known` (ids answered before, which get no row). `encoded` are the questions'
    tokens, where they are known.

    Raises:
        ValueError: a question has no accepted answers to judge by.
    """
    bare = next((q.id for q in questions if not q.accepted), None)
    if bare is not None:
        raise ValueError(f"question {bare} is open but has no accepted answers, so it cannot be judged")
    encoded = encode_questions(model, questions) if encoded is None else encoded
    first = answer_token(model, model.text(questions[0]))
    at = check_layer(layer, model.n_layers)
    skip = {i for i, q in enumerate(questions) if q.id in known}
    for index, written in generate(model, encoded, at, [first], skip):
        p_t, greatest = (np.exp(x.astype(float)) for x in (written.log_probs[:, 0], written.greatest))
        rows = []
        for row, i in enumerate(index):
            response, n_tokens = written.responses[row]
            verdict = string_match(questions[i], response)  # another judge goes over what is recorded
            rows.append(
                {
                    "question_id": questions[i].id,
                    "subject": questions[i].subject,
                    "p_t": float(p_t[row]),
                    "first_token_prob": float(greatest[row]),
                    "hidden": written.hidden[row],
                    "correct": verdict == RIGHT,
                    "abstained": verdict == ABSTAINED,
                    "response": response,
                    "prompt_tokens": len(encoded[i]),
                    "output_tokens": n_tokens,
                    "seconds": written.seconds / len(index),
                }
            )
        yield [row for row in rows if row["question_id"] not in known]


def answer_token(model: LanguageModel, prompt: str) -> int:
    """The token that "Answer:" starts with after the prompt; its first piece where it is several."""
    stem, whole = model.encode(prompt), model.encode(prompt + "Answer:")
    if whole[: len(stem)] != stem or len(whole) == len(stem):
        raise ValueError(
            f"{model.name}: this tokenizer joins the prompt's end with the word after it, so the probability "
            'of "Answer" cannot be read; end the prompt with a line break'
        )
    return whole[len(stem)]


def letter_tokens(
    model: LanguageModel, questions: Sequence[Question]
) -> tuple[list[int], dict[int, np.ndarray]]:
    """All letters' tokens, sorted, and for each number of options the places of its letters among them."""
    asked = {len(q.choices): q for q in questions}  # one of each number is enough
    letters = {c: model.option_tokens(model.text(q), c) for c, q in asked.items()}
    tokens = sorted({token for some in letters.values() for token in some})
    return tokens, {c: np.searchsorted(tokens, some) for c, some in letters.items()}


def answer_questions(
    model: LanguageModel,
    questions: Sequence[Question],
    layer: int | None = None,
    hidden: bool = True,
    budget: int | None = None,
    known: Container[str] = (),
    encoded: Sequence[Sequence[int]] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Answer multiple-choice questions, one forward pass each; rows of a trace, pack by pack.

    P(T) is Eq. 1: the probability, over the whole vocabulary, of the most likely option's letter.

    Args:
        known: ids of questions that were answered before; they get no row.
        encoded: n prompts as token lists, where they are known.
    """
    tokens, places = letter_tokens(model, questions)
    encoded = encode_questions(model, questions) if encoded is None else encoded
    at = check_layer(layer, model.n_layers) if hidden else None
    skip = {i for i, q in enumerate(questions) if q.id in known}
    for reading in read_prompts(model, encoded, at, budget, skip, tokens):
        found, greatest = np.exp(reading.log_probs.astype(float)), np.exp(reading.greatest)
        share = reading.seconds / sum(reading.prompt_tokens)
        rows = []
        for row, i in enumerate(reading.index):
            question = questions[i]
            probs = found[row, places[len(question.choices)]]  # (c,)
            prediction = int(probs.argmax())
            rows.append(
                {
                    "question_id": question.id,
                    "subject": question.subject,
                    "answer": question.answer,
                    "prediction": prediction,
                    "correct": prediction == question.answer,
                    "p_t": float(probs[prediction]),
                    "option_probs": probs.tolist(),
                    "first_token_prob": float(greatest[row]),
                    "hidden": None if reading.hidden is None else reading.hidden[row],
                    "prompt_tokens": reading.prompt_tokens[row],
                    "output_tokens": 1,
                    "seconds": share * reading.prompt_tokens[row],
                }
            )
        yield rows
