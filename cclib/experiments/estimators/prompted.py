"""Estimates that ask the model again: is it true, do you know, how sure are you, what else could it be.

Each prompt is a prompt of its own, read whole, and is charged with the tokens that it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from cclib.confidence.generation import continuations
from cclib.confidence.reading import read_prompts
from cclib.models.local import LanguageModel
from cclib.prompts import LETTERS
from cclib.questions import Question

GUESSES = 3
UNSAID = 0.5  # the score of a question where no number came back

IS_IT_TRUE = "{question}\nProposed answer: {answer}\nIs the proposed answer:\nA. True\nB. False\nAnswer:"
DO_YOU_KNOW = "Do you know the answer to the following question: {question} (Yes/No/Maybe)? Answer:"
HOW_SURE = (
    "{question}\nProposed answer: {answer}\n"
    "How likely is it that the proposed answer is right? Give a percentage from 0 to 100.\nConfidence:"
)
BEST_GUESSES = (
    "{question}\nGive your {k} best guesses and the probability (0.0 to 1.0) that each is right, one a line, "
    'as in "G1: <letter>, P1: <probability>".\nG1:'
)

Asked = tuple[np.ndarray, np.ndarray, float]  # (n,) scores, (n,) tokens read and written, share answered


def stated(question: Question) -> str:
    """The question and its options, without instructions."""
    listed = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices)]
    return "\n".join(["Question: " + question.text, *(["Choices:", *listed] if listed else [])])


def is_it_true(model: LanguageModel, questions: Sequence[Question], answers: Sequence[str]) -> Asked:
    """P(True): probability of "A. True" against "B. False" for the model's own answer (Kadavath et al.)."""
    prompts = [IS_IT_TRUE.format(question=stated(q), answer=a) for q, a in zip(questions, answers)]
    true, false = model.option_tokens(prompts[0], 2)
    probs, tokens = next_token(model, prompts, [true, false])
    return probs[:, 0] / probs.sum(1), tokens, 1.0


def do_you_know(model: LanguageModel, questions: Sequence[Question]) -> Asked:
    """P(IK) by prompt: probability of Yes against No and Maybe, before any answer (Mahaut et al.)."""
    prompts = [DO_YOU_KNOW.format(question=stated(q).removeprefix("Question: ")) for q in questions]
    words = [first_token(model, prompts[0], f" {word}") for word in ("Yes", "No", "Maybe")]
    if len(set(words)) < len(words):
        raise ValueError(f"{model.name}: Yes, No and Maybe begin with the same token, so they cannot be told")
    probs, tokens = next_token(model, prompts, words)
    return probs[:, 0] / probs.sum(1), tokens, 1.0


def first_token(model: LanguageModel, prompt: str, word: str) -> int:
    """The token that a word begins with, right after a prompt."""
    stem, whole = model.encode(prompt), model.encode(prompt + word)
    if whole[: len(stem)] != stem or len(whole) == len(stem):
        raise ValueError(
            f"{model.name}: this tokenizer joins the prompt's end with {word!r}, so its probability cannot "
            "be read; end the prompt with a colon or a line break"
        )
    return whole[len(stem)]


def how_sure(model: LanguageModel, questions: Sequence[Question], answers: Sequence[str]) -> Asked:
    """Verbalised confidence: the percentage that the model writes (Lin et al.)."""
    prompts = [HOW_SURE.format(question=stated(q), answer=a) for q, a in zip(questions, answers)]
    return _written(model, prompts, new_tokens=8, read=lambda text, i: read_percentage(text))


def best_guesses(model: LanguageModel, questions: Sequence[Question], answers: Sequence[str]) -> Asked:
    """Top-k prompting: the probability written for the guess that is the model's answer (Tian et al.).

    An answer that is not among the guesses has none: 0.
    """
    prompts = [BEST_GUESSES.format(question=stated(q), k=GUESSES) for q in questions]
    letters = [a[0] for a in answers]

    def read(text: str, i: int) -> float | None:
        guesses = read_guesses("G1:" + text)
        return guesses.get(letters[i], 0.0) if guesses else None

    return _written(model, prompts, new_tokens=12 * GUESSES, read=read)


def read_percentage(text: str) -> float | None:
    """0.9 for "90%", "90" and "0.9"; None where there is no number from 0 to 100."""
    found = re.search(r"\d+(?:\.\d+)?", text)
    if not found or float(found[0]) > 100:
        return None
    value = float(found[0])
    return value if value <= 1 and "." in found[0] else value / 100


def read_guesses(text: str) -> dict[str, float]:
    """{"B": 0.7, "A": 0.2} from "G1: B, P1: 0.7 / G2: A, P2: 0.2", whatever stands between."""
    pattern = r"G(\d)\s*:\s*([A-J])\b.*?P\1\s*:\s*(\d?\.\d+|[01])\b"
    found = {letter: float(p) for _, letter, p in re.findall(pattern, text, re.DOTALL)}
    return {letter: p for letter, p in found.items() if p <= 1}


def next_token(
    model: LanguageModel, prompts: Sequence[str], wanted: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(n, w) probabilities of the wanted tokens after each prompt, and the (n,) prompts' tokens."""
    encoded = [model.encode(p) for p in prompts]
    probs = np.zeros((len(prompts), len(wanted)))
    for reading in read_prompts(model, encoded, None, wanted=wanted):
        probs[reading.index] = np.exp(reading.log_probs.astype(float))
    return np.maximum(probs, 1e-12), np.array([len(e) + 1 for e in encoded])


def _written(
    model: LanguageModel, prompts: Sequence[str], new_tokens: int, read: Callable[[str, int], float | None]
) -> Asked:
    encoded = [model.encode(p) for p in prompts]
    out = [one[0] for one in continuations(model, encoded, new_tokens)]
    said = [read(model.tokenizer.decode(tokens, skip_special_tokens=True), i) for i, tokens in enumerate(out)]
    score = np.array([UNSAID if s is None else s for s in said], float)
    tokens = np.array([len(e) + max(1, len(o)) for e, o in zip(encoded, out)])
    return score, tokens, float(np.mean([s is not None for s in said]))
