"""Models behind an OpenAI-compatible API as stages: one request a question, within a budget.

"openai:NAME" is asked through /chat/completions, as GPT-4o is in the paper; "openai-completions:NAME"
through /completions, which reads the very prompt that a local model reads, so that the two can be
compared. There is no hidden state, so no P(IK).

The key comes from OPENAI_API_KEY and goes nowhere but into the client (see cclib.api_errors).
"""

from __future__ import annotations

import os
import random
import threading
import time
import warnings
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tenacity

from cclib.models.api_answers import aside_row, check_row, choice_row, open_row
from cclib.models.api_budget import BudgetReached, Journal, Meter, read_budget
from cclib.models.api_failures import APIFailure, key, to_api_failure, without_keys
from cclib.models.api_replies import BadReply, parse, read_reply, usage_of
from cclib.models.api_requests import CHAT_TOKENS, LIMITS, TOP, Manner, request, roles
from cclib.names import API_PREFIXES, slug
from cclib.prices import price_of, read_prices
from cclib.prompts import NEW_TOKENS, Prompt, read_prompt, resolved
from cclib.questions import Question

OPENAI = "api.openai.com"
TEMPLATE_TOKENS = 256  # more than a chat's template adds to a prompt


@dataclass
class APIModel:
    """A model that answers over HTTP. Nothing is sent before the first question."""

    name: str  # with its prefix
    base_url: str | None = field(repr=False)
    budget: tuple[float, str] | None = None
    price: tuple[float, float] | None = None
    concurrency: int = 8  # requests under way at a time
    timeout: float = 60.0  # seconds of silence
    attempts: int = 8  # requests for a question, the first one included
    meter: Meter = field(default_factory=Meter, repr=False)
    prompt: Prompt = field(default_factory=Prompt, repr=False)
    answered_as: dict[str, str] = field(default_factory=dict, repr=False)  # "name": what answered first
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    parameters = n_layers = None  # an API tells neither

    @property
    def slug(self) -> str:
        return slug(self.name)

    @property
    def chat(self) -> bool:
        return self.name.startswith(API_PREFIXES[0])

    @property
    def served(self) -> str:
        """The name that the endpoint knows it by."""
        return self.name.split(":", 1)[1]

    @property
    def host(self) -> str:
        return (urlsplit(self.base_url).hostname or "") if self.base_url else OPENAI

    def provenance(self) -> dict[str, Any]:
        """What a record must say of it. Of the URL, the host alone."""
        return {
            "model": self.name,
            "checksum": f"served:{self.served}@{self.host}",  # a server on this machine may change ports
            "dtype": None,
            "device": f"API at {self.host}",
            "prompt": self.prompt.name,
            "prompt_hash": self.prompt.hash(roles(self.name)),
            "endpoint": "chat/completions" if self.chat else "completions",
            "option_probs": f"from {self.manner.top} likeliest tokens; see options_unseen and mass_unseen",
            "reading": "where the text says that a letter is the answer",
            "versions": {package: version(package) for package in ("openai", "numpy")},
        }

    @cached_property
    def manner(self) -> Manner:
        """How it is asked; another one takes its place where the endpoint refuses this."""
        at_openai = (
            self.host == OPENAI
        )  # which allows 5 alternatives of completions; others know the old name
        return Manner(5 if at_openai and not self.chat else TOP, LIMITS[at_openai])

    def adapt(self, refused: Manner, said: str) -> bool:
        """Whether a question can be asked again in another manner, after an error that says so."""
        with self._lock:
            if self.manner == refused:  # else another thread has learned it already
                self.manner = refused.after(said) or refused
            return self.manner != refused

    @cached_property
    def client(self) -> Any:
        """The official client, without its own retries: it would repeat what is paid for unseen.

        Raises:
            ValueError: the package or the key is missing.
        """
        try:
            from openai import OpenAI
        except ImportError:
            raise ValueError("models behind an API need the openai package: pip install openai") from None
        if not (key().isascii() and key().isprintable()) or " " in key():
            raise ValueError("OPENAI_API_KEY holds blanks, line ends or letters beyond ASCII; set it anew")
        if self.host == OPENAI and not os.environ.get("OPENAI_API_KEY"):
            raise ValueError("set OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint that asks for no key")
        return OpenAI(api_key=key(), base_url=self.base_url, timeout=self.timeout, max_retries=0)

    def worst(self, question: Question) -> tuple[int, int]:
        """The most tokens of prompt and output that a question can be billed: a token has a byte or more."""
        new = NEW_TOKENS if not question.choices else CHAT_TOKENS
        return len(self.prompt.text(question).encode()) + TEMPLATE_TOKENS, new

    def asked(self, prompt: str | Prompt, is_open: bool = False) -> APIModel:
        """The same model and meter, asked with another prompt.

        Raises:
            ValueError: the prompt is in chat roles, and plain completions have none.
        """
        prompt = resolved(read_prompt(prompt), is_open, self.chat)
        if prompt.chat and not self.chat:
            raise ValueError(
                f"{self.name} is asked for plain completions, which have no roles, so {prompt.name} is no "
                f"prompt for it; give table-7 or few-shot, or name it openai:{self.served}"
            )
        return self if prompt == self.prompt else replace(self, prompt=prompt)


