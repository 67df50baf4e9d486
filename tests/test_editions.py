"""Editions: what is executed, what is only refreshed, what a page calls its labels."""

import os
import re
import shutil
from pathlib import Path
from textwrap import dedent

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from cclib.__main__ import app
from cclib.book import pages
from cclib.book.editions import PARAMETERS, Book, add_edition, digest, execute, parameter_names, read_edition

ROOT = Path(__file__).parents[1]


def notebook(*cells):
    return new_notebook(cells=list(cells))


def parameters(code="models = ['tiny']\nseed = 0"):
    return new_code_cell(code, metadata={"tags": ["parameters"]})


def write(root, stem, *cells):
    (root / "notebooks").mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*cells), root / "notebooks" / f"{stem}.ipynb")


def edit(root, stem, change):
    path = root / "notebooks" / f"{stem}.ipynb"
    source = nbformat.read(path, as_version=4)
    change(source.cells)
    nbformat.write(source, path)


def outputs(page):
    return [o.get("text", "") for c in page.cells if c.cell_type == "code" for o in c.outputs]


def quiet(_):
    pass


def book(root):
    """The book of a test's repository, which has a package of its own."""
    return Book(root, package=root / "package")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A repository of two notebooks and two editions, executed once."""
    root = tmp_path_factory.mktemp("book")
    write(
        root,
        "01-first",
        new_markdown_cell("(sec-first)=\n# First\n\nOn to {ref}`sec-second`."),
        parameters(),
        new_code_cell("import os, sys\nprint(models, seed, os.getcwd())\nprint('noise', file=sys.stderr)"),
    )
    write(
        root, "A-second", new_markdown_cell("(sec-second)=\n# Second"), parameters(), new_code_cell("6 * 7")
    )
    add_edition(root, "small", {}, "Small models")
    add_edition(root, "large", {"models": ["big", "bigger"], "pt": 0.5})
    (root / "package").mkdir()
    (root / "package" / "code.py").write_text("x = 1")
    return root, book(root).build(echo=quiet)


@pytest.fixture
def repository(built, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(built[0], tmp_path / "repository")
    return tmp_path / "repository"


def read_page(root, edition, stem):
    return nbformat.read(root / "book" / "editions" / edition / f"{stem}.ipynb", as_version=4)


def test_every_notebook_is_executed_in_every_edition(built):
    root, executed = built
    assert [p.relative_to(root / "book" / "editions").as_posix() for p in executed] == [
        "large/01-first.ipynb", "large/A-second.ipynb", "small/01-first.ipynb", "small/A-second.ipynb",
    ]  # fmt: skip
    assert any("['tiny'] 0" in text for text in outputs(read_page(root, "small", "01-first")))


def test_an_editions_parameters_reach_the_notebooks_that_have_them(built):
    page = read_page(built[0], "large", "01-first")
    injected = [c for c in page.cells if pages.is_tagged(c, "injected-parameters")]
    assert len(injected) == 1 and "pt" not in injected[0].source  # 01-first has no parameter pt
    assert any("['big', 'bigger'] 0" in text for text in outputs(page))
    assert pages.is_tagged(injected[0], "hide-input")


def test_a_page_shows_no_path_time_or_progress_of_the_machine(built):
    root, _ = built
    for path in (root / "book").rglob("*.ipynb"):
        text = path.read_text()
        assert str(root) not in text and "papermill" not in text and "iopub" not in text
        page = nbformat.reads(text, as_version=4)
        assert "stderr" not in [o.get("name") for c in page.cells for o in c.get("outputs", [])]
    assert any(text.rstrip().endswith(" .") for text in outputs(read_page(root, "small", "01-first")))


def test_an_unchanged_book_is_left_alone(repository):
    before = {p: p.stat().st_mtime_ns for p in (repository / "book").rglob("*.ipynb")}
    assert book(repository).build(echo=quiet) == []
    assert before == {p: p.stat().st_mtime_ns for p in (repository / "book").rglob("*.ipynb")}


def test_new_prose_is_copied_in_without_executing(repository):
    def change(cells):
        cells[0].source += "\n\nA new sentence."
        cells.insert(1, new_markdown_cell("A new cell."))

    old = outputs(read_page(repository, "small", "01-first"))
    edit(repository, "01-first", change)
    said = []
    assert book(repository).build(["small"], echo=said.append) == []
    page = read_page(repository, "small", "01-first")
    assert "A new sentence." in page.cells[0].source and page.cells[1].source == "A new cell."
    assert outputs(page) == old
    assert any("prose refreshed" in line for line in said)


def test_new_code_is_executed_in_that_notebook_only(repository):
    edit(repository, "A-second", lambda cells: cells.__setitem__(2, new_code_cell("print(6 * 9)")))
    executed = book(repository).build(["small"], echo=quiet)
    assert [p.stem for p in executed] == ["A-second"]
    assert "54\n" in outputs(read_page(repository, "small", "A-second"))


@pytest.mark.parametrize("what", ["parameters", "traces", "package"])
def test_the_fingerprint_changes_with(what, repository):
    traces = repository / "recorded"
    traces.mkdir()
    (traces / "part-00000.parquet").write_bytes(b"one")
    file = repository / "editions" / "small.yml"
    file.write_text("title: Small\ntraces: recorded\n")

    def fingerprint():
        now = book(repository)
        return now.fingerprint(now.editions["small"], "01-first")

    before = fingerprint()
    assert fingerprint() == before
    if what == "parameters":
        file.write_text("title: Small\ntraces: recorded\nparameters: {seed: 1}\n")
    elif what == "traces":
        (traces / "part-00000.parquet").write_bytes(b"two")
    else:
        (repository / "package" / "code.py").write_text("x = 2")
    assert fingerprint() != before


def test_a_failing_cell_stops_the_build_and_is_named(tmp_path):
    write(
        tmp_path,
        "02-broken",
        new_markdown_cell("# Broken"),
        parameters(),
        new_code_cell("x = 1"),
        new_code_cell("y = x / 0\nprint(y)"),
    )
    add_edition(tmp_path, "mine", {"seed": 3})
    with pytest.raises(RuntimeError) as error:
        book(tmp_path).build(echo=quiet)
    for part in "edition mine", "notebook 02-broken", "cell 4", "y = x / 0", "ZeroDivisionError":
        assert part in str(error.value)
    assert not list((tmp_path / "book").rglob("*.ipynb"))


def test_only_chapters_that_replay_run_side_by_side(tmp_path, monkeypatch):
    """Each waits for a file that the other one writes."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for mine, other in ("01-first", "02-second"), ("02-second", "01-first"):
        code = f"""
            from pathlib import Path
            import time
            Path("{mine}").touch()
            until = time.monotonic() + (60 if replays else 0)
            while not Path("{other}").exists() and time.monotonic() < until:
                time.sleep(0.01)
            print(Path("{other}").exists())"""
        write(
            tmp_path,
            mine,
            parameters("traces_dir = ''"),
            new_code_cell("replays = bool(traces_dir)"),
            new_code_cell(dedent(code)),
        )
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "trace").touch()
    (tmp_path / "editions").mkdir()
    for name, more in ("live", ""), ("replayed", "traces: kept\n"):
        (tmp_path / "editions" / f"{name}.yml").write_text(f"title: {name}\n{more}")
        made = book(tmp_path).build([name], echo=quiet)
        met = [outputs(nbformat.read(page, as_version=4))[-1].strip() for page in made]
        assert met == (["False", "True"] if name == "live" else ["True", "True"])
        for stem in "01-first", "02-second":
            (tmp_path / stem).unlink()


