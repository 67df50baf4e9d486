"""Finding and loading models of every supported shape, and refusing what is not one."""

from pathlib import Path

import pytest

import cclib
from cclib.names import expand_family, slug

SMOLLM = Path("~/.cache/cclib-models/smollm2-135m.gguf").expanduser()


def test_families_expand_to_the_papers_models():
    assert expand_family("llama-3")[-1] == "meta-llama/Llama-3.3-70B-Instruct"
    assert expand_family(["a/b", "c/d"]) == expand_family('["a/b", "c/d"]') == ["a/b", "c/d"]


@pytest.mark.parametrize("models", ["llama-4", [], ["a/b", "x/B"], '["a/b"'])
def test_unknown_or_doubled_models_are_refused(models):
    with pytest.raises(ValueError, match="unknown family|different models|in JSON"):
        expand_family(models)


def test_a_models_name_is_the_end_of_its_path():
    assert slug("Qwen/Qwen3-4B") == "qwen3-4b"
    assert slug("/somewhere/Qwen2.5-Coder.gguf") == "qwen2.5-coder"


def test_every_shape_loads_and_says_what_it_is(tiny):
    model = cclib.load_model(tiny)
    assert (model.n_layers, model.d_model, len(model.layers)) == (4, 64, 4)
    about = model.provenance()
    assert about["checksum"].startswith("sha256:") and about["dtype"] == "float32"
    assert str(tiny.parent) not in str(about)  # a published trace must not tell where its maker keeps files


def test_options_are_single_tokens_in_context(tiny):
    model = cclib.load_model(tiny)
    tokens = model.option_tokens("Choices: A. x\nAnswer:", 4)
    assert [model.tokenizer.decode(t).strip() for t in tokens] == list("ABCD")


def test_options_of_two_tokens_are_refused(tiny):
    model = cclib.load_model(tiny)
    split_letters = dict(model.__dict__)
    split_letters.pop("parameters", None)
    broken = type(model)(**split_letters)
    broken.encode = lambda text: list(
        text.encode()
    )  # " A" and "A" differ in length from "Answer:" by 2 and 1
    assert len(broken.option_tokens("Answer:", 2)) == 2  # "A" is one byte
    broken.encode = lambda text: [b for byte in text.encode() for b in (byte, byte)]
    with pytest.raises(ValueError, match="is not one token"):
        broken.option_tokens("Answer:", 2)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("atlas-xl", ValueError, "shipped models: atlas-s"),
        ("no/such/folder", ValueError, "not a folder"),
        ("missing.gguf", FileNotFoundError, "no GGUF file"),
    ],
)
def test_unknown_models_are_named_with_the_known(name, error, message):
    with pytest.raises(error, match=message):
        cclib.load_model(name)


def test_a_file_that_only_calls_itself_gguf_is_refused(tmp_path):
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(ValueError, match="not a GGUF file"):
        cclib.load_model(fake)


def test_pickled_weights_are_refused(tiny, tmp_path):
    import shutil

    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="is refused: its weights are pickled"):
        cclib.load_model(folder)


def test_an_unknown_dtype_is_refused(tiny):
    with pytest.raises(ValueError, match="dtype must be"):
        cclib.load_model(tiny, dtype="float12")


@pytest.mark.slow
def test_a_real_model_answers_40_mmlu_questions(mmlu_folder, tmp_path):
    if not SMOLLM.exists():
        pytest.skip("SmolLM2-135M's GGUF is not at ~/.cache/cclib-models/smollm2-135m.gguf")
    questions = cclib.load_benchmark("mmlu", mmlu_folder, limit=40)
    trace = cclib.collect(SMOLLM, questions, store=tmp_path, progress=False)
    assert len(trace) == 40 and trace.hidden.shape == (40, 576) and trace.hidden_layer == 26
    assert trace.option_probs.sum(1).mean() > 0.2  # a letter is likely, though not certain, to come next
    assert 0.05 < trace.correct.mean() < 0.6  # a guesser with a taste for a letter