def connect(name: str, base_url: str | None = None, budget: str | None = None) -> APIModel:
    """A model behind an API, by its prefixed name.

    Args:
        base_url: the endpoint, such as "http://127.0.0.1:8000/v1"; default: OPENAI_BASE_URL, else OpenAI's.
        budget: "2.50 USD" or "100000 tokens", for this model in one store, all runs together; default:
            CCLIB_BUDGET, else none. A request is not sent where it might pass it.

    Raises:
        ValueError: the URL cannot be used or carries a key, the budget is not one, or is in dollars for a
            model without a price.
    """
    if not name.split(":", 1)[1]:
        raise ValueError(f"{name!r} names no model; give it as the endpoint knows it: openai:gpt-4o")
    base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    if base_url is not None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the base URL of an API must be like http://127.0.0.1:8000/v1")  # not printed
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "the base URL of an API must not carry a name, a password or a query: keys come from "
                "OPENAI_API_KEY alone, so that none is written down"
            )
    model = APIModel(name, base_url, read_budget(budget or os.environ.get("CCLIB_BUDGET")))
    model.price = price_of(name, read_prices())
    model.meter = Meter(model.budget, model.price)
    if model.budget and model.budget[1] == "USD" and model.price is None:
        raise ValueError(
            f"a budget in dollars needs a price for {model.served!r}: add a row to "
            'cclib/paper/tables/prices.csv, or give the budget in tokens ("100000 tokens")'
        )
    return model


def open_journal(
    model: APIModel, folder: Path, made: str | None = None, first: bool = True
) -> tuple[Journal, dict[str, dict[str, Any]]]:
    """The journal of a model's folder and its rows of one making, by question; the meter goes on from all.

    An entry that cannot become part of a trace counts as paid, and its question is asked again.

    Args:
        made: what new answers are made of, in a few digits.
        first: whether entries that do not say what they are made of are of this making.
    """
    journal = Journal(folder / "journal.jsonl", made)
    model.meter = Meter(model.budget, model.price)
    model.answered_as.clear()
    rows, lost = {}, 0
    for entry in journal.read():
        model.meter.charge(*entry["charged"])
        if "manner" in entry:
            model.manner = Manner(**entry["manner"])
        if "row" in entry and entry.get("made", made if first else "") == made:
            try:
                row = entry["row"]
                check_row(row)
                rows[row["question_id"]] = row
                if row["served_model"]:
                    model.answered_as.setdefault("name", row["served_model"])
            except (BadReply, KeyError):
                lost += 1
    if lost:
        warnings.warn(
            f"{journal.path}: {lost} answers cannot be part of a trace; their questions are asked again",
            stacklevel=2,
        )
    return journal, rows


