"""Choosing a policy among thousands of candidates on synthetic traces: seconds and peak memory."""

import resource
import time

import numpy as np
import pandas as pd
import typer

import cclib
from cclib.policies import BY_TRAIN
from cclib.study import Study
from cclib.traces import Trace


def part(n: int, stages: int, seed: int) -> list[Trace]:
    """Traces whose stages get better, with all that scores are made of."""
    rng = np.random.default_rng(seed)
    shared = {"question_id": [f"q/{seed}/{i}" for i in range(n)], "answer": np.zeros(n, int)}
    shared |= {"subject": [f"subject {i % 57}" for i in range(n)], "prompt_tokens": rng.integers(50, 500, n)}
    traces = []
    for i in range(stages):
        correct = rng.random(n) < 0.4 + 0.2 * i
        p_t, p_ik = (np.clip(0.3 * correct + 0.7 * rng.random(n), 0, 1) for _ in range(2))
        probs = list(np.stack([p_t, *np.outer([0.5, 0.3, 0.2], 1 - p_t)], 1))
        columns = {"correct": correct, "p_t": p_t, BY_TRAIN: p_ik, "option_probs": probs}
        shape = {"n_layers": 8 * (i + 1), "d_model": 512 * (i + 1), "hidden_layer": 6}
        table = pd.DataFrame(shared | columns | {"output_tokens": np.ones(n, int)})
        traces.append(Trace(table, {"model": f"stage-{i}", **shape}))
    return traces


def main(questions: int = 14_042, stages: int = 3) -> None:
    """Questions are divided as a study does: 4,000 to make candidates, a tenth to judge, others to prove."""
    sizes = {"test": questions // 10, "train": 4000, "validation": questions - questions // 10 - 4000}
    parts = {name: part(n, stages, seed) for seed, (name, n) in enumerate(sizes.items())}
    study = Study([f"stage-{i}" for i in range(stages)], "made", 0, **parts, probes=[None] * stages)
    began = time.perf_counter()
    choice = cclib.choose_policy(study)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    typer.echo(
        f"{choice.candidates:,} candidates, {stages} models, {questions:,} questions: {seconds:.1f} s, "
        f"peak memory {peak:,.0f} MiB; {choice.policy.family}, saved {choice.saved:.1%}"
    )


if __name__ == "__main__":
    typer.run(main)
