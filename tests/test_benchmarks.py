"""Loading and splitting: what a question is, and which part it falls in."""

import math
from collections import Counter

import pandas as pd
import pytest

import cclib
from cclib.benchmarks import load_benchmark, read_table
from cclib.benchmarks.public import ROWS
from cclib.questions import Question, split


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_mmlu_has_14042_questions_and_the_papers_1430_in_the_test_part(mmlu_folder):
    questions = load_benchmark("mmlu", mmlu_folder)
    parts = split(questions)
    assert len(questions) == ROWS["mmlu"]
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
    with pytest.raises(ValueError, match="known: mmlu, mmlu-pro, gpqa, popqa, atlas"):
        cclib.load_benchmark("mlmu")


def test_a_missing_folder_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected test/<subject>_test.csv"):
        cclib.load_benchmark("mmlu", tmp_path)


def test_limit_takes_the_same_questions_spread_over_subjects(mmlu_folder):
    few = load_benchmark("mmlu", mmlu_folder, limit=57)
    assert few == load_benchmark("mmlu", mmlu_folder, limit=57)
    assert len({q.subject for q in few}) > 25


def gpqa_file(folder, rows=20):
    columns = [
        "Question",
        "Correct Answer",
        *(f"Incorrect Answer {i}" for i in (1, 2, 3)),
        "High-level domain",
    ]
    table = [[f"Q{i}?", f"right {i}", f"x{i}", f"y{i}", f"z{i}", "Physics"] for i in range(rows)]
    pd.DataFrame(table, columns=columns).to_csv(folder / "gpqa_main.csv", index=False)


def test_gpqas_right_answer_is_not_always_first_and_keeps_its_place(tmp_path):
    gpqa_file(tmp_path)
    questions = load_benchmark("gpqa", tmp_path)
    assert all(q.choices[q.answer] == f"right {i}" for i, q in enumerate(questions))
    assert len({q.answer for q in questions}) == 4
    gpqa_file(tmp_path, rows=5)
    assert load_benchmark("gpqa", tmp_path) == questions[:5]  # one question's order hangs on no other


def test_popqa_has_accepted_answers_and_popularity(tmp_path):
    (tmp_path / "test.tsv").write_text(
        'id\tprop\tquestion\tpossible_answers\ts_pop\n7\tcapital\tWhat?\t"[""Paris"", ""paris""]"\t120\n'
    )
    (question,) = load_benchmark("popqa", tmp_path)
    assert (question.id, question.accepted, question.popularity) == ("popqa/7", ("Paris", "paris"), 120)
    assert question.choices == () and "What?" in question.prompt


@pytest.mark.parametrize("name", ["gpqa", "popqa"])
def test_a_public_benchmark_of_another_schema_is_refused(tmp_path, name):
    (tmp_path / {"gpqa": "gpqa_main.csv", "popqa": "test.tsv"}[name]).write_text("a\tb\n1\t2\n")
    with pytest.raises(ValueError, match="missing column"):
        load_benchmark(name, tmp_path)
    with pytest.raises(FileNotFoundError, match="download it from the hub"):
        load_benchmark(name, tmp_path / "elsewhere")


def test_mmlu_pro_has_12032_questions_of_3_to_10_options_in_14_subjects(mmlu_folder):
    questions = load_benchmark("mmlu-pro", mmlu_folder.parent / "mmlu_pro")
    assert len(questions) == ROWS["mmlu-pro"]
    assert {len(q.choices) for q in questions} == set(range(3, 11))
    assert len({q.subject for q in questions}) == 14


def test_mmlu_pro_reads_the_hubs_parquet_and_says_what_a_folder_lacks(tmp_path):
    rows = {"question_id": [70], "category": ["computer science"], "question": ["?"]}
    table = pd.DataFrame(rows | {"options": [["a", "b", "c"]], "answer_index": [2]})
    with pytest.raises(FileNotFoundError, match="no MMLU-Pro"):
        load_benchmark("mmlu-pro", tmp_path)
    table.drop(columns="options").to_parquet(tmp_path / "questions.parquet")
    with pytest.raises(ValueError, match="missing column 'options'"):
        load_benchmark("mmlu-pro", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "questions.parquet").unlink()
    table.to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    (question,) = load_benchmark("mmlu-pro", tmp_path)
    assert (question.id, question.subject) == ("70", "computer_science")
    assert (question.choices, question.answer) == (("a", "b", "c"), 2)
