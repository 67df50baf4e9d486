"""The probe: learns what there is to learn, nothing where there is nothing, and says so."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

import cclib
from cclib.traces import Trace


def hidden_trace(n, seed, signal=1.5, d=16, correct=None):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)).astype(np.float16)
    if correct is None:
        correct = rng.random(n) < 1 / (1 + np.exp(-signal * (x[:, 0] + x[:, 1] * x[:, 2])))
    table = pa.table(
        {"question_id": [f"{seed}/{i}" for i in range(n)], "correct": correct, "hidden": list(x)}
    )
    return Trace(table, {"model": "m", "hidden_layer": 3})


@pytest.fixture(scope="module")
def probe():
    return cclib.PIK.fit(hidden_trace(3000, 1), hidden_trace(600, 2), seed=0)


def test_the_probe_finds_what_is_in_the_hidden_state(probe):
    test = probe.score(hidden_trace(2000, 3))
    assert roc_auc_score(test.correct, test.p_ik) > 0.75


def test_p_ik_is_a_probability_of_being_right(probe):
    test = probe.score(hidden_trace(4000, 3))
    for low, high in ((0, 0.35), (0.35, 0.65), (0.65, 1)):
        inside = (test.p_ik >= low) & (test.p_ik < high)
        assert test.correct[inside].mean() == pytest.approx(test.p_ik[inside].mean(), abs=0.08)


def test_the_same_seed_gives_the_same_probe_and_another_does_not():
    train, validation = hidden_trace(400, 1), hidden_trace(100, 2)
    one, two, three = (cclib.PIK.fit(train, validation, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.w1, two.w1) and not np.array_equal(one.w1, three.w1)


def test_shuffled_labels_teach_nothing():
    rng = np.random.default_rng(0)
    coin = [rng.random(n) < 0.5 for n in (3000, 600)]
    probe = cclib.PIK.fit(hidden_trace(3000, 1, correct=coin[0]), hidden_trace(600, 2, correct=coin[1]))
    test = probe.score(hidden_trace(2000, 3))
    assert roc_auc_score(test.correct, test.p_ik) == pytest.approx(0.5, abs=0.15)


def test_a_saved_probe_says_the_same(probe, tmp_path):
    probe.save(tmp_path / "probe.safetensors")
    again = cclib.PIK.load(tmp_path / "probe.safetensors")
    x = np.random.default_rng(0).standard_normal((5, 16))
    assert np.array_equal(again.probability(x), probe.probability(x)) and again.layer == 3


def test_a_file_that_is_no_probe_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is not a probe"):
        cclib.PIK.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("right", [True, False])
def test_labels_of_one_kind_are_refused(right):
    one_kind = hidden_trace(50, 1, correct=np.full(50, right))
    with pytest.raises(ValueError, match="nothing to learn"):
        cclib.PIK.fit(one_kind, hidden_trace(50, 2))


def test_a_probe_of_another_width_is_refused(probe):
    with pytest.raises(ValueError, match="width 16, found shape"):
        probe.score(hidden_trace(5, 1, d=8, correct=np.ones(5, bool)))


def test_no_hidden_states_no_probe(probe):
    bare = Trace(pd.DataFrame({"question_id": ["a"], "correct": [True]}))
    with pytest.raises(ValueError, match="no hidden states"):
        probe.score(bare)
    with pytest.raises(ValueError, match="no hidden states"):
        cclib.PIK.fit(bare, bare)


def test_the_cost_of_the_probe_is_its_two_layers(probe):
    assert probe.flops() == 2 * (16 * 128 + 128)
