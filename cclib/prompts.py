"""The paper's prompts (Table 7), and the wrapping of a conversation for a chat model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

LETTERS = "ABCDEFGHIJ"
NEW_TOKENS = 24  # that the answer to an open question may have

MULTIPLE_CHOICE = (
    "The following are multiple choice questions about {subject}. "
    'Please determine the correct answer in the format "Answer: <answer>", '
    "where <answer> is {letters}.\n"
    "Question: {question}\n"
    "Choices: {choices}\n"
    "Answer:"
)

OPEN_ENDED_SYSTEM = (
    "The following are questions about entity relationship. "
    'Please determine the correct answer in the format "Answer: <answer>".'
)
OPEN_ENDED_USER = "Question: {question}"

# What a plain (not chat) model reads in place of the roles. The paper prints "Answer:" as the start of
# the assistant's turn and also measures whether the first generated token is "Answer"; only a prompt
# that stops before the word lets the model choose it.
OPEN_ENDED_PLAIN = OPEN_ENDED_SYSTEM + "\n" + OPEN_ENDED_USER + "\n"


def letters(n_options: int) -> str:
    """'A, B, C or D' for four options; 2 to 10 options have a letter."""
    if not 2 <= n_options <= len(LETTERS):
        raise ValueError(
            f"a question needs 2 to {len(LETTERS)} options, found {n_options}; drop or merge options"
        )
    *head, last = LETTERS[:n_options]
    return f"{', '.join(head)} or {last}"


def multiple_choice(subject: str, question: str, choices: Sequence[str]) -> str:
    """Table 7's multiple-choice prompt, one option a line, ending where the letter comes next."""
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices))
    return MULTIPLE_CHOICE.format(
        subject=subject.replace("_", " "),
        letters=letters(len(choices)),
        question=question,
        choices=listed,
    )


def open_ended(question: str) -> str:
    """Table 7's open-ended prompt for a model without chat roles."""
    return OPEN_ENDED_PLAIN.format(question=question)


def open_ended_messages(question: str) -> list[dict[str, str]]:
    """Table 7's open-ended prompt as the system and user turns of a chat."""
    return [
        {"role": "system", "content": OPEN_ENDED_SYSTEM},
        {"role": "user", "content": OPEN_ENDED_USER.format(question=question)},
    ]


def template_hash(chat: bool = False) -> str:
    """Twelve hex digits that change with any template, so traces of two prompts never mix."""
    text = "\0".join([MULTIPLE_CHOICE, OPEN_ENDED_PLAIN, str(chat)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
