"""One attention call over a whole pack must see what each piece of it sees alone.

A GPU's call of variable length is stood in for by a loop of the same interface, so that what it is given
(gathered keys, ends of the segments, windows, grouped heads) is tried here too.
"""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_confidence import rows_of

import cclib
from cclib.confidence import attention, forward
from cclib.confidence.attention import Layout, packed, packed_attention
from cclib.confidence.forward import float32_head
from cclib.confidence.packing import Group, filled, make_packs
from cclib.experiments.early_exit import answer_leaving, remaining

PROMPTS = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7], [1, 2, 3, 4, 8, 9, 9, 9], [5, 5], [5, 6], [7] * 11]


def segments_in_turn(query, key, value, query_ends, key_ends, max_q, max_k, *, scale, window_size, **grouped):
    """`torch.nn.attention.varlen.varlen_attn` in words: windows are aligned at the segments' ends."""
    assert query_ends.dtype == key_ends.dtype == torch.int32 and query_ends[-1] == len(query)
    lengths, seen = query_ends.diff(), key_ends.diff()
    assert (int(lengths.max()), int(seen.max())) == (max_q, max_k) and key_ends[-1] == len(key) == len(value)
    out = []
    for i in range(len(lengths)):
        q, k, v = (
            x[ends[i] : ends[i + 1]].transpose(0, 1)
            for x, ends in ((query, query_ends), (key, key_ends), (value, key_ends))
        )
        at = torch.arange(len(q[0]))[:, None] + len(k[0]) - len(q[0])
        apart = at - torch.arange(len(k[0]))
        left, right = window_size
        mask = (apart >= -right) & ((apart <= left) if left >= 0 else True)
        attend = torch.nn.functional.scaled_dot_product_attention
        out.append(attend(q, k, v, attn_mask=mask, scale=scale, **grouped).transpose(0, 1))
    return torch.cat(out)


@pytest.fixture
def one_call(monkeypatch):
    """As on a GPU; counts the calls."""
    calls = []

    def call_for(query, value):
        return lambda *given, **options: calls.append(1) or segments_in_turn(*given, **options)

    monkeypatch.setattr(attention, "call_for", call_for)
    return calls


def packs():
    (pack,) = make_packs(PROMPTS, budget=100)
    groups, kept = remaining(pack.groups, {0, 2, 5})
    return {"whole": pack.groups, "filled": filled(pack, 32).groups, "what stays of it": groups}


@pytest.mark.parametrize("groups", packs().values(), ids=packs().keys())
@pytest.mark.parametrize("window", [None, 1, 3, 64])
@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_one_call_sees_what_the_pieces_see(groups, window, key_heads, monkeypatch, one_call):
    layout = Layout(groups)
    torch.manual_seed(0)
    query = torch.randn(1, 4, layout.tokens, 16)
    key, value = torch.randn(2, 1, key_heads, layout.tokens, 16)
    options = {"scaling": 0.3, "sliding_window": window, "layout": layout}
    together, _ = packed_attention(None, query, key, value, None, **options)
    assert len(one_call) == 1
    monkeypatch.setattr(attention, "call_for", lambda *_: None)
    in_turns, _ = packed_attention(None, query, key, value, None, **options)
    torch.testing.assert_close(together, in_turns, atol=1e-6, rtol=1e-5)


def test_keys_of_a_tail_follow_its_heads_by_hand():
    layout = Layout([Group((0, 2), [(2, 1), (3, 2)]), Group((5, 0), [(5, 1)])])
    found = layout.segments(torch.device("cpu"))
    assert found.keys.tolist() == [0, 1, 0, 1, 2, 0, 1, 3, 4, 5]
    assert found.query_ends.tolist() == [0, 2, 3, 5, 6] and found.key_ends.tolist() == [0, 2, 5, 9, 10]
    assert (found.longest_query, found.longest_key) == (2, 4)
    assert layout.segments(torch.device("cpu")) is found  # once a pack, not once a layer


def test_a_pass_makes_one_call_a_layer_and_says_what_the_pieces_say(tiny, questions, one_call, monkeypatch):
    model = cclib.load_model(tiny, device="cpu")
    together = rows_of(model, questions, layer=3, budget=600)
    n_packs = len(make_packs([model.encode(q.prompt) for q in questions], 600))
    assert len(one_call) == n_packs * model.n_layers
    monkeypatch.setattr(attention, "call_for", lambda *_: None)
    for a, b in zip(together, rows_of(model, questions, layer=3, budget=600)):
        np.testing.assert_allclose(a["option_probs"], b["option_probs"], atol=1e-6)
        np.testing.assert_allclose(a["hidden"], b["hidden"], atol=2e-3, rtol=2e-3)  # kept as float16


def test_what_leaves_early_is_left_out_of_the_one_call(tiny, questions, one_call, monkeypatch, tmp_path):
    model = cclib.load_model(tiny, device="cpu")
    trace = cclib.collect(model, questions, store=tmp_path, layer=2, progress=False)
    trace = trace.with_column("correct", np.arange(len(trace)) % 3 == 0)
    probe = cclib.PIK.fit(trace, trace)
    threshold = float(np.median(probe.probability(trace.hidden)))
    together, saved = answer_leaving(model, questions, probe, threshold)
    assert one_call and 0 < saved < 1 / 2
    monkeypatch.setattr(attention, "call_for", lambda *_: None)
    in_turns, _ = answer_leaving(model, questions, probe, threshold)
    for a, b in zip(together, in_turns):
        assert a["p_ik"] == pytest.approx(b["p_ik"], abs=2e-3)  # of states that are rounded to float16
        if abs(a["p_ik"] - threshold) > 2e-3:
            assert a["p_t"] == pytest.approx(b["p_t"], abs=1e-6) and a["prediction"] == b["prediction"]


