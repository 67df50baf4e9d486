"""What a recording will take, worked out before it is paid for: memory, GPUs, hours, dollars, bytes.

All from a model's public shape and a card's data sheet, at the share of its rate that `speed/gpu.py`
measured where it ran on that card, and at an assumed one elsewhere. Each prompt is charged in full, although
prompts of one subject share their heads: hours are an upper estimate at the stated rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cclib import cost, paper
from cclib.names import expand_family
from cclib.paper import times

PUBLISHED = Path(__file__).parents[1] / "paper" / "tables"
PACK_TOKENS = 16_384  # in one pass on a GPU, see cclib.confidence
ACTIVATIONS = 16  # numbers alive a token and unit of width: residual, attention, the feed-forward's two gates
ROW_BYTES = 200  # of a trace's row besides its hidden state, in Parquet


@dataclass(frozen=True)
class Card:
    """A GPU, or what is assumed of it."""

    name: str
    memory: float  # GB
    tflops: float  # dense bfloat16, by the data sheet
    usd_per_hour: float  # assumed, see DATE; no quotation
    utilisation: float | None = None  # share of the data sheet's rate; None: as measured, else ASSUMED
    measured: dict[str, Any] | None = field(default=None, repr=False)  # by `speed/gpu.py`

    def share(self, size: float) -> float:
        """Of the data sheet's rate, for a model of a size: what the shape nearest to it in size reached."""
        if self.utilisation is not None or self.measured is None:
            return ASSUMED if self.utilisation is None else self.utilisation
        rate = self.measured["matmul, TFLOP/s"] / self.tflops
        return rate * min(_shares(self.measured), key=lambda known: abs(math.log(size / known[0])))[1]


def _shares(measured: dict[str, Any]) -> list[tuple[float, float]]:
    """Parameters, and share of the card's matrix product, of each shape that was measured."""
    families = dict(reversed(names) for names in times.FAMILIES.values())
    found = []
    for shape, numbers in measured["shapes"].items():
        family, label = shape.split()
        found.append((paper.model(label, families[family]).parameters, numbers["share of matmul"]))
    return found


ASSUMED = 0.4  # share of a data sheet's rate where nothing was measured
DATE = "2025-11"  # of the assumed prices, which fall; with others: card=replace(CARDS[...], usd_per_hour=...)
CARDS = {
    "24 GB": Card("24 GB (RTX 4090)", 24, 165, 0.40),
    "48 GB": Card("48 GB (L40S)", 48, 362, 1.00),
    "80 GB": Card("80 GB (H100)", 80, 989, 2.50),
    "141 GB": Card("141 GB (H200)", 141, 989, 3.50, measured=times.measured().get("NVIDIA H200")),
}


def shapes() -> pd.DataFrame:
    """Parameters, layers and width of public models, by hub id (from their configurations)."""
    return pd.read_csv(PUBLISHED / "shapes.csv").set_index("model")


