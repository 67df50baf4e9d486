"""Loading and splitting: what a question is, and which part it falls in."""

import math
from collections import Counter

import pandas as pd
import pytest

import cclib
from cclib.benchmarks import MMLU_TEST_QUESTIONS, Question, load_benchmark, read_table, split


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_mmlu_has_14042_questions_and_the_papers_1430_in_the_test_part(mmlu_folder):
    questions = load_benchmark("mmlu", mmlu_folder)
    parts = split(questions)
    assert len(questions) == MMLU_TEST_QUESTIONS
    assert len({q.subject for q in questions}) == 57
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (11_182, 1_430, 1_430)


def test_the_split_takes_a_tenth_of_each_subject_rounded_up_and_loses_nothing(questions):
    parts = split(questions, seed=3)
    sizes = Counter(q.subject for q in questions)
    assert Counter(q.subject for q in parts.test) == {s: math.ceil(n / 10) for s, n in sizes.items()}
    ids = [q.id for part in (parts.train, parts.validation, parts.test) for q in part]
    assert sorted(ids) == sorted(q.id for q in questions)


def test_the_split_depends_on_the_seed_alone(questions):
    assert split(questions, 1) == split(list(questions), 1)
    assert split(questions, 1).test != split(questions, 2).test


def test_the_prompt_is_table_7s(questions):
    prompt = Question("x", "high_school_biology", "What is a cell?", ("a", "b"), 0).prompt
    assert prompt.startswith("The following are multiple choice questions about high school biology.")
    assert '"Answer: <answer>", where <answer> is A or B' in prompt
    assert prompt.endswith("A. a\nB. b\nAnswer:")


def test_own_table_with_any_number_of_options(tmp_path):
    path = write(
        tmp_path / "own.csv",
        "\ufeffquestion,A,B,C,answer\nOne?,x,y,,b\nTwo?,x,y,None,C\n",
    )
    one, two = read_table(path)
    assert (one.choices, one.answer) == (("x", "y"), 1)
    assert (two.choices, two.answer) == (("x", "y", "None"), 2)
    parquet = tmp_path / "own.parquet"
    pd.read_csv(path, keep_default_na=False, encoding="utf-8-sig").to_parquet(parquet)
    assert [q.text for q in read_table(parquet)] == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,A,B\nq,x,y\n", "missing answer"),
        ("question,A,B,answer\nq,x,y,C\n", "must be one of A, B"),
        ("question,A,B,answer\nq,x,,A\n", "at least 2 options"),
        ("id,question,A,B,answer\n1,q,x,y,A\n1,r,x,y,A\n", "occurs twice"),
    ],
)
def test_a_bad_table_is_refused_with_what_to_do(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path / "bad.csv", text))


def test_an_unknown_benchmark_lists_the_known():
    with pytest.raises(ValueError, match="known: mmlu, atlas"):
        cclib.load_benchmark("mlmu")


def test_a_missing_folder_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected test/<subject>_test.csv"):
        cclib.load_benchmark("mmlu", tmp_path)


def test_limit_takes_the_same_questions_spread_over_subjects(mmlu_folder):
    few = load_benchmark("mmlu", mmlu_folder, limit=57)
    assert few == load_benchmark("mmlu", mmlu_folder, limit=57)
    assert len({q.subject for q in few}) > 25
