"""What is refused, and that the refusal says what was found; what looks odd but is right is taken.

One line a case: a name, a call on an empty folder, the error's kind and a part of its message.
"""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace, tiny_tokenizer

import cclib
from cclib import cost, stats
from cclib.benchmarks import read_table
from cclib.confidence.p_ik import PIK
from cclib.names import expand_family
from cclib.questions import Question
from cclib.study import load_study
from cclib.traces import Trace

TWO = "question,A,B,answer\nIs it?,yes,no,{}\n"


def table(folder, text, name="mine.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return read_table(path)


def trace_file(folder, text, name="outside.csv"):
    (folder / name).write_text(text)
    return cclib.read_trace(folder / name)


def pair(**options):
    return cclib.cascade([make_trace("a"), make_trace("b", skill=0.8)], **options)


def with_hidden(width=8, n=40, model="a", right=None, layer=3, fill=None):
    trace = make_trace(model, n=n, hidden_layer=layer)
    rng = np.random.default_rng(0)
    states = rng.normal(size=(n, width)) if fill is None else np.full((n, width), fill)
    hidden = pd.Series(list(states.astype(np.float16)))
    frame = trace.table.to_pandas().assign(hidden=hidden)
    if right is not None:
        frame["correct"] = right
    return Trace(frame, trace.provenance)


def without(trace, *names):
    return trace.without(*names)


def small_table(folder, rows=60):
    lines = [f"Number {i}?,{i},{i + 1},A" for i in range(rows)]
    path = folder / "own.csv"
    path.write_text("question,A,B,answer\n" + "\n".join(lines))
    return str(path)


REFUSED = {
    # thresholds
    "pt above 1": (lambda f: pair(pt=1.01), ValueError, r"pt.*\[0, 1\].*1.01"),
    "pt below 0": (lambda f: pair(pt=-0.1), ValueError, r"\[0, 1\]"),
    "pt not a number": (lambda f: pair(pt=float("nan")), ValueError, "nan"),
    "pt infinite": (lambda f: pair(pt=float("inf")), ValueError, "inf"),
    "pt a word": (lambda f: pair(pt="high"), ValueError, "pt"),
    "pt nothing": (lambda f: pair(pt=None), ValueError, "None"),
    "pik not a number": (lambda f: pair(pik=float("nan")), ValueError, "pik.*nan"),
    "pik infinite": (lambda f: pair(pik=-float("inf")), ValueError, "inf"),
    "pik a word": (lambda f: pair(pik="0.5"), ValueError, "pik"),
    "too many thresholds": (lambda f: pair(pt=[0.9, 0.8]), ValueError, "expected one threshold or 1"),
    "sweep descending": (
        lambda f: cclib.sweep([make_trace("a"), make_trace("b")], [0.9, 0.1]), ValueError, "ascend"),
    "sweep outside": (lambda f: cclib.sweep([make_trace("a"), make_trace("b")], [0, 2]), ValueError, "2"),
    # stages
    "no stage": (lambda f: cclib.cascade([]), ValueError, "at least one"),
    "largest first": (
        lambda f: cclib.cascade([make_trace("l", parameters=8e9), make_trace("s", parameters=3e9)]),
        ValueError, "smallest first"),
    "different questions": (
        lambda f: cclib.cascade([make_trace("a", n=10), make_trace("b", n=12)]), ValueError, "questions"),
    "inner stage without P(T)": (
        lambda f: cclib.cascade([without(make_trace("a"), "p_t"), make_trace("b")]), ValueError, "no p_t"),
    "inner stage without P(IK)": (
        lambda f: cclib.cascade([without(make_trace("a"), "p_ik"), make_trace("b")]), ValueError, "no p_ik"),
    # benchmarks
    "unknown benchmark": (lambda f: cclib.load_benchmark("mmul"), ValueError, "known: mmlu"),
    "limit of none": (lambda f: cclib.load_benchmark("atlas", limit=0), ValueError, "at least 1"),
    "limit below none": (lambda f: cclib.load_benchmark("atlas", limit=-3), ValueError, "-3"),
    "no such table": (lambda f: cclib.load_benchmark(f / "no.csv"), FileNotFoundError, "no benchmark file"),
    "no such folder": (
        lambda f: cclib.load_benchmark("mmlu", data_dir=f / "none"), Exception, "none|mmlu"),
    "no answer column": (lambda f: table(f, "question,A,B\nx,1,2\n"), ValueError, "missing answer"),
    "no question column": (lambda f: table(f, "q,A,B,answer\nx,1,2,A\n"), ValueError, "missing question"),
    "one option column": (lambda f: table(f, "question,A,answer\nx,1,A\n"), ValueError, "missing B"),
    "one option filled": (lambda f: table(f, "question,A,B,answer\nx,1,,A\n"), ValueError, "at least 2"),
    "answer outside": (lambda f: table(f, TWO.format("C")), ValueError, "row 0.*A, B, found 'C'"),
    "answer a number": (lambda f: table(f, TWO.format("1")), ValueError, "found '1'"),
    "answer empty": (lambda f: table(f, TWO.format("")), ValueError, "found ''"),
    "answer two letters": (lambda f: table(f, TWO.format("AB")), ValueError, "'AB'"),
    "answer of an empty option": (
        lambda f: table(f, "question,A,B,C,answer\nx,1,2,,C\n"), ValueError, "A, B, found 'C'"),
    "an id twice": (
        lambda f: table(f, "id,question,A,B,answer\n7,x,1,2,A\n7,y,1,2,B\n"), ValueError, "'7' occurs twice"),
    "an empty table": (lambda f: table(f, "question,A,B,answer\n"), ValueError, "no questions"),
    "an empty file": (lambda f: table(f, ""), ValueError, "mine.csv"),
    "not a Parquet file": (lambda f: table(f, "PAR?", "x.parquet"), ValueError, "x.parquet"),
    "not text": (lambda f: table(f, TWO.format("A") + "ÿ", encoding="latin-1"), ValueError, "UTF-8"),
    "26 options": (
        lambda f: Question("q", "s", "t", tuple("abcdefghijklmnopqrstuvwxyz"), 0).prompt,
        ValueError, "2 to 10 options, found 26"),
    "one option": (lambda f: Question("q", "s", "t", ("a",), 0).prompt, ValueError, "found 1"),
    # models
    "unknown model": (lambda f: cclib.load_model("atlas-xl"), ValueError, "shipped models: atlas-s"),
    "unknown family": (lambda f: expand_family("llama-9"), ValueError, "known: atlas"),
    "no model": (lambda f: expand_family([]), ValueError, "one or more"),
    "a model twice": (lambda f: expand_family(["x/a", "y/a"]), ValueError, "different"),
    "models cut off": (lambda f: expand_family('["a", '), ValueError, "JSON"),
    "no GGUF file": (lambda f: cclib.load_model(f / "x.gguf"), FileNotFoundError, "no GGUF"),
    "not a GGUF file": (
        lambda f: ((f / "x.gguf").write_bytes(b"MZ" * 8), cclib.load_model(f / "x.gguf")),
        ValueError, "starts with b'MZMZ'"),
    "an empty folder": (lambda f: cclib.load_model(f), ValueError, "could not be loaded"),
    "pickled weights": (
        lambda f: (tiny_tokenizer(f), (f / "pytorch_model.bin").write_bytes(b"x"),
                   (f / "config.json").write_text('{"model_type": "llama"}'), cclib.load_model(f)),
        ValueError, "safetensors"),
    "unknown dtype": (lambda f: cclib.load_model("atlas-s", dtype="float17"), ValueError, "float17"),
    # traces
    "no trace": (lambda f: cclib.read_trace(f / "none.csv"), FileNotFoundError, "no trace"),
    "trace without correct": (lambda f: trace_file(f, "question_id\n1\n"), ValueError, "missing"),
    "trace without ids": (lambda f: trace_file(f, "correct\n1\n"), ValueError, "question_id"),
    "trace with an id twice": (
        lambda f: trace_file(f, "question_id,correct\n1,1\n1,0\n"), ValueError, "twice"),
    "correct is a word": (
        lambda f: trace_file(f, "question_id,correct\n1,maybe\n"), ValueError, "true or false.*maybe"),
    "correct is missing": (
        lambda f: trace_file(f, "question_id,correct\n1,\n2,1\n"), ValueError, "true or false"),
    "P(T) above 1": (
        lambda f: trace_file(f, "question_id,correct,p_t\n1,1,1.7\n"), ValueError, r"p_t.*\[0, 1\].*1.7"),
    "P(T) missing": (
        lambda f: trace_file(f, "question_id,correct,p_t\n1,1,\n2,1,0.5\n"), ValueError, "p_t"),
    "P(IK) below 0": (
        lambda f: trace_file(f, "question_id,correct,p_ik\n1,1,-0.1\n"), ValueError, "p_ik"),
    "a question not recorded": (lambda f: make_trace("a").select(["q/0", "x"]), KeyError, "'x'"),
    # the probe
    "probe without hidden states": (lambda f: PIK.fit(make_trace(), make_trace()), ValueError, "no hidden"),
    "all right": (lambda f: PIK.fit(*[with_hidden(right=True)] * 2), ValueError, "40 training answers"),
    "all wrong": (lambda f: PIK.fit(*[with_hidden(right=False)] * 2), ValueError, "wrong"),
    "probe of two layers": (
        lambda f: PIK.fit(with_hidden(), with_hidden(layer=2)), ValueError, "different making"),
    "probe of another width": (
        lambda f: PIK.fit(with_hidden(), with_hidden()).score(with_hidden(width=9)), ValueError, "width 8"),
    "not a probe": (
        lambda f: (__import__("safetensors.numpy").numpy.save_file({"x": np.ones(2)}, f / "p.safetensors"),
                   PIK.load(f / "p.safetensors")),
        ValueError, "not a probe"),
    # studies: the notebooks' parameters
    "study of no question": (
        lambda f: load_study("atlas", limit=0, traces_dir=f), ValueError, "at least 1"),
    "study of unknown questions": (lambda f: load_study("atlas", "no", traces_dir=f), ValueError, "known"),
    "study at layer 0": (
        lambda f: load_study(["atlas-s", "atlas-l"], small_table(f), layer=0, traces_dir=f / "t", limit=2),
        ValueError, "layer must be from 1"),
    "study at layer 99": (
        lambda f: load_study(["atlas-s", "atlas-l"], small_table(f), layer=99, traces_dir=f / "t", limit=2),
        ValueError, "99"),
    "study with largest first": (
        lambda f: load_study(["atlas-l", "atlas-s"], small_table(f), traces_dir=f / "t", limit=2),
        ValueError, "smallest first"),
    "an export of another seed": (
        lambda f: ((f / "study.json").write_text(json.dumps({"benchmark": "atlas", "seed": 0, "models": []})),
                   load_study("atlas", "atlas", seed=1, traces_dir=f)),
        ValueError, "seed 0, not 1"),
    # costs and statistics
    "unknown accounting": (lambda f: cost.compute(pair(), "cheap"), ValueError, "known: paper"),
    "unknown tokens": (lambda f: cost.tokens(pair(), kind="all"), ValueError, "'all'"),
    "a price below 0": (lambda f: cost.read_prices({"a": (-1, 2)}), ValueError, ">= 0"),
    "prices of nothing": (lambda f: cost.read_prices(pd.DataFrame(columns=["model"])), ValueError, "need"),
    "a count above n": (lambda f: stats.wilson(5, 4), ValueError, "5 of 4"),
    "columns of two lengths": (lambda f: stats.mcnemar([1, 0], [1]), ValueError, "one length"),
    "ECE of what is no probability": (lambda f: stats.ece([1, 0], [0.5, np.nan]), ValueError, r"\[0, 1\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_clear_words(case, tmp_path):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call(tmp_path)


def test_there_are_at_least_sixty_cases():
    assert len(REFUSED) >= 60


TAKEN = {
    "a byte order mark": lambda f: table(f, "\ufeff" + TWO.format("A")),
    "Windows line ends": lambda f: table(f, TWO.format("A").replace("\n", "\r\n")),
    "a letter in lower case": lambda f: table(f, TWO.format("a")),
    "blanks about the letter": lambda f: table(f, TWO.format(" A ")),
    "right-to-left text": lambda f: table(f, "question,A,B,answer\nמה הבירה?,ירושלים,حيفا,A\n"),
    "control characters": lambda f: table(f, 'question,A,B,answer\n"x\u0007\u200f\ty",1,2,A\n'),
    "a line break in a question": lambda f: table(f, 'question,A,B,answer\n"x\ny",1,2,A\n'),
    "braces and HTML": lambda f: table(f, "question,A,B,answer\n{x} <b>$y$</b> `rm`,{0},%s,A\n"),
    "ten options": lambda f: table(f, "question,A,B,C,D,E,F,G,H,I,J,answer\nx,1,2,3,4,5,6,7,8,9,10,J\n"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_odd_but_right_tables_are_taken_and_make_a_prompt(case, tmp_path):
    (question,) = TAKEN[case](tmp_path)
    prompt = question.prompt
    assert question.text in prompt and all(c in prompt for c in question.choices)


@pytest.mark.parametrize(
    "text", ["x\u0007y", "מה הבירה?", "<script>alert(1)</script>", "$\\alpha$ {0} %s", "😀" * 20]
)
def test_odd_characters_reach_the_trace_whole(text, tmp_path):
    asked = [Question(f"odd/{text}", text, text, (text + "1", "2"), 0)]
    trace = cclib.collect("atlas-s", asked, store=tmp_path, progress=False)
    assert trace.question_id.tolist() == [f"odd/{text}"] and trace.column("subject")[0] == text
    assert 0 <= trace.p_t[0] <= 1
