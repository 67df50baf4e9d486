"""The chapter on policies: what it compares is what `choose_policy` proves, and its bounds are bounds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cclib.display import policies
from cclib.experiments import which_policy
from cclib.study import Study
from cclib.traces import Trace


def part(name, n, seed):
    """Two models on n questions; the small one knows three in five, and its P(T) says which."""
    rng = np.random.default_rng(seed)
    easy, traces = rng.random(n) < 0.6, []
    for i, right in enumerate((easy, easy | (rng.random(n) < 0.5))):
        p_t = np.clip(np.where(right, 0.8, 0.4) + rng.normal(0, 0.05, n), 0, 1)
        columns = {"question_id": [f"{name}/{q}" for q in range(n)], "correct": right, "p_t": p_t}
        columns["subject"] = rng.choice(["a", "b"], n)
        columns["prompt_tokens"] = rng.integers(40, 90, n)
        columns["output_tokens"] = 1
        shape = {"n_layers": 4 + 8 * i, "d_model": 64 + 128 * i}
        traces.append(Trace(pd.DataFrame(columns), {"model": ["small", "large"][i], **shape}))
    return traces


@pytest.fixture(scope="module")
def study():
    made = {name: part(name, 800, i) for i, name in enumerate(("test", "train", "validation"))}
    return Study(["small", "large"], "made up", 0, probes=[None, None], **made)


@pytest.fixture(scope="module")
def found(study):
    return which_policy.compare(study)


def test_the_table_has_what_is_proven_and_no_number_where_nothing_is(found):
    for drop, choice in found.choices.items():
        column = found.families[f"share saved, {100 * drop:g} point{'' if drop == 0.01 else 's'}"]
        proven = choice.families["proven"].rename(found.names)
        assert (column[proven.index].notna() == proven).all()
        assert column["chosen among all"] == choice.saved if choice.proven else True
    assert found.choices[0.02].proven and not found.choices[0.0].proven


def test_the_oracle_ends_where_no_model_knows_more(found, study):
    small, large = (t.correct for t in study.test)
    cost, accuracy = found.curves["oracle"]
    share = 1 / found.models["small"][0]  # of the large model's pass to the small one's
    assert accuracy[0] == small.mean() and accuracy[-1] == (small | large).mean()
    assert cost[-1] == pytest.approx(
        (small.mean() + (~small & ~large).mean()) / share + (~small & large).mean()
    )
    for name, (spent, right) in found.curves.items():
        within = spent <= 1
        assert (right[within] <= np.interp(spent[within], cost, accuracy) + 1e-9).all(), name


def test_a_line_between_two_models_is_what_a_lot_would_give(found):
    (a, low), (b, high) = found.models["small"], found.models["large"]
    assert which_policy.best_at(found.curves, (a + b) / 2)["mixing at random"] == pytest.approx(
        (low + high) / 2
    )


def test_mixing_draws_lots_among_all_models_that_are_worth_it():
    models = [(0.1, 0.5), (0.4, 0.75), (0.5, 0.6), (1.0, 0.8), (1.2, 0.7)]
    cost, accuracy = which_policy._mixing(models)
    assert cost.tolist() == [0.1, 0.4, 1.0] and accuracy.tolist() == [0.5, 0.75, 0.8]
    cost, _ = which_policy._mixing([(0.1, 0.5), (0.4, 0.51), (1.0, 0.8)])  # the middle one is under the line
    assert cost.tolist() == [0.1, 1.0]


def test_sentences_say_what_the_tables_show(found):
    said = policies.which(found, 0.02)
    assert f"saves {found.choices[0.02].saved:.1%}" in said and found.choices[0.02].policy.family in said
    low, high = found.judged.loc["2 points", "difference, test (points) interval"]
    assert f"({low:+.2f} to {high:+.2f}) points" in said and "cheapest" not in said
    assert "run small → large as *the paper's rule, without P(IK)*" in said
    assert "ask large alone" in policies.which(found, 0.0)
    assert "first on new questions" in policies.title(found)


def test_a_family_that_would_have_been_promised_more_is_named_at_once(found):
    choice = found.choices[0.02]
    more = choice.families.assign(saved=[0.9, *choice.families["saved"][1:]])
    shown = replace(found, choices={0.02: replace(choice, families=more)})
    said = policies.which(shown, 0.02)
    assert f"*{more.index[0]}*, picked beforehand, would have been promised 90.0%" in said
    less = replace(found, choices={0.02: replace(choice, families=more.assign(saved=0.0))})
    assert "no family picked beforehand would have been promised more" in policies.which(less, 0.02)


def test_the_papers_rule_says_where_it_is_without_p_ik(found):
    assert "the paper's rule, without P(IK)" in found.families.index
    idle = replace(found, choices={0.0: found.choices[0.0]})
    assert "*the paper's rule, without P(IK)*" in policies.unproven(idle)


def test_where_nothing_can_be_chosen_the_page_says_why(study):
    alone = which_policy.compare(replace(study, validation=[None, None]))
    assert not alone.choices and "validation questions" in policies.which(alone, 0.01)
    assert policies.unproven(alone) == policies.bounded(alone, 0.01) == ""
