"""How a model's files keep its weights, in their own words, beside the precision they are used in."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

import cclib
from cclib.models.stored import quantisation_at_hand


def a_gguf(path: Path, file_type: int | None, order=gguf.GGUFEndian.LITTLE):
    """2,048 numbers of 8 bits and a scale for each 32, and 32 of four bytes."""
    writer = gguf.GGUFWriter(path, "llama", endianess=order)
    writer.add_token_list(["a", "bc", ""])
    writer.add_array("some.scores", [0.5, 1.5])
    writer.add_bool("some.flag", True)
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_string("last", "told after it")
    writer.add_tensor("w", np.zeros((64, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("n", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


WORKED = 8 * (64 * 34 + 32 * 4) / (64 * 32 + 32)  # bits of all over the numbers in all


@pytest.mark.parametrize(
    ("file_type", "said"),
    [(15, "Q4_K_M"), (1, "F16"), (0, "F32"), (None, "mostly Q8_0"), (9999, "mostly Q8_0")],
)
@pytest.mark.parametrize("order", gguf.GGUFEndian)
def test_a_gguf_names_its_kind_and_its_bits_are_counted(file_type, said, order, tmp_path):
    path = a_gguf(tmp_path / "small.gguf", file_type, order)
    assert quantisation_at_hand(path) == f"{said}, {WORKED:.1f} bits a weight"


def test_ggufs_reader_of_its_makers_counts_the_same(tmp_path):
    reader = gguf.GGUFReader(a_gguf(tmp_path / "small.gguf", 15))
    stored, numbers = (sum(int(getattr(t, k)) for t in reader.tensors) for k in ("n_bytes", "n_elements"))
    assert 8 * stored / numbers == WORKED
    assert gguf.LlamaFileType(reader.fields["general.file_type"].contents()).name == "MOSTLY_Q4_K_M"


def test_safetensors_say_their_type_and_a_quantised_config_its_method(tmp_path):
    save_file(
        {"a": np.zeros((4, 8), np.float16), "b": np.zeros(8, np.float32)}, tmp_path / "model.safetensors"
    )
    assert quantisation_at_hand(tmp_path) == f"F16, {8 * (32 * 2 + 8 * 4) / 40:.1f} bits a weight"
    (tmp_path / "config.json").write_text(
        json.dumps({"quantization_config": {"quant_method": "gptq", "bits": 4}})
    )
    assert quantisation_at_hand(tmp_path) == "gptq, 4 bits a weight"


def test_of_pickles_and_of_what_is_not_here_nothing_is_said(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert quantisation_at_hand(tmp_path) is None
    assert quantisation_at_hand(tmp_path / "none.gguf") is None
    assert quantisation_at_hand("owner/name") is None


def test_the_run_card_says_it_of_answers_that_were_recorded_before_it_was_noted(questions, tmp_path):
    trace = cclib.collect("atlas-s", questions[:4], store=tmp_path, progress=False)
    about = tmp_path / "atlas-s" / "provenance.json"
    noted = json.loads(about.read_text())
    assert noted["quantisation"] == trace.provenance["quantisation"] == "F16, 16.0 bits a weight"
    del noted["quantisation"]
    about.write_text(json.dumps(noted))
    again = cclib.collect("atlas-s", questions[:4], store=tmp_path, progress=False)
    assert again.provenance == trace.provenance  # the same recording, read and not made again
    assert len(list(tmp_path.rglob("part-*"))) == 1
