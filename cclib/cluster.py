"""Recording on several machines: Ray Data streams batches of questions through one model a worker.

Each worker loads the model once and holds one GPU, or a few cores. Ray gives a batch whose worker died to
another; the driver writes the parts, as it does on one machine. Every node needs this package, the same
version, and the model under the same name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from cclib.benchmarks import Question
from cclib.traces import SCHEMA

BATCH = 256  # questions; what a killed worker costs at most, times the two that Ray keeps it supplied with
CORES = 2  # of a worker without a GPU


class Worker:
    """A model in a process of its own."""

    def __init__(self, name: str, layer: int | None, device: str | None, dtype: str) -> None:
        from cclib.models import load_model

        self.model, self.layer = load_model(name, device=device, dtype=dtype), layer

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of a trace for a column of questions in JSON, and in `making` who made them."""
        from cclib.recording import answers

        questions = [_question(text) for text in batch["question"].to_pylist()]
        parts = list(answers(self.model, questions, self.layer))
        made = json.dumps(parts[0][0])
        table = pa.Table.from_pylist([row for _, rows in parts for row in rows], schema=SCHEMA)
        return table.append_column("making", pa.array([made] * len(table)))


def answers_of_cluster(
    name: str | Path,
    questions: Sequence[Question],
    layer: int | None = None,
    device: str | None = None,
    dtype: str = "auto",
    worker: dict[str, Any] | None = None,
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """What `recording.answers` gives, computed by the workers of a Ray cluster, batch by batch.

    Args:
        worker: what one worker takes of its node, in Ray's words; default: {"num_gpus": 1} where the
            cluster has GPUs, else {"num_cpus": 2}. A model that one GPU cannot hold: {"num_gpus": 4} and
            device="auto".

    Raises:
        ImportError: Ray is not installed.
        ValueError: no node of the cluster has what a worker takes.
    """
    ray = connect()
    if not questions:
        return
    worker = worker or ({"num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": CORES})
    room = places(worker, [n["Resources"] for n in ray.nodes() if n["Alive"]])
    if Path(name).exists():
        name = Path(name).resolve()
    # neighbours share the head of their prompts, which is run once a pack
    asked = [{"question": json.dumps(asdict(q))} for q in sorted(questions, key=lambda q: q.prompt)]
    batches = -(-len(asked) // BATCH)
    done = ray.data.from_items(asked, override_num_blocks=batches).map_batches(
        Worker,
        fn_constructor_args=(str(name), layer, device, dtype),
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(room, batches)),
        **worker,
    )
    for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
        made = json.loads(table["making"][0].as_py())
        yield made, table.drop_columns("making").to_pylist()


def connect() -> Any:
    """Ray, connected to the cluster that runs. None is started here: who starts one decides who reaches it."""
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
                "engine='ray' found no running Ray cluster; start one with `ray start --head`, and join other "
                "machines with `ray start --address=...`, or set RAY_ADDRESS"
            ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
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


def _question(text: str) -> Question:
    fields = json.loads(text)
    return Question(**fields | {k: tuple(fields[k]) for k in ("choices", "accepted")})
