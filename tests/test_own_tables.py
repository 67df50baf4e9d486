"""A table of one's own is read as it is written, or refused with file, row and what to do."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MMLU

import cclib
from cclib.benchmarks import read_table
from cclib.traces import Trace

HEADER = "question,A,B,C,D,answer\n"
ROW = "What is it?,w,x,y,z,B\n"


def questions(folder, text, name="own.csv", encoding="utf-8"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_table(folder / name)


REFUSED = {
    "unquoted commas": (HEADER + ROW + "Yes, what?,w,x,y,z,B\n",
                        r"line 3: expected 6 cells \(question, A.*found 7.*'Yes', ' what\?'.*quotation"),
    "unquoted commas in every row": (
        HEADER + "Yes, what?,w,x,y,z,B\n",
        "line 2: expected 6 cells.*found 7"),
    "a cell too few": (HEADER + "What?,w,x,y,B\n", "line 2: expected 6 cells.*found 5"),
    "unquoted semicolons": (HEADER.replace(",", ";") + "Yes; what?;w;x;y;z;B\n", "line 2.*semicolon"),
    "an empty option in the middle": (
        HEADER + "What?,w,,y,z,A\n",
        r"line 2 \(row 0\): option B is empty and.* D"),
    "an empty option that is right": (HEADER + "What?,w,,y,z,B\n", "option B is empty.*fill it, or move"),
    "an option of blanks": (HEADER + "What?,w,  ,y,z,A\n", "option B is empty"),
    "a first option that is empty": (HEADER + "What?,,x,y,z,B\n", "option A is empty"),
    "an answer of blanks at the end": (HEADER + "What?,w,x,y,  ,D\n", "one of A, B, C, found 'D'"),
    "an empty question": (HEADER + ROW + " ,w,x,y,z,A\n", r"line 3 \(row 1\): the question is empty"),
    "two options alike": (HEADER + "What?,w,x,w,z,A\n", "line 2.*two options are 'w'"),
    "an answer as an index": (
        HEADER + "What?,w,x,y,z,0\n",
        "found '0'; numbers may count from 0 or from 1"),
    "an answer as the option's text": (
        HEADER + "What?,w,x,y,z,y\n",
        "that is the text of option C: write the letter"),
    "an answer of two letters": (HEADER + "What?,w,x,y,z,AB\n", "found 'AB'"),
    "a column twice": ("question,A,B,B,answer\nWhat?,w,x,y,A\n", "column 'B' stands there twice"),
    "a column twice in other case": (
        "question,A,B,b,answer\nWhat?,w,x,y,A\n",
        "column 'B' stands there twice"),
    "a column left out": ("question,A,B,D,answer\nWhat?,w,x,z,B\n", "none left out; found A, B, D"),
    "eleven options": (f"question,{','.join('ABCDEFGHIJK')},answer\nWhat?,1,2,3,4,5,6,7,8,9,10,11,A\n",
                       "to J at the most"),
    "a column without a name": ("question,A,B,,answer\nWhat?,w,x,note,A\n", "cells but no name"),
    "an id that is empty": (
        "id,question,A,B,answer\n1,What?,w,x,A\n,Who?,w,x,A\n",
        r"line 3 \(row 1\): the id is empty"),
    "an id twice": (
        "id,question,A,B,answer\n1,What?,w,x,A\n1,Who?,w,x,A\n",
        "line 3.*'1' occurs twice, first at row 0"),
    "a question with two answers": (
        HEADER + ROW + ROW.replace(",B\n", ",C\n"),
        "line 3.*row 0 too, with another answer"),
    "a quotation mark left open": (
        HEADER + '"What?,w,x,y,z,B\n' + ROW,
        "line 2: this row cannot be read.*close every"),
    "a quotation mark inside a cell": (HEADER + '"The "best" one?",w,x,y,z,B\n', "line 2.*twice"),
    "Latin letters of another encoding": (
        (HEADER + "Où?,w,x,y,z,B\n").encode("latin-1"),
        "line 2: expected a CSV in UTF-8"),
    "UTF-16": ((HEADER + ROW).encode("utf-16"), "UTF-8"),
    "no separator known": (
        HEADER.replace(",", "~") + ROW.replace(",", "~"),
        "missing A, B, answer, question"),
    "only blank lines": ("\n\n", "empty file"),
    "a header alone": (HEADER, "no questions"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_could_be_misread_is_refused(case, tmp_path):
    text, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as told:
        questions(tmp_path, text)
    assert "own.csv" in str(told.value)


READ = {
    "semicolons": HEADER.replace(",", ";") + ROW.replace(",", ";"),
    "tabs": HEADER.replace(",", "\t") + ROW.replace(",", "\t"),
    "bars": HEADER.replace(",", "|") + ROW.replace(",", "|"),
    "Excel's sep line": "sep=;\r\n" + HEADER.replace(",", ";") + ROW.replace(",", ";"),
    "a byte order mark": "\ufeff" + HEADER + ROW,
    "blanks and case in the header": " Question , a,B ,C,d,ANSWER\n" + ROW,
    "an index of pandas": ",question,A,B,C,D,answer\n0," + ROW,
    "a comma after each row": "question,A,B,C,D,answer,\nWhat is it?,w,x,y,z,B,\n",
    "blank and empty rows": HEADER + "\n" + ROW + ",,,,,\n\n",
    "columns in another order": "answer,D,C,B,A,question\nB,z,y,x,w,What is it?\n",
    "columns that nobody needs": "explanation,question,A,B,C,D,answer\nbecause,What is it?,w,x,y,z,B\n",
    "Windows line ends": (HEADER + ROW).replace("\n", "\r\n"),
    "no line end": (HEADER + ROW).rstrip(),
    "no header": ROW,
}


@pytest.mark.parametrize("case", READ)
def test_one_table_in_many_forms_is_one_question(case, tmp_path):
    (question,) = questions(tmp_path, READ[case])
    assert (question.text, question.choices, question.answer) == ("What is it?", ("w", "x", "y", "z"), 1)
    assert (question.id, question.subject) == ("own/0", "own")


def test_a_quoted_line_break_and_comma_stay_in_their_cell_and_lines_are_counted_on(tmp_path):
    text = HEADER + '"What,\nreally?","1,000",x,"say ""y""",z,A\n'
    (question,) = questions(tmp_path, text)
    assert question.text == "What,\nreally?" and question.choices[:3] == ("1,000", "x", 'say "y"')
    with pytest.raises(ValueError, match=r"line 4 \(row 1\).*'E'"):
        questions(tmp_path, text + "Who?,w,x,y,z,E\n")


