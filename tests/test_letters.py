"""How often letters are chosen and right, their prior, and the order of the options."""

import numpy as np
import pytest
from conftest import make_trace

import cclib
from cclib.display import in_short
from cclib.experiments import letter_counts
from cclib.study import Study

SAID, ANSWER = [0, 0, 0, 1, 2], [0, 1, 3, 1, 0]


def a_trace(said=SAID, answer=ANSWER, **columns):
    import pandas as pd

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
