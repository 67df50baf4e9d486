"""Eq. 2-6 by hand, the two accountings and their laws, tokens, dollars, and what is not recorded."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cclib
from cclib import cost
from cclib.traces import Trace

IDS = list("abcd")


def stage(model, n_layers=2, d_model=10, p_t=(0.95, 0.95, 0.1, 0.1), p_ik=None, **more):
    """Four questions of 9 prompt tokens and 1 output token, two of which a stage keeps."""
    data = {
        "question_id": IDS,
        "correct": [True] * 4,
        "p_t": p_t,
        "prompt_tokens": [9] * 4,
        "output_tokens": [1] * 4,
        "seconds": [0.5, 0.5, 1.0, 1.0],
    }
    if p_ik is not None:
        data["p_ik"] = p_ik
    about = {"model": model, "n_layers": n_layers, "d_model": d_model, **more}
    return Trace(pd.DataFrame(data), about)


SMALL, LARGE = stage("small"), stage("large", 4, 20)  # N = 2,400 and 19,200 by Eq. 3
ANSWERS = Trace(pd.DataFrame({"question_id": IDS, "correct": [True] * 4}), {"model": "gpt-4o"})


def test_equations_by_hand():
    # Llama 3.1 8B: 32 layers of width 4,096
    n = cost.parameters_from_shape(32, 4096)
    assert n == 6_442_450_944
    assert cost.forward_flops(n, 32, 100, 4096) == 2 * 6_442_450_944 + 26_214_400
    assert cost.forward_flops_from_size(n, 32, 100) == pytest.approx(cost.forward_flops(n, 32, 100, 4096))
    assert cost.forward_flops_of_large_model(8e9) == 16e9
    assert cost.stage_compute(8e9, 594) == pytest.approx(9.504e12)


def test_compute_of_the_papers_example():
    # Appendix D works two chains out: 1.1e5 and 1.27e5 GFLOPs
    three = cost.compute_from_counts([487, 198, 745], [6e9, 16e9, 140e9])
    two = cost.compute_from_counts([594, 836], [16e9, 140e9])
    assert three.total == 2 * (487 * 3 + 198 * 8 + 745 * 70) * 1e9
    assert float(f"{three.total / 1e9:.1e}") == 1.1e5
    assert float(f"{two.total / 1e9:.2e}") == 1.27e5


def test_small_before_large_saves_by_the_paper_and_costs_more_when_every_pass_counts():
    paper = cost.compute_from_counts([487, 943], [6e9, 16e9])
    assert paper.reduced == pytest.approx(1 - (487 * 3 + 943 * 8) / (1430 * 8))
    every = cost.compute_from_counts([487, 943], [6e9, 16e9], "every-pass")
    assert every.total == 2e9 * (1430 * 3 + 943 * 8)
    assert every.total > every.reference > paper.total


def test_compute_by_both_accountings_by_hand():
    result = cclib.cascade([SMALL, LARGE], pt=0.9, pik=None)
    paper = cost.compute(result)
    assert paper.stages.tolist() == [2 * 4800, 2 * 38_400]
    assert paper.reference == 4 * 38_400
    assert paper.reduced == pytest.approx(1 - 43_200 * 2 / 153_600)
    assert cost.compute(result, "every-pass").stages.tolist() == [4 * 4800, 2 * 38_400]
    assert cost.reduced(result, "every-pass") == pytest.approx(1 - 96_000 / 153_600)
    assert float(paper) == paper.total
    assert paper.table()["share of reference"].tolist() == [9600 / 153_600, 0.5]


def test_per_token_charges_every_token_by_equation_2():
    flops = cost.stage_cost(SMALL, per_token=True)
    assert flops.tolist() == [10 * (2 * 2400 + 2 * 2 * 10 * 10)] * 4


def test_early_exit_charges_only_the_layers_run():
    small = stage("small", p_ik=[0.9, 0.9, 0.1, 0.9], n_layers=4, hidden_layer=3)  # N = 4,800
    result = cclib.cascade([small, LARGE], pt=0.9, pik=0.5)
    probe = 4 * 2 * (10 * 128 + 128) / 10  # read once in ten tokens
    assert cost.compute(result, "every-pass").stages[0] == pytest.approx(4 * 9600 + probe)
    # the third question leaves by P(IK) at layer 3 of 4; the fourth runs on to its P(T)
    early = cost.compute(result, "every-pass", early_exit=True)
    assert early.stages[0] == pytest.approx(3.75 * 9600 + probe)
    assert early.missing == []
    assert cost.compute(result, early_exit=True).total == cost.compute(result).total


def test_early_exit_without_a_known_layer_charges_whole_passes_and_says_so():
    small = stage("small", p_ik=[0.9, 0.9, 0.1, 0.9])
    result = cclib.cascade([small, LARGE])
    early = cost.compute(result, "every-pass", early_exit=True)
    assert early.total == cost.compute(result, "every-pass").total
    assert "layer of P(IK) is not recorded" in early.missing[0]


def test_tokens_seconds_and_dollars_by_hand():
    result = cclib.cascade([SMALL, LARGE], pt=0.9, pik=None)
    assert cost.tokens(result).stages.tolist() == [2, 2]
    assert cost.tokens(result, "every-pass", "both").stages.tolist() == [40, 20]
    assert cost.seconds(result).stages.tolist() == [1, 2]
    assert cost.seconds(result, "every-pass").reduced == pytest.approx(1 - 5 / 3)
    prices = {"small": (1, 2), "large": (10, 20)}
    assert cost.dollars(result, prices).stages == pytest.approx([2 * 11e-6, 2 * 110e-6])
    assert cost.dollars(result, prices, "every-pass").reduced == pytest.approx(1 - (44 + 220) / 440)


def test_the_papers_prices_are_the_default_and_a_user_replaces_them(tmp_path):
    published = cost.read_prices()
    assert published.loc["gpt-4o"].tolist()[:3] == [2.5, 10.0, "2025-04"]
    own = tmp_path / "prices.csv"
    own.write_text("model,input_usd_per_million,output_usd_per_million\nSmall,1,2\nlarge,10,20\n")
    result = cclib.cascade([SMALL, LARGE], pik=None)
    assert cost.dollars(result, own).total == cost.dollars(result, {"small": (1, 2), "large": (10, 20)}).total


def test_hub_ids_and_endpoints_find_their_price():
    for name in ("meta-llama/Llama-3.2-3B-Instruct", "openai:gpt-4o", "GPT-4o"):
        assert cost.dollars(cclib.cascade([stage(name)])).missing == []


def test_a_last_stage_known_only_by_its_answers_costs_nan_with_a_note():
    result = cclib.cascade([SMALL, ANSWERS], pik=None)
    for known in (cost.compute(result), cost.tokens(result), cost.seconds(result), cost.dollars(result)):
        assert np.isnan(known.total) and np.isnan(known.reduced)
        assert any("gpt-4o" in note for note in known.missing)
    assert cost.compute(result).stages[0] == 9600
    assert "no price; give prices={'small'" in cost.dollars(result).missing[0]
    assert cost.compute(result, sizes=[2400, 1e6]).missing == []


def test_sizes_follow_one_rule_for_all_stages():
    whole = Trace(ANSWERS.table, {"model": "whole", "parameters": 5e6})
    with_both = stage("small", parameters=3e6)
    assert cost.stage_sizes([with_both, whole]) == [3e6, 5e6]
    assert cost.stage_sizes([with_both, LARGE]) == [2400, 19_200]


def test_bad_input_is_refused():
    result = cclib.cascade([SMALL, LARGE], pik=None)
    for call in (cost.compute, cost.tokens, cost.seconds):
        with pytest.raises(ValueError, match="known: paper, every-pass"):
            call(result, "papers")
    with pytest.raises(ValueError, match="kind must be one of"):
        cost.tokens(result, kind="thought")
    with pytest.raises(ValueError, match="expected 2, one a stage"):
        cost.compute(result, sizes=[1])
    with pytest.raises(ValueError, match="one count and one cost a stage"):
        cost.compute_from_counts([1, 2], [1])
    with pytest.raises(ValueError, match="numbers >= 0"):
        cost.read_prices({"small": (1, -2)})
    with pytest.raises(ValueError, match="a price table needs"):
        cost.read_prices(pd.DataFrame({"model": ["a"]}))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 4), pt=st.floats(0, 1), per_token=st.booleans())
def test_laws_of_the_accountings(seed, k, pt, per_token):
    rng = np.random.default_rng(seed)
    stages = [
        stage(str(i), 4 + i, 8 + 4 * i, p_t=rng.random(4), p_ik=rng.random(4), hidden_layer=3)
        for i in range(k)
    ]
    result = cclib.cascade(stages, pt=pt, pik=0.5)
    paper = cost.compute(result, per_token=per_token)
    every = cost.compute(result, "every-pass", per_token=per_token)
    early = cost.compute(result, "every-pass", early_exit=True, per_token=per_token)
    assert paper.total <= early.total + 1e-6 <= every.total + 2e-6
    assert paper.reduced >= 0  # a question never costs more than the last stage's pass
    if k == 1:
        assert paper.reduced == every.reduced == 0