def test_a_table_in_mmlus_own_form_is_read_as_mmlu_is(tmp_path):
    rows = "What is it?,w,x,y,z,B\nSum?,1,2,3,4,A\n"
    first, second = questions(tmp_path, rows, "anatomy_test.csv")
    assert (first.subject, second.choices, second.answer) == ("anatomy", ("1", "2", "3", "4"), 0)
    with pytest.raises(ValueError, match=r"line 2 \(row 1\).*'F'"):
        questions(tmp_path, "What is it?,w,x,y,z,B\nSum?,1,2,3,4,F\n")
    with pytest.raises(ValueError, match="missing answer"):  # a header without a column is no question
        questions(tmp_path, "question,A,B,C,D\nWhat?,w,x,y,z\n")


@pytest.mark.parametrize("subject", ["abstract_algebra", "professional_law", "college_medicine"])
def test_mmlus_files_are_read_by_themselves_as_in_their_folder(subject):
    if not MMLU.exists():
        pytest.skip("MMLU's public files are not beside this checkout (../shared/data/mmlu)")
    alone = read_table(MMLU / "test" / f"{subject}_test.csv")
    whole = [q for q in cclib.load_benchmark("mmlu", MMLU) if q.subject == subject]
    assert [q.hash for q in alone] == [q.hash for q in whole]
    assert [q.answer for q in alone] == [q.answer for q in whole]


def test_a_broken_file_of_mmlu_is_named_with_its_line(tmp_path):
    (tmp_path / "anatomy_test.csv").write_text(ROW + "Yes, what?,w,x,y,z,B\n")
    with pytest.raises(ValueError, match=r"anatomy_test.csv, line 2 \(row 1\): expected 6 columns.*found 7"):
        cclib.load_benchmark("mmlu", tmp_path)


def test_a_broken_public_table_is_named(tmp_path):
    (tmp_path / "gpqa_main.csv").write_text('Question,"Correct\nx,y\n')
    with pytest.raises(ValueError, match="gpqa_main.csv"):
        cclib.load_benchmark("gpqa", tmp_path)


def test_a_question_that_stands_there_twice_is_told(tmp_path):
    with pytest.warns(UserWarning, match="line 3.*is at row 0 too"):
        assert len(questions(tmp_path, HEADER + ROW + ROW)) == 2


