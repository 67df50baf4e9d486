"""On a GPU: true shapes with random weights, on MMLU's real lengths, against what the card can do.

For each shape that fits: questions and tokens a second, beside a bare forward pass, the card's own matrix
product, a padded loop and lm-evaluation-harness (where it is installed); and from the same passes the Time
columns of Tables 1 and 3. Writes `speed/results/<date>-<card>.md`, and the figures that chapter 3.2 and
`python -m cclib plan` read. Without a GPU it says that it has not run; `--trial` runs tiny shapes anywhere.
"""

import gc
import json
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import typer
from mmlu_lengths import FILE, prompts

import cclib
from cclib.confidence.forward import pack_tokens, read_packs
from cclib.confidence.packing import make_packs
from cclib.models.local import LanguageModel, default_layer
from cclib.paper import times

RESULTS = Path(__file__).parent / "results"
LLAMA = {"vocab_size": 128_256, "num_key_value_heads": 8}
QWEN = {"vocab_size": 151_936, "num_key_value_heads": 8, "head_dim": 128}
# width, feed-forward, layers, heads, tied: the public configurations
SHAPES: dict[str, tuple[str, dict[str, int], tuple[int, int, int, int, bool]]] = {
    "Llama 3B": ("LlamaConfig", LLAMA, (3072, 8192, 28, 24, True)),
    "Llama 8B": ("LlamaConfig", LLAMA, (4096, 14336, 32, 32, False)),
    "Llama 70B": ("LlamaConfig", LLAMA, (8192, 28672, 80, 64, False)),
    "Qwen3 4B": ("Qwen3Config", QWEN, (2560, 9728, 36, 32, True)),
    "Qwen3 8B": ("Qwen3Config", QWEN, (4096, 12288, 36, 32, False)),
    "Qwen3 32B": ("Qwen3Config", QWEN, (5120, 25600, 64, 64, False)),
}
TINY = (64, 128, 2, 8, True)
PADDED_TOKENS, HARNESS_BATCH = 16_384, 64
BARE = (64, 256)  # sequences and tokens of each


def configuration(name: str, trial: bool) -> Any:
    """A shape's configuration; in a trial the same architecture with two layers of width 64."""
    import transformers

    kind, common, shape = SHAPES[name]
    width, inner, layers, heads, tied = TINY if trial else shape
    small = {"vocab_size": 4096, "num_key_value_heads": 2} | (
        {"head_dim": 16} if "head_dim" in common else {}
    )
    return getattr(transformers, kind)(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        tie_word_embeddings=tied,
        max_position_embeddings=8192,
        **(small if trial else common),
    )


def random_model(name: str, config: Any, device: str) -> LanguageModel:
    """That shape with random weights in bfloat16; its tokenizer is never asked."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    return LanguageModel(name, network, None, device, "bfloat16", "random")


def weights_bytes(config: Any) -> int:
    """Of the shape in bfloat16, without making it."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return 2 * sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def seconds_of(run: Callable[[], object], device: str) -> float:
    """Wall time of a call, until the device has done it."""
    wait = partial(torch.cuda.synchronize, device) if device != "cpu" else lambda: None
    wait()
    began = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - began


def matmul_rate(device: str, n: int, repeats: int = 50) -> float:
    """FLOP/s of the device's own bfloat16 matrix product."""
    a, b = torch.randn(2, n, n, device=device, dtype=torch.bfloat16)

    def run(times: int) -> None:
        for _ in range(times):
            a @ b

    run(1)
    return repeats * 2 * n**3 / seconds_of(partial(run, repeats), device)


def packs(model: LanguageModel, asked: list[list[int]]) -> None:
    """What recording runs: packs with shared heads, the hidden state read, four options' probabilities."""
    for _ in read_packs(model, asked, default_layer(model.n_layers), wanted=[1, 2, 3, 4]):
        pass


def bare(model: LanguageModel, passes: int) -> None:
    """Full rectangles of tokens through the layers, nothing read."""
    tokens = torch.zeros(BARE, dtype=torch.long, device=model.device)
    with torch.inference_mode():
        for _ in range(passes):
            model.network.base_model(tokens, use_cache=False)


def padded(model: LanguageModel, asked: list[list[int]]) -> None:
    """A plain loop over batches of like length, padded, with the last position's logits alone."""
    order = sorted(asked, key=len)
    while order:
        rows = 1
        while rows < len(order) and (rows + 1) * len(order[rows]) <= PADDED_TOKENS:
            rows += 1
        batch, order = order[:rows], order[rows:]
        width = len(batch[-1])
        tokens = torch.tensor([[0] * (width - len(ids)) + ids for ids in batch], device=model.device)
        lengths = torch.tensor([[len(ids)] for ids in batch], device=model.device)
        mask = (torch.arange(width, device=model.device) >= width - lengths).long()
        with torch.inference_mode():
            out = model.network(
                tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                logits_to_keep=1,
                use_cache=False,
            )
            out.logits[:, -1].float().log_softmax(-1)[:, [1, 2, 3, 4]].cpu()


