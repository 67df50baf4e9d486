"""Peak memory above the loaded model while a trace is recorded with hidden states, as questions grow."""

import resource
import tempfile

import typer

import cclib


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(model: str = "atlas-s", data_dir: str | None = None, counts: str = "500,2000,8000,14042") -> None:
    """One process, counts ascending: the peak only grows if a larger count needs more."""
    loaded = cclib.load_model(model)
    questions = cclib.load_benchmark("mmlu" if data_dir else "atlas", data_dir=data_dir)
    base = peak_mib()
    typer.echo(f"{loaded.slug}: {base:,.0f} MiB with the model loaded")
    for n in (int(c) for c in counts.split(",")):
        with tempfile.TemporaryDirectory() as store:
            cclib.collect(loaded, questions[:n], store=store, progress=False)
        typer.echo(f"{min(n, len(questions)):>7,} questions: {peak_mib() - base:,.0f} MiB above it")


if __name__ == "__main__":
    typer.run(main)
