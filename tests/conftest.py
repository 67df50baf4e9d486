"""Small real things that many tests share: questions, and models of the supported shapes."""

import shutil
from pathlib import Path

import book_site
import numpy as np
import pytest

from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.questions import Question

MMLU = Path(__file__).parents[2] / "shared" / "data" / "mmlu"
FACTS = [("France", "Paris"), ("Italy", "Rome"), ("Peru", "Lima"), ("Japan", "Tokyo"), ("Chad", "N'Djamena")]


@pytest.fixture(scope="session", autouse=True)
def hidden_card():
    """Tests, and the processes that they start, are on the CPU, also where there is a GPU."""
    import torch

    patch = pytest.MonkeyPatch()
    found = torch.cuda.is_available()
    if found:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setattr(torch.cuda, "is_available", lambda: False)
    yield patch if found else None
    patch.undo()


@pytest.fixture(autouse=True)
def card(request, hidden_card):
    """A test marked `gpu` sees the card."""
    if not request.node.get_closest_marker("gpu"):
        yield
        return
    if hidden_card is None:
        pytest.skip("no GPU is here")
    import torch

    hidden_card.undo()
    yield
    hidden_card.setenv("CUDA_VISIBLE_DEVICES", "")
    hidden_card.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="session")
def mmlu_folder() -> Path:
    if not MMLU.exists():
        pytest.skip("MMLU's public files are not beside this checkout (../shared/data/mmlu)")
    return MMLU


@pytest.fixture(scope="session")
def questions() -> list[Question]:
    """40 four-choice questions on two subjects, of very different lengths."""
    made = []
    for i in range(40):
        country, capital = FACTS[i % 5]
        others = [c for _, c in FACTS if c != capital][:3]
        choices = others[: i % 4] + [capital] + others[i % 4 :]
        text = f"Number {i}: " + "which city, all in all, " * (i % 7) + f"is the capital of {country}?"
        made.append(Question(f"made/{i}", f"subject {i % 2}", text, tuple(choices), i % 4))
    return made


def tiny_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer learned from a few prompts, saved as transformers reads it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([f"{a} {b} Answer: A B C D\n" for a, b in FACTS], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)


SHAPES = {
    "llama": ("LlamaConfig", {"num_key_value_heads": 2}),
    "qwen2": ("Qwen2Config", {"num_key_value_heads": 2}),
    "qwen3": ("Qwen3Config", {"num_key_value_heads": 2, "head_dim": 16}),
    "gemma3": (
        "Gemma3TextConfig",
        {"num_key_value_heads": 1, "head_dim": 16, "sliding_window": 24, "query_pre_attn_scalar": 16},
    ),
}


def make_tiny(shape: str, folder: Path, seed: int = 0, width: int = 64) -> Path:
    """A random-weight model of a supported architecture, saved in a folder."""
    import torch
    import transformers

    tiny_tokenizer(folder)
    kind, extra = SHAPES[shape]
    config = getattr(transformers, kind)(
        vocab_size=400,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        **extra,
    )
    torch.manual_seed(seed)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", params=SHAPES)
def tiny(request, tmp_path_factory) -> Path:
    """Each supported shape in turn."""
    return make_tiny(request.param, tmp_path_factory.mktemp("models") / f"tiny-{request.param}")


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory) -> list[Path]:
    """Two Llamas, the smaller first."""
    folder = tmp_path_factory.mktemp("pair")
    return [
        make_tiny("llama", folder / "tiny-small", 1, 32),
        make_tiny("llama", folder / "tiny-large", 2, 64),
    ]


@pytest.fixture(scope="module")
def small() -> LanguageModel:
    """The smallest model that is shipped."""
    return load_model("atlas-s", device="cpu")


def make_trace(model: str = "small", n: int = 200, seed: int = 0, skill: float = 0.5, **provenance):
    """A synthetic trace whose confidences carry some information, for the laws of cascades and costs."""
    import pandas as pd

    from cclib.traces import Trace

    rng = np.random.default_rng(seed)
    correct = rng.random(n) < skill
    confidence = np.clip(0.25 * correct + 0.75 * rng.random(n), 0, 1)
    answer = rng.integers(0, 4, n)
    table = pd.DataFrame(
        {
            "question_id": [f"q/{i}" for i in range(n)],
            "subject": [f"subject {i % 3}" for i in range(n)],
            "answer": answer,
            "prediction": np.where(correct, answer, (answer + 1) % 4),
            "correct": correct,
            "p_t": confidence,
            "p_ik": np.clip(confidence + 0.2 * rng.standard_normal(n), 0, 1),
            "prompt_tokens": rng.integers(50, 150, n),
            "output_tokens": np.ones(n, int),
            "seconds": rng.random(n),
        }
    )
    return Trace(table, {"model": model, **provenance})


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed browser."""
    pytest.importorskip("playwright", reason="playwright is not installed; make test installs it")
    found = next(filter(None, map(shutil.which, book_site.BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed; looked for {', '.join(book_site.BROWSERS)}")
    return found


@pytest.fixture(scope="session")
def site(chromium, tmp_path_factory):  # asks for the browser first: without one, nothing is built
    return book_site.build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")  # not the session: its event loop would stand in the way of other tests'
def browser(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=book_site.QUIET)
        yield started
        started.close()


@pytest.fixture
def page(browser):
    context = book_site.context(browser)
    yield context.new_page()
    context.close()
