"""One packed pass must say what one plain pass a question says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import cclib
from cclib.confidence import forward
from cclib.confidence.forward import PROMPTS_APART, TOKENS_APART, check_layer, default_layer
from cclib.confidence.p_t import answer_questions
from cclib.confidence.packing import filled, make_packs


def rows_of(model, questions, **options):
    rows = [row for batch in answer_questions(model, questions, **options) for row in batch]
    by_id = {row["question_id"]: row for row in rows}
    return [by_id[q.id] for q in questions]


def plainly(model, question, layer):
    """One question alone, all positions, all hidden states: the slow way that needs no trust."""
    model.network.set_attn_implementation("sdpa")
    with torch.inference_mode():
        out = model.network(torch.tensor([model.encode(question.prompt)]), output_hidden_states=True)
    probs = out.logits[0, -1].softmax(-1)[model.option_tokens(question.prompt, len(question.choices))]
    captured = {}
    hook = model.layers[layer - 1].register_forward_hook(
        lambda _m, _i, o: captured.update(h=(o[0] if isinstance(o, tuple) else o)[0, -1])
    )
    with torch.inference_mode():
        model.network(torch.tensor([model.encode(question.prompt)]))
    hook.remove()
    return probs.numpy(), captured["h"].numpy()


def test_packed_equals_plain_for_every_shape(tiny, questions):
    model = cclib.load_model(tiny)
    rows = rows_of(model, questions[:12], layer=3)
    for question, row in zip(questions, rows):
        probs, hidden = plainly(model, question, 3)
        assert np.abs(np.array(row["option_probs"]) - probs).max() < 1e-5
        assert np.abs(row["hidden"] - hidden).max() < 2e-3 * max(1, np.abs(hidden).max())  # kept as float16
        assert row["prediction"] == probs.argmax()
        assert row["p_t"] == pytest.approx(probs.max(), abs=1e-5)


def test_batched_equals_unbatched(tiny, questions):
    model = cclib.load_model(tiny)
    many, one = rows_of(model, questions), rows_of(model, questions, budget=1)
    for a, b in zip(many, one):
        assert a["prediction"] == b["prediction"]
        assert np.abs(np.subtract(a["option_probs"], b["option_probs"])).max() < 1e-5


def test_below_float32_packs_are_filled_to_a_few_sizes_and_answers_stay(tiny, questions):
    model = cclib.load_model(tiny)
    sizes = []  # (tokens, prompts read) of each pass

    def note(_module, _args, given):
        sizes.append((given["input_ids"].shape[1], len(given["logits_to_keep"])))

    hook = model.network.register_forward_pre_hook(note, with_kwargs=True)
    plain = rows_of(model, questions, budget=300)
    assert any(t % TOKENS_APART for t, _ in sizes) and any(m % PROMPTS_APART for _, m in sizes)
    sizes.clear()
    # said to be of a lower precision and computed in this one, so that what is compared is the filling alone
    full = rows_of(replace(model, dtype="bfloat16"), questions, budget=300)
    hook.remove()
    assert sizes and not any(t % TOKENS_APART or m % PROMPTS_APART for t, m in sizes)
    for a, b in zip(plain, full):
        assert a["prediction"] == b["prediction"]
        assert np.abs(np.subtract(a["option_probs"], b["option_probs"])).max() < 1e-5
        assert np.abs(np.subtract(a["hidden"], b["hidden"], dtype=float)).max() < 1e-2
        assert a["prompt_tokens"] == b["prompt_tokens"]  # what is paid for are the questions' own


def test_long_passes_alone_hand_freed_memory_back_and_rows_stay(tiny, questions, monkeypatch):
    model, calls = cclib.load_model(tiny), []
    monkeypatch.setattr(forward, "_hand_back", calls.append)
    monkeypatch.setattr(forward, "LONG_PASS_SECONDS", 3600)
    short = rows_of(model, questions, budget=300)
    assert not calls
    monkeypatch.setattr(forward, "LONG_PASS_SECONDS", 0)
    long = rows_of(model, questions, budget=300)
    assert len(calls) == len(make_packs([model.encode(q.prompt) for q in questions], 300))
    assert [row["option_probs"] for row in short] == [row["option_probs"] for row in long]
    monkeypatch.setattr(forward, "_hand_back", None)  # as where the C library has no such call
    assert [row["prediction"] for row in rows_of(model, questions)] == [row["prediction"] for row in long]


def test_filling_leaves_a_pack_that_is_full_and_adds_no_prompt():
    (pack,) = make_packs([[1, 2, 3], [1, 2, 4]], budget=100)
    assert filled(pack, len(pack.tokens)) is pack
    more = filled(pack, 3)
    assert len(more.tokens) == len(more.positions) == 6
    assert (more.index, more.lengths, more.last) == (pack.index, pack.lengths, pack.last)


def test_packs_hold_every_prompt_once_and_share_heads():
    encoded = [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7], [1, 2, 3, 4, 8, 9], [5, 5], [5, 6]]
    packs = make_packs(encoded, budget=100)
    assert sorted(i for p in packs for i in p.index) == [0, 1, 2, 3, 4]
    assert sum(len(p.tokens) for p in packs) < sum(map(len, encoded))
    for pack in packs:
        tails = [(t, g) for g in pack.groups for t in g.tails]
        for i, ((start, length), group) in zip(pack.index, tails):
            head = pack.tokens[group.head[0] : sum(group.head)]
            assert head + pack.tokens[start : start + length] == encoded[i]
            assert pack.positions[start] == len(head)


def test_the_papers_layer_is_the_default():
    assert default_layer(28) == 24
    assert check_layer(None, 28) == 24 and check_layer(5, 28) == 5
    with pytest.raises(ValueError, match="from 1 to 28"):
        check_layer(29, 28)


def test_a_question_longer_than_the_context_is_named(tiny, questions):
    long = cclib.Question("too/long", "s", "word " * 2000, ("x", "y"), 0)
    with pytest.raises(ValueError, match="too/long has .* tokens"):
        rows_of(cclib.load_model(tiny), [*questions[:2], long])


@pytest.mark.parametrize("n_options", [2, 3, 10])
def test_two_to_ten_options(tiny, n_options):
    choices = tuple(f"choice {i}" for i in range(n_options))
    (row,) = rows_of(cclib.load_model(tiny), [cclib.Question("q", "s", "Which?", choices, 1)])
    assert len(row["option_probs"]) == n_options
    assert 0 < sum(row["option_probs"]) <= 1 + 1e-6
