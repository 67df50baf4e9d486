"""How an endpoint is asked, and how it wants to be asked once it has refused a request for its form."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cclib import prompts
from cclib.names import API_PREFIXES
from cclib.prompts import NEW_TOKENS, Prompt
from cclib.questions import Question

TOP = 20  # the most alternatives that OpenAI's chat and vLLM give
CHAT_TOKENS = 16  # enough for some words and "Answer:" before the letter
LIMITS = ("max_tokens", "max_completion_tokens")
UNKNOWN_NAME = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|invalid (?:param|arg)|extra|additional|"
    r"not (?:supported|permitted|allowed|a valid|recogni[sz]ed)",
    re.I,
)
NUMBER = r"(?<![A-Za-z\d.])(?<![A-Za-z]-)\d{1,2}(?!\d|\.\d)"
TOO_MANY = re.compile(
    r"most|max|more than|greater|less|between|range|exceed|limit|<|≤|too|invalid|up to|above", re.I
)


@dataclass(frozen=True)
class Manner:
    """The two things in which endpoints differ."""

    top: int  # alternatives a token
    limit: str  # the name of the most new tokens
    swapped: bool = False  # that is the second name tried

    def after(self, said: str) -> Manner | None:
        """How to ask after an error that says so; None where it is about something else."""
        if not self.swapped and re.search(rf"\b{self.limit}\b", said) and UNKNOWN_NAME.search(said):
            return replace(self, limit=LIMITS[LIMITS[0] == self.limit], swapped=True)
        if self.top > 1 and re.search(r"log_?probs", said, re.I) and TOO_MANY.search(said):
            numbers = [n for n in map(int, re.findall(NUMBER, said)) if 0 < n < self.top]
            if numbers or "invalid" in said.lower():
                return replace(self, top=max(numbers, default=5 if self.top > 5 else self.top - 1))
            if str(self.top) in said:
                return replace(self, top=self.top - 1)
        return None

    def as_entry(self) -> dict[str, Any]:
        return asdict(self)


def roles(name: str | Path) -> str | None:
    """What wraps a prompt at an endpoint: a template of its own where it is asked through chat."""
    return prompts.ENDPOINT if str(name).startswith(API_PREFIXES[0]) else None


def request(question: Question, model: str, chat: bool, manner: Manner, prompt: Prompt) -> dict[str, Any]:
    """The arguments of one request of the client."""
    new = NEW_TOKENS if not question.choices else CHAT_TOKENS if chat else 1
    common = {"model": model, "temperature": 0}
    if not chat:
        return common | {"prompt": prompt.text(question), "logprobs": manner.top, "max_tokens": new}
    messages = [{"role": "user", "content": prompt.text(question)}]
    if not question.choices and not prompt.examples:
        messages = prompts.open_ended_messages(question.text)
    return common | {
        "messages": messages, "logprobs": True, "top_logprobs": manner.top, manner.limit: new,
    }  # fmt: skip
