"""How a question is put to a model: Table 7's prompts, the same in chat roles, and with examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

AUTO, TABLE_7, CHAT, FEW_SHOT = "auto", "table-7", "table-7-chat", "few-shot"
PROMPTS = (AUTO, TABLE_7, CHAT, FEW_SHOT)
SHOTS = 5  # examples of a subject, as MMLU is asked
DAY = "26 Jul 2024"  # for templates that ask for today's, in the form that those of Llama print
ENDPOINT = "an endpoint's own chat template"
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
    return MULTIPLE_CHOICE.format(
        subject=subject.replace("_", " "),
        letters=letters(len(choices)),
        question=question,
        choices=_listed(choices),
    )


def _listed(choices: Sequence[str]) -> str:
    return "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices))


def open_ended(question: str) -> str:
    """Table 7's open-ended prompt for a model without chat roles."""
    return OPEN_ENDED_PLAIN.format(question=question)


def open_ended_messages(question: str) -> list[dict[str, str]]:
    """Table 7's open-ended prompt as the system and user turns of a chat."""
    return [
        {"role": "system", "content": OPEN_ENDED_SYSTEM},
        {"role": "user", "content": OPEN_ENDED_USER.format(question=question)},
    ]


class Question(Protocol):
    """What a prompt needs of a `cclib.Question`."""

    id: str
    subject: str
    text: str
    choices: tuple[str, ...]
    answer: int | None
    accepted: tuple[str, ...]
    prompt: str  # Table 7's, without roles


# The layout in which MMLU asks with examples (Hendrycks et al., 2021).
FEW_SHOT_HEADER = "The following are multiple choice questions (with answers) about {subject}.\n\n"
FEW_SHOT_QUESTION = "{question}\n{choices}\nAnswer:"
FEW_SHOT_OPEN = "Question: {question}\nAnswer: {answer}\n\n"


@dataclass(frozen=True)
class Prompt:
    """One way of asking, for every question of a benchmark.

    `name` is "table-7" (as the paper prints it, without roles), "table-7-chat" (in the roles of the model's
    own chat template) or "few-shot:K" (K answered examples of a subject before its questions).
    """

    name: str = TABLE_7
    examples: Mapping[str, tuple[Question, ...]] = field(default_factory=dict, repr=False)  # by subject

    @property
    def chat(self) -> bool:
        return self.name == CHAT

    @property
    def example_ids(self) -> set[str]:
        return {q.id for some in self.examples.values() for q in some}

    def text(self, question: Question) -> str:
        """What a model without roles reads, ending where the answer comes next.

        Raises:
            ValueError: there are no examples of the question's subject.
        """
        if not self.examples:
            return question.prompt
        return self._before(question.subject) + _bare(question)

    def messages(self, question: Question) -> list[dict[str, str]]:
        """The turns of a chat; where the question has options, the last one starts the assistant's."""
        if not question.choices:
            return open_ended_messages(question.text)
        asked, starts, _ = question.prompt.rpartition("\nAnswer:")
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": starts.strip()}]

    def hash(self, template: str | None = None) -> str:
        """Twelve hex digits that change with any wording, so that traces of two prompts never mix.

        Args:
            template: the chat template that wraps it.
        """
        made_of = [MULTIPLE_CHOICE, OPEN_ENDED_PLAIN, str(template == ENDPOINT)]
        if self.examples:
            before = {subject: self._before(subject) for subject in sorted(self.examples)}
            made_of += [FEW_SHOT_QUESTION, json.dumps(before)]
        elif self.chat and template != ENDPOINT:  # an endpoint has no other way than its roles
            made_of += [OPEN_ENDED_SYSTEM, OPEN_ENDED_USER, CHAT, template or ""]
        return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12]

    def _before(self, subject: str) -> str:
        """What stands before each question of a subject."""
        if subject not in self.examples:
            raise ValueError(
                f"{self.name} has no examples of {subject!r}, only of {', '.join(sorted(self.examples))}"
            )
        some = self.examples[subject]
        if not some[0].choices:
            shown = (FEW_SHOT_OPEN.format(question=q.text, answer=q.accepted[0]) for q in some)
            return OPEN_ENDED_SYSTEM + "\n" + "".join(shown)
        shown = (f"{_bare(q)} {LETTERS[q.answer]}\n\n" for q in some)
        return FEW_SHOT_HEADER.format(subject=subject.replace("_", " ")) + "".join(shown)


