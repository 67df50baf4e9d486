"""What a prompt moves, what a local model spares GPT-4, and whether a first stage can pay, by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace

from cclib import cascade, replay
from cclib.display import stages, tables, wording
from cclib.experiments import commercial_api, first_stage, prompt_effect
from cclib.study import Source, Study
from cclib.traces import Trace


def answered(n=100, right=50, name="small", **columns):
    """n questions of which the first `right` are right; P(T) is 0.95 for the first 40."""
    correct = np.arange(n) < right
    table = {
        "question_id": [f"mmlu/law/{i}" for i in range(n)],
        "correct": correct,
        "answer": np.where(correct, 1, 0),
        "prediction": np.ones(n, int),
        "p_t": np.where(np.arange(n) < 40, 0.95, 0.3),
        "prompt_tokens": np.full(n, 100),
        **columns,
    }
    return Trace(pd.DataFrame(table), {"model": name, "n_layers": 2, "d_model": 8, "prompt": "table-7"})


def test_a_row_counts_right_answers_letters_and_what_is_kept():
    row = prompt_effect.asked(answered(), 0.9, None)
    assert (row["accuracy"], row["favourite letter"], row["share of its letter"]) == (0.5, "B", 1.0)
    assert (row["share kept"], row["accuracy where kept"]) == (0.4, 1.0)
    # of the 50 right ones 40 are above all wrong ones, and 10 are level with them
    assert row["AUROC of P(T)"] == pytest.approx(0.8 + 0.2 / 2)


def test_the_papers_prompt_stays_unless_another_is_shown_better():
    paper = answered(right=50)
    stays, table = prompt_effect.choose_among(paper, {"few-shot:5": answered(right=52)})
    assert stays == "table-7"
    assert table.loc["few-shot:5", "points above table-7"] == pytest.approx(2)
    assert "keeps table-7" in wording.chosen_prompt({"chosen": table})
    leaves, table = prompt_effect.choose_among(paper, {"few-shot:5": answered(right=80), "x": answered()})
    assert leaves == "few-shot:5"
    assert "chooses few-shot:5" in wording.chosen_prompt({"chosen": table})


def test_prompts_are_compared_where_both_were_answered():
    paper, part = answered(), answered(right=50).select([f"mmlu/law/{i}" for i in range(40, 60)])
    _, table = prompt_effect.choose_among(paper, {"few-shot:5": part})
    assert table.loc["few-shot:5", ["questions", "accuracy"]].tolist() == [20, 0.5]


def test_an_export_gives_back_the_tables_of_other_prompts(tmp_path):
    studies = {p: _study(answered(right=r)) for p, r in (("table-7", 50), ("few-shot:5", 55))}
    found = prompt_effect.tables_of(studies, 0.9, None)
    prompt_effect.write(tmp_path, found, json.dumps({"benchmark": "mmlu"}))
    replay.write_about(tmp_path, "mmlu", 0, ["small", "large"], "table-7")
    kept = prompt_effect.on_record(_study(answered(), tmp_path))
    np.testing.assert_allclose(kept["models"]["accuracy"], found["models"]["accuracy"])
    assert kept["models"].loc[("small", "few-shot:5"), "accuracy"] == 0.55
    assert "table-7 on 100, few-shot:5 on 100 questions" in wording.which_prompts(kept, [])
    points, (low, high) = kept["models"].loc[("small", "few-shot:5"), [*prompt_effect.ABOVE]]
    assert points == pytest.approx(
        5
    ) and f"{points:+.2f} ({low:+.2f} to {high:+.2f})" in wording.prompts_moved(kept)
    tables.show(kept["models"]).to_html()


def test_a_prompt_is_said_to_move_accuracy_only_where_the_paired_interval_leaves_out_0():
    for right, said in (
        (52, "No prompt is shown to move"),
        (90, "few-shot:5 moves large's accuracy by\n+40.00 ("),
    ):
        studies = {p: _study(answered(right=r)) for p, r in (("table-7", 50), ("few-shot:5", right))}
        assert wording.title(prompt_effect.tables_of(studies, 0.9, None)).startswith(said)


def test_what_was_measured_on_every_test_question_has_its_intervals():
    table, about = prompt_effect.measured()
    assert sum(about["right"].values()) == about["questions"]
    said = wording.on_every_question(table, about)
    assert "always answering C is right in 26.4%" in said and "29.8% (27.5% to 32.2%)" in said
    low, high = table.loc[("1.5B", "table-7"), "accuracy interval"]
    assert low < 0.487 < high and high - low == pytest.approx(0.052, abs=0.002)
    assert table.loc[("0.5B", "table-7"), "favourite letter"] == "B"


def test_gpt4_is_spared_what_the_small_model_keeps(tmp_path):
    folder = tmp_path / "routellm_mmlu"
    folder.mkdir()
    rows = [f"law,{i},{i < 90}" for i in range(100)]
    (folder / "correct.csv").write_text("\n".join(["subject,row,gpt_4_1106_preview_correct", *rows]))
    table = commercial_api.before_gpt4(_study(answered(), tmp_path / "x", tmp_path / "mmlu"), 0.9, None)
    row = table.loc["large → gpt-4-1106-preview, P(T) ≥ 0.9"]
    assert (row["questions sent"], row["accuracy"], row["reduced questions"]) == (60, 0.9, 0.4)
    # mixing sends as many by chance: 0.4 of the small one's 50 % and 0.6 of GPT-4's 90 %
    assert row["points above random mixing"] == pytest.approx(100 * (0.9 - 0.4 * 0.5 - 0.6 * 0.9))
    assert row["USD for 1,000 questions"] == pytest.approx(0.6 * 1000 * (100 * 10 + 30) / 1e6)
    assert "every question goes to GPT-4" in stages.in_words(table)
    assert "| 40.0% |" in stages.main_chain(table)


def test_thresholds_before_gpt4_are_those_that_validation_proves(tmp_path):
    folder = tmp_path / "routellm_mmlu"
    folder.mkdir()
    rows = [f"law,{i},{i < 90}" for i in range(3000)]
    (folder / "correct.csv").write_text("\n".join(["subject,row,gpt_4_1106_preview_correct", *rows]))
    small = answered(n=3000, right=90, p_t=np.where(np.arange(3000) < 40, 0.95, 0.3))
    study = _study(small, tmp_path / "x", tmp_path / "mmlu", validation=small)
    table = commercial_api.before_gpt4(study, 0.99, None)
    chosen = table[table.index.str.endswith("chosen")].iloc[0]
    assert chosen["questions sent"] < 3000 and chosen["PD (points)"] >= -1
    assert "is proven on the validation part" in stages.in_words(table)


def test_a_first_stage_pays_where_it_keeps_more_than_its_pass_costs():
    first = make_trace("small", n=400, skill=0.5, n_layers=2, d_model=64)
    last = make_trace("large", n=400, skill=0.9, n_layers=4, d_model=128)
    study = Study(["small", "large"], "b", 0, [first, last], [None] * 2, [None] * 2, [None] * 2)
    table = first_stage.worth(study, 0.9, None)
    row = table.loc["small"]
    assert row["share an oracle keeps"] == (first.correct | ~last.correct).mean()
    assert row["share it must keep to pay"] == pytest.approx(1 / 8)  # layers x width²
    saved = row["share kept"] - row["share it must keep to pay"]
    assert saved == pytest.approx(row["reduced, every pass"], abs=0.01)
    said = stages.can_pay(table)
    pays = "pays" if saved > 0 else "does not pay"
    assert f"it {pays} in compute; against the last model alone accuracy moves by " in said
    both = cascade([first, last], 0.9, None).correct.mean() - last.correct.mean()
    assert row["PD (points)"] == pytest.approx(100 * both) and f"{100 * both:+.2f} (" in said


def _study(small, traces_dir="traces", data_dir=None, validation=None):
    large = Trace(small.table, small.provenance | {"model": "large"})
    source = Source(["small", "large"], data_dir, traces_dir)
    return Study(
        ["small", "large"], "mmlu", 0, [small, large], [None] * 2, [validation or small, validation],
        [None] * 2, source=source,
    )  # fmt: skip
