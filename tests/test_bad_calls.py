"""Every public call and every parameter of the notebooks, given what it cannot use.

One line a case: (call or parameter, case): a call on an empty folder, and a part of the message. What is
refused is a ValueError (or an OSError for files), never a traceback from deep inside.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace
from test_bad_input import pair, small_table, with_hidden

import cclib
from cclib import cost, stats
from cclib.book.editions import PARAMETERS, read_edition
from cclib.confidence.p_ik import PIK
from cclib.experiments import transfer
from cclib.policies import Stage
from cclib.questions import Question
from cclib.study import Source, Study, load_study

Q = Question("q/0", "s", "Which?", ("yes", "no"), 0)
NAN, INF = float("nan"), float("inf")


def study(folder, **given):
    """What a notebook calls, on the smallest study there is, with some parameters changed."""
    usual = {"models": ["atlas-s", "atlas-l"], "benchmark": small_table(folder), "limit": 2}
    return load_study(**usual | {"traces_dir": folder / "t", "device": "cpu"} | given)


def on_nothing():
    """A live study of one model that is known by its answers only."""
    return Study(["a"], "own", 0, [make_trace("a")], [None], [None], [None], [Q], source=Source(["a.csv"]))


ALONE = cclib.Policy("one model", (Stage("small"),))
LONG = replace(Q, text="word " * 5000)
OPEN = Question("open/0", "s", "Who?")
MANY = replace(Q, choices=tuple("abcdefghijklmnopqrstuvwxyz"))


def write(path, content):
    path.write_bytes(content)
    return path


def columns(**changed):
    """A Trace of three questions, some columns changed."""
    usual = {"question_id": ["a", "b", "c"], "correct": [True, False, True], "p_t": [0.1, 0.5, 0.9]}
    return cclib.Trace(pd.DataFrame(usual | changed))


def chosen(**given):
    return cclib.choose_thresholds([make_trace("a"), make_trace("b")], with_pik=False, sizes=[1, 2], **given)


def collect(folder, model="atlas-s", questions=(Q,), **given):
    return cclib.collect(
        model, list(questions), **{"store": folder, "device": "cpu", "progress": False} | given
    )


REFUSED = {
    ("Question", "answer above the options"): (lambda f: replace(Q, answer=2), "answer.*0 to 1.*2"),
    ("Question", "answer below 0"): (lambda f: replace(Q, answer=-1), "-1"),
    ("Question", "answer a letter"): (lambda f: replace(Q, answer="A"), "'A'"),
    ("Question", "choices a text"): (lambda f: replace(Q, choices="yes"), "choices"),
    ("Question", "choices of numbers"): (lambda f: replace(Q, choices=(1, 2)), "choices"),
    ("Question", "text not a text"): (lambda f: replace(Q, text=None), "text"),
    ("Question", "id not a text"): (lambda f: replace(Q, id=3), "id"),
    ("load_benchmark", "a number"): (lambda f: cclib.load_benchmark(5), "unknown benchmark"),
    ("load_benchmark", "nothing"): (lambda f: cclib.load_benchmark(None), "unknown benchmark"),
    ("load_benchmark", "an empty name"): (lambda f: cclib.load_benchmark(""), "unknown benchmark"),
    ("load_benchmark", "a folder"): (lambda f: cclib.load_benchmark(f), "unknown benchmark"),
    ("split", "no questions"): (lambda f: cclib.split([]), "no questions"),
    ("split", "texts"): (lambda f: cclib.split(["x"]), "cclib.Question"),
    ("split", "a seed below 0"): (lambda f: cclib.split([Q], seed=-1), "seed.*-1"),
    ("split", "a seed that is a word"): (lambda f: cclib.split([Q], seed="x"), "seed.*'x'"),
    ("load_model", "a number"): (lambda f: cclib.load_model(5), "int"),
    ("load_model", "nothing"): (lambda f: cclib.load_model(None), "NoneType"),
    ("load_model", "an empty name"): (lambda f: cclib.load_model(""), "unknown model"),
    ("load_model", "no such device"): (lambda f: cclib.load_model("atlas-s", device="tpu9"), "device.*tpu9"),
    ("load_model", "dtype of torch that is none"): (
        lambda f: cclib.load_model("atlas-s", dtype="nn"), "dtype"),
    ("load_model", "two revisions"): (lambda f: cclib.load_model("a/b@c", revision="d"), "pins c"),
    ("load_model", "trust in all"): (lambda f: cclib.load_model("atlas-s", trust=("all",)), "trust"),
    ("Trace", "no columns"): (lambda f: cclib.Trace(pd.DataFrame()), "needs the columns"),
    ("Trace", "a dictionary"): (lambda f: cclib.Trace({"question_id": ["a"]}), "DataFrame"),
    ("Trace", "P(T) above 1"): (lambda f: columns(p_t=[1.7, 0.5, 0.5]), r"p_t.*1\.7"),
    ("Trace", "P(T) infinite"): (lambda f: columns(p_t=[INF, 0.5, 0.5]), "p_t.*inf"),
    ("Trace", "P(IK) of words"): (lambda f: columns(p_ik=["x", "y", "z"]), "p_ik"),
    ("Trace", "correct of words"): (lambda f: columns(correct=["yes", "no", "yes"]), "correct"),
    ("Trace", "correct is missing"): (lambda f: columns(correct=[True, None, False]), "correct"),
    ("Trace", "correct of numbers"): (lambda f: columns(correct=[0, 1, 2]), "correct"),
    ("collect", "no questions"): (lambda f: collect(f, questions=[]), "no questions"),
    ("collect", "texts"): (lambda f: collect(f, questions=["Which?"]), "cclib.Question"),
    ("collect", "an id twice"): (lambda f: collect(f, questions=[Q, Q]), "occurs twice"),
    ("collect", "open and closed"): (
        lambda f: collect(f, questions=[Q, OPEN]), "each kind by itself"),
    ("collect", "one option"): (
        lambda f: collect(f, questions=[replace(Q, choices=("a",))]), "2 to 10 options"),
    ("collect", "no right answer"): (lambda f: collect(f, questions=[replace(Q, answer=None)]), "no answer"),
    ("collect", "26 options"): (
        lambda f: collect(f, questions=[MANY]), "found 26"),
    ("collect", "longer than the context"): (lambda f: collect(f, questions=[LONG]), "longer context"),
    ("collect", "open without answers"): (
        lambda f: collect(f, questions=[OPEN]), "no accepted answers"),
    ("collect", "a number as the model"): (lambda f: collect(f, model=5), "model must be"),
    ("collect", "a layer too deep"): (lambda f: collect(f, layer=99), "layer must be from 1"),
    ("collect", "an unknown engine"): (lambda f: collect(f, engine="spark"), "'local' or 'ray'.*'spark'"),
    ("collect", "a loaded model on a cluster"): (
        lambda f: collect(f, model=cclib.load_model("atlas-s", device="cpu"), engine="ray"), "model's name"),
    ("read_trace", "an empty folder"): (lambda f: cclib.read_trace(f), "provenance.json.*not there"),
    ("read_trace", "an empty file"): (
        lambda f: cclib.read_trace(write(f / "x.csv", b"")), "x.csv.*CSV"),
    ("read_trace", "not text"): (
        lambda f: cclib.read_trace(write(f / "x.csv", b"question_id,correct\n\xff,1\n")),
        "x.csv.*UTF-8"),
    ("PIK", "no validation"): (lambda f: PIK.fit(with_hidden(), None), "validation.*Trace"),
    ("PIK", "a seed that is a word"): (lambda f: PIK.fit(with_hidden(), with_hidden(), seed="x"), "seed"),
    ("PIK", "hidden states not finite"): (
        lambda f: PIK.fit(with_hidden(fill=np.nan), with_hidden()), "finite"),
    ("PIK", "no file"): (lambda f: PIK.load(f / "none.safetensors"), "none.safetensors"),
    ("PIK", "a number a question"): (
        lambda f: PIK.fit(with_hidden(), with_hidden()).probability(np.zeros(8)), "width 8"),
    ("ask", "no choices"): (lambda f: cclib.ask("Which?"), "at least 2 choices"),
    ("ask", "one choice"): (lambda f: cclib.ask("Which?", ["a"]), "at least 2 choices"),
    ("ask", "no text"): (lambda f: cclib.ask(None, ["a", "b"]), "question"),
    ("ask", "pt not a number"): (lambda f: cclib.ask("x", ["a", "b"], ["atlas-s"], pt=NAN), "pt.*nan"),
    ("ask", "pt above 1"): (lambda f: cclib.ask("x", ["a", "b"], ["atlas-s"], pt=90), "pt.*90"),
    ("ask", "probes of another number"): (
        lambda f: cclib.ask("x", ["a", "b"], ["atlas-s"], probes=[None, None]), "one probe"),
    ("live_cascade", "no questions"): (lambda f: cclib.live_cascade(["atlas-s"], []), "no questions"),
    ("live_cascade", "no models"): (lambda f: cclib.live_cascade([], [Q]), "one or more"),
    ("live_cascade", "pik below 0"): (lambda f: cclib.live_cascade(["atlas-s"], [Q], pik=-1), "pik.*-1"),
    ("live_cascade", "an id twice"): (lambda f: cclib.live_cascade(["atlas-s"], [Q, Q]), "q/0.*occurs twice"),
    ("live_cascade", "an open question"): (lambda f: cclib.live_cascade(["atlas-s"], [OPEN]), "open/0 is"),
    ("live_cascade", "a policy of others"): (
        lambda f: cclib.live_cascade(["atlas-s"], [Q], policy=ALONE), "asks small, found atlas-s"),
    ("ask", "a policy and thresholds"): (lambda f: cclib.ask(Q, policy=ALONE, pt=0.5), "leave .*pt.* out"),
    ("Policy", "no file"): (lambda f: cclib.Policy.load(f / "none.json"), "none.json"),
    ("Policy", "a folder"): (lambda f: cclib.Policy.load(f), "no policy at"),
    ("Policy", "half a file"): (lambda f: cclib.Policy.load(write(f / "p.json", b'{"kind')), "json.*damaged"),
    ("Policy", "another name"): (lambda f: ALONE.save(f / "p.bin"), "json.*p.bin"),
    ("choose_policy", "max_drop in points"): (lambda f: cclib.choose_policy(on_nothing(), 1), "max_drop.*1"),
    ("choose_policy", "one model"): (lambda f: cclib.choose_policy(on_nothing()), "two models or more"),
    ("few_shot", "no examples"): (lambda f: cclib.few_shot([]), "at least one example"),
    ("few_shot", "too few"): (lambda f: cclib.few_shot([Q], 2), "needs 2"),
    ("prompt", "unknown"): (lambda f: study(f, prompt="table-8"), "prompt must be one of.*table-8"),
    ("judge", "unknown"): (lambda f: study(f, judge="nobody"), "judge.*nobody"),
    ("cascade", "a name"): (lambda f: cclib.cascade("atlas"), "traces.*'atlas'"),
    ("cascade", "not traces"): (lambda f: cclib.cascade([1, 2]), "traces"),
    ("cascade", "a threshold that is true"): (lambda f: pair(pt=True), "pt.*True"),
    ("sweep", "an empty grid"): (lambda f: cclib.sweep([make_trace("a"), make_trace("b")], []), "pt.*empty"),
    ("sweep", "not a number in it"): (
        lambda f: cclib.sweep([make_trace("a"), make_trace("b")], [0, NAN]), "nan"),
    ("sweep", "no grid"): (lambda f: cclib.sweep([make_trace("a"), make_trace("b")], None), "pt.*None"),
    ("choose_thresholds", "a name"): (lambda f: cclib.choose_thresholds("atlas"), "traces"),
    ("choose_thresholds", "one stage"): (
        lambda f: cclib.choose_thresholds([make_trace("a")]), "two stages or more"),
    ("choose_thresholds", "a drop in points"): (lambda f: chosen(max_drop=5), "max_drop.*5"),
    ("choose_thresholds", "a drop that is not a number"): (
        lambda f: chosen(max_drop=NAN), "max_drop.*nan"),
    ("choose_thresholds", "delta of one"): (
        lambda f: chosen(delta=1), "delta.*1"),
    ("choose_thresholds", "models of unknown size"): (
        lambda f: cclib.choose_thresholds([make_trace("a"), make_trace("b")]), "parameters"),
    ("cost.compute", "sizes of another number"): (lambda f: cost.compute(pair(), sizes=[1]), "expected 2"),
    ("cost.compute", "no accounting"): (lambda f: cost.compute(pair(), None), "unknown accounting"),
    ("stats.mcnemar", "words"): (lambda f: stats.mcnemar(["a"], ["b"]), "true or false"),
    ("load_study", "a family of another name"): (lambda f: load_study("lama"), "unknown family"),
    ("export_study", "onto a file"): (
        lambda f: cclib.export_study(study(f), write(f / "x", b"")), "x"),
    ("run_card", "a name"): (lambda f: cclib.run_card("atlas"), "study.*'atlas'"),
    # the notebooks' parameters, as papermill hands them over
    ("models", "an empty list"): (lambda f: study(f, models=[]), "one or more"),
    ("models", "a number"): (lambda f: study(f, models=3), "list of models.*3"),
    ("models", "numbers"): (lambda f: study(f, models=[1, 2]), "list of models"),
    ("models", "one twice"): (lambda f: study(f, models=["atlas-s", "atlas-s"]), "different"),
    ("models", "broken JSON"): (lambda f: study(f, models="['atlas-s']"), "JSON"),
    ("models", "a name that is none"): (lambda f: study(f, models=["../.."]), "needs a name"),
    ("benchmark", "unknown"): (lambda f: study(f, benchmark="mmul"), "known: mmlu"),
    ("benchmark", "a number"): (lambda f: study(f, benchmark=7), "unknown benchmark"),
    ("data_dir", "no folder"): (lambda f: study(f, benchmark="mmlu", data_dir=f / "none"), "none"),
    ("data_dir", "a number"): (lambda f: study(f, benchmark="mmlu", data_dir=3), "data_dir.*3"),
    ("limit", "none at all"): (lambda f: study(f, limit=0), "at least 1"),
    ("limit", "half a question"): (lambda f: study(f, limit=2.5), "limit.*2.5"),
    ("limit", "a word"): (lambda f: study(f, limit="all"), "limit.*'all'"),
    ("limit", "not a number"): (lambda f: study(f, limit=NAN), "limit.*nan"),
    ("pt", "infinite"): (lambda f: pair(pt=INF), "inf"),
    ("pik", "below 0"): (lambda f: pair(pik=-1), "-1"),
    ("layer", "a word"): (lambda f: study(f, layer="last"), "layer.*'last'"),
    ("layer", "half a layer"): (lambda f: study(f, layer=1.5), "layer.*1.5"),
    ("layer", "0"): (lambda f: study(f, layer=0), "layer must be from 1"),
    ("seed", "below 0"): (lambda f: study(f, seed=-1), "seed.*-1"),
    ("seed", "not a number"): (lambda f: study(f, seed=NAN), "seed.*nan"),
    ("traces_dir", "a file"): (
        lambda f: study(f, traces_dir=write(f / "file", b"")), "file"),
    ("traces_dir", "a study cut off"): (
        lambda f: study(f, traces_dir=write(f / "study.json", b'{"bench').parent), "study.json"),
    ("device", "unknown"): (lambda f: study(f, device="gpu"), "device.*gpu"),
    ("other_benchmark", "unknown"): (
        lambda f: transfer.transfer(on_nothing(), "mmul"), "known: mmlu"),
    ("other_data_dir", "no folder"): (
        lambda f: transfer.transfer(on_nothing(), "gpqa", data_dir=f / "none"), "no gpqa_main.csv"),
    ("open_benchmark", "with options"): (
        lambda f: transfer.open_study(on_nothing(), "atlas"), "no benchmark of open questions"),
    ("open_data_dir", "no folder"): (
        lambda f: transfer.open_study(on_nothing(), "popqa", data_dir=f / "none"), "no test.tsv"),
    ("edition", "an unknown parameter"): (
        lambda f: read_edition(write(f / "e.yml", b"title: t\nparameters: {heat: 1}\n")),
        "unknown parameter"),
    ("edition", "not YAML"): (
        lambda f: read_edition(write(f / "e.yml", b"title: [\n")), "e.yml"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=": ".join)
def test_what_a_call_cannot_use_is_refused_in_clear_words(case, tmp_path):
    call, message = REFUSED[case]
    with pytest.raises((ValueError, OSError), match=message):
        call(tmp_path)


def test_every_public_call_and_parameter_has_its_cases():
    tried = {name for name, _ in REFUSED}
    takes_anything = {"verbatim"}
    assert {*cclib.__all__, *PARAMETERS} - takes_anything <= tried
    assert len(REFUSED) >= 60
