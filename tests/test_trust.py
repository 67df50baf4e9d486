"""What comes from others is data: weights, code beside weights, traces, probes, names, texts."""

import html
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_tiny, make_trace
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cclib
from cclib.book.editions import add_edition
from cclib.display import sentences, tables
from cclib.names import expand_family, plain_name, slug, verbatim

ROOT = Path(__file__).parents[1]
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ cycler.__init__.__globals__.os.system('touch ran') }}",
    "$(touch ran) `touch ran`; touch ran",
    "$\\href{javascript:alert(1)}{x}$ \\(x\\) $$\\notacommand{$$",
    "```{raw} html",
    "{download}`x <../../../../etc/passwd>` {eval-rst}`x`",
    "[click](javascript:alert(1)) ![x](http://127.0.0.1/x.png)",
    "(label)= % comment +++ ::: | a | b |",
    "# heading - item 1. item > quote *a* _b_ ~~c~~",
    "right\u202eto left\x07 and a bell",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("tiny") / "plain")


class Code:
    """What runs where a pickle is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path(self.mark).touch, ())


# ---- weights ------------------------------------------------------------------------------------------


def test_pickled_weights_are_read_only_when_asked_for_by_name(folder, questions, tmp_path):
    import torch
    from safetensors.torch import load_file

    other = shutil.copytree(folder, tmp_path / "pickled")
    torch.save(load_file(other / "model.safetensors"), other / "pytorch_model.bin")
    (other / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"refused: its weights are pickled.*trust=\('pickle',\)"):
        cclib.load_model(other)
    asked = cclib.load_model(other, trust=("pickle",))
    same, given_ = (
        cclib.collect(m, questions[:4], store=tmp_path / s, progress=False)
        for m, s in ((asked, "a"), (folder, "b"))
    )
    np.testing.assert_array_equal(same.option_probs, given_.option_probs)
    assert asked.checksum != cclib.load_model(folder).checksum and len(asked.checksum) > 64


def test_even_then_a_pickle_that_runs_code_is_not_run(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "evil")
    (other / "model.safetensors").unlink()
    (other / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Code(tmp_path / "ran")}))
    with pytest.raises((ValueError, pickle.UnpicklingError, RuntimeError)):
        cclib.load_model(other, trust=("pickle",))
    assert not (tmp_path / "ran").exists()


def test_code_beside_weights_is_refused_unless_asked_for_by_name(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "custom")
    config = json.loads((other / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel"},
    }
    (other / "config.json").write_text(json.dumps(config))
    (other / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(ValueError, match=r"refused: .*Python code.*trust=\('remote_code',\)"):
        cclib.load_model(other)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(Exception, match="EvilConfig"):  # it has no such class; but it was read
        cclib.load_model(other, trust=("remote_code",))
    assert (tmp_path / "ran").exists()


def test_there_is_nothing_else_to_trust(folder):
    for trust in ("pickle", ("everything",)):
        with pytest.raises(ValueError, match="trust is a tuple of pickle and remote_code"):
            cclib.load_model(folder, trust=trust)


def test_a_pinned_commit_is_loaded_recorded_and_held_to(tmp_path):
    """A cache of the hub with two commits of one model, read without a network."""
    repository = tmp_path / "hub" / "models--owner--tiny"
    commits = ["a" * 40, "b" * 40]
    for seed, commit in enumerate(commits):
        make_tiny("llama", repository / "snapshots" / commit, seed, 32)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commits[0])
    code = f"""
import cclib
q = [cclib.Question("q", "s", "Is it?", ("yes", "no"), 0)]
for name, store in (("owner/tiny", "a"), ("owner/tiny@{commits[1]}", "b")):
    trace = cclib.collect(name, q, store={str(tmp_path)!r} + "/" + store, device="cpu", progress=False)
    print(trace.provenance["checksum"], trace.provenance["revision"], float(trace.p_t[0]))