def harness(model: LanguageModel, asked: list[list[int]]) -> None:
    """lm-evaluation-harness on the same tokens: log-likelihoods of four one-token continuations."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    empty = Tokenizer(models.WordLevel({"<s>": 0}, unk_token="<s>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=empty, eos_token="<s>", pad_token="<s>")
    lm = HFLM(pretrained=model.network, tokenizer=tokenizer, batch_size=HARNESS_BATCH)
    requests = [((str(i), str(o)), ids, [o]) for i, ids in enumerate(asked) for o in (1, 2, 3, 4)]
    lm._loglikelihood_tokens(requests, disable_tqdm=True)


def measure(name: str, asked: list[list[int]], rate: float, device: str, trial: bool) -> dict[str, Any]:
    """All figures of one shape, and the seconds that it takes for the numbers of questions of its chains."""
    config = configuration(name, trial)
    model = random_model(name, config, device)
    layers = sum(p.numel() for p in model.layers.parameters())
    laid_out = make_packs(asked, pack_tokens(model))
    run_tokens, passes = sum(len(p.tokens) for p in laid_out), 2 if trial else 8
    packs(model, asked)  # first calls pay for warming up, and for memory that later ones find
    bare(model, 1)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    seconds = {len(asked): seconds_of(partial(packs, model, asked), device)}
    memory = torch.cuda.max_memory_allocated() / 2**30 if device != "cpu" else float("nan")
    rng = np.random.default_rng(0)
    for n in sorted(times.counts(name, len(asked)) - {len(asked)}):
        some = [asked[i] for i in sorted(rng.choice(len(asked), n, replace=False))]
        seconds[n] = seconds_of(partial(packs, model, some), device)
    bare_rate = passes * BARE[0] * BARE[1] / seconds_of(partial(bare, model, passes), device)
    padded(model, asked[:64])
    padded_seconds = seconds_of(partial(padded, model, asked), device)
    try:
        version("lm-eval")
        harness(model, asked[:64])
        harness_seconds = seconds_of(partial(harness, model, asked), device)
    except PackageNotFoundError:
        harness_seconds = float("nan")
    whole = seconds[len(asked)]
    figures = {
        "parameters": model.parameters,
        "bare tokens/s": bare_rate,
        "bare, share of matmul": 2 * layers * bare_rate / rate,
        "seconds": whole,
        "questions/s": len(asked) / whole,
        "run tokens/s": run_tokens / whole,
        "prompt tokens/s": sum(map(len, asked)) / whole,
        "x bare": sum(map(len, asked)) / whole / bare_rate,
        "share of matmul": 2 * layers * run_tokens / whole / rate,
        "peak memory, GiB": memory,
        "padded, seconds": padded_seconds,
        "lm-eval, seconds": harness_seconds,
    }
    known = {what: None if np.isnan(value) else value for what, value in figures.items()}
    return known | {times.SECONDS: {str(n): s for n, s in seconds.items()}}


def report(found: dict[str, Any]) -> str:
    """The results' page."""
    shapes = pd.DataFrame(
        {n: {k: v for k, v in s.items() if k != times.SECONDS} for n, s in found["shapes"].items()}
    )
    about = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [
        f"# {found['card']}, {found['date']}",
        f"True shapes with random weights in bfloat16; {found['questions']:,} prompts with "
        f"the lengths and shared heads of MMLU's test part, {found['prompt tokens']:,} tokens, of which "
        f"{found['run tokens']:,} run. The card's matrix product: {found['matmul, TFLOP/s']:.4g} TFLOP/s. "
        f"{about}. Measured by {found['measured by']}.",
        f"```text\n{shapes.T.to_string(float_format='{:,.2f}'.format)}\n```",
    ]
    for number in (1, 3):
        table = times.beside(number, found)
        lines += [f"Time of Table {number}, a cascade against its last model alone:"]
        lines += [f"```text\n{table.to_string(float_format='{:+.3f}'.format)}\n```"]
    return "\n\n".join(lines) + "\n"


def main(
    trial: bool = False, shapes: str = ",".join(SHAPES), into: Path = RESULTS, figures: Path = times.MEASURED
) -> None:
    """Measure, print the report, write it and its figures.

    Args:
        trial: two-layer shapes on forty prompts, on whatever device there is; nothing worth keeping.
        shapes: which, by name.
        into, figures: folders of the report and of the figures.
    """
    if not torch.cuda.is_available() and not trial:
        typer.echo("no GPU here: not run")
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    memory = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else float("inf")
    rows = pd.read_csv(FILE)
    asked = prompts(rows.head(40) if trial else rows, 4096)
    rate = matmul_rate(device, 256 if trial else 8192)
    found: dict[str, Any] = {
        "card": card,
        "date": date.today().isoformat(),
        "measured by": f"`make bench-gpu`, cclib {cclib.__version__}",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "matmul, TFLOP/s": rate / 1e12,
        "questions": len(asked),
        "prompt tokens": sum(map(len, asked)),
        "run tokens": sum(len(p.tokens) for p in make_packs(asked, PADDED_TOKENS)),
        "shapes": {},
    }
    for name in shapes.split(","):
        if 1.02 * weights_bytes(configuration(name, trial)) + 3e9 > memory:
            typer.echo(f"{name} does not fit this card", err=True)
            continue
        typer.echo(f"{name} ...", err=True)
        found["shapes"][name] = measure(name, asked, rate, device, trial)
        gc.collect()
        torch.cuda.empty_cache()
    page = report(found)
    typer.echo(page)
    slug = card.lower().replace(" ", "-")
    for folder in (into, figures):
        folder.mkdir(parents=True, exist_ok=True)
    (into / f"{found['date']}-{slug}.md").write_text(page)
    (figures / f"{slug}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
