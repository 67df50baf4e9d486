"""Peak memory above the loaded model while a trace is recorded with hidden states, as questions grow.

Loading itself needs more for a moment than the model keeps, so the peak is counted anew once it is loaded
(Linux only).
"""

import ctypes
import gc
import tempfile
from pathlib import Path

import typer

import cclib


def mebibytes(field: str) -> float:
    """`VmRSS`, what this process holds now, or `VmHWM`, the most it has held since the last `count_anew`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def count_anew() -> None:
    """Give what was freed back to the system, and let the peak start from what is held now."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def main(
    model: str = "atlas-s",
    data_dir: str | None = None,
    counts: str = "500,2000,8000,14042",
    dtype: str = "auto",
) -> None:
    """One process, counts ascending: the peak only grows if a larger count needs more."""
    questions = cclib.load_benchmark("mmlu" if data_dir else "atlas", data_dir=data_dir)
    loaded = cclib.load_model(model, dtype=dtype)
    count_anew()
    base = mebibytes("VmRSS")
    typer.echo(f"{loaded.slug}: {base:,.0f} MiB with the model loaded")
    for n in (int(c) for c in counts.split(",")):
        with tempfile.TemporaryDirectory() as store:
            cclib.collect(loaded, questions[:n], store=store, progress=False)
        typer.echo(f"{min(n, len(questions)):>7,} questions: {mebibytes('VmHWM') - base:,.0f} MiB above it")


if __name__ == "__main__":
    typer.run(main)