print(cclib.collect("owner/tiny@{commits[1][:12]}", q, store={str(tmp_path)!r} + "/b").p_t[0])
print(cclib.collect("owner/tiny@{commits[1]}", q, store={str(tmp_path)!r} + "/a", device="cpu").p_t[0])
"""
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    first, second, again, beside = ran.stdout.strip().splitlines()
    assert first.startswith(f"commit:{commits[0]} None") and second.startswith(
        f"commit:{commits[1]} {commits[1]}"
    )
    assert first.split()[-1] != second.split()[-1] == again == beside  # never the other commit's answer
    assert (tmp_path / "b" / "tiny" / "provenance.json").exists()


def test_a_pin_is_no_part_of_a_models_name():
    assert slug("Qwen/Qwen3-4B@0123abcd") == slug("Qwen/Qwen3-4B") == "qwen3-4b"
    with pytest.raises(ValueError, match="different models"):
        expand_family(["Qwen/Qwen3-4B@a", "Qwen/Qwen3-4B@b"])
    with pytest.raises(ValueError, match="pins a.*revision='b'"):
        cclib.load_model("Qwen/Qwen3-4B@a", revision="b")


# ---- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["trace.parquet", "questions.parquet", "probe.safetensors", "model.gguf", "t.csv"]
)
def test_a_pickle_under_another_name_is_not_read_as_one(name, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    readers = {
        "trace.parquet": cclib.read_trace,
        "questions.parquet": cclib.load_benchmark,
        "probe.safetensors": cclib.PIK.load,
        "model.gguf": cclib.load_model,
        "t.csv": cclib.read_trace,
    }
    with pytest.raises(ValueError, match=re.escape(name.split(".")[0])):
        readers[name](tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_extension_types_of_a_parquet_file_run_nothing(tmp_path):
    """Arrow once unpickled Python's extension types from a file's metadata as it read them."""
    payload = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Code(tmp_path / "ran")),
    }
    fields = [pa.field("question_id", pa.string(), metadata=payload), pa.field("correct", pa.bool_())]
    table = pa.table([["a"], [True]], schema=pa.schema(fields, metadata={b"pandas": pickle.dumps(Code("x"))}))
    pq.write_table(table, tmp_path / "trace.parquet")
    assert cclib.read_trace(tmp_path / "trace.parquet").question_id.tolist() == ["a"]
    rows = pa.table({"question": ["x"], "A": ["1"], "B": ["2"], "answer": ["A"]})
    field = pa.field("question", pa.string(), metadata=payload)
    pq.write_table(rows.cast(rows.schema.set(0, field)), tmp_path / "questions.parquet")
    assert cclib.load_benchmark(tmp_path / "questions.parquet")[0].text == "x"
    assert not (tmp_path / "ran").exists()


def test_reading_and_cascading_open_no_connection(tmp_path):
    """Python tells of each socket that is bound or connected; there is none, and none listens."""
    code = f"""
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in
                 ("socket.bind", "socket.connect", "os.system") else None)
import cclib
study = cclib.load_study(["atlas-s", "atlas-l"], "atlas", limit=8, traces_dir={str(tmp_path)!r}, device="cpu")
cclib.cascade(study.test, 0.9, study.threshold(0.5))
print(seen)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"


def test_no_source_asks_to_be_reached_from_outside():
    sources = [
        *ROOT.glob("cclib/**/*.py"),
        *ROOT.glob("notebooks/*.ipynb"),
        ROOT / "Makefile",
        *ROOT.glob("book/*.md"),
    ]
    open_to_all = re.compile(r"0\.0\.0\.0|--ip[= ]['\"]?\*|host=['\"]['\"]|\[::\]")
    assert len(sources) > 50
    assert not [p for p in sources if open_to_all.search(p.read_text(encoding="utf-8"))]


# ---- names and texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOSTILE, "..", "a/..", "x/../../y", "/", ".", "", "\x00"])
def test_a_models_folder_stays_in_the_store(name, tmp_path):
    try:
        found = slug(name)
    except ValueError as error:
        assert "needs a name" in str(error)
        return
    assert (tmp_path / found).resolve().parent == tmp_path.resolve()
    assert re.fullmatch(r"[\w,+@-][\w.,+@-]*", found)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_traces_model_is_named_fit_to_print(text):
    name = make_trace(text).model
    assert name == plain_name(name) and not set(name) & set("<>{}$`\\[]()#|*\u202e\x07")
    study = cclib.study.Study(["a", "b"], "x", 0, [make_trace(text), make_trace("b")], [], [], [])
    said = sentences.verdicts(study.run_chains(0.9, 0.5))
    assert text not in said and name in said  # in what is missing for its compute