def _bare(question: Question) -> str:
    """A question in the layout of examples."""
    if not question.choices:
        return OPEN_ENDED_USER.format(question=question.text) + "\n"
    return FEW_SHOT_QUESTION.format(question=question.text, choices=_listed(question.choices))


def shots(name: str) -> int:
    """5 of "few-shot", 3 of "few-shot:3", 0 of any other prompt.

    Raises:
        ValueError: there is no such prompt.
    """
    kind, _, number = str(name).partition(":")
    if kind == FEW_SHOT and (not number or number.isdigit()) and number != "0":
        return int(number or SHOTS)
    if name not in PROMPTS:
        raise ValueError(
            f"prompt must be one of {', '.join(PROMPTS)}, or few-shot:K for K examples; found {name!r}"
        )
    return 0


def few_shot(examples: Sequence[Question], k: int = SHOTS) -> Prompt:
    """The prompt that shows the first k answered examples of a subject before each of its questions.

    Args:
        examples: questions with their answers, such as a benchmark's development questions; none of them
            should be asked.

    Raises:
        ValueError: there are none, a subject has fewer than k, or one has no answer.
    """
    by_subject: dict[str, list[Question]] = {}
    for question in examples:
        by_subject.setdefault(question.subject, []).append(question)
    if not by_subject or k < 1:
        raise ValueError(
            f"a few-shot prompt needs at least one example a subject, found {len(examples)}, k={k}"
        )
    for subject, some in by_subject.items():
        if len(some) < k:
            raise ValueError(
                f"few-shot:{k} needs {k} development questions a subject, and {subject!r} has {len(some)}; "
                f"ask with few-shot:{min(map(len, by_subject.values()))}, or with table-7"
            )
        if bare := [q.id for q in some[:k] if q.answer is None and not q.accepted]:
            raise ValueError(f"example {bare[0]} has no answer, so it cannot be shown")
    return Prompt(f"{FEW_SHOT}:{k}", {subject: tuple(some[:k]) for subject, some in by_subject.items()})


def read_prompt(prompt: str | Prompt) -> Prompt:
    """A prompt by its name; "auto" keeps its name, for `resolved` to decide.

    Raises:
        ValueError: there is no such prompt, or it needs examples.
    """
    if isinstance(prompt, Prompt):
        return prompt
    if shots(prompt):
        raise ValueError(
            f"{prompt} needs examples, and a list of questions has none: pass "
            "cclib.few_shot(examples), or ask through cclib.load_study, which takes the benchmark's own"
        )
    return Prompt(prompt)


def resolved(prompt: Prompt, is_open: bool, has_roles: bool) -> Prompt:
    """What "auto" is, the paper's reading: Table 7, in roles where the question is open and there are any."""
    if prompt.name != AUTO:
        return prompt
    return replace(prompt, name=CHAT if is_open and has_roles else TABLE_7)


def wrapped(tokenizer: Any, template: str, messages: list[dict[str, str]], name: str) -> str:
    """A chat in a model's own template, up to where the model writes on.

    Raises:
        ValueError: the template cannot take these roles, or begins the answer with a thought.
    """
    begun = messages[-1]["role"] == "assistant"
    options = {
        "tokenize": False,
        "continue_final_message": begun,
        "add_generation_prompt": not begun,
        "enable_thinking": False,
        # a template may print the day it is used on, and a prompt must be the same tomorrow
        "chat_template": template.replace("strftime_now(", f"'{DAY}'.format("),
    }
    try:
        text = tokenizer.apply_chat_template(messages, **options)
    except Exception as error:  # a template raises what it likes
        if messages[0]["role"] != "system":
            raise ValueError(f"{name}: its chat template does not take this prompt: {error}") from error
        said = "\n".join(m["content"] for m in messages[:2])  # some templates know no system
        return wrapped(tokenizer, template, [{"role": "user", "content": said}, *messages[2:]], name)
    if text.rstrip().endswith("<think>"):
        raise ValueError(
            f"{name}: its chat template opens a thought before the answer, so the next token is no letter; "
            "ask it with the prompt table-7 or few-shot"
        )
    return text
