"""Finding and loading models of every supported shape, and refusing what is not one."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_tiny
from safetensors.torch import load_file, save_file

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
    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="is refused: its weights are pickled"):
        cclib.load_model(folder)


def test_an_unknown_dtype_is_refused(tiny):
    with pytest.raises(ValueError, match="dtype must be"):
        cclib.load_model(tiny, dtype="float12")


@pytest.fixture
def whole(tmp_path) -> Path:
    """A tiny Llama that a test may damage."""
    return make_tiny("llama", tmp_path / "whole")


def edit_weights(folder: Path, edit) -> None:
    weights = edit(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder: Path, **changed) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def without(*parts):
    return lambda f: edit_weights(f, lambda w: {k: v for k, v in w.items() if not any(p in k for p in parts)})


def renamed(before, after):
    return lambda f: edit_weights(f, lambda w: {k.replace(before, after, 1): v for k, v in w.items()})


INCOMPLETE = {
    "the last layers": (without("layers.2.", "layers.3."), r"18 are missing \(model.layers.2.*, \.\.\.\)"),
    "one norm": (without("layers.1.input_layernorm"), "1 are missing .model.layers.1.input_layernorm"),
    "the head, which is not tied": (without("lm_head"), "1 are missing .lm_head.weight"),
    "the embeddings": (without("embed_tokens"), "embed_tokens"),
    "a foreign prefix": (renamed("model.layers", "backbone.h"), "36 are missing .*36 have no place"),
    "a prefix before all": (renamed("", "wrapped."), "are missing"),
    "all under a name of an adapter": (renamed("model.", "base_model.model.model."), "are missing"),
    "a configuration of fewer layers": (lambda f: edit_config(f, num_hidden_layers=2), "18 have no place"),
    "a configuration of more layers": (lambda f: edit_config(f, num_hidden_layers=6), "18 are missing"),
    "another width": (
        lambda f: edit_config(f, intermediate_size=96),
        "12 have another shape .model.layers.0.mlp.down_proj.weight"),
    "another vocabulary": (lambda f: edit_config(f, vocab_size=500), "2 have another shape .lm_head.weight"),
    "a bias that is not read": (
        lambda f: edit_weights(f, lambda w: w | {"model.layers.0.mlp.up_proj.bias": torch.zeros(128)}),
        "1 have no place in it .model.layers.0.mlp.up_proj.bias"),
}  # fmt: skip


@pytest.mark.parametrize("fault", INCOMPLETE)
def test_weights_that_are_missing_or_of_another_model_are_refused_by_name(whole, fault):
    damage, said = INCOMPLETE[fault]
    damage(whole)
    with pytest.raises(ValueError, match=f"is refused: .*{said}.*Give all of its files"):
        cclib.load_model(whole, device="cpu")


def as_shards(folder: Path) -> list[Path]:
    """The same weights in several files and an index."""
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="200KB")
    (folder / "model.safetensors").unlink()
    return sorted(folder.glob("model-*.safetensors"))


def test_shards_answer_as_one_file_and_their_checksum_covers_each(whole, questions):
    def p_t(model):
        with torch.inference_mode():
            return model.network(torch.tensor([model.encode(questions[0].prompt)])).logits

    single = p_t(cclib.load_model(whole, device="cpu"))
    shards = as_shards(whole)
    model = cclib.load_model(whole, device="cpu")
    assert len(shards) > 2 and torch.equal(p_t(model), single)
    for shard in shards:
        kept = shard.read_bytes()
        weights = load_file(shard)
        next(iter(weights.values())).add_(1e-3)
        save_file(weights, shard, metadata={"format": "pt"})
        assert cclib.load_model(whole, device="cpu").checksum != model.checksum
        shard.write_bytes(kept)
    assert cclib.load_model(whole, device="cpu").checksum == model.checksum


@pytest.mark.parametrize("gone", [0, -1])
def test_an_absent_shard_is_named(whole, gone):
    shard = as_shards(whole)[gone]
    shard.unlink()
    with pytest.raises(ValueError, match=f"could not be loaded.*{shard.name}"):
        cclib.load_model(whole, device="cpu")


def test_a_first_shard_alone_is_refused(whole):
    first, *others = as_shards(whole)
    for path in [*others, whole / "model.safetensors.index.json"]:
        path.unlink()
    with pytest.raises(ValueError, match="could not be loaded"):
        cclib.load_model(whole, device="cpu")
    first.rename(whole / "model.safetensors")
    with pytest.raises(ValueError, match="are missing"):
        cclib.load_model(whole, device="cpu")


def test_two_loads_of_one_file_give_the_same_numbers(tiny, questions):
    ids = torch.tensor([cclib.load_model(tiny, device="cpu").encode(questions[0].prompt)])
    with torch.inference_mode():
        one, two = (cclib.load_model(tiny, device="cpu").network(ids).logits for _ in range(2))
    assert torch.equal(one, two)


def test_what_is_no_loss_is_not_refused(whole, tmp_path):
    # buffers of old checkpoints, which the architecture computes
    edit_weights(whole, lambda w: w | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    cclib.load_model(whole, device="cpu")
    # a head that is the embeddings', in a file that does not repeat it
    tied = make_tiny("llama", tmp_path / "tied")
    edit_config(tied, tie_word_embeddings=True)
    without("lm_head")(tied)
    network = cclib.load_model(tied, device="cpu").network
    assert network.lm_head.weight is network.model.embed_tokens.weight


def test_loading_leaves_transformers_settings_as_they_were(whole, tmp_path):
    from huggingface_hub import utils as hub
    from transformers.utils import logging

    def settings():
        return logging.is_progress_bar_enabled(), hub.are_progress_bars_disabled(), logging.get_verbosity()

    before = settings()
    try:
        for bars in (logging.enable_progress_bar, logging.disable_progress_bar):
            bars()
            logging.set_verbosity_info() if bars is logging.enable_progress_bar else logging.set_verbosity(30)
            found = settings()
            cclib.load_model(whole, device="cpu")
            assert settings() == found
            with pytest.raises(ValueError, match="could not be loaded"):
                cclib.load_model(tmp_path, device="cpu")
            assert settings() == found
    finally:
        (logging.enable_progress_bar if before[0] else logging.disable_progress_bar)()
        (hub.disable_progress_bars if before[1] else hub.enable_progress_bars)()
        logging.set_verbosity(before[2])


@pytest.mark.parametrize("kind", ["T5Config", "BartConfig"])
def test_encoders_are_refused_by_name(kind, tmp_path):
    import transformers

    getattr(transformers, kind)().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="could not be loaded: it reads with an encoder"):
        cclib.load_model(tmp_path, device="cpu")


@pytest.mark.slow
def test_a_gguf_without_its_later_blocks_is_refused(tmp_path):
    """A GGUF whose head tells of 30 blocks and which holds 28, as a first shard alone does."""
    if not SMOLLM.exists():
        pytest.skip("SmolLM2-135M's GGUF is not at ~/.cache/cclib-models/smollm2-135m.gguf")
    from gguf import GGUFReader

    whole, cut = SMOLLM.read_bytes(), tmp_path / "cut.gguf"
    reader = GGUFReader(SMOLLM)
    later = [t for t in reader.tensors if t.name.startswith(("blk.28.", "blk.29."))]
    assert later
    for tensor in later:  # the tensors stay, under names that nothing reads: the file keeps its lengths
        name = bytes(tensor.field.parts[1])
        assert whole.count(name) == 1
        whole = whole.replace(name, b"x" + name[1:])
    cut.write_bytes(whole)
    with pytest.raises(ValueError, match=r"is refused: .*missing \(model.layers.28"):
        cclib.load_model(cut, device="cpu")


@pytest.mark.slow
def test_a_real_model_answers_40_mmlu_questions(mmlu_folder, tmp_path):
    if not SMOLLM.exists():
        pytest.skip("SmolLM2-135M's GGUF is not at ~/.cache/cclib-models/smollm2-135m.gguf")
    questions = cclib.load_benchmark("mmlu", mmlu_folder, limit=40)
    trace = cclib.collect(SMOLLM, questions, store=tmp_path, progress=False)
    assert len(trace) == 40 and trace.hidden.shape == (40, 576) and trace.hidden_layer == 26
    assert trace.option_probs.sum(1).mean() > 0.2  # a letter is likely, though not certain, to come next
    assert 0.05 < trace.correct.mean() < 0.6  # a guesser with a taste for a letter


def test_a_conversion_shows_no_bar_while_a_model_loads(capsys):
    from transformers import modeling_gguf_pytorch_utils as gguf

    from cclib.models.load import _quietly

    with _quietly():
        assert list(gguf.tqdm(range(3))) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_kernel_without_widgets_starts_without_a_warning():
    started = "import IPython, ipykernel.zmqshell, cclib, tqdm.auto"
    ran = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True, check=True)
    assert ran.stderr == ""


def test_a_gguf_whose_scaled_positions_would_be_lost_is_refused(tmp_path):
    """Llama 3.1 and later keep factors of their positions beside the weights; transformers drops them."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(tmp_path / "scaled.gguf", "llama")
    writer.add_tensor("rope_freqs.weight", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="scales its positions .rope_freqs.weight.*safetensors"):
        cclib.load_model(tmp_path / "scaled.gguf", device="cpu")
