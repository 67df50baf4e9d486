"""The paper's six open models in small: their public configurations with narrow widths and random weights.

Depth, heads' ratio, tied embeddings, scaling of positions and norms stay as published, so what loads and runs
here loads and runs there.
"""

import pytest
from conftest import tiny_tokenizer

import cclib
from cclib import paper
from cclib.confidence.forward import default_layer
from cclib.names import FAMILIES


def positions(factor: float) -> dict:
    return {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": factor,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
    }


# label, family: configuration's kind, heads, key and value heads, tied, the rest
PUBLIC = {
    ("3B", "llama-3"): ("LlamaConfig", 24, 8, True, {"rope_parameters": positions(32.0)}),
    ("8B", "llama-3"): ("LlamaConfig", 32, 8, False, {"rope_parameters": positions(8.0)}),
    ("70B", "llama-3"): ("LlamaConfig", 64, 8, False, {"rope_parameters": positions(8.0)}),
    ("4B", "qwen3"): ("Qwen3Config", 32, 8, True, {}),
    ("8B", "qwen3"): ("Qwen3Config", 32, 8, False, {}),
    ("32B", "qwen3"): ("Qwen3Config", 64, 8, False, {}),
}
WIDTH_OF_A_HEAD = 2


@pytest.fixture(params=PUBLIC, ids=lambda k: f"{k[1]}-{k[0]}")
def small(request, tmp_path):
    """The model's label, its facts, and a folder with a narrow copy of it."""
    import torch
    import transformers

    label, family = request.param
    kind, heads, keys, tied, extra = PUBLIC[request.param]
    facts = paper.model(label, family)
    folder = tmp_path / facts.hub_id.split("/")[1]
    tiny_tokenizer(folder)
    config = getattr(transformers, kind)(
        vocab_size=400,
        hidden_size=heads * WIDTH_OF_A_HEAD,
        head_dim=WIDTH_OF_A_HEAD,
        intermediate_size=3 * heads * WIDTH_OF_A_HEAD,
        num_hidden_layers=facts.n_layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        tie_word_embeddings=tied,
        max_position_embeddings=40_960 if family == "qwen3" else 131_072,
        rms_norm_eps=1e-6 if family == "qwen3" else 1e-5,
        **extra,
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return facts, folder


def test_each_of_the_papers_shapes_answers_and_shows_its_hidden_state(small, questions, tmp_path):
    facts, folder = small
    model = cclib.load_model(folder)
    trace = cclib.collect(model, questions[:12], store=tmp_path / "traces", progress=False)
    assert trace.n_layers == facts.n_layers and trace.hidden.shape == (12, model.d_model)
    assert trace.hidden_layer == default_layer(facts.n_layers)
    assert (trace.p_t > 0).all()
    parameters = sum(p.numel() for p in model.network.parameters())
    assert model.parameters == parameters


def test_the_papers_layer_is_the_24th_of_its_smallest_model():
    layers = {label: default_layer(paper.model(label, family).n_layers) for label, family in PUBLIC}
    assert layers["3B"] == paper.PIK_LAYER


def test_the_families_are_the_papers_models():
    for family in ("llama-3", "qwen3"):
        named = [paper.model(label, f).hub_id for label, f in PUBLIC if f == family]
        assert list(FAMILIES[family]) == named
