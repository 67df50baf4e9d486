"""A last stage that is known by its answers only."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace

import cclib
from cclib import replay, stats
from cclib.display import sentences
from cclib.experiments import commercial_api
from cclib.study import Source, Study

SMALL, LARGE = make_trace("small", skill=0.4), make_trace("large", seed=1, skill=0.8)
NONES = [None, None]
STUDY = Study(["small", "large"], "made", 0, [SMALL, LARGE], NONES, NONES, NONES)


def test_an_outside_file_of_ones_own_makes_the_same_cascade(tmp_path):
    read = cclib.read_trace(commercial_api.write_outside(LARGE, tmp_path / "own.csv"))
    assert read.p_t is None and read.option_probs is None
    for pt in (0.2, 0.6, 0.9):
        assert cclib.cascade([SMALL, read], pt).accuracy == cclib.cascade([SMALL, LARGE], pt).accuracy


def test_recorded_answers_meet_mmlus_question_ids(tmp_path):
    path = tmp_path / "correct.csv"
    path.write_text("subject,row,gpt_4_correct\nanatomy,0,True\nanatomy,1,False\n")
    trace = commercial_api.recorded_answers(path, "gpt-4")
    assert trace.question_id.tolist() == ["mmlu/anatomy/0", "mmlu/anatomy/1"]
    assert trace.correct.tolist() == [True, False]
    with pytest.raises(ValueError, match="missing .*gpt_5_correct"):
        commercial_api.recorded_answers(path, "gpt-5")
    path.write_text("subject,row,gpt_4_correct\nanatomy,0,yes\nanatomy,1,False\n")
    with pytest.raises(ValueError, match="True or False.*'yes'"):
        commercial_api.recorded_answers(path, "gpt-4")
    with pytest.raises(FileNotFoundError, match="no recorded answers"):
        commercial_api.recorded_answers(tmp_path / "none.csv", "gpt-4")


def test_the_last_stage_is_joined_on_the_questions_both_hold():
    few = LARGE.select(LARGE.question_id[10:50])
    joined = commercial_api.with_last_stage(STUDY, few, keep=1)
    assert len(joined) == 40 and joined.models == ["small", "large"]
    stranger = cclib.Trace(pd.DataFrame({"question_id": ["x"], "correct": [True]}), {"model": "s"})
    with pytest.raises(ValueError, match="has answered none"):
        commercial_api.with_last_stage(STUDY, stranger)


def test_saved_tokens_are_those_of_questions_that_were_not_sent():
    table = commercial_api.commercial(STUDY, 0.5, 0.4)
    result = cclib.cascade([SMALL, LARGE], 0.5, 0.4)
    row = table.loc["small → large"]
    assert row["reduced tokens of the last stage"] == pytest.approx((result.stage == 0).mean())
    assert row["questions sent"] == (result.stage == 1).sum()
    share = row["questions sent"] / len(SMALL)  # as many sent by chance
    mixed = share * LARGE.correct.mean() + (1 - share) * SMALL.correct.mean()
    assert row["points above random mixing"] == pytest.approx(100 * (result.accuracy - mixed))
    assert row["PD (points)"] == pytest.approx(100 * (result.accuracy - LARGE.correct.mean()))
    low, high = row["points above random mixing interval"]
    assert low < row["points above random mixing"] < high


def test_where_no_tokens_are_on_record_questions_are_saved_and_said_so():
    bare = cclib.Trace(LARGE.table.select(["question_id", "correct"]).to_pandas(), {"model": "large"})
    table = commercial_api.commercial(commercial_api.with_last_stage(STUDY, bare, keep=1), 0.5, 0.4)
    kept = (cclib.cascade([SMALL, LARGE], 0.5, 0.4).stage == 0).sum()
    row = table.loc["small → large"]
    assert row["reduced questions of the last stage"] == kept / len(SMALL)
    assert row["reduced questions of the last stage, interval"] == stats.wilson(kept, len(SMALL))
    said = sentences.savings_in_words(table)
    assert "of the last stage's questions" in said and "token" not in said and "random mixing" in said


def test_saved_tokens_are_weighed_by_their_number():
    long = LARGE.with_column("output_tokens", np.where(np.arange(len(LARGE)) % 2, 9, 1))
    table = commercial_api.commercial(replace(STUDY, test=[SMALL, long]), 0.5, 0.4)
    kept = cclib.cascade([SMALL, LARGE], 0.5, 0.4).stage == 0
    tokens = long.column("output_tokens")
    saved = table.loc["small → large", "reduced tokens of the last stage"]
    low, high = table.loc["small → large", "reduced tokens of the last stage, interval"]
    assert saved == tokens[kept].sum() / tokens.sum() and low < saved < high


def test_all_stages_before_the_last_make_a_chain_too():
    middle = make_trace("middle", seed=2, skill=0.6)
    study = Study(["small", "middle", "large"], "made", 0, [SMALL, middle, LARGE], *[[None] * 3] * 3)
    table = commercial_api.commercial(study, 0.5, 0.4)
    assert list(table.index) == ["large", "small → large", "middle → large", "small → middle → large"]
    result = cclib.cascade([SMALL, middle, LARGE], 0.5, 0.4)
    assert table["questions sent"].iloc[-1] == result.stage_counts[2]
    assert table["accuracy"].iloc[-1] == result.accuracy
    assert "small → middle → large" in sentences.savings_in_words(table)


def test_gpt4s_figures_are_read_at_the_thresholds_they_were_made_with(tmp_path):
    source = Source([], data_dir=tmp_path / "mmlu", traces_dir=tmp_path)
    known = replace(STUDY, benchmark="mmlu", source=source)
    table = commercial_api.commercial(known, 0.9, 0.5)
    replay.write_figures(table, tmp_path / replay.GPT4, "pt, pik: [0.9, 0.5]")
    kept = commercial_api.with_gpt4(known, 0.9, 0.5)
    assert list(kept.index) == ["large", "small → large"]
    assert commercial_api.with_gpt4(known, 0.8, 0.5) is None
    assert commercial_api.with_gpt4(replace(known, benchmark="made"), 0.9, 0.5) is None  # not MMLU
    (tmp_path / "routellm_mmlu").mkdir()
    rows = "subject,row,gpt_4_1106_preview_correct\n"
    rows += "".join(f"made,{i},{i % 2 == 0}\n" for i in range(len(SMALL)))
    (tmp_path / "routellm_mmlu" / commercial_api.ROUTELLM).write_text(rows)
    named = SMALL.with_column("question_id", [f"mmlu/made/{i}" for i in range(len(SMALL))])
    found = commercial_api.with_gpt4(replace(known, test=[named, named]), 0.8, 0.5)
    assert found.loc["gpt-4-1106-preview", "accuracy"] == 0.5


def test_figures_come_back_as_they_were_kept(tmp_path):
    table = commercial_api.commercial(STUDY, 0.5, 0.4)
    again, at = replay.read_figures(replay.write_figures(table, tmp_path / "f.csv", "at [0.5, 0.4]"))
    assert at == [0.5, 0.4] and replay.read_figures(tmp_path / "none.csv") == (None, None)
    assert again.loc["small → large", "PD (points) interval"] == pytest.approx(
        table.loc["small → large", "PD (points) interval"]
    )
