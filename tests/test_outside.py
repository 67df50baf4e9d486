"""A last stage that is known by its answers only."""

import pandas as pd
import pytest
from conftest import make_trace

import cclib
from cclib import outside
from cclib.study import Study

SMALL, LARGE = make_trace("small", skill=0.4), make_trace("large", seed=1, skill=0.8)
NONES = [None, None]
STUDY = Study(["small", "large"], "made", 0, [SMALL, LARGE], NONES, NONES, NONES)


def test_an_outside_file_of_ones_own_makes_the_same_cascade(tmp_path):
    read = cclib.read_trace(outside.write_outside(LARGE, tmp_path / "own.csv"))
    assert read.p_t is None and read.option_probs is None
    for pt in (0.2, 0.6, 0.9):
        assert cclib.cascade([SMALL, read], pt).accuracy == cclib.cascade([SMALL, LARGE], pt).accuracy


def test_recorded_answers_meet_mmlus_question_ids(tmp_path):
    path = tmp_path / "correct.csv"
    path.write_text("subject,row,gpt_4_correct\nanatomy,0,True\nanatomy,1,False\n")
    trace = outside.recorded_answers(path, "gpt-4")
    assert trace.question_id.tolist() == ["mmlu/anatomy/0", "mmlu/anatomy/1"]
    assert trace.correct.tolist() == [True, False]
    with pytest.raises(ValueError, match="missing .*gpt_5_correct"):
        outside.recorded_answers(path, "gpt-5")
    with pytest.raises(FileNotFoundError, match="no recorded answers"):
        outside.recorded_answers(tmp_path / "none.csv", "gpt-4")


def test_the_last_stage_is_joined_on_the_questions_both_hold():
    few = LARGE.select(LARGE.question_id[10:50])
    joined = outside.with_last_stage(STUDY, few, keep=1)
    assert len(joined) == 40 and joined.models == ["small", "large"]
    stranger = cclib.Trace(pd.DataFrame({"question_id": ["x"], "correct": [True]}), {"model": "s"})
    with pytest.raises(ValueError, match="has answered none"):
        outside.with_last_stage(STUDY, stranger)


def test_saved_tokens_are_those_of_questions_that_were_not_sent():
    table = outside.commercial(STUDY, 0.5, 0.4)
    result = cclib.cascade([SMALL, LARGE], 0.5, 0.4)
    row = table.loc["small → large"]
    assert row["reduced tokens of the last stage"] == pytest.approx((result.stage == 0).mean())
    assert row["questions sent"] == (result.stage == 1).sum()
    assert row["PD (points)"] == pytest.approx(100 * (result.accuracy - LARGE.correct.mean()))


def test_figures_come_back_as_they_were_kept(tmp_path):
    table = outside.commercial(STUDY, 0.5, 0.4)
    again = outside.read_figures(outside.write_figures(table, tmp_path / "f.csv"))
    assert again.loc["small → large", "PD (points) interval"] == pytest.approx(
        table.loc["small → large", "PD (points) interval"]
    )