def test_a_notebook_whose_source_is_gone_leaves_the_edition(repository):
    (repository / "notebooks" / "A-second.ipynb").unlink()
    book(repository).build(echo=quiet)
    assert {p.stem for p in (repository / "book").rglob("*.ipynb")} == {"01-first"}


def test_missing_traces_are_told_before_anything_is_executed(repository):
    (repository / "editions" / "small.yml").write_text("title: Small\ntraces: nowhere\n")
    with pytest.raises(FileNotFoundError, match="nowhere.*record and export"):
        book(repository).build(["small"], echo=quiet)


# ---- labels and links --------------------------------------------------------------------------------

LABELS = {"sec-a": "sec-a-e", "fig-b": "fig-b-e", "eq-c": "eq-c-e", "ex-d": "ex-d-e"}


@pytest.mark.parametrize(
    ("source", "page"),
    [
        ("(sec-a)=\n# A", "(sec-a-e)=\n# A"),
        (":name: fig-b\n", ":name: fig-b-e\n"),
        (":label: ex-d", ":label: ex-d-e"),
        ("$$ x $$ (eq-c)", "$$ x $$ (eq-c-e)"),
        ("{ref}`sec-a`, {numref}`Fig. %s <fig-b>`", "{ref}`sec-a-e`, {numref}`Fig. %s <fig-b-e>`"),
        ("{eq}`eq-c` {cite:p}`sec-a`", "{eq}`eq-c-e` {cite:p}`sec-a`"),
        ("[text](sec-a) [](#fig-b)", "[text](sec-a-e) [](#fig-b-e)"),
        ("```{solution-start} ex-d\n", "```{solution-start} ex-d-e\n"),
        ("{ref}`glossary` and (sec-a) in brackets", "{ref}`glossary` and (sec-a) in brackets"),
        ("[x](01-a.ipynb#top) [y](02-b.ipynb)", "[x](01-a.ipynb#top) [y](../other/02-b.ipynb)"),
        ("![p](../book/_static/p.png)", "![p](../../../book/_static/p.png)"),
        (
            "{doc}`r <../book/rerun>` and `../shared` as text",
            "{doc}`r <../../../book/rerun>` and `../shared` as text",
        ),
    ],
)
def test_labels_and_links_are_the_editions_own(source, page):
    assert pages.Names(LABELS, {"01-a": "01-a", "02-b": "../other/02-b"}).rename(source) == page


