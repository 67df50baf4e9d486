"""`python -m cclib.atlas train --size m` makes a model, `python -m cclib.atlas evaluate` measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def train(
    size: Annotated[str, typer.Option(help="s, m or l")],
    minutes: Annotated[float | None, typer.Option(help="stop after this long; call again to go on")] = None,
    runs: Annotated[Path, typer.Option(help="where checkpoints are kept")] = Path("runs/atlas"),
    out: Annotated[Path | None, typer.Option(help="where the model is written; default: the package")] = None,
) -> None:
    """Train one of the three models, or go on with it."""
    from cclib.atlas import WEIGHTS
    from cclib.atlas.train import RECIPES
    from cclib.atlas.train import train as run

    if size not in RECIPES:
        raise typer.BadParameter(f"size must be one of {', '.join(RECIPES)}, found {size!r}")
    typer.echo(f"wrote {run(size, minutes, runs, out or WEIGHTS)}")


@app.command()
def evaluate() -> None:
    """Measure the shipped models on the benchmarks and record what was found."""
    from cclib.atlas.evaluate import evaluate as run

    typer.echo(run())


if __name__ == "__main__":
    app()
