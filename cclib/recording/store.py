"""What a store holds of a model, and which of it answers a question.

A model's folder holds its first making: `provenance.json` and parts. What was made otherwise (from other
weights, prompts, layers, in another precision) is in folders of its own below it, `making-1a2b3c4d`. An
answer is that of a question by what was asked, not by its id, which may follow its place in a table.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from cclib import prompts
from cclib.models.api_judge import judge_name, verdicts_of
from cclib.models.api_requests import roles
from cclib.models.local import check_layer, default_layer
from cclib.models.weights import checksum_at_hand
from cclib.names import ATLAS, HUB_ID, is_api, pinned
from cclib.prompts import Prompt
from cclib.questions import ABSTAINED, RIGHT, Judge, Question, string_match
from cclib.traces import FINGERPRINT, SCHEMA, Trace, read_parts, read_provenance

if TYPE_CHECKING:
    from cclib.models.api import APIModel
    from cclib.models.local import LanguageModel


def _made(about: dict[str, Any], key: str) -> Any:
    """One of the values of `FINGERPRINT`, or what it was where an older trace does not say."""
    if key == "reading":  # "packed: why", not known before the first prompts are read
        return str(about.get(key) or "packed").partition(":")[0]
    prompt = about.get("prompt", prompts.TABLE_7)
    if key == "prompt":
        return prompt
    if key == "as auto":  # of open questions: in chat roles where the model has any
        plain = prompt == prompts.TABLE_7 and about.get("has_chat_template") is False
        return plain or prompt == prompts.CHAT
    return about.get(key, about.get("dtype") if key == "head" else None)


def makings(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The folders of a model's traces and what each was made of, the first one first."""
    if not folder.is_dir():
        return []
    begun = [folder] if (folder / "provenance.json").exists() or any(folder.glob("part-*.parquet")) else []
    below = [(read_provenance(p.parent), p.parent) for p in folder.glob("making-*/provenance.json")]
    below.sort(key=lambda found: (str(found[0].get("recorded")), found[1].name))
    return [(home, read_provenance(home)) for home in begun] + [(home, about) for about, home in below]


def wanted_of(model: LanguageModel | APIModel, layer: int | None) -> dict[str, Any]:
    """What a recording by a loaded model is made of: the values of `FINGERPRINT`."""
    at = None if is_api(model.name) else check_layer(layer, model.n_layers)
    about = model.provenance() | {"hidden_layer": at}
    return {key: _made(about, key) for key in FINGERPRINT}