def test_what_an_edition_leaves_out_is_found_in_another():
    first = notebook(new_markdown_cell("(sec-one)=\n# One"))
    second = notebook(new_markdown_cell("(sec-two)=\n# Two"))
    names = pages.names("b", {"a": {"01": first, "02": second}, "b": {"01": first}})
    assert names.labels == {"sec-one": "sec-one-b", "sec-two": "sec-two-a"}
    assert names.places == {"01": "01", "02": "../a/02"}


def test_figures_of_code_cells_are_renamed_too():
    drawn = {"name": "fig-x", "caption": "As {numref}`fig-x`"}
    cell = new_code_cell("plot()", metadata={"mystnb": {"figure": drawn}})
    source = notebook(new_markdown_cell("# T\n\n{numref}`fig-x`"), cell)
    names = pages.names("e", {"e": {"01": source}})
    page = pages.compose(source, source, names, "*Edition: E*", ROOT)
    renamed = {"name": "fig-x-e", "caption": "As {numref}`fig-x-e`"}
    assert page.cells[1].metadata["mystnb"]["figure"] == renamed
    assert page.cells[0].source == "# T\n\n*Edition: E*\n\n{numref}`fig-x-e`"
    assert source.cells[1].metadata["mystnb"]["figure"]["name"] == "fig-x"


def test_the_cell_of_imports_is_folded_and_no_other():
    code = ["import cclib\nstudy = cclib.load_study(models)", "import json\njson.dumps({})", "study.notes"]
    parameters = new_code_cell("models = []", metadata={"tags": ["parameters"]})
    source = notebook(new_markdown_cell("# T"), parameters, *map(new_code_cell, code))
    page = pages.compose(source, source, pages.names("e", {"e": {"01": source}}), "", ROOT)
    assert [pages.is_tagged(cell, "hide-input") for cell in page.cells] == [False, True, True, False, False]
    assert page.cells[2].metadata["mystnb"]["code_prompt_show"] == "Show what is imported and loaded"
    plain = notebook(new_markdown_cell("# T"), new_code_cell("1 + 1"))
    page = pages.compose(plain, plain, pages.names("e", {"e": {"01": plain}}), "", ROOT)
    assert not pages.is_tagged(page.cells[1], "hide-input")


