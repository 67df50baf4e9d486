"""Whatever the architecture, a reading is what the model itself says of a prompt, or is refused by name."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_tokenizer

import cclib
from cclib.confidence import reading
from cclib.confidence.attention import Layout, packed, packed_attention
from cclib.confidence.p_t import answer_open_questions, answer_questions
from cclib.confidence.reading import PACKED, longest_together, read_alone, read_prompts

PAGE = Path(__file__).parents[1] / "book" / "rerun.md"

# What a configuration that knows the name is given; a key of another library's name goes by attribute_map.
SMALL = {
    "vocab_size": 400, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512,
    "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "sliding_window": 24, "attention_window": 24,
    "use_sliding_window": True, "max_window_layers": 2, "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2, "swa_head_dim": 16, "num_decoder_layers": 4,
    "num_decoder_attention_heads": 4, "decoder_ffn_dim": 128, "encoder_ffn_dim": 128, "dim_head": 16,
    "dim_ff": 128, "dff": 128, "d_inner": 128, "dense_intermediate_size": 128, "shared_intermediate_size": 32,
    "shape_vocab_size": 400, "shape_embed_dim": 16, "pronunciation_vocab_size": 400,
    "pronunciation_embed_dim": 16, "index_n_heads": 4, "index_head_dim": 16, "q_lora_rank": 16,
    "o_lora_rank": 16,
    # experts
    "moe_intermediate_size": 32, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "shared_expert_intermediate_size": 32,
    "n_shared_experts": 1, "moe_topk": 2, "ffn_dim": 128, "expert_ffn_hidden_size": 32, "zero_expert_num": 4,
    # recurrences
    "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_num_heads": 8,
    "mamba_head_dim": 16, "ssm_state_size": 16, "state_size": 16, "expand": 2, "num_heads": 8, "n_groups": 1,
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}  # fmt: skip
LATENT = {
    "num_key_value_heads": 4, "head_dim": 8, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 16, "first_k_dense_replace": 1,
}  # fmt: skip
OTHERWISE = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "codegen": {"rotary_dim": 8},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "falcon": {"alibi": True},
    "falcon_h1": {"mamba_d_ssm": 128},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2,
        "vocab_size_per_layer_input": 400, "hidden_size_per_layer_input": 8, "laurel_rank": 8,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_text": {
        "vocab_size_per_layer_input": 400, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0,
    },
    "glm4_moe_lite": LATENT,
    "gpt_neo": {"num_layers": 4, "attention_types": [[["global", "local"], 2]], "window_size": 24},
    "gptj": {"rotary_dim": 8},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "hy_v4": LATENT,
    "jamba": {
        "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1,
        "mamba_dt_rank": 4,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "longcat_flash": LATENT | {"num_layers": 2},
    "minicpm3": LATENT,
    "qwen2_moe": {"use_sliding_window": False},
    "qwen3_next": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "xlnet": {"d_head": 16, "n_layer": 4},
    "zaya": {"num_experts_per_tok": 1},
    "zamba2": {"layer_types": ["mamba", "hybrid"] * 2, "hybrid_layer_ids": [1, 3]},
}  # fmt: skip
# Their output_hidden_states leaves the embeddings out.
FROM_THE_FIRST_LAYER = {"falcon_mamba", "mamba", "mamba2", "rwkv"}


def listed(row: str) -> list[str]:
    """The model types of a row of the page's table."""
    (line,) = re.findall(rf"^\| {row} \|.*$", PAGE.read_text(encoding="utf-8"), re.M)
    return re.findall(r"`([a-z0-9_-]+)`", line)


ROWS = ("packed", "packed where the first prompts agree", "one prompt a pass", "refused")
KINDS = [(kind, row) for row in ROWS for kind in listed(row)]


