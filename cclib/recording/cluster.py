"""Recording on several machines: Ray Data streams batches of questions through workers that hold a model.

Ray gives a batch whose worker died to another; the driver writes the parts, as it does on one machine. Every
node needs this package, in the same version, and the model under the same name.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from cclib.names import slug
from cclib.prompts import Prompt
from cclib.questions import Question
from cclib.traces import SCHEMA

BATCH, CORES = 256, 2  # questions a batch, of which a worker has two at hand; cores of one without a GPU


class Worker:
    """A model in a process of its own, on one of the cluster's nodes."""

    def __init__(self, name: str, layer: int | None, device: str | None, dtype: str, prompt: Prompt) -> None:
        from cclib.models.load import load_model

        self.model, self.layer, self.prompt = load_model(name, device=device, dtype=dtype), layer, prompt

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of a trace for questions in JSON, each with the provenance of the model that answered."""
        from cclib.confidence.p_t import answer_open_questions, answer_questions

        questions = [_question(text) for text in batch["question"].to_pylist()]
        self.model = self.model.asked(self.prompt, is_open=not questions[0].choices)
        answer = answer_questions if questions[0].choices else answer_open_questions
        rows = [row for part in answer(self.model, questions, self.layer) for row in part]
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        made = json.dumps(self.model.provenance(), sort_keys=True)  # how it reads is known only now
        return table.append_column("made", pa.array([made] * len(table)))


class ClusterModel:
    """A model on the workers of a Ray cluster: `cclib.recording` writes its answers like a loaded one's.

    Args:
        worker: what one worker takes of its node, in Ray's words; default: {"num_gpus": 1} where the
            cluster has GPUs, else {"num_cpus": 2}. For a model that one GPU cannot hold: {"num_gpus": 4},
            with device="auto".
    """

    def __init__(
        self, name: str | Path, questions: Sequence[Question], layer: int | None = None,
        device: str | None = None, dtype: str = "auto", worker: dict[str, Any] | None = None,
        prompt: Prompt = Prompt(),  # noqa: B008  # frozen
    ) -> None:  # fmt: skip
        self.name, self.slug = str(Path(name).resolve() if Path(name).exists() else name), slug(name)
        self.stream = self._stream(list(questions), (self.name, layer, device, dtype, prompt), worker)

    @cached_property
    def _first(self) -> pa.Table:
        return next(self.stream)

    def provenance(self) -> dict[str, Any]:
        return json.loads(self._first["made"][0].as_py())

    n_layers = property(lambda self: self.provenance()["n_layers"])

    def answers(
        self, questions: Sequence[Question], layer: int | None, known: Container[str] = ()
    ) -> Iterator[list[dict[str, Any]]]:
        """Rows of a trace, batch by batch, as the workers give them."""
        first = self.provenance()
        for table in chain([self._first], self.stream):
            made = json.loads(table["made"][0].as_py())
            if differ := [(made[k], first[k]) for k in ("checksum", "dtype") if made[k] != first[k]]:
                raise ValueError(
                    f"workers have different models under the name {self.name}: {differ}; give all nodes the "
                    "same files, or pin a revision"
                )
            yield [row for row in _rows(table.drop_columns("made")) if row["question_id"] not in known]

    def _stream(self, questions: list[Question], model: tuple, worker: dict[str, Any] | None) -> Any:
        ray = connect()
        worker = worker or ({"num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": CORES})
        room = places(worker, [n["Resources"] for n in ray.nodes() if n["Alive"]])
        questions.sort(key=lambda q: q.prompt)  # neighbours share a head, which is run once a pack
        asked = [{"question": json.dumps(asdict(q))} for q in questions]
        batches = -(-len(asked) // BATCH)
        answered = ray.data.from_items(asked, override_num_blocks=batches).map_batches(
            Worker,
            fn_constructor_args=model,
            batch_size=None,  # a block is a batch
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(room, batches)),
            **worker,
        )
        yield from answered.iter_batches(batch_size=None, batch_format="pyarrow")


def connect() -> Any:
    """Ray, connected to the running cluster. None is started here: its owner decides who can reach it."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray on every node: pip install 'ray[data]'") from error
    if not ray.is_initialized():
        try:
            ray.init(address="auto", logging_level="warning")
        except ConnectionError as error:
            raise ConnectionError(
                "engine='ray' found no running Ray cluster; start one with `ray start --head`, and join "
                "other machines with `ray start --address=...`, or set RAY_ADDRESS"
            ) from error
    told = ray.data.DataContext.get_current()
    told.enable_progress_bars = told.print_on_execution_start = False  # recording has a bar of its own
    return ray


def places(worker: dict[str, Any], nodes: Sequence[dict[str, float]]) -> int:
    """How many workers the nodes hold."""
    kinds = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    need = {kinds[k]: v for k, v in worker.items() if k in kinds and v} | (worker.get("resources") or {})
    room = sum(min((int(node.get(k, 0) // v) for k, v in need.items()), default=1) for node in nodes)
    if not room:
        raise ValueError(
            f"no node of the Ray cluster has what a worker takes, {need}; the nodes have "
            f"{[{k: n.get(k, 0) for k in need} for n in nodes]}: ask for less (worker=), or add a node"
        )
    return room


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows with hidden states as arrays: as lists of numbers they would take forty times as long."""
    hidden = table.column("hidden").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    rows = table.drop_columns("hidden").to_pylist()
    return [row | {"hidden": h} for row, h in zip(rows, hidden.reshape(len(rows), -1))]


def _question(text: str) -> Question:
    fields = json.loads(text)
    return Question(**fields | {k: tuple(fields[k]) for k in ("choices", "accepted")})
