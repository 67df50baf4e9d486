"""The split drawn anew, P(T) rescaled, and questions that stand in two parts."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_trace

import cclib
from cclib import stats
from cclib.experiments import recalibration, splits
from cclib.policies import scores
from cclib.questions import repeated
from cclib.study import Study
from cclib.traces import Trace

SHAPES = ({"n_layers": 4, "d_model": 32}, {"n_layers": 8, "d_model": 64})


def named(trace, prefix):
    table = trace.table.to_pandas()
    table["question_id"] = [f"{prefix}/{i}" for i in range(len(table))]
    return Trace(table, trace.provenance)


def study(n=300):
    sizes = {"train": 4 * n, "validation": n, "test": n}
    parts = {
        part: [named(make_trace(m, size, i, 0.5 + 0.2 * i, **SHAPES[i]), part) for i, m in enumerate("sl")]
        for part, size in sizes.items()
    }
    return Study(["s", "l"], "made", 0, parts["test"], parts["train"], parts["validation"], [None, None])


def test_splits_keep_their_sizes_and_the_first_is_the_studys_own():
    own = study()
    table = splits.over_splits(own, 0.7, None, n=4)
    assert len(table) == 4 and set(table.index.get_level_values("rule")) == {"P(T) alone"}
    result = cclib.cascade(own.test, 0.7, None)
    assert table["accuracy"].iloc[0] == result.accuracy
    assert table["accuracy"].nunique() > 1  # other questions, other accuracies
    assert (table["accuracy"] * 300 % 1).round(6).isin([0, 1]).all()  # of 300 questions each


def test_drawn_parts_have_as_many_of_each_subject_and_share_none():
    subject = np.repeat(["a", "b"], [50, 30])
    import pandas as pd

    part = splits._drawn_parts(pd.Series(subject), pd.Series({"a": 5, "b": 3}), np.random.default_rng(0))
    assert [(part[subject == s] == k).sum() for s in "ab" for k in (2, 1, 0)] == [5, 5, 40, 3, 3, 24]


def test_without_all_parts_there_are_no_splits():
    assert not len(splits.over_splits(replace(study(), train=[None, None]), 0.7, None))


def probabilities(rng, n, t):
    """Options' probabilities that are right as often as they say at temperature 1, then made sharper by t."""
    logits = 1.5 * rng.normal(size=(n, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    answer = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    sharp = p ** (1 / t)
    return sharp / sharp.sum(1, keepdims=True), answer


def sharpened(n, seed, t):
    probs, answer = probabilities(np.random.default_rng(seed), n, t)
    trace = make_trace("m", n, seed)
    table = trace.table.to_pandas().assign(answer=answer, prediction=probs.argmax(1), p_t=probs.max(1))
    table["correct"] = table["answer"] == table["prediction"]
    table["option_probs"] = list(probs)
    return Trace(table, trace.provenance)


def test_the_temperature_that_made_p_t_too_sure_is_found_and_taken_back():
    test, validation = sharpened(3000, 0, 0.4), sharpened(3000, 1, 0.4)
    found = scores.temperature(validation.option_probs, validation.column("answer"))
    assert found.weights["temperature"][0] == pytest.approx(1 / 0.4, rel=0.1)
    own = Study(["m"], "made", 0, [test], [None], [validation], [None])
    table = recalibration.rescaled(own, 0.9).loc["m"]
    assert table["ECE"]["as stated"] > 0.1 > 0.04 > table["ECE"]["temperature"]
    assert table["ECE"]["isotonic"] < 0.04
    assert table["share kept"]["temperature"] < table["share kept"]["as stated"]
    assert table["accuracy where kept"]["temperature"] > 0.88
    assert table["AUROC"]["as stated"] == stats.auroc(test.correct, test.p_t)
    assert abs(table["AUROC"]["isotonic"] - table["AUROC"]["as stated"]) < 0.02


def test_without_a_validation_part_p_t_stands_as_stated():
    own = Study(["m"], "made", 0, [sharpened(200, 0, 1)], [None], [None], [None])
    assert list(recalibration.rescaled(own, 0.9).index) == [("m", "as stated")]


def test_a_question_is_repeated_by_text_and_options_and_not_by_text_alone():
    def asked(i, text, *choices):
        return cclib.Question(f"q/{i}", "s", text, choices, 0)

    here = [asked(0, "Which city?", "Rome", "Lima"), asked(1, "Which of these is true?", "A one", "A two")]
    there = [asked(2, "which  city", "Lima", "Rome"), asked(3, "Which of these is true?", "A one", "A three")]
    assert [q.id for q in repeated(here, there)] == ["q/0"]