def plan(
    models: str | Sequence[str],
    questions: int = 1_000_000,
    tokens: float = 150,
    card: Card | str = "80 GB",
    gpus: int = 1,
    bytes_per_parameter: float = 2,
    known: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What recording every model's answers takes, a row a model.

    Args:
        models: a family, or hub ids, of `known`.
        tokens: of a prompt, on average.
        gpus: at hand. A model that one GPU cannot hold is spread layer by layer over several, which take
            turns: such a copy is as fast as one GPU. Copies work side by side, with engine="ray".
        bytes_per_parameter: 2 for bfloat16, 1 for 8 bits.
        known: parameters, n_layers and d_model by model; default: `shapes`.

    Raises:
        ValueError: a shape is not known, a count is not positive, or the GPUs cannot hold a model.
    """
    card = CARDS[card] if isinstance(card, str) else card
    known = shapes() if known is None else known
    if not (questions >= 1 and tokens > 0 and gpus >= 1 and 0 < card.share(1e9) <= 1):
        raise ValueError(
            "questions, tokens and gpus must be positive, utilisation a share of one; found "
            f"{questions}, {tokens}, {gpus}, {card.share(1e9)}"
        )
    rows = {}
    for name in expand_family(models):
        if name not in known.index:
            raise ValueError(f"the shape of {name} is not known here; pass known= with a row for it")
        size, layers, width = known.loc[name, ["parameters", "n_layers", "d_model"]]
        weights = size * bytes_per_parameter / 1e9
        working = PACK_TOKENS * ACTIVATIONS * width * bytes_per_parameter / 1e9
        a_copy = math.ceil(weights / (0.95 * card.memory - working))  # a twentieth stays for the driver
        if a_copy < 1 or a_copy > gpus:
            raise ValueError(
                f"{name} needs {weights:.0f} GB for its weights and {working:.1f} GB of every GPU to work "
                f"in: {gpus} of {card.memory:g} GB cannot hold it"
            )
        flops = questions * tokens * cost.forward_flops(size, layers, tokens / 2, width)
        alone = flops / (card.tflops * 1e12 * card.share(size)) / 3600  # hours of one copy
        copies = gpus // a_copy
        rows[name] = {
            "weights, GB": weights,
            "GPUs a copy": a_copy,
            "copies": copies,
            "hours": alone / copies,
            "GPU hours": alone * a_copy,
            "USD": alone * a_copy * card.usd_per_hour,
            "questions a second": questions * copies / alone / 3600,
            "hidden states, GB": questions * width * 2 / 1e9,
            "the rest of the trace, GB": questions * ROW_BYTES / 1e9,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def bottlenecks(
    planned: pd.DataFrame, disk: float = 2.0, network: float = 1.25, core: float = 0.018
) -> pd.DataFrame:
    """Hours that each step would take by itself, and which takes longest: the one to widen.

    Args:
        disk, network: GB a second of a node's disk and of the driver's network (10 Gbit/s).
        core: GB of hidden states a second that the driver turns into parts, on the one core that it uses;
            measured on a common server's core (110 ns a number, most of it compression).
    """
    written = planned["hidden states, GB"] + planned["the rest of the trace, GB"]
    steps = {
        "passes on the GPUs": planned["hours"],
        "reading the weights, once a copy": planned["weights, GB"] / disk / 3600,
        "rows to the driver, by network": written / network / 3600,
        "rows to parts, in the driver": planned["hidden states, GB"] / core / 3600,
        "parts to the disk": written / disk / 3600,
    }
    table = pd.DataFrame(steps)
    return table.assign(longest=table.idxmax(axis=1))


def markdown(table: pd.DataFrame) -> str:
    """A column a model, without its owner; three digits."""
    names = [str(name).split("/")[-1] for name in table.index]
    lines = [["", *names], ["---", *["--:"] * len(names)]]
    for what in table:
        lines.append([str(what), *(v if isinstance(v, str) else _digits(v) for v in table[what])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"


def told(
    models: Sequence[str],
    questions: int,
    tokens: float,
    card: str,
    gpus: int,
    usd: float | None = None,
    utilisation: float | None = None,
) -> str:
    """A plan in Markdown, with what it takes for granted; a family is a list of one.

    Raises:
        ValueError: the card is unknown; or as `plan`.
    """
    if card not in CARDS:
        raise ValueError(f"unknown card {card!r}; known: {', '.join(CARDS)}")
    given = {"usd_per_hour": usd, "utilisation": utilisation}
    chosen = replace(CARDS[card], **{k: v for k, v in given.items() if v is not None})
    named = models[0] if len(models) == 1 and "/" not in models[0] else models
    found = plan(named, questions, tokens, chosen, gpus)
    return f"{questions:,} questions of {tokens:g} tokens; {gpus} x {assumed(chosen)}\n\n{markdown(found)}"


def assumed(card: Card) -> str:
    """What a plan takes for granted, in a line."""
    share = f"{card.share(1e9):.0%}"
    if card.utilisation is None and card.measured:
        shares = sorted(card.share(size) for size, _ in _shares(card.measured))
        share = f"{shares[0]:.0%} to {shares[-1]:.0%}, by size, as measured on {card.measured['card']}"
    return (
        f"{card.name}, {card.tflops:g} TFLOP/s by the data sheet at {share}, "
        f"{card.usd_per_hour:.2f} USD an hour (assumed, {DATE})"
    )


def pages() -> dict[str, str]:
    """Markdown for the book, by file name: the plans that its pages include."""
    large = plan("llama-3", card="80 GB", gpus=8)
    given = {
        "one-24gb": ("qwen3-small", "24 GB", 1, 14_042),
        "four-48gb-llama": ("llama-3", "48 GB", 4, 14_042),
        "four-48gb-qwen": ("qwen3", "48 GB", 4, 14_042),
    }
    written = {
        "plan-70b.md": f"Eight cards: {assumed(CARDS['80 GB'])}.\n\n{markdown(large)}",
        "plan-70b-steps.md": "Hours of each step by itself:\n\n" + markdown(bottlenecks(large)),
    }
    for name, (family, card, gpus, n) in given.items():
        table = plan(family, n, card=card, gpus=gpus)
        said = f"{n:,} questions; cards: {gpus} of {assumed(CARDS[card])}.\n\n{markdown(table)}"
        written[f"plan-{name}.md"] = said
    return {name: text + "\n" for name, text in written.items()}
