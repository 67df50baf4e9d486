"""Answers in words: a prompt is read once, and what goes on from it is what reading it anew would give."""

import numpy as np
import pytest
import torch

import cclib
from cclib.confidence import batching, generation
from cclib.confidence.generation import Growing, continuations, continue_prompts, generate, score_answers
from cclib.models.local import default_layer

TEXTS = ("Which?", "Question: who is it, and where, and why?\n", "A B C D", "A", "Answer: N'Djamena\n" * 3)


@pytest.fixture(scope="module")
def model(tiny):
    return cclib.load_model(tiny, device="cpu")


@pytest.fixture(scope="module")
def prompts(model):
    return [model.encode(text) for text in TEXTS]


def last_position(model, tokens, layer):
    """Log-probabilities and hidden state at the end of one text, read alone."""
    seen = {}
    hook = model.layers[layer - 1].register_forward_hook(
        lambda _m, _i, o: seen.update(h=(o[0] if isinstance(o, tuple) else o)[0, -1])
    )
    with torch.inference_mode():
        logits = model.network(torch.tensor([tokens])).logits[0, -1]
    hook.remove()
    return logits.log_softmax(-1).numpy(), seen["h"].numpy()


def test_the_pass_that_an_answer_starts_from_says_what_the_prompt_alone_says(model, prompts):
    layer = default_layer(model.n_layers)
    ((index, written),) = generate(model, prompts, layer, wanted=[7, 3])
    assert sorted(index) == list(range(len(prompts))) and len(written.responses) == len(prompts)
    for row, i in enumerate(index):
        log_probs, hidden = last_position(model, prompts[i], layer)
        np.testing.assert_allclose(written.log_probs[row], log_probs[[7, 3]], atol=1e-5)
        assert written.greatest[row] == pytest.approx(log_probs.max(), abs=1e-5)
        np.testing.assert_allclose(written.hidden[row], hidden, atol=2e-3 * max(1, np.abs(hidden).max()))


def test_a_batch_runs_where_some_prompt_of_it_is_not_known(model, prompts, monkeypatch):
    monkeypatch.setitem(batching.SEQUENCES, "cpu", 2)
    whole = [index for index, _ in generate(model, prompts)]
    assert [len(index) for index in whole] == [2, 2, 1]
    left = [index for index, _ in generate(model, prompts, skip={*whole[0], whole[1][0]})]
    assert left == whole[1:]


def test_samples_that_share_one_reading_are_those_of_prompts_read_anew(model, prompts, monkeypatch):
    shared = continuations(model, prompts, 6, samples=4, seed=1)
    monkeypatch.setattr(generation, "_read_once", lambda *_: None)
    anew = continuations(model, prompts, 6, samples=4, seed=1)
    assert shared == anew and {len(several) for several in shared} == {4}


def test_samples_come_with_the_log_probability_that_scoring_them_gives(model, prompts):
    drawn, log_probs = continue_prompts(model, prompts, 5, samples=3, seed=2)
    assert log_probs.shape == (len(prompts), 3)
    for prompt, several, found in zip(prompts, drawn, log_probs):
        for tokens, p in zip(several, found):
            if tokens:
                ((said, entropies),) = score_answers(model, [prompt], [tokens])
                assert len(said) == len(entropies) == len(tokens)
                assert p == pytest.approx(said.sum(), abs=1e-4)


def test_scores_in_a_batch_are_those_of_each_answer_alone(model, prompts):
    answers = [[5], [6, 7, 8, 9], [10, 11], [12], [13, 14, 15]]
    together = score_answers(model, prompts, answers)
    for prompt, answer, (said, entropies) in zip(prompts, answers, together):
        with torch.inference_mode():
            logits = model.network(torch.tensor([[*prompt, *answer]])).logits[0]
        log_probs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        np.testing.assert_allclose(said, log_probs[range(len(answer)), answer], atol=1e-5)
        np.testing.assert_allclose(entropies, -(log_probs.exp() * log_probs).sum(-1), atol=1e-4)


def test_texts_that_grow_are_read_as_if_whole_each_time(model, prompts):
    texts, growing = [list(p) for p in prompts], Growing(model, prompts)
    for step in range(4):
        found = growing.next_logits().log_softmax(-1).numpy()
        for row, tokens in enumerate(texts):
            np.testing.assert_allclose(found[row], last_position(model, tokens, 1)[0], atol=1e-4)
        for extra in range(1 + step % 2):  # a model that is not asked at each step catches up
            new = [20 + step + extra + row for row in range(len(texts))]
            texts = [[*text, token] for text, token in zip(texts, new)]
            rows = np.arange(len(texts))[1:] if step == 1 and not extra else np.arange(len(texts))
            growing.append(np.array(new), rows)
            texts = [texts[row] for row in rows]


def test_in_bfloat16_answers_start_from_probabilities_of_float32_products(model, prompts, tiny):
    low = cclib.load_model(tiny, device="cpu", dtype="bfloat16")
    ((_, written),) = generate(low, prompts, wanted=range(400))
    assert written.log_probs.dtype == np.float32
    ((_, exact),) = generate(model, prompts, wanted=range(400))
    np.testing.assert_allclose(written.log_probs, exact.log_probs, atol=0.1)
    assert len(np.unique(written.log_probs[0])) > 380  # products of bfloat16 would fall on few numbers