def wanted_by_name(
    name: str | Path, layer: int | None, dtype: str, prompt: Prompt, is_open: bool
) -> dict[str, Any]:
    """What a name says of a recording before it is loaded; None where anything will do."""
    wanted = {"prompt_hash": prompts.resolved(prompt, is_open, False).hash()}
    if is_api(name):
        wanted = {"prompt_hash": prompts.resolved(prompt, is_open, False).hash(roles(name))}
        host = urlsplit(os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com").hostname
        known = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY")
        served = f"served:{str(name).split(':', 1)[1]}@{host}" if known else None
        return wanted | {"model": name, "checksum": served}
    if prompt.chat:  # in the words of a template that is not known yet
        wanted = {"prompt": prompts.CHAT}
    elif prompt.name == prompts.AUTO and is_open and name not in ATLAS:
        wanted = {"as auto": True}
    wanted |= {"hidden_layer": layer, "dtype": None if dtype == "auto" else dtype}
    wanted["checksum"] = checksum_at_hand(name)
    if wanted["checksum"] is None and HUB_ID.fullmatch(str(name)):
        wanted |= {"model": name, "pin": pinned(name)}
    return wanted


def differences(about: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """In words, what is not as it is wanted."""
    found = []
    for key, now in wanted.items():
        was = _made(about, key)
        if key == "hidden_layer" and now is None:  # an API has none
            now = default_layer(about["n_layers"]) if about.get("n_layers") else was
        elif key == "pin" and str(about.get("checksum")).startswith(f"commit:{now}"):
            continue
        elif key == "pin":
            was = about.get("revision")
        elif key == "model":  # a folder's name says little
            was, now = (str(n).removesuffix(f"@{pinned(n)}") for n in (was, now))
            now = now if is_api(now) or HUB_ID.fullmatch(was) else was
        if now is not None and was != now:
            found.append(f"{key}: recorded {was}, now {now}")
    return found


def find(folder: Path, wanted: dict[str, Any]) -> Path | None:
    """The folder of the first making that is as wanted, or None.

    Raises:
        ValueError: the weights are not at hand, and answers of several fit.
    """
    fitting = {home: about for home, about in makings(folder) if not differences(about, wanted)}
    made_by = {str(about.get("checksum")): home for home, about in fitting.items()}
    if len(made_by) > 1:
        listed = "; ".join(f"{home} from {checksum}" for checksum, home in made_by.items())
        raise ValueError(
            f"{folder} holds answers of several models of this name, whose weights are not at hand, so "
            f"nothing says whose are meant ({listed}): put the weights back, or use cclib.read_trace"
        )
    return next(iter(fitting), None)


def new_home(folder: Path, wanted: dict[str, Any]) -> Path:
    """Where a making that the folder does not hold yet goes."""
    return folder / f"making-{making_key(wanted)}" if makings(folder) else folder


def making_key(about: dict[str, Any]) -> str:
    """Eight hex digits of what must agree for two recordings to be one trace."""
    made_of = [_made(about, key) for key in FINGERPRINT]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Held:
    """Which of n questions a making holds answers to."""

    home: Path | None
    questions: Sequence[Question]
    given: pa.Table | None = None  # rows to look among, in place of those in the folder

    @cached_property
    def table(self) -> pa.Table:
        parts = [] if self.home is None else [read_parts(self.home)] if self.given is None else [self.given]
        return pa.concat_tables([SCHEMA.empty_table(), *parts], promote_options="default")

    @cached_property
    def about(self) -> dict[str, Any]:
        return {} if self.home is None else read_provenance(self.home)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {q: row for row, q in enumerate(self.table["question_id"].to_pylist())}

    @cached_property
    def rows(self) -> dict[str, int]:
        """The table's row of each question that it holds, by the question's id now."""
        recorded = {h: row for row, h in enumerate(self.table["question_hash"].to_pylist()) if h}
        rows = {q.id: recorded.get(q.hash, self._unhashed(q)) for q in self.questions}
        return {question_id: row for question_id, row in rows.items() if row is not None}

    def _unhashed(self, question: Question) -> int | None:
        """The row of this id in a trace that does not say what was asked, where nothing speaks against it."""
        row = self._ids.get(question.id)
        if row is None or self.table["question_hash"][row].is_valid:
            return None
        kept = {k: self.table[k][row].as_py() for k in ("subject", "answer", "option_probs")}
        options = len(kept["option_probs"] or ())
        alike = (question.subject, question.answer, len(question.choices)) == (
            kept["subject"], kept["answer"], options,
        )  # fmt: skip
        return row if alike else None

    @cached_property
    def left(self) -> list[Question]:
        return [q for q in self.questions if q.id not in self.rows]

    @property
    def changed(self) -> list[str]:
        """Ids that are answered here, but to another question."""
        return [q.id for q in self.left if q.id in self._ids]

    def notes(self) -> list[str]:
        """What nobody can vouch for."""
        unknown = self.table["question_hash"].take(list(self.rows.values())).null_count
        if not unknown:
            return []
        return [
            f"{unknown} of {len(self.questions)} answers in {self.home.name} were recorded without what was "
            "asked, so they are known by their ids alone; where the questions may have changed since, record "
            "them anew in another traces_dir"
        ]

    def trace(self, notes: Sequence[str] = (), judge: Judge = string_match, progress: bool = True) -> Trace:
        """The answers, in the order of the questions, judged by what is right now.

        Raises:
            KeyError: some are not answered.
        """
        if self.left:
            raise KeyError(f"{self.home}: {len(self.left)} questions are not answered, the first is "
                           f"{self.left[0].id!r}")  # fmt: skip
        table = self.table.take(pa.array([self.rows[q.id] for q in self.questions], pa.int64()))
        judged = _judged(self.questions, table, judge, progress)
        now = {
            "question_id": [q.id for q in self.questions],
            "subject": [q.subject for q in self.questions],
            "answer": [q.answer for q in self.questions],
            **judged,
        }
        for name, values in now.items():
            at = table.schema.get_field_index(name)
            table = table.set_column(at, SCHEMA.field(name), pa.array(values, SCHEMA.field(name).type))
        said_of = [*self.notes(), *notes]
        by = {} if self.questions[0].choices else {"judge": judge_name(judge)}
        return Trace(table, self.about | by | ({"notes": said_of} if said_of else {}))


def recorded(folder: Path, like: Trace, questions: Sequence[Question], judge: Judge = string_match) -> Trace:
    """All that a model's folder holds of some questions, made as a trace was."""
    home = find(folder, {key: _made(like.provenance, key) for key in FINGERPRINT})
    known = Held(home, questions).rows
    return Held(home, [q for q in questions if q.id in known]).trace(judge=judge)


def by_rows(path: str | Path, outside: Trace, questions: Sequence[Question]) -> Trace:
    """A file's answers, where its ids are plain rows' numbers, by the ids of a table without a column `id`.

    Such a table's rows are "name/0", "name/1" and so on.

    Raises:
        ValueError: the numbers do not start at 0, or go beyond the table's rows.
    """
    stem, named = questions[0].id.rpartition("/")[0], [q.id for q in questions]
    ids = outside.question_id
    numbered = all(i.isascii() and i.isdigit() for i in ids)
    if not numbered or named != [f"{stem}/{i}" for i in range(len(named))]:
        return outside
    numbers = [int(i) for i in ids]
    if numbers and (min(numbers) != 0 or max(numbers) >= len(named)):
        raise ValueError(
            f"{path}: question_id has the numbers {min(numbers)} to {max(numbers)}, and the rows of {stem} "
            f"go from 0 (the first under the header) to {len(named) - 1}; number them so, or name them as "
            f"{named[0]!r}"
        )
    ids = pa.array([f"{stem}/{i}" for i in numbers])
    at = outside.table.schema.get_field_index("question_id")
    return Trace(outside.table.set_column(at, "question_id", ids), outside.provenance)


def answers_of(path: str | Path, outside: Trace, questions: Sequence[Question]) -> Trace:
    """The answers to some questions that are known from a file (see `cclib.read_trace`) alone.

    Raises:
        ValueError: some are not there; or the file's question_hash or answer says that something else was
            asked, or was right.
    """
    try:
        trace = outside.select(q.id for q in questions)
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]}") from error
    said = trace.table.select([c for c in ("question_hash", "answer") if c in trace.table.column_names])
    for question, row in zip(questions, said.to_pylist()):
        now = {"question_hash": question.hash, "answer": question.answer}
        if str(row.get("answer")) in [*prompts.LETTERS]:
            row["answer"] = prompts.LETTERS.index(row["answer"])
        if differ := [c for c, was in row.items() if was is not None and was != now[c]]:
            what = "right" if differ == ["answer"] else "asked"
            raise ValueError(
                f"{path}, question {question.id}: something else was {what} when this was recorded "
                f"({differ[0]} {row[differ[0]]!r}, now {now[differ[0]]!r}); record it anew, or put "
                "the benchmark back"
            )
    if trace.column("subject") is None:
        trace = trace.with_column("subject", np.array([q.subject for q in questions]))
    return trace


def _judged(
    questions: Sequence[Question], table: pa.Table, judge: Judge, progress: bool
) -> dict[str, list[Any]]:
    """Columns of a trace: which answers are right, which decline (only an open one can), and its notes.

    What an endpoint set aside stays so; what the judge has no verdict on is set aside too.
    """
    known, note = table["correct"].is_valid().to_pylist(), table["note"].to_pylist()
    said, predicted = table["response"].to_pylist(), table["prediction"].to_pylist()
    if questions[0].choices:
        right = [p == q.answer if k else None for q, p, k in zip(questions, predicted, known)]
        return {"correct": right, "abstained": [None] * len(right), "note": note}
    at = [i for i, k in enumerate(known) if k]
    verdicts = verdicts_of(judge, [questions[i] for i in at], [said[i] or "" for i in at], progress)
    found: dict[int, str | None] = dict(zip(at, verdicts))
    unjudged = "set aside: the judge named no verdict"
    return {
        "correct": [v and v == RIGHT for v in map(found.get, range(len(questions)))],
        "abstained": [v and v == ABSTAINED for v in map(found.get, range(len(questions)))],
        "note": [unjudged if k and found[i] is None else n for i, (k, n) in enumerate(zip(known, note))],
    }