@pytest.mark.parametrize("ids", [[1, 2], [1.0, 2.0], ["1", "2"], [" 1", "2 "]])
def test_ids_are_alike_whether_they_are_numbers_or_texts(ids, tmp_path):
    frame = pd.DataFrame({"id": ids, "question": ["a?", "b?"], "A": [1, 2], "B": ["x", "y"], "answer": "A"})
    frame.to_csv(tmp_path / "own.csv", index=False)
    frame.to_parquet(tmp_path / "own.parquet")
    for name in ("own.csv", "own.parquet"):
        read = read_table(tmp_path / name)
        assert [q.id for q in read] == ["1", "2"] and [q.choices[0] for q in read] == ["1", "2"]
    frame = pd.DataFrame({"question_id": ids, "correct": [True, False]})
    frame.to_csv(tmp_path / "trace.csv", index=False)
    frame.to_parquet(tmp_path / "trace.parquet")
    for trace in (Trace(frame), *(cclib.read_trace(tmp_path / f"trace.{s}") for s in ("csv", "parquet"))):
        assert trace.question_id.tolist() == ["1", "2"] and trace.correct.tolist() == [True, False]


def test_numbers_in_parquet_that_gaps_made_fractions_are_whole_again(tmp_path):
    frame = pd.DataFrame({"question": ["a?", "b?"], "A": [1, 2], "B": [3, 4], "C": [5, None], "answer": "A"})
    frame.to_parquet(tmp_path / "own.parquet")
    assert [q.choices for q in read_table(tmp_path / "own.parquet")] == [("1", "3", "5"), ("2", "4")]


def test_an_index_that_pandas_kept_as_ids_is_read(tmp_path):
    frame = pd.DataFrame({"id": ["p", "q"], "question": ["a?", "b?"], "A": "w", "B": "x", "answer": "A"})
    frame.set_index("id").to_parquet(tmp_path / "own.parquet")
    assert [q.id for q in read_table(tmp_path / "own.parquet")] == ["p", "q"]


# answers from outside


FORMS = {
    "words": ["False", "true", " FALSE "],
    "numbers": [0, 1, 0],
    "fractions": [0.0, 1.0, 0.0],
    "bool": [False, True, False],
    "texts of numbers": ["0", "1", "0.0"],
}


def forms(frame, folder):
    """The frame itself, and as it comes back from each kind of file."""
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    yield lambda: Trace(frame)
    yield lambda: Trace(pa.Table.from_pandas(frame))
    yield lambda: cclib.read_trace(folder / "t.csv")
    yield lambda: cclib.read_trace(folder / "t.parquet")


@pytest.mark.parametrize("form", FORMS)
def test_correct_is_what_it_says_in_every_form(form, tmp_path):
    frame = pd.DataFrame({"question_id": ["a", "b", "c"], "correct": FORMS[form]})
    for read in forms(frame, tmp_path):
        assert read().correct.tolist() == [False, True, False]


@pytest.mark.parametrize(
    "cells", [[1.0, 0.5], [1, None], ["True", None], ["True", "maybe"], [1, 2], [1, -1], ["True", ""]]
)
def test_correct_that_is_neither_true_nor_false_is_refused_in_every_form(cells, tmp_path):
    frame = pd.DataFrame({"question_id": ["a", "b"], "correct": cells})
    for read in forms(frame, tmp_path):
        with pytest.raises(ValueError, match=r"row 1\)?: correct must be true or false"):
            read()


