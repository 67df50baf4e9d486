"""What each thing that recording does is worth: every one taken away by itself, in turns on like questions.

    python speed/gains.py --model qwen2.5-coder-0.5b.gguf --data-dir mmlu --questions 150

A last line says how a recording's seconds divide: what could be gained by doing them side by side.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import torch
import typer
from throughput import runs_of

import cclib
from cclib.confidence.forward import encode_questions
from cclib.confidence.p_t import answer_questions
from cclib.confidence.packing import make_packs
from cclib.models.local import LanguageModel
from cclib.recording import _append


@contextmanager
def options(network: torch.nn.Module, **changed: object) -> Iterator[None]:
    """Every pass gets these options in place of its own."""
    handle = network.register_forward_pre_hook(lambda _, args, own: (args, own | changed), with_kwargs=True)
    yield
    handle.remove()


@contextmanager
def all_logits(network: torch.nn.Module) -> Iterator[None]:
    """The head runs on every position; what was asked for is picked afterwards."""
    wanted = []

    def widen(_: object, args: tuple, own: dict) -> tuple:
        wanted.append(own["logits_to_keep"])
        return args, own | {"logits_to_keep": 0}

    def pick(_: object, __: tuple, output: object) -> object:
        output.logits = output.logits[:, wanted.pop()]
        return output

    with ExitStack() as stack:
        for handle in (
            network.register_forward_pre_hook(widen, with_kwargs=True),
            network.register_forward_hook(pick),
        ):
            stack.callback(handle.remove)
        yield


@contextmanager
def compiled(model: LanguageModel) -> Iterator[None]:
    """The feed-forward parts through torch.compile, for any number of tokens."""
    own = [layer.mlp.forward for layer in model.layers]
    for layer in model.layers:
        layer.mlp.forward = torch.compile(layer.mlp.forward, dynamic=True)
    yield
    for layer, forward in zip(model.layers, own):
        layer.mlp.forward = forward


class Whole(torch.nn.Module):
    """A feed-forward part that is given all positions, for it is not known by its name."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.inner(states)


@contextmanager
def whole_top(model: LanguageModel) -> Iterator[None]:
    """The last layer's feed-forward part runs on every position."""
    own = model.layers[-1].mlp
    model.layers[-1].mlp = Whole(own)
    yield
    model.layers[-1].mlp = own


def main(model: str = "atlas-l", data_dir: str | None = None, questions: int = 1000, slices: int = 5) -> None:
    """Take turns, then print each way's questions a second and its ratio to what cclib does."""
    loaded = cclib.load_model(model, dtype="float32")
    narrow = cclib.load_model(model, dtype="bfloat16")
    benchmark = cclib.load_benchmark("mmlu" if data_dir else "atlas", data_dir=data_dir)
    runs = runs_of(benchmark, slices, questions)
    asked = [q for run in runs for q in run]
    no_heads = patch("cclib.confidence.packing._common_prefix", return_value=0)
    ways: dict[str, tuple[LanguageModel, Callable, dict]] = {
        "as it is": (loaded, nullcontext, {}),
        "each prompt's head run again": (loaded, lambda: no_heads, {}),
        "logits of every position": (loaded, lambda: all_logits(loaded.network), {}),
        "top feed-forward part on every position": (loaded, lambda: whole_top(loaded), {}),
        "every hidden state kept": (loaded, lambda: options(loaded.network, output_hidden_states=True), {}),
        "one question a pass": (loaded, nullcontext, {"budget": 1}),
        **{f"passes of {n:,} tokens": (loaded, nullcontext, {"budget": n}) for n in (512, 1024, 4096, 8192)},
        "feed-forward compiled": (loaded, lambda: compiled(loaded), {}),
        "bfloat16": (narrow, nullcontext, {}),
    }
    seconds = dict.fromkeys(ways, 0.0)
    for net, around, given in ways.values():  # first calls pay for warming up and compiling
        with around():
            list(answer_questions(net, asked[:16], **given))
    for mine in runs:
        for way, (net, around, given) in ways.items():
            with around():
                began = time.perf_counter()
                list(answer_questions(net, mine, **given))
                seconds[way] += time.perf_counter() - began
    table = pd.DataFrame({"seconds": seconds})
    table["questions/s"] = len(asked) / table["seconds"]
    table["time, as it is = 1"] = table["seconds"] / seconds["as it is"]
    typer.echo(f"{loaded.slug}, {len(asked)} questions, {torch.get_num_threads()} threads")
    typer.echo(table.to_string(float_format="{:.2f}".format))
    typer.echo(shares(loaded, asked))


def shares(model: LanguageModel, asked: list) -> str:
    """How the seconds of a recording divide among what it does, one after the other."""
    marks = [time.perf_counter()]
    encoded = encode_questions(model, asked)
    marks.append(time.perf_counter())
    make_packs(encoded, 2048)
    marks.append(time.perf_counter())
    rows = [row for batch in answer_questions(model, asked) for row in batch]
    marks.append(time.perf_counter())
    with tempfile.TemporaryDirectory() as folder:
        _append(Path(folder), model, rows)
    marks.append(time.perf_counter())
    tokenise, lay_out, answer, write = (b - a for a, b in zip(marks, marks[1:]))
    whole = answer + write
    return (
        f"of {whole:.1f} s: tokenising {tokenise / whole:.2%}, laying out {lay_out / whole:.2%}, "
        f"writing {write / whole:.2%}, the rest is the model's"
    )


if __name__ == "__main__":
    typer.run(main)
