"""How often letters are chosen and right, their prior, and the order of the options."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace

import cclib
from cclib.display import in_short
from cclib.experiments import letter_counts
from cclib.experiments.estimators import estimate, option_letters
from cclib.study import Study

SAID, ANSWER = [0, 0, 0, 1, 2], [0, 1, 3, 1, 0]


def a_trace(said=SAID, answer=ANSWER, **columns):
    n = len(said)
    right = [s == a for s, a in zip(said, answer)]
    table = pd.DataFrame({"question_id": map(str, range(n)), "correct": right, "prediction": said})
    return cclib.Trace(table.assign(**({"answer": answer} | columns)), {"model": "small"})


def test_each_letter_is_counted_where_it_is_chosen_and_where_it_is_right():
    table = letter_counts.letters(a_trace())
    assert table.index.tolist() == ["A", "B", "C", "D"]
    np.testing.assert_allclose(table["share right"], [0.4, 0.4, 0, 0.2])
    np.testing.assert_allclose(table["share chosen"], [0.6, 0.2, 0.2, 0])
    np.testing.assert_allclose(table["accuracy where chosen"], [1 / 3, 1, 0, np.nan])


def test_chosen_shares_and_their_accuracies_make_the_models_accuracy():
    trace = make_trace(n=300)
    table = letter_counts.letters(trace)
    assert table["share chosen"].sum() == pytest.approx(1)
    made = (table["share chosen"] * table["accuracy where chosen"]).sum()
    assert made == pytest.approx(trace.correct.mean())


def test_an_answer_that_names_no_option_has_a_row_of_its_own_and_letters_may_be_written_out():
    table = letter_counts.letters(a_trace(said=[-1, 0, 1, 1, 1], answer=list("AABBA")))
    assert table.loc["none", "share chosen"] == pytest.approx(0.2) and table.loc["none", "share right"] == 0
    assert table.loc["A", "share right"] == pytest.approx(0.6)


def test_where_right_answers_are_not_on_record_the_rest_is_still_told():
    table = letter_counts.letters(a_trace().without("answer"))
    assert table["share right"].isna().all() and table["accuracy where chosen"].notna().all()
    assert letter_counts.letters(a_trace().without("prediction")) is None


def test_the_favourite_letter_is_named_with_what_it_is_worth():
    trace = a_trace(answer=[0, 1, 3, 1, 3])
    study = Study(["small", "none"], "made", 0, [trace, trace.without("prediction")], [], [], [])
    said = in_short.letters(letter_counts.by_model(study))
    assert said == (
        "- small chooses A for 60% of the questions, where it is right for 20%; 33% of these answers are "
        "right, of all its answers 40%.\n"
    )
    bare = Study(["none"], "made", 0, [a_trace().without("prediction")], [], [], [])
    assert "No model" in in_short.letters(letter_counts.by_model(bare))


def rows_of(*rows, times=15):
    width = max(map(len, rows))
    return np.tile([[*r, *[np.nan] * (width - len(r))] for r in rows], (times, 1))


def test_a_prior_is_the_geometric_mean_of_shares_for_each_number_of_options():
    probs = rows_of([0.8, 0.2], [0.25, 0.25], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5])
    priors = option_letters.geometric_priors(probs)
    np.testing.assert_allclose(priors[2], [2 / 3, 1 / 3])  # the roots of .8 * .5 and of .2 * .5
    np.testing.assert_allclose(priors[3], [0.2, 0.3, 0.5])


def test_numbers_of_options_that_few_questions_have_get_no_prior_and_their_rows_stay():
    probs = np.vstack([rows_of([0.6, 0.4, 0.0001]), [[0.3, 0.3, np.nan]]])
    assert option_letters.geometric_priors(probs) == {}
    both = np.vstack([rows_of([0.8, 0.1, 0.1], times=30), [[0.5, 0.3, np.nan]]])
    changed = option_letters.taken_out(both, option_letters.geometric_priors(both))
    np.testing.assert_allclose(changed[0], 1 / 3)
    np.testing.assert_array_equal(changed[-1], both[-1])


def test_taking_a_prior_out_leaves_to_all_options_what_they_had_together():
    probs = np.array([[0.4, 0.2, np.nan], [0.0, 0.0, np.nan]])
    changed = option_letters.taken_out(probs, {2: np.array([2 / 3, 1 / 3])})
    np.testing.assert_allclose(changed[:, :2], [[0.3, 0.3], [0, 0]])
    assert np.isnan(changed[:, 2]).all()


def test_a_zero_counts_as_the_least_of_its_letter_and_a_letter_of_nothing_but_zeros_is_refused():
    zeros = rows_of([0.75, 0.25], [1.0, 0.0], times=20)
    (prior,) = option_letters.geometric_priors(zeros).values()
    assert prior[1] / prior[0] == pytest.approx(0.25 / 0.75**0.5)
    with pytest.raises(ValueError, match="option B has no probability in any of 30"):
        option_letters.geometric_priors(rows_of([1.0, 0.0], times=30))


def test_a_taste_that_multiplies_what_is_known_is_found_and_undone():
    rng = np.random.default_rng(0)
    content, taste = rng.dirichlet(np.ones(4), 20_000), np.array([0.1, 0.6, 0.2, 0.1])
    read = content * taste
    read /= read.sum(axis=1, keepdims=True)
    (prior,) = option_letters.geometric_priors(read).values()
    np.testing.assert_allclose(prior, taste, rtol=0.03)
    np.testing.assert_allclose(option_letters.taken_out(read, {4: taste}), content)


def test_turned_options_keep_the_right_text_and_come_round():
    question = cclib.Question("q", "s", "which?", ("a", "b", "c"), answer=1)
    assert option_letters.turned(question, 1).choices == ("c", "a", "b")
    for by in range(4):
        moved = option_letters.turned(question, by)
        assert moved.choices[moved.answer] == "b"
    assert option_letters.turned(question, 3) == question


def test_over_a_whole_cycle_it_does_not_matter_which_order_was_recorded(tmp_path):
    model = cclib.load_model("atlas-s", device="cpu")
    asked = cclib.load_benchmark("atlas", limit=6)
    moved = [option_letters.turned(q, 1) for q in asked]
    both = []
    for name, questions in (("as it is", asked), ("moved", moved)):
        trace = cclib.collect(model, questions, store=tmp_path / name, progress=False)
        both.append((option_letters.orders(model, questions, trace), trace))
    (one, trace), (other, _) = both
    for row, (a, b) in enumerate(zip(one["mean"], other["mean"])):
        np.testing.assert_allclose(a, np.roll(b, -1), rtol=1e-4)
        assert one["tokens"][row] == (len(a) - 1) * (trace.prompt_tokens[row] + 1)
        np.testing.assert_allclose(one["letters"][row], other["letters"][row], rtol=1e-3)
    by_hand = cclib.collect(model, moved[:1], store=tmp_path / "moved", progress=False).option_probs[0]
    assert len(by_hand) == len(one["mean"][0])


def study_of(test, train=None, validation=None):
    return Study(["small"], "made", 0, [test], [train], [validation], [None])


def with_probs(probs, answer):
    said = np.nanargmax(probs, axis=1)
    trace = a_trace(said=said.tolist(), answer=list(answer), option_probs=[r[np.isfinite(r)] for r in probs])
    return trace.with_column("p_t", np.nanmax(probs, axis=1))


def test_without_other_questions_or_probabilities_an_estimate_says_what_is_missing():
    bare = option_letters.without_letters(study_of(a_trace()), 0)
    assert all(e.score is None and e.missing == estimate.NO_PROBS for e in bare)
    trace = with_probs(rows_of([0.6, 0.4]), [0] * 15)
    prior, *live = option_letters.without_letters(study_of(trace), 0)
    assert "other questions" in prior.missing and all(e.missing == estimate.REPLAYED for e in live)
    few = option_letters.without_letters(study_of(trace, train=trace), 0)[0]
    assert "fewer than 30 training questions" in few.missing
    never = with_probs(rows_of([1.0, 0.0], times=40), [0] * 40)
    assert (
        "option B has no probability" in option_letters.without_letters(study_of(trace, never), 0)[0].missing
    )
    checked = with_probs(rows_of([0.6, 0.4], times=40), [0] * 40)
    assert "validation" in option_letters.without_letters(study_of(trace, None, checked), 0)[0].note


def test_own_answers_follow_the_corrected_options_and_the_score_stays_with_the_recorded_one():
    train = with_probs(rows_of([0.8, 0.2], times=30), [0] * 30)
    trace = with_probs(np.array([[0.95, 0.05], [0.6, 0.4], [0.5, 0.5]]), [0, 1, 1])
    prior = option_letters.without_letters(study_of(trace, train), 0)[0]
    made = [0.95 * 0.2 / (0.95 * 0.2 + 0.05 * 0.8), 0.6 * 0.2 / (0.6 * 0.2 + 0.4 * 0.8), 0.2]
    np.testing.assert_allclose(prior.score, made)
    table = option_letters.own_answers(trace, [prior], 0.9)
    assert table.index.tolist() == ["as read", prior.name]
    np.testing.assert_allclose(table["accuracy"], [1 / 3, 1])
    np.testing.assert_allclose(table["share kept"], [1 / 3, 0])
    assert table["points above as read"].iloc[1] == pytest.approx(100 * 2 / 3)
    assert np.isnan(table["accuracy where kept"].iloc[1])
    assert option_letters.own_answers(trace.without("answer"), [prior], 0.9).empty