def test_markdown_outputs_refer_as_prose_does_however_often_they_are_composed():
    shown = "{ref}`sec-x` and [rerun](../book/rerun.md)"
    cell = new_code_cell("Markdown(...)")
    cell.outputs = [nbformat.v4.new_output("display_data", data={"text/markdown": shown})]
    source = notebook(new_markdown_cell("(sec-x)=\n# X"), cell)
    names = pages.names("e", {"e": {"01": source}})
    once = pages.compose(source, source, names, "", ROOT)
    twice = pages.compose(source, once, names, "", ROOT)
    assert once.cells[1].outputs[0].data["text/markdown"] == (
        "{ref}`sec-x-e` and [rerun](../../../book/rerun.md)"
    )
    assert twice.cells[1].outputs == once.cells[1].outputs


def test_pages_show_the_outputs_without_the_repositorys_folder():
    output = nbformat.v4.new_output("stream", text=f"wrote {ROOT}/traces/x, not {ROOT}-other")
    assert pages.clean(output, ROOT).text == f"wrote ./traces/x, not {ROOT}-other"


# ---- files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: {}", "at least a title"),
        ("title: T\nparameter: {}", "unknown key 'parameter'"),
        ("title: T\nparameters: {model: x}", "unknown parameter 'model'; known are models"),
        ("- a list", "mapping"),
    ],
)
def test_a_wrong_edition_file_is_refused(text, message, tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_edition(path)


def test_an_editions_name_must_be_fit_for_a_label(tmp_path):
    path = tmp_path / "My edition.yml"
    path.write_text("title: T")
    with pytest.raises(ValueError, match="named with a-z"):
        read_edition(path)


def test_an_unknown_edition_or_pattern_lists_what_there_is(repository):
    with pytest.raises(ValueError, match="'medium'.*large, small"):
        book(repository).build(["medium"])
    (repository / "editions" / "small.yml").write_text("title: T\nnotebooks: ['9*']\n")
    with pytest.raises(ValueError, match="'9\\*'.*01-first, A-second"):
        book(repository)


def test_a_notebook_has_one_parameters_cell_with_known_names():
    assert parameter_names(notebook(parameters()), "01") == {"models", "seed"}
    with pytest.raises(ValueError, match="exactly one cell must be tagged parameters, found 0"):
        parameter_names(notebook(), "01")
    with pytest.raises(ValueError, match="unknown parameter 'model'"):
        parameter_names(notebook(parameters("model = 1")), "01")


def test_the_digest_does_not_depend_on_the_order_of_files(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1"), b.write_text("2")
    assert digest([a, b]) == digest([b, a])
    one = digest([a, b])
    a.write_text("2"), b.write_text("1")
    assert digest([a, b]) != one


def test_parts_written_by_hand_stay_in_the_table_of_contents(repository):
    part = {"caption": "Mine", "chapters": [{"file": "book/rerun"}]}
    back = {"caption": "Back", "chapters": [{"file": "book/references"}]}
    toc = {"format": "jb-book", "root": "book/index", "parts": [part, back]}
    (repository / "_toc.yml").write_text(yaml.safe_dump(toc))
    for _ in range(2):  # the second time from its own result
        (repository / "_toc.yml").write_text(book(repository).toc())
    parts = yaml.safe_load((repository / "_toc.yml").read_text())["parts"]
    assert parts[0] == part and parts[-1] == back
    assert [p["caption"] for p in parts[1:-1]] == [
        "large",
        "large · appendices",
        "Small models",
        "Small models · appendices",
    ]
    assert parts[3]["chapters"] == [{"file": "book/editions/small/01-first"}]


def test_adding_an_edition_does_not_overwrite_another(tmp_path):
    path = add_edition(tmp_path, "mine", {"models": ["a", "b"]})
    assert read_edition(path).parameters == {"models": ["a", "b"]}
    assert add_edition(tmp_path, "mine", {"models": ["a", "b"]}) == path
    with pytest.raises(FileExistsError, match="is there already"):
        add_edition(tmp_path, "mine", {"models": ["a", "c"]})


def test_an_edition_of_logs_leaves_out_the_chapters_that_ask_more_of_a_model(tmp_path):
    (tmp_path / "notebooks").mkdir()
    for stem in ("03-2-open-source-models", "04-2-ood", "05-limitations", "F-open-ended", "G-cost"):
        (tmp_path / "notebooks" / f"{stem}.ipynb").write_text("{}")
    logs = [str(ROOT / "tests" / "logs" / name) for name in ("atlas-s", "atlas-m")]
    path = add_edition(tmp_path, "logged", {"models": logs})
    assert read_edition(path).notebooks == ("03-2-open-source-models", "G-cost")
    beside = add_edition(tmp_path, "beside", {"models": ["atlas-s", logs[1]]})
    assert read_edition(beside).notebooks == ("*",)


def test_the_command_line_tells_what_is_out_of_date(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr("cclib.book.editions.Book", lambda: book(Path(".")))
    assert CliRunner().invoke(app, ["editions", "status"]).exit_code == 0
    edit(repository, "A-second", lambda cells: cells.append(new_code_cell("1")))
    result = CliRunner().invoke(app, ["editions", "status"])
    assert result.exit_code == 1 and "small/A-second: out of date" in result.output
    CliRunner().invoke(app, ["editions", "add", "new", "--models", "a, b", "--limit", "60"])
    assert read_edition(Path("editions/new.yml")).parameters == {"models": ["a", "b"], "limit": 60}


# ---- the repository's own notebooks ------------------------------------------------------------------

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_source_notebooks_are_stripped_and_parameterised(path):
    source = nbformat.read(path, as_version=4)
    for number, cell in enumerate(source.cells, 1):
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, (
                f"cell {number} has outputs: nbstripout"
            )
    assert parameter_names(source, path.stem) <= set(PARAMETERS)


# A cell shows 84 characters at 1,280 pixels, one in a solution 82; fonts differ a little.
SHOWN = 78


@pytest.mark.parametrize(
    "path", [*SOURCES, *sorted((ROOT / "book").glob("*.md")), ROOT / "README.md"], ids=lambda p: p.stem
)
def test_no_line_of_code_is_longer_than_a_page_shows(path):
    if path.suffix == ".md":
        cells = [nbformat.v4.new_markdown_cell(path.read_text())]
    else:
        cells = nbformat.read(path, as_version=4).cells
    fenced = re.compile(r"^```(?:\w+|\{code-block\}.*)\n(.*?)^```$", re.M | re.S)
    code = [[c.source] if c.cell_type == "code" else fenced.findall(c.source) for c in cells]
    long = [line for blocks in code for block in blocks for line in block.splitlines() if len(line) > SHOWN]
    assert not long, "\n".join(long)


@pytest.mark.slow
def test_readmes_python_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    exec("\n".join(blocks), {})
    assert blocks and "[" in capsys.readouterr().out


def test_the_repositorys_editions_are_well_formed():
    ours = Book(ROOT)
    assert "atlas" in ours.editions
    labels = [label for source in ours.sources.values() for label in pages.labels_of(source)]
    assert len(labels) == len(set(labels)), "a label is defined in two notebooks"


def test_executing_does_not_change_the_source(tmp_path):
    source = notebook(parameters(), new_code_cell("print(seed)"))
    before = nbformat.writes(source)
    ran = execute(source, {"seed": 5}, "01", "mine", tmp_path)
    assert nbformat.writes(source) == before
    assert ran.cells[-1].outputs[0].text == "5\n"


def test_the_front_page_holds_what_the_tagged_cells_printed():
    ran = new_notebook(cells=[new_code_cell("Markdown(said)", metadata={"tags": ["found"]})])
    ran.cells[0].outputs = [new_output("display_data", {"text/markdown": "- **s → l** keeps 70 %"})]
    assert pages.printed(ran, "found") == "- **s → l** keeps 70 %"
    assert pages.printed(ran, "parameters") == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_chapters_run_in_kernels_that_are_forked_warm_and_leave_nothing_behind(tmp_path):
    code = "print(os.getpid(), os.getcwd(), 'torch' in sys.modules, 'kept' in locals())"
    source = notebook(parameters(), new_code_cell(f"import os, sys\n{code}\nkept = 1"))
    said = [outputs(execute(source, {}, "01", "mine", tmp_path))[-1].split() for _ in range(2)]
    for process, folder, warm, kept in said:
        assert (folder, warm, kept) == (str(tmp_path), "True", "False")
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)
    assert said[0][0] != said[1][0]