def make(kind: str, folder: Path, **changed) -> Path:
    """A random model of that type, with sharper predictions than an untrained one's, saved in a folder."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    tiny_tokenizer(folder)
    its = CONFIG_MAPPING[kind]
    known = {name for base in its.__mro__ for name in getattr(base, "__annotations__", {})}
    known |= set(its.attribute_map)
    other = OTHERWISE.get(kind, {}) | changed
    given = {k: v for k, v in SMALL.items() if k in known and its.attribute_map.get(k) not in other}
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(its(**given | other))
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(3) if p.ndim > 1 else p.add_(0.1 * torch.randn_like(p))
    network.float().save_pretrained(folder)
    return folder


def by_itself(folder: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()


def assert_reads_as_by_itself(folder: Path, questions, kind: str = "", layer: int = 2):
    model, network = cclib.load_model(folder, device="cpu"), by_itself(folder)
    rows = [row for part in answer_questions(model, questions, layer) for row in part]
    assert sorted(r["question_id"] for r in rows) == sorted(q.id for q in questions)
    asked = {q.id: q for q in questions}
    for row in rows:
        question = asked[row["question_id"]]
        ids = torch.tensor([model.encode(question.prompt)])
        with torch.inference_mode():
            out = network(ids, use_cache=False, output_hidden_states=True)
        probs = out.logits[0, -1].softmax(-1)[model.option_tokens(question.prompt, 4)].numpy()
        np.testing.assert_allclose(row["option_probs"], probs, atol=1e-5)
        np.testing.assert_allclose(row["option_probs"], probs, rtol=1e-3)  # however small they are
        hidden = out.hidden_states[layer - (kind in FROM_THE_FIRST_LAYER)][0, -1].numpy()
        hidden = hidden.clip(-65504, 65504)
        assert np.abs(row["hidden"] - hidden).max() <= 1e-3 * np.abs(hidden).max()  # kept as float16
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "row"), KINDS, ids=[kind for kind, _ in KINDS])
def test_every_architecture_of_the_page_is_read_as_it_says_there(kind, row, tmp_path, questions):
    folder = make(kind, tmp_path / kind)
    if row == "refused":
        with pytest.raises(ValueError, match=f"{kind}.*(cannot be read here|could not be loaded): "):
            model = cclib.load_model(folder, device="cpu")
            list(answer_questions(model, questions[:8], 2))
        return
    model = assert_reads_as_by_itself(folder, questions[:8], kind)
    assert str(model.how_read) == ("packed" if row in ROWS[:2] else "one prompt a pass")
    assert kind in model.how_read.why and model.how_read.why in model.provenance()["reading"]


def test_the_page_lists_what_is_packed_without_being_compared():
    assert set(listed("packed")) == PACKED
    kinds = [kind for kind, _ in KINDS]
    assert len(kinds) == len(set(kinds)) > 80


@pytest.mark.parametrize("kind", ["falcon_h1", "gpt2", "gpt_oss", "recurrent_gemma", "stablelm"])
def test_the_trace_says_how_its_model_was_read(kind, tmp_path, questions):
    folder = make(kind, tmp_path / kind)
    trace = cclib.collect(folder, questions[:6], tmp_path / "traces", device="cpu", progress=False)
    how = "packed" if kind == "gpt2" else "one prompt a pass"
    assert trace.provenance["reading"].startswith(f"{how}: ") and kind in trace.provenance["reading"]
    again = cclib.collect(folder, questions[:6], tmp_path / "again", device="cpu", progress=False)
    np.testing.assert_array_equal(trace.option_probs, again.option_probs)


def test_prompts_beyond_llama_4s_chunk_have_a_pass_of_their_own(tmp_path, questions):
    folder = make("llama4_text", tmp_path / "llama4", attention_chunk_size=32)
    model = cclib.load_model(folder, device="cpu")
    assert longest_together(model.config) == 32
    assert min(len(model.encode(q.prompt)) for q in questions) > 32
    assert_reads_as_by_itself(folder, questions[:8])


def test_positions_scaled_by_length_are_those_of_each_prompt_alone(tmp_path, questions):
    """Phi-3's longrope takes other factors beyond a length, for a whole pass."""
    probe = cclib.load_model(make("phi3", tmp_path / "plain"), device="cpu")
    lengths = sorted(len(probe.encode(q.prompt)) for q in questions)
    between = lengths[len(lengths) // 2]
    rope = {
        "rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 8, "long_factor": [9.0] * 8,
        "original_max_position_embeddings": between,
    }  # fmt: skip
    folder = make("phi3", tmp_path / "scaled", rope_parameters=rope, original_max_position_embeddings=between)
    model = assert_reads_as_by_itself(folder, questions[:12])
    assert model.how_read.together == between


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_below_float32_rounding_is_not_taken_for_a_difference(dtype, tmp_path, questions):
    folder = make("gpt2", tmp_path / "gpt2")
    model = cclib.load_model(folder, device="cpu", dtype=dtype)
    list(answer_questions(model, questions[:8], 2))
    assert str(model.how_read) == "packed"
    mixing = cclib.load_model(make("rwkv", tmp_path / "rwkv"), device="cpu", dtype=dtype)
    list(answer_questions(mixing, questions[:4], 2))
    assert str(mixing.how_read) == "one prompt a pass"


def test_an_architecture_that_no_one_knows_is_compared(tmp_path, questions, monkeypatch):
    """Layers that see their neighbours, in a model that says nothing of it."""
    model = cclib.load_model(make("qwen2", tmp_path / "known"), device="cpu")
    monkeypatch.setattr(reading, "PACKED", frozenset())

    def mean_of_what_came_before(_module, _inputs, output):
        t = output.shape[1]
        return output + 0.1 * output.cumsum(1) / torch.arange(1, t + 1)[None, :, None]

    handle = model.layers[1].mlp.register_forward_hook(mean_of_what_came_before)
    list(answer_questions(model, questions[:8], 2))
    assert str(model.how_read) == "one prompt a pass" and "more than rounding" in model.how_read.why
    handle.remove()
    model.how_read = None
    list(answer_questions(model, questions[:8], 2))
    assert str(model.how_read) == "packed"


def test_one_prompt_alone_is_enough_to_find_out(tmp_path, questions):
    model = cclib.load_model(make("rwkv", tmp_path / "rwkv"), device="cpu")
    (part,) = answer_questions(model, questions[:1], 2)
    assert len(part) == 1 and model.how_read.together == 0


def test_open_questions_are_read_so_too(tmp_path):
    model = cclib.load_model(make("falcon_h1", tmp_path / "hybrid"), device="cpu")
    asked = [cclib.Question(f"o/{i}", "s", f"What is {'very ' * i}far?", accepted=("x",)) for i in range(4)]
    rows = [row for part in answer_open_questions(model, asked) for row in part]
    for question, row in zip(asked, rows):
        first = model.encode(question.prompt + "Answer:")[len(model.encode(question.prompt))]
        alone = read_alone(model, model.encode(question.prompt), None, [first])
        assert row["p_t"] == pytest.approx(float(np.exp(alone.log_probs[0, 0])), abs=1e-6)


# ---- plain use of a loaded model ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["atlas-s", "llama", "qwen3", "gemma3_text", "gpt_oss", "falcon_h1"])
def test_reading_leaves_the_network_as_it_was(name, tmp_path, questions):
    questions = questions[:8]
    model = cclib.load_model(name if name == "atlas-s" else make(name, tmp_path / name), device="cpu")
    network, ids = model.network, torch.tensor([model.encode(questions[3].prompt)])

    def logits():
        with torch.inference_mode():
            return network(ids).logits

    before, attention = logits(), network.config._attn_implementation
    hooks = []

    def same():
        assert network.config._attn_implementation == attention
        hooks.append([len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()])
        assert hooks[-1] == hooks[0]  # transformers leaves some of its own, which do nothing, at the first
        return torch.equal(logits(), before)

    list(answer_questions(model, questions))
    assert same()
    begun = answer_questions(model, questions, budget=1)
    next(begun)
    assert same()  # while it waits
    next(begun)
    begun.close()
    assert same()
    abandoned = answer_questions(model, questions, budget=1)
    next(abandoned)
    del abandoned
    assert same()
    broken = network.get_output_embeddings().register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises((ZeroDivisionError, ValueError)):
        list(answer_questions(model, questions))
    broken.remove()
    assert same()


def test_packed_attention_raises_where_it_is_given_no_layout(tiny, questions):
    model = cclib.load_model(tiny, device="cpu")
    ids = torch.tensor([model.encode(questions[0].prompt)])
    with packed(model.network), pytest.raises(ValueError, match="hand on .* layout .* found none"):
        model.network(ids)
    x = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match="found one of 0 tokens"):
        packed_attention(None, x, x, x, None, layout=Layout([]))


