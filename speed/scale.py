"""Seconds and memory a question as synthetic questions grow: recording, reading back, cascading."""

import dataclasses
import resource
import tempfile
import time

import typer

import cclib


def main(model: str = "atlas-s", counts: str = "1000,10000,100000") -> None:
    """One process, counts ascending, so that the peak of memory is that of the largest so far."""
    loaded = cclib.load_model(model)
    base = cclib.load_benchmark("atlas")
    for n in (int(c) for c in counts.split(",")):
        asked = [dataclasses.replace(base[i % len(base)], id=f"scale/{i}") for i in range(n)]
        with tempfile.TemporaryDirectory() as store:
            times = [time.perf_counter()]
            trace = cclib.collect(loaded, asked, store=store, progress=False)
            times.append(time.perf_counter())
            again = cclib.collect(loaded.name, asked, store=store, progress=False)
            times.append(time.perf_counter())
            cclib.cascade([trace, again], pt=0.9, pik=None)
            times.append(time.perf_counter())
        recorded, read, cascaded = (1e6 * (b - a) / n for a, b in zip(times, times[1:]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        typer.echo(
            f"{n:>8,} questions: {recorded:,.0f} µs a question to record, {read:.0f} to read back, "
            f"{cascaded:.1f} to cascade; peak {peak:,.0f} MiB"
        )


if __name__ == "__main__":
    typer.run(main)