def test_a_pack_without_its_layout_is_refused_and_the_network_is_left_as_it_was(tiny):
    network = cclib.load_model(tiny, device="cpu").network
    tokens = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        before = network(tokens).logits
        with packed(network), pytest.raises(ValueError, match="layout of its 3 tokens, found none"):
            network(tokens)
        with packed(network), pytest.raises(ValueError, match="found one of 2 tokens"):
            network(tokens, layout=Layout([Group((0, 0), [(0, 2)])]))
        assert torch.equal(network(tokens).logits, before)


@pytest.mark.parametrize(
    ("dtype", "e", "why"), [("float32", 64, "not float32"), ("bfloat16", 12, "not of 12")]
)
def test_what_one_call_cannot_take_goes_in_turns_and_is_said_once(dtype, e, why, caplog):
    pytest.importorskip("torch.nn.attention.varlen", reason="this torch has no call of variable length")
    attention._say.cache_clear()
    shape = SimpleNamespace(device=torch.device("cuda"), dtype=getattr(torch, dtype), shape=(1, 4, 9, e))
    with caplog.at_level(logging.WARNING):
        assert attention.call_for(shape, shape) is None and attention.call_for(shape, shape) is None
    assert len(caplog.records) == 1 and why in caplog.text


def test_a_cpu_is_not_told_of_calls_that_only_gpus_have(caplog):
    query = torch.zeros(1, 4, 3, 12)
    assert attention.call_for(query, query) is None and not caplog.records


# name: (the configuration's class, what differs, what follows the vocabulary's product)
AFTER_THE_HEAD = {
    "a bias": ("PhiConfig", {}, lambda logits, config: logits),
    "a scale": ("CohereConfig", {"logit_scale": 0.25}, lambda logits, config: logits * config.logit_scale),
    "a divisor": ("GraniteConfig", {"logits_scaling": 8.0}, lambda x, config: x / config.logits_scaling),
    "a cap": (
        "Gemma3TextConfig",
        {"final_logit_softcapping": 30.0, "head_dim": 16},
        lambda x, config: 30 * torch.tanh(x / 30),
    ),
}


@pytest.mark.parametrize("name", AFTER_THE_HEAD)
def test_the_vocabularys_product_is_of_float32_with_all_that_follows_it(name, monkeypatch):
    import transformers

    monkeypatch.setattr(forward, "HEAD_ROWS", 96)  # several slices, the last of them short
    kind, more, after = AFTER_THE_HEAD[name]
    config = getattr(transformers, kind)(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        **more,
    )
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16).eval()
    head, tokens = network.get_output_embeddings(), torch.arange(1, 50)[None]
    if head.bias is not None:
        torch.nn.init.normal_(head.bias)
    with torch.inference_mode():
        hidden = network.base_model(tokens)[0].float()
        bias = None if head.bias is None else head.bias.float()
        exact = after(torch.nn.functional.linear(hidden, head.weight.float(), bias), config)
        with float32_head(network):
            found = network(tokens).logits
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)
        rounded = network(tokens).logits  # afterwards the head is its own again
        assert rounded.dtype == torch.bfloat16 and not torch.equal(rounded.float(), found)


def test_a_model_whose_parts_accelerate_places_is_read_the_same_way(tiny, questions):
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    model = cclib.load_model(tiny, device="cpu", dtype="bfloat16")
    before = rows_of(model, questions[:12])
    head = model.network.get_output_embeddings()
    for part in [*model.layers, head, model.network]:
        add_hook_to_module(part, AlignDevicesHook(execution_device="cpu", io_same_device=True))
    after = rows_of(model, questions[:12])
    assert [row["option_probs"] for row in before] == [row["option_probs"] for row in after]
    assert model.network(torch.tensor([[1, 2]])).logits.dtype == torch.bfloat16  # the head is its own again


def ties(rows):
    """Share of rows whose two likeliest options have the same probability."""
    best = np.sort([row["option_probs"] for row in rows])[:, -2:]
    return (best[:, 0] == best[:, 1]).mean()


def test_in_bfloat16_no_two_options_tie_and_confidence_is_float32s_but_for_the_hidden_states(monkeypatch):
    asked = cclib.load_benchmark("atlas")[:300]
    exact = rows_of(cclib.load_model("atlas-s", device="cpu"), asked)
    model = cclib.load_model("atlas-s", device="cpu", dtype="bfloat16")
    rows = rows_of(model, asked)
    assert ties(rows) == 0
    apart = np.abs([a["p_t"] - b["p_t"] for a, b in zip(rows, exact)])
    assert apart.mean() < 0.01 and apart.max() < 0.1
    monkeypatch.setattr(forward, "float32_head", lambda _: nullcontext())
    assert ties(rows_of(model, asked)) > 0  # so this can fail