def test_a_null_among_booleans_of_a_file_is_refused(tmp_path):
    pq.write_table(pa.table({"question_id": ["a", "b"], "correct": [True, None]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="t.parquet, row 1: correct must be true or false.*None"):
        cclib.read_trace(tmp_path / "t.parquet")


@pytest.mark.parametrize("cells", [["0.5", "0.25"], [0.5, 0.25]])
def test_p_t_is_a_number_even_where_it_is_written_as_text(cells, tmp_path):
    frame = pd.DataFrame({"question_id": ["a", "b"], "correct": [True, False], "p_t": cells})
    for read in list(forms(frame, tmp_path))[:1] + list(forms(frame, tmp_path))[2:]:
        assert read().p_t.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    "cells", [["50%", "25%"], [50.0, 25.0], ["0,5", "0,25"], [0.5, np.nan], ["high", "low"], [True, False]]
)
def test_p_t_that_is_no_probability_is_refused_in_every_file(cells, tmp_path):
    frame = pd.DataFrame({"question_id": ["a", "b"], "correct": [True, False], "p_t": cells})
    for read in list(forms(frame, tmp_path))[:1] + list(forms(frame, tmp_path))[2:]:
        with pytest.raises(ValueError, match=r"row [01]\)?: p_t must be a probability in \[0, 1\].*decimal"):
            read()


TRACES = {
    "an unquoted comma": ("question_id,correct,p_t\na,b,1,0.5\n", r"line 2: expected 3 cells.*found 4"),
    "a row cut short": ("question_id,correct,p_t\na,1,0.5\nb,1\n", r"line 3: expected 3 cells.*found 2"),
    "an id twice": ("question_id,correct\na,1\nb,0\na,1\n", r"line 4.*occurs twice, first at row 0"),
    "an id that is empty": ("question_id,correct\n,1\n", r"line 2 \(row 0\): the id is empty"),
    "a column twice": ("question_id,correct,correct\na,1,0\n", "column .correct. stands there twice"),
    "no header": ("a,1,0.5\n", "missing correct, question_id"),
    "a quotation mark left open": ('question_id,correct\n"a,1\nb,0\n', "line 2.*close every"),
}  # fmt: skip


@pytest.mark.parametrize("case", TRACES)
def test_a_trace_that_could_be_misread_is_refused(case, tmp_path):
    text, message = TRACES[case]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        cclib.read_trace(tmp_path / "t.csv")


def test_a_trace_of_semicolons_and_other_case_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("Question_ID; Correct ;p_t;note\na;TRUE;0.5;x, y\nb;false;0.25;\n")
    trace = cclib.read_trace(tmp_path / "t.csv")
    assert trace.question_id.tolist() == ["a", "b"] and trace.p_t.tolist() == [0.5, 0.25]
    assert trace.table["note"].to_pylist() == ["x, y", None]


# both in a study


def own_study(folder, rows=12, subject=lambda i: "s", outside=None, **options):
    lines = [f"{subject(i)},Number {i}?,{i},{i + 1},A" for i in range(rows)]
    path = folder / "own.csv"
    path.write_text("subject,question,A,B,answer\n" + "\n".join(lines))
    models = ["atlas-s", outside or "atlas-l"]
    return cclib.load_study(models, str(path), traces_dir=folder / "t", device="cpu", **options)


@pytest.mark.parametrize("rows", [1, 2])
def test_subjects_of_a_row_or_two_say_what_the_split_needs(rows, tmp_path):
    with pytest.raises(
        ValueError, match="in 30 subjects leaves 0 for training.*needs 3 questions.*leave the"
    ):
        own_study(tmp_path, 30 * rows, lambda i: f"s{i % 30}")


def test_without_a_probe_such_a_table_is_read(tmp_path):
    (tmp_path / "own.csv").write_text("subject,question,A,B,answer\na,Which?,x,y,A\nb,Who?,x,y,A\n")
    study = cclib.load_study(["atlas-s"], str(tmp_path / "own.csv"), traces_dir=tmp_path / "t", device="cpu")
    assert len(study) == 2


def outside_file(folder, ids, **columns):
    pd.DataFrame({"question_id": ids, "correct": True, **columns}).to_csv(folder / "large.csv", index=False)
    return str(folder / "large.csv")


def test_answers_from_outside_must_be_of_these_questions(tmp_path):
    for ids, message in (
        (["q1", "q2"], r"large.csv: .*2 of 2 questions are not in this trace.*'own/.*ids are like 'q1'"),
        (["own/0", "own/1"], "of 2 questions are not in this trace"),
    ):
        with pytest.raises(ValueError, match=message):
            own_study(tmp_path, outside=outside_file(tmp_path, ids))
    whole = [f"own/{i}" for i in range(12)]
    assert own_study(tmp_path, outside=outside_file(tmp_path, whole)).test[1].correct.all()


def test_answers_from_outside_that_say_what_was_asked_are_checked(tmp_path):
    table = own_study(tmp_path)
    asked = list(cclib.load_benchmark(tmp_path / "own.csv"))
    ids = [q.id for q in asked]
    good = {"question_hash": [q.hash for q in asked], "answer": [q.answer for q in asked]}
    for key in (good["answer"], ["A"] * 12):
        read = own_study(tmp_path, outside=outside_file(tmp_path, ids, **good | {"answer": key}))
        assert len(read) == len(table)
    turned = good | {"question_hash": good["question_hash"][::-1]}
    with pytest.raises(ValueError, match="large.csv, question own/.*something else was asked"):
        own_study(tmp_path, outside=outside_file(tmp_path, ids, **turned))
    with pytest.raises(ValueError, match="something else was right.*answer 1, now 0"):
        own_study(tmp_path, outside=outside_file(tmp_path, ids, answer=[1] * 12))
