"""On a GPU: an 8B Llama shape with random weights against the card's own matrix products.

The share of the card's measured bfloat16 rate that recording reaches at MMLU's lengths, and the wall time
of a 3B -> 8B cascade against the 8B alone. Without a GPU it says that it has not run.
"""

import time

import numpy as np
import torch
import typer

import cclib
from cclib.confidence.forward import read_packs
from cclib.models.local import LanguageModel

LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
LLAMA_3_3B = {
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
}


def random_model(name: str, shape: dict[str, int], seed: int = 0) -> LanguageModel:
    """A Llama of that shape with random weights in bfloat16; its tokenizer is never asked."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=128_256, num_key_value_heads=8, max_position_embeddings=8192, **shape)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        network = LlamaForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
    return LanguageModel(name, network, None, "cuda", "bfloat16", "random")


def matmul_rate(n: int = 8192, repeats: int = 50) -> float:
    """FLOP/s of the card's own bfloat16 matrix product."""
    a, b = torch.randn(2, n, n, device="cuda", dtype=torch.bfloat16)
    a @ b
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    torch.cuda.synchronize()
    return repeats * 2 * n**3 / (time.perf_counter() - began)


def prompts(n: int, seed: int = 0) -> list[list[int]]:
    """Token lists with MMLU's distribution of lengths (log-normal: median 95, a tenth above 250)."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(95), 0.75, n), 30, 2000).astype(int)
    return [rng.integers(1000, 120_000, length).tolist() for length in lengths]


def seconds_of(model: LanguageModel, asked: list[list[int]]) -> float:
    """Wall time of one pass over the prompts, hidden states read."""
    began = time.perf_counter()
    for _ in read_packs(model, asked, round(model.n_layers * 24 / 28)):
        pass
    torch.cuda.synchronize()
    return time.perf_counter() - began


def main(questions: int = 2000, escalated: float = 0.5) -> None:
    """Print the table, or that there is no GPU."""
    if not torch.cuda.is_available():
        typer.echo("no GPU here: not run")
        return
    asked = prompts(questions)
    tokens = sum(map(len, asked))
    rate = matmul_rate()
    large = random_model("random-8b", LLAMA_3_8B)
    seconds_of(large, asked[:64])
    alone = seconds_of(large, asked)
    flops = 2 * sum(p.numel() for n, p in large.network.named_parameters() if ".layers." in n) * tokens
    typer.echo(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, cclib {cclib.__version__}")
    typer.echo(
        f"8B shape: {len(asked) / alone:.1f} questions/s, {tokens / alone:,.0f} tokens/s, "
        f"{flops / alone / rate:.0%} of the measured {rate / 1e12:.0f} TFLOP/s"
    )
    small = random_model("random-3b", LLAMA_3_3B)
    seconds_of(small, asked[:64])
    both = seconds_of(small, asked) + seconds_of(large, asked[: int(escalated * len(asked))])
    typer.echo(f"3B -> 8B, {escalated:.0%} escalated: {both:.1f} s, the 8B alone {alone:.1f} s")


if __name__ == "__main__":
    typer.run(main)
