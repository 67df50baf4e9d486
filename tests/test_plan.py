"""Plans on paper: hand-worked numbers, public shapes against their configurations, refusals."""

from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from cclib.__main__ import app
from cclib.book import plan
from cclib.names import FAMILIES

ONE = pd.DataFrame({"parameters": [70e9], "n_layers": [80], "d_model": [8192]}, index=["x/seventy"])
CARD = plan.Card("card", memory=80, tflops=1000, usd_per_hour=2.0, utilisation=0.5)

PUBLIC = {  # vocabulary, width, feed-forward, layers, heads, key heads, tied
    "meta-llama/Llama-3.2-3B-Instruct": ("Llama", 128256, 3072, 8192, 28, 24, 8, True),
    "meta-llama/Meta-Llama-3.1-8B-Instruct": ("Llama", 128256, 4096, 14336, 32, 32, 8, False),
    "meta-llama/Llama-3.3-70B-Instruct": ("Llama", 128256, 8192, 28672, 80, 64, 8, False),
    "Qwen/Qwen3-0.6B": ("Qwen3", 151936, 1024, 3072, 28, 16, 8, True),
    "Qwen/Qwen3-1.7B": ("Qwen3", 151936, 2048, 6144, 28, 16, 8, True),
    "Qwen/Qwen3-4B": ("Qwen3", 151936, 2560, 9728, 36, 32, 8, True),
    "Qwen/Qwen3-8B": ("Qwen3", 151936, 4096, 12288, 36, 32, 8, False),
    "Qwen/Qwen3-32B": ("Qwen3", 151936, 5120, 25600, 64, 64, 8, False),
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": ("Qwen2", 151936, 896, 4864, 24, 14, 2, True),
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": ("Qwen2", 151936, 1536, 8960, 28, 12, 2, True),
}


def test_seventy_billion_by_hand():
    row = plan.plan(["x/seventy"], 1_000_000, 100, CARD, gpus=5, known=ONE).loc["x/seventy"]
    # 140 GB of weights; 16384 x 16 x 8192 x 2 bytes = 4.29 GB to work in: 71.7 GB are free on each card
    assert (row["weights, GB"], row["GPUs a copy"], row["copies"]) == (140, 2, 2)
    # 1e8 tokens of 2 x 70e9 + 2 x 80 x 50 x 8192 operations, at 5e14 a second, by two copies
    hours = 1e8 * (140e9 + 65_536_000) / 5e14 / 3600
    assert row["hours"] == pytest.approx(hours / 2)
    assert row["GPU hours"] == pytest.approx(2 * hours) and row["USD"] == pytest.approx(4 * hours)
    assert row["hidden states, GB"] == pytest.approx(16.384)
    assert row["questions a second"] == pytest.approx(1e6 / (hours / 2 * 3600))


def test_more_copies_are_faster_and_cost_the_same():
    two, four = (plan.plan(["x/seventy"], 1000, 100, CARD, gpus=g, known=ONE).iloc[0] for g in (2, 4))
    assert four["hours"] == two["hours"] / 2 and four["USD"] == two["USD"]


def test_a_step_is_as_long_as_its_bytes():
    row = plan.bottlenecks(plan.plan(["x/seventy"], 1_000_000, 100, CARD, gpus=2, known=ONE)).iloc[0]
    assert row["reading the weights, once a copy"] == pytest.approx(140 / 2 / 3600)
    assert row["rows to the driver, by network"] == pytest.approx((16.384 + 0.2) / 1.25 / 3600)
    assert row["rows to parts, in the driver"] == pytest.approx(16.384 / 0.018 / 3600)
    assert row["longest"] == "passes on the GPUs"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpus": 1}, "needs 140 GB.*1 of 80 GB cannot hold it"),
        ({"card": replace(CARD, memory=4)}, "cannot hold it"),
        ({"questions": 0}, "must be positive"),
        ({"tokens": float("nan")}, "must be positive"),
        ({"card": replace(CARD, utilisation=1.5)}, "share of one"),
        ({"models": ["x/other"]}, "shape of x/other is not known"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    usual = {"models": ["x/seventy"], "questions": 1000, "tokens": 100, "card": CARD, "gpus": 2, "known": ONE}
    with pytest.raises(ValueError, match=message):
        plan.plan(**usual | change)


def test_every_model_of_every_public_family_has_a_shape():
    named = {m for family, models in FAMILIES.items() if family != "atlas" for m in models}
    assert named <= set(plan.shapes().index)


@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_are_those_of_the_public_configuration(name):
    """Counted by transformers, on a device without memory."""
    import torch
    import transformers

    kind, vocabulary, width, feed_forward, layers, heads, key_heads, tied = PUBLIC[name]
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        tie_word_embeddings=tied,
        **({"head_dim": 128} if kind == "Qwen3" else {}),
    )
    with torch.device("meta"):
        network = transformers.AutoModelForCausalLM.from_config(config)
    shape = plan.shapes().loc[name]
    assert sum(p.numel() for p in network.parameters()) == shape["parameters"]
    assert (layers, width) == (shape["n_layers"], shape["d_model"])


def test_the_command_prints_the_plan_and_what_it_assumes():
    said = CliRunner().invoke(app, ["plan", "llama-3", "--gpus", "8", "--usd", "3", "--tokens", "120"])
    assert said.exit_code == 0 and "3.00 USD an hour (assumed" in said.output
    assert (
        "| GPUs a copy | 1 | 1 | 2 |" in said.output and "| weights, GB | 6.43 | 16.1 | 141 |" in said.output
    )


def test_a_measured_card_is_planned_at_the_rate_of_the_shape_nearest_in_size():
    shapes = {"Llama 3B": {"share of matmul": 0.5}, "Llama 70B": {"share of matmul": 0.8}}
    card = replace(CARD, utilisation=None, measured={"matmul, TFLOP/s": 750, "card": "X", "shapes": shapes})
    assert card.share(1e9) == pytest.approx(0.375) and card.share(60e9) == pytest.approx(0.6)
    assert replace(card, utilisation=0.1).share(1e9) == 0.1 and replace(card, measured=None).share(1e9) == 0.4
    assert "at 38% to 60%, by size, as measured on X" in plan.assumed(card)
    hours = [plan.plan(["x/seventy"], card=c, gpus=4, known=ONE)["hours"].iloc[0] for c in (card, CARD)]
    assert hours[0] / hours[1] == pytest.approx(0.5 / 0.6)


def test_the_card_that_was_measured_says_so_in_its_plan():
    said = CliRunner().invoke(app, ["plan", "llama-3", "--card", "141 GB", "--gpus", "2"])
    assert said.exit_code == 0 and "as measured on NVIDIA H200" in said.output
    said = CliRunner().invoke(
        app, ["plan", "llama-3", "--card", "141 GB", "--gpus", "2", "--utilisation", "0.3"]
    )
    assert "by the data sheet at 30%" in said.output and "measured" not in said.output


def test_the_books_plans_are_all_written_and_used():
    book = plan.PUBLISHED.parents[2] / "book"
    prose = "".join(p.read_text() for p in book.glob("*.md"))
    for name, text in plan.pages().items():
        assert text.count("|") > 20
        assert f"editions/{name}" in prose