def answer_by_api(
    model: APIModel,
    questions: Sequence[Question],
    known: Container[str] = (),
    journal: Journal | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Rows of a trace, as answers arrive; each is in the journal before it is handed on.

    Args:
        known: ids of questions that were answered before; they are not asked.

    Raises:
        BudgetReached: the budget leaves no room for another request; all under way were waited for.
        APIFailure: a question could not be answered; likewise.
    """
    todo = [q for q in questions if q.id not in known]
    if not todo:
        return
    model.client  # noqa: B018  # made here, where what is missing is told once
    halt = threading.Event()
    failure: BaseException | None = None
    running: set[Future] = set()
    with ThreadPoolExecutor(model.concurrency) as pool:
        try:
            while (todo and failure is None) or running:
                while todo and failure is None and len(running) < model.concurrency:
                    if not model.meter.reserve(*model.worst(todo[0])):
                        break
                    running.add(pool.submit(_answer, model, todo.pop(0), journal, halt))
                if not running:
                    failure = _no_room(model, len(todo))
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                failed = [e for f in done if (e := f.exception())]
                if failed and failure is None:
                    failure = failed[0]
                    halt.set()  # nobody waits to try again; what is under way comes in
                if rows := [f.result() for f in done if not f.exception()]:
                    yield rows
        finally:
            halt.set()
    if failure is not None:
        raise failure


def _answer(
    model: APIModel, question: Question, journal: Journal | None, halt: threading.Event
) -> dict[str, Any]:
    """Ask one question, for which room in the budget is set aside; its row."""
    worst = model.worst(question)
    endpoint = model.client.chat.completions if model.chat else model.client.completions

    def charge(billed: tuple[int, int] | None, **entry: Any) -> None:
        model.meter.charge(*(billed or worst))
        if journal is not None:
            journal.write({"charged": billed or worst, **entry})

    def attempt() -> dict[str, Any]:
        if halt.is_set():
            raise APIFailure("stopped")
        said = headers = None
        began = time.perf_counter()
        manner = model.manner
        try:
            asked = request(question, model.served, model.chat, manner, model.prompt)
            came = endpoint.with_raw_response.create(**asked)
            headers = came.headers
            said = parse(without_keys(came.text))
            reply = read_reply(said)
            read = choice_row if question.choices else open_row
            row = read(question, reply, asked.get("prompt", ""))
            check_row(row)
        except Exception as error:
            failure = to_api_failure(
                error, f"{model.name} at {model.host}", f"question {question.id}", headers
            )
        else:
            before = model.answered_as.setdefault("name", reply.served_model) if reply.served_model else ""
            if reply.served_model == before:
                row["seconds"] = time.perf_counter() - began
                charge(usage_of(said), row=row)
                return row
            failure = APIFailure(
                f"{model.name} answered as {reply.served_model!r}, before as {before!r}; a trace is of one "
                "model: name the version that you want, and use another store for it",
                billed=True,
            )
        # raised out here, so that the client's exception is not even this one's context
        if failure.said and model.adapt(manner, failure.said):
            charge((0, 0), manner=model.manner.as_entry())
            return attempt()
        if failure.aside:
            row = aside_row(question, failure.aside, usage_of(said), model.answered_as.get("name"))
            charge(usage_of(said) or (worst[0], 0), row=row)
            return row
        if failure.billed:
            charge(usage_of(said), question_id=question.id, lost=str(failure))
            if failure.retry and not model.meter.reserve(0, 0):
                failure = _no_room(model, 1)
        raise failure

    try:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: getattr(e, "retry", False)),
            wait=_wait,
            stop=tenacity.stop_after_attempt(model.attempts) | tenacity.stop_when_event_set(halt),
            sleep=tenacity.sleep_using_event(halt),
            reraise=True,
        )(attempt)
    finally:
        model.meter.release(*worst)


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds to the next attempt: what the endpoint asks for and a moment, or more at each attempt."""
    after = getattr(state.outcome.exception(), "after", None)
    if after is not None:
        return after + random.uniform(0, 0.5)
    return tenacity.wait_random_exponential(multiplier=0.5, max=30)(state)


def _no_room(model: APIModel, left: int) -> BudgetReached:
    return BudgetReached(
        f"{model.name}: the budget leaves no room for another request ({model.meter.spent} is spent); "
        f"{left} questions are not answered. What was answered is kept: run the same again with a larger "
        "budget"
    )