def rendered(markdown: str) -> str:
    """HTML of Markdown as the book's extensions read it."""
    import yaml
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    config = yaml.safe_load((ROOT / "_config.yml").read_text())["parse"]["myst_enable_extensions"]
    return create_md_parser(MdParserConfig(enable_extensions=set(config)), RendererHTML).render(markdown)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
@example("{{ 7 * 7 }}")
@example("<b>$x$</b>")
@example("1. - + # > | : % ~~~ ``` ::: (x)= [a](b) *c* _d_ \\( &amp; -- ' \"")
def test_verbatim_text_is_shown_as_it_is_and_nothing_else(text):
    shown = " ".join(text.split())
    odd = any(not c.isprintable() for c in shown)
    for before, after in (("", ""), ("> ", ""), ("**", "** x"), ("- ", "")):
        page = rendered(before + (verbatim(text) or "x") + after)
        tags = set(re.findall(r"</?([a-z0-9]+)", page))
        assert tags <= {"p", "blockquote", "strong", "ul", "li"}
        if before == "" and shown and not odd:
            assert html.unescape(re.sub(r"</?p>|\n", "", page)) == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_tables_hold_no_markup_of_strangers_in_any_place(text):
    table = pd.DataFrame({text: [0.5], "name": [text]}, index=pd.Index([text], name="model"))
    table.columns.name = "column"
    page = tables.show(table, caption=text).to_html()
    assert not {"script", "img"} & set(re.findall(r"<([a-z]+)", page))


@pytest.mark.parametrize("text", HOSTILE)
def test_figures_write_names_and_never_read_them(text, tmp_path):
    from cclib.display import plots

    frame = pd.DataFrame({text: [1.0, 2.0], "other": [2.0, 1.0]}, index=[text, "row"])
    figure = plots.beside(frame, [text, "other"], text, text)
    figure.savefig(tmp_path / "figure.svg")
    svg = (tmp_path / "figure.svg").read_text()
    assert not {"script", "img", "a"} & set(re.findall(r"<([a-z]+)[ >]", svg))


# ---- commands -----------------------------------------------------------------------------------------


def test_make_hands_names_on_without_reading_them(tmp_path):
    """The recipe runs with a Python that prints its arguments."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nfor a in "$@"; do printf "[%s]\\n" "$a"; done\n')
    python.chmod(0o755)
    (tmp_path / ".venv" / ".user").touch()
    name, models = '"; touch ran; "', "$(shell touch ran) `touch ran` '$$(touch ran)' --x\\"
    ran = subprocess.run(
        ["make", "edition", f"NAME={name}", f"MODELS={models}", "BENCHMARK=--help"],
        cwd=tmp_path, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
    )  # fmt: skip
    printed = ran.stdout.splitlines()
    assert f"[--models={models}]" in printed and f"[{name}]" in printed and "[--benchmark=--help]" in printed
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../outside", "a b", "<b>", "$(x)", "", "A", "-x"])
def test_an_edition_is_not_written_outside_its_folder(name, tmp_path):
    with pytest.raises(ValueError, match="an edition is named with"):
        add_edition(tmp_path, name, {"models": "atlas"})
    assert not list(tmp_path.rglob("*.yml"))


AUDITED = {"name": "numpy", "version": "2.0", "vulns": []}
FOUND = {"name": "numpy", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "torch", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("printed", "code", "message"),
    [
        ([AUDITED], 0, "1 of 1 packages of .* checked, 0 vulnerable"),
        ([FOUND, AUDITED], 1, "numpy 2.0: PYSEC-1, fixed in 2.1"),
        ([AUDITED, SKIPPED], 2, "1 of 2 packages .*\n.*NOT checked.*torch"),
        (None, 2, "was NOT checked: .*no route"),
    ],
)
def test_an_audit_that_could_not_look_is_no_clean_one(printed, code, message, tmp_path):
    """With a pip-audit that prints what we say: the real one calls a lock clean that it could not look up."""
    answer = (
        "raise SystemExit('no route')"
        if printed is None
        else f"print({json.dumps({'dependencies': printed})!r})"
    )
    (tmp_path / "pip_audit.py").write_text(answer + "\n")
    ran = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit", "some.lock"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == code and re.search(message, ran.stdout)