# ---- no number ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mamba"])
@pytest.mark.parametrize("what", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_an_answer(kind, what, tmp_path, questions):
    model = cclib.load_model(make(kind, tmp_path / kind), device="cpu")
    with torch.no_grad():
        model.layers[1].register_forward_hook(
            lambda _m, _i, out: (out[0] * what, *out[1:]) if isinstance(out, tuple) else out * what
        )
    with pytest.raises(ValueError, match="no number .NaN.*|cannot be read here"):
        cclib.collect(model, questions[:4], tmp_path / "traces", progress=False)
    assert not list((tmp_path / "traces").rglob("part-*"))


def test_float16_that_overflows_says_so(tmp_path, questions):
    folder = make("llama", tmp_path / "llama")
    model = cclib.load_model(folder, device="cpu", dtype="float16")
    with torch.no_grad():
        model.layers[1].mlp.down_proj.weight.mul_(1e6)
    with pytest.raises(ValueError, match="float16 gives no number .NaN.*float32"):
        list(answer_questions(model, questions[:4], 2))


def test_a_reading_beside_another_counts_prompts_once(tmp_path, questions):
    """Short prompts in packs and long ones alone, some of them known before."""
    model = cclib.load_model(make("llama4_text", tmp_path / "llama4", attention_chunk_size=230), device="cpu")
    encoded = [model.encode(q.prompt) for q in questions]
    assert min(map(len, encoded)) < 230 < max(map(len, encoded))
    skip = {0, 5, 11}
    read = [i for r in read_prompts(model, encoded, None, skip=skip) for i in r.index]
    assert sorted(read) == sorted(set(range(len(encoded))) - skip)
    packs = replace(model, how_read=None)
    assert list(read_prompts(packs, encoded, None, skip=range(len(encoded)))) == []
    assert packs.how_read is None
