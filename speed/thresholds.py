"""Threshold work on synthetic traces: the sweep against the plain loop, and the bootstrap of one point."""

import time

import numpy as np
import pandas as pd
import typer

import cclib
from cclib.traces import Trace


def synthetic(n: int, stages: int, seed: int = 0) -> list[Trace]:
    """Traces whose stages get better and whose confidences carry some information."""
    rng = np.random.default_rng(seed)
    ids = [f"q/{i}" for i in range(n)]
    traces = []
    for i in range(stages):
        correct = rng.random(n) < 0.4 + 0.2 * i
        p_t, p_ik = (np.clip(0.3 * correct + 0.7 * rng.random(n), 0, 1) for _ in range(2))
        table = pd.DataFrame({"question_id": ids, "correct": correct, "p_t": p_t, "p_ik": p_ik})
        traces.append(Trace(table, {"model": f"stage-{i}"}))
    return traces


def main(questions: int = 14_042, stages: int = 3, grid: int = 101, resamples: int = 1000) -> None:
    """Print seconds; what was computed is compared too."""
    traces = synthetic(questions, stages)
    thresholds = np.linspace(0, 1, grid)
    began = time.perf_counter()
    swept = cclib.sweep(traces, thresholds, thresholds)
    seconds = time.perf_counter() - began
    typer.echo(
        f"sweep, {grid} x {grid} thresholds, {stages} stages, {questions:,} questions: {seconds:.2f} s"
    )
    some = np.random.default_rng(1).integers(0, grid, (50, 2))
    began = time.perf_counter()
    plain = [cclib.cascade(traces, thresholds[a], thresholds[b]) for a, b in some]
    loop = (time.perf_counter() - began) / len(some) * grid**2
    same = all(
        np.isclose(swept.accuracy[a, b], c.accuracy, atol=1e-12)
        and (swept.stage_counts[a, b] == c.stage_counts).all()
        for (a, b), c in zip(some, plain)
    )
    typer.echo(f"the plain loop would take {loop:.0f} s; 50 settings compared, equal: {same}")
    result = cclib.cascade(traces, 0.9, 0.5)
    began = time.perf_counter()
    low, high = cclib.stats.bootstrap(np.mean, result.correct, n=resamples)
    typer.echo(
        f"bootstrap of one point, {resamples:,} resamples: {time.perf_counter() - began:.2f} s "
        f"({result.accuracy:.4f} [{low:.4f}, {high:.4f}])"
    )


if __name__ == "__main__":
    typer.run(main)
