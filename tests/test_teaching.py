"""The book in a classroom: exercises, notebooks for students, slides; numbers and tables of the pages."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from cclib.__main__ import app
from cclib.book import teaching
from cclib.book.editions import Book
from cclib.display import tables

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
SOURCES = {p.stem: nbformat.read(p, as_version=4) for p in sorted((ROOT / "notebooks").glob("*.ipynb"))}

EXERCISE = "```{exercise-start}\n:label: ex-sum\n```\nWhat is 2 + 2?\n```{exercise-end}\n```\n\n"
SOLUTION = "```{solution-start} ex-sum\n:class: dropdown\n```\n"


def prose(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def code(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "code"]


def solved():
    """A chapter with an exercise whose solution is text, code, and text."""
    return new_notebook(
        cells=[
            new_markdown_cell("# Sums\n\n## Exercises\n\n" + EXERCISE + SOLUTION + "Add them."),
            new_code_cell("2 + 2"),
            new_markdown_cell("Four, since two and two are.\n```{solution-end}\n```\n\nGo on."),
            new_code_cell("after = 1"),
        ]
    )


# ---- every chapter -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", SOURCES)
def test_a_chapter_opens_with_its_aims_and_says_what_came_out(stem):
    text = prose(SOURCES[stem])
    first = SOURCES[stem].cells[0].source
    assert re.search(r"^\*\*Aims\.\*\* After this \w+ a reader ", first, re.M), stem
    computed = "\n".join(
        c.source for c in SOURCES[stem].cells if "remove-input" in c.metadata.get("tags", [])
    )
    assert computed, f"{stem}: nothing says in words what came out"
    if stem not in ("03-3-commercial-api", "A-2-routing", "I-sensitivity"):  # these say it where it comes out
        said = computed + "\n".join(re.findall(r"^## .*$", text, re.M))
        assert re.search(r"In short|\b(in_short|audited|policies)\.|\.in_short\(", said), stem


@pytest.mark.parametrize("stem", SOURCES)
def test_a_chapter_has_three_to_five_exercises_each_with_a_folded_solution(stem):
    text = prose(SOURCES[stem])
    asked = re.findall(r"```\{exercise-start\}\n:label: (\S+)\n```", text)
    answered = re.findall(r"```\{solution-start\} (\S+)\n:class: dropdown\n```", text)
    assert 3 <= len(asked) <= 5 and asked == answered, (asked, answered)
    assert text.count("{exercise-start}") == text.count("{exercise-end}") == len(asked)
    assert text.count("{solution-start}") == text.count("{solution-end}") == len(asked)


@pytest.mark.parametrize("stem", SOURCES)
def test_solutions_are_code_that_the_edition_executes(stem):
    solving, by_label = None, {}
    for cell in SOURCES[stem].cells:
        if cell.cell_type == "markdown":
            for fence in re.finditer(r"```\{solution-(start|end)\} ?(\S*)", cell.source):
                solving = fence[2] if fence[1] == "start" else None
                by_label.setdefault(solving, []) if solving else None
        elif solving:
            by_label[solving].append(cell.source)
    without = [label for label, cells in by_label.items() if not cells]
    assert without in ([], ["ex-models-power"]), "only what takes an afternoon is answered in prose alone"


def test_no_label_of_an_exercise_is_used_twice():
    labels = [label for n in SOURCES.values() for label in re.findall(r":label: (ex-\S+)", prose(n))]
    assert len(labels) == len(set(labels)) > 60


def test_a_solution_that_is_prose_is_left_out_whole():
    out = teaching.without_solutions(SOURCES["B-models"])
    assert "For an afternoon" in prose(out) and "crowd out" not in prose(out)


BY_HAND = ("02-1", "02-2", "03-2", "04-1", "04-2", "05", "A-1", "A-2", "E", "F", "G", "H", "I", "L")


@pytest.mark.parametrize("section", BY_HAND)
def test_a_chapter_works_its_computation_out_by_hand_and_compares_it_with_cclibs_on_the_page(section):
    cells = next(n for stem, n in SOURCES.items() if stem.startswith(f"{section}-")).cells
    tags = [c.metadata.get("tags", []) for c in cells]
    shown = [c.source for c, t in zip(cells, tags) if c.cell_type == "code" and "remove-input" not in t]
    assert any(re.search(r"^ *assert .*(==|allclose|isclose|<)", source, re.M) for source in shown)


@pytest.mark.parametrize("stem", SOURCES)
def test_cells_with_hidden_input_compute_nothing(stem):
    computing = (ast.Assign, ast.AugAssign, ast.NamedExpr, ast.For, ast.While, ast.comprehension, ast.BinOp)
    for cell in SOURCES[stem].cells:
        if {"hide-input", "remove-input"} & set(cell.metadata.get("tags", [])):
            steps = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, computing)]
            joins = [s for s in steps if isinstance(s, ast.BinOp) and isinstance(s.op, ast.Add)]  # of texts
            assert steps == joins, cell.source


def test_2_2_shows_the_pass_and_the_fit_themselves():
    shown = "\n".join(code(SOURCES["02-2-confidence"]))
    for step in (
        "model.network(",
        "torch.softmax(",
        ".max()",
        "LogisticRegression(",
        ".fit(",
        "np.maximum(x @ ",
    ):
        assert step in shown, step


@pytest.mark.parametrize("stem", SOURCES)
def test_every_drawing_cell_has_alternative_text(stem):
    drawing = [
        c for c in SOURCES[stem].cells if c.cell_type == "code" and re.search(r"plots\.\w+\(", c.source)
    ]
    silent = [c.source for c in drawing if not c.metadata.get("mystnb", {}).get("image", {}).get("alt")]
    assert not silent


@pytest.mark.parametrize("stem", SOURCES)
def test_what_the_text_refers_to_is_named_somewhere(stem):
    names = {
        m[label] for n in SOURCES.values() for label, m in [(0, [t]) for t in teaching.titles_of({"": n})]
    }
    asked = re.findall(r"\{(?:ref|numref)\}`([^`<>]+)`", prose(SOURCES[stem]))
    equations = {m for n in SOURCES.values() for m in re.findall(r"\$\$[ \t]*\(([^()\s]+)\)", prose(n))}
    assert set(asked) <= names | equations, set(asked) - names


# ---- students ----------------------------------------------------------------------------------------


def test_a_solution_becomes_one_empty_cell_and_the_rest_stays():
    out = teaching.without_solutions(solved())
    assert code(out) == ["# your answer", "after = 1"]
    assert "**Exercise.** What is 2 + 2?" in prose(out) and "Go on." in prose(out)
    assert "Add them" not in prose(out) and "Four" not in prose(out)
    assert "{exercise" not in prose(out) and "{solution" not in prose(out)
    nbformat.validate(out)


def test_the_notebook_that_is_stripped_is_not_changed():
    before = solved()
    kept = nbformat.writes(before)
    teaching.without_solutions(before)
    assert nbformat.writes(before) == kept


def test_a_solution_that_never_ends_is_refused():
    broken = new_notebook(cells=[new_markdown_cell(EXERCISE + SOLUTION)])
    with pytest.raises(ValueError, match="solution-start without solution-end"):
        teaching.without_solutions(broken)
    with pytest.raises(ValueError, match="solution-end.*nothing is open"):
        teaching.without_solutions(new_notebook(cells=[new_markdown_cell("```{solution-end}\n```")]))


def test_roles_are_put_into_words():
    titles = {"sec-a": "2.1 Selection"}
    sources = {"x2020": "Chen et al. (2020)", "y2021": "Xu and Li (2021)"}
    cases = {
        "(sec-a)=\n# Title": "# Title",
        "{cite:t}`x2020` say": "Chen et al. (2020) say",
        "so {cite:p}`x2020,y2021`.": "so (Chen et al., 2020; Xu and Li, 2021).",
        "as {cite}`y2021`": "as (Xu and Li, 2021)",
        "see {ref}`sec-a`": "see “2.1 Selection”",
        "see {ref}`here <sec-a>`": "see here",
        "a {term}`trace` that {term}`escalates <escalate>`": "a trace that escalates",
        "$p \\ge \\theta$ and `code`": "$p \\ge \\theta$ and `code`",
    }
    assert {text: teaching.plain(text, titles, sources) for text in cases} == cases


def test_every_chapter_is_written_for_students_without_an_answer(tmp_path):
    done = CliRunner().invoke(app, ["teach", "student", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    written = {p.stem: nbformat.read(p, as_version=4) for p in tmp_path.glob("*.ipynb")}
    assert set(written) == set(SOURCES)
    for stem, notebook in written.items():
        nbformat.validate(notebook)
        asked = prose(SOURCES[stem]).count("{exercise-start}")
        assert prose(notebook).count("**Exercise.** ") == code(notebook).count("# your answer") == asked
        assert not re.search(r"\{(cite|ref|numref|term|solution|exercise)\b", prose(notebook)), stem
        assert not any(c.get("outputs") for c in notebook.cells)
        ids = [c.id for c in notebook.cells]
        assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_a_students_notebook_runs(tmp_path):
    from cclib.book.editions import execute

    teaching.write_students(Book(ROOT), tmp_path)
    notebook = nbformat.read(tmp_path / "J-audit.ipynb", as_version=4)
    ran = execute(notebook, {}, "J-audit", "student", tmp_path)
    assert any(c.get("outputs") for c in ran.cells)


# ---- slides and times --------------------------------------------------------------------------------


def shown(source, kind="slide", **outputs):
    make = new_code_cell if outputs else new_markdown_cell
    return make(source, metadata={"slideshow": {"slide_type": kind}}, **outputs)


def test_slides_have_headings_and_lists_and_the_speaker_has_the_prose():
    notebook = new_notebook(
        cells=[shown("(sec-a)=\n# Title\n\nLong prose.\n\n- a point"), new_markdown_cell("not on a slide")]
    )
    slide, notes = teaching.deck([notebook], {}, {}).cells
    assert slide.source == "# Title\n\n- a point" and slide.metadata.slideshow.slide_type == "slide"
    assert notes.source == "Long prose." and notes.metadata.slideshow.slide_type == "notes"


def test_every_session_has_slides_of_chapters_that_are_there():
    for stems in teaching.SESSIONS.values():
        marked = {
            s for s in stems for c in SOURCES[s].cells if c.metadata.get("slideshow", {}).get("slide_type")
        }
        assert len(marked) >= 4 and set(stems) <= set(SOURCES)


def page(root, stem, seconds=None):
    """An executed chapter with one slide of each kind, in a repository of a test."""
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo="})
    table = new_output(
        "display_data", {"text/html": "<style>td {}</style><table><tr><td>7</td></tr></table>"}
    )
    cells = [
        shown(f"# {stem}\n\nSee {{ref}}`sec-a`."),
        shown("secret()", "subslide", outputs=[picture, table]),
        new_code_cell("hidden()", outputs=[new_output("stream", text="never shown")]),
    ]
    cells[1].metadata["mystnb"] = {"image": {"alt": "Dots and a line."}}
    path = root / "book" / "editions" / "atlas" / f"{stem}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"cclib": {"seconds": seconds}, "kernelspec": kernel}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


@pytest.fixture
def taught(tmp_path):
    """A repository in which the chapters of both sessions are executed."""
    for stems in teaching.SESSIONS.values():
        for i, stem in enumerate(stems):
            page(tmp_path, stem, seconds=30 * (i + 1))
    (tmp_path / "book" / "references.bib").write_text("")
    (tmp_path / "book" / "_templates").symlink_to(ROOT / "book" / "_templates")
    return Book(tmp_path, package=tmp_path / "package")


def test_a_deck_asks_nothing_of_another_host_and_its_images_are_described(taught, tmp_path):
    decks = teaching.write_slides(taught, tmp_path / "slides")
    assert [d.name for d in decks] == ["session-1.html", "session-2.html"]
    for deck in decks:
        html = deck.read_text()
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']*|@import[^;]*|from 'http[^']*""", html)
        assert 'alt="Dots and a line."' in html and "<td>7</td>" in html and "td {}" not in html
        assert "secret()" not in html and "never shown" not in html
        for address in re.findall(r"""(?:src|href)=["'](\.\./_static/[^"']+)""", html):
            assert (ROOT / "book" / address.removeprefix("../")).exists(), address


def test_slides_need_executed_notebooks(taught, tmp_path):
    taught.page("atlas", "01-introduction").unlink()
    with pytest.raises(FileNotFoundError, match="01-introduction.*editions build atlas"):
        teaching.write_slides(taught, tmp_path / "slides")


def test_the_plan_adds_up_the_seconds_that_notebooks_took(taught):
    lines = teaching.times(taught).splitlines()
    assert lines[2] == "| 1. Asking the small model first | 5 | 30, 60, 90, 120, 150 | 7.5 minutes |"
    page(taught.root, "01-introduction", seconds=None)
    assert "| ?, 60, 90, 120, 150 | not measured |" in teaching.times(taught)


# ---- tables of the pages -----------------------------------------------------------------------------


def test_a_printed_table_has_one_row_of_headers_with_scopes():
    pd = pytest.importorskip("pandas")
    from table_html import tidy

    frame = pd.DataFrame(
        {"n": [1, 2], "interval": ["[0.1, 0.2]", "atlas-s"]}, index=pd.Index(["a", "b"], name="who")
    )
    html, caption = tidy(frame.style.set_caption("What came out").to_html())
    assert caption == "What came out" and "<caption" not in html and "<style" not in html
    assert html.count("<tr>") == 3 and html.count('scope="col"') == 3 and html.count('scope="row"') == 2
    assert '<th scope="col">who</th>' in html and '<span class="whole">atlas-s</span>' in html
    assert html.count('class="number"') == 3


def test_a_table_of_nothing_says_so_and_stops_no_page():
    pd = pytest.importorskip("pandas")
    from table_html import tidy

    html, caption = tidy(pd.DataFrame().style.set_caption("Cost of one token").to_html())
    assert caption == "Cost of one token" and ">Nothing of it is known of these models.<" in html


def test_figures_are_numbered_by_the_chapter_of_their_page():
    from types import SimpleNamespace

    from results import number_by_chapter

    edition = "book/editions/atlas"
    figures = {
        f"{edition}/03-2-open-source-models": {
            "figure": {"fig-a": (7,), "fig-b": (8,)},
            "table": {"t": (1,)},
        },
        f"{edition}/B-models": {"figure": {"fig-c": (9,)}},
        f"{edition}/00-paper-against-this-edition": {"table": {"t": (2,)}},
        "book/rerun": {"table": {"t": (3,)}},
    }
    number_by_chapter(None, SimpleNamespace(toc_fignumbers=figures))
    assert list(figures[f"{edition}/03-2-open-source-models"]["figure"].values()) == [
        ("3", "2", "1"),
        ("3", "2", "2"),
    ]
    assert figures[f"{edition}/B-models"]["figure"]["fig-c"] == ("B", "1")
    assert figures[f"{edition}/00-paper-against-this-edition"]["table"]["t"] == ("0", "1")
    assert figures["book/rerun"]["table"]["t"] == (3,)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["", "https://github.com/owner/name"])
def test_one_setting_turns_the_launch_buttons_on(address, tmp_path):
    for name in ("_static", "_ext"):
        shutil.copytree(ROOT / "book" / name, tmp_path / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    config = (ROOT / "_config.yml").read_text()
    assert config.count('repository_url: ""') == 1
    (tmp_path / "_config.yml").write_text(
        config.replace('repository_url: ""', f'repository_url: "{address}"')
    )
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/editions/atlas/01-introduction\n")
    page(tmp_path, "01-introduction")
    builder = "from jupyter_book.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        builder,
        "build",
        str(tmp_path),
        "--path-output",
        str(tmp_path),
        "--quiet",
    ]
    subprocess.run(command, check=True, capture_output=True)
    html = (tmp_path / "_build/html/book/editions/atlas/01-introduction.html").read_text()
    launched = re.findall(r"https://(?:mybinder|colab)[^\"]*", html)
    assert len(launched) == (2 if address else 0)
    assert all(link.endswith("notebooks/01-introduction.ipynb") for link in launched)


def test_launch_buttons_open_the_notebooks_that_are_committed():
    from results import mend_page

    url = "https://mybinder.org/v2/gh/o/r/main?urlpath=lab/tree/book/editions/atlas/01-introduction.ipynb"
    context = {"header_buttons": [{"type": "group", "buttons": [{"url": url}]}, {"type": "javascript"}]}
    own = {"url": "../../../_sources/book/editions/atlas/01-introduction.ipynb"}
    context["header_buttons"].append({"type": "group", "buttons": [own]})
    mend_page(None, "p", "t", context, None)
    assert "_sources/book/editions/atlas/" in own["url"]  # a download has its file
    assert context["header_buttons"][0]["buttons"][0]["url"].endswith(
        "lab/tree/notebooks/01-introduction.ipynb"
    )


def test_a_chapters_number_is_in_its_files_name_and_is_no_other_chapters():
    import results

    found = {}
    for stem, source in SOURCES.items():
        if number := re.search(r"^# (\d\.\d?|[A-Z]\.\d?) ", prose(source), re.M):
            found[stem] = number[1].rstrip(".")
    assert {*SOURCES} - {*found} == {"00-paper-against-this-edition"}
    for stem, number in found.items():
        letter, part = results.CHAPTER.search(stem).groups()
        assert number == ".".join(filter(None, (letter.lstrip("0"), part))), stem
    assert len(set(found.values())) == len(found)


def test_sentences_beside_many_columns_become_notes_under_the_table():
    import table_html

    said = "A sentence that would make every row of the table ten lines tall."
    table = pd.DataFrame(1.0, ["a", "b", "c"], list("vwxyz")).assign(note=[said, "–", said])
    html, _ = table_html.tidy(tables.show(table).to_html())
    soup = BeautifulSoup(html, "html.parser")
    assert [note.text for note in soup("li")] == [f"note: {said}"]
    assert [row.th.text.strip() for row in soup("tr")[1:]] == ["a 1", "b", "c 1"]
    assert not table_html.is_wide(html)
    many = pd.DataFrame(1e6, ["a"], [f"column-{i}" for i in range(9)])
    assert table_html.is_wide(tables.show(many).to_html())


def test_a_table_too_wide_for_a_phone_stands_there_as_a_block_a_row():
    import table_html

    head = "".join(f"<th>{name}</th>" for name in ("chain", "rule", "accuracy", "difference", "compute"))
    numbers = "".join(f'<td><span class="whole">{n}.5% [{n}.1, {n}.9]</span></td>' for n in (80, 81, 82))
    rows = (f'<th rowspan="2">atlas-s → atlas-l</th><th>both</th>{numbers}', f"<th>P(T) alone</th>{numbers}")
    html = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    stacked = table_html.stack(f"<table>{html}</table>")
    cells = BeautifulSoup(stacked, "html.parser").find_all("td")
    assert [c["data-label"] for c in cells] == ["accuracy", "difference", "compute"] * 2
    assert 'class="stacked"' in stacked and all(len(c.find_all(class_="value")) == 1 for c in cells)
    again = BeautifulSoup(stacked, "html.parser").find_all("tr")[2].find_all("th")
    assert [(h.text, h["data-label"], h.has_attr("hidden")) for h in again] == [
        ("atlas-s → atlas-l", "chain", True), ("P(T) alone", "rule", False)
    ]  # fmt: skip
    head = "".join(
        f"<th>{name}</th>" for name in ("", "model", "a-heading-in-one-word", "another-of-that-kind")
    )
    row = "<th>0</th><td>atlas-s</td><td>–</td><td></td>"
    listed = f"<table><thead><tr>{head}</tr></thead><tr>{row}</tr></table>"
    left_out = BeautifulSoup(table_html.stack(listed), "html.parser").find_all(class_="nothing")
    assert [cell.text for cell in left_out] == ["0", "–", ""]  # a row's number, a dash, an empty cell
    narrow = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tr><td>1</td><td>2</td></tr></table>"
    assert table_html.stack(narrow) == narrow


def test_a_column_without_a_word_is_left_out():
    import table_html

    table = pd.DataFrame({"n": [1, 2], "note": ["", ""], "why": ["", "so"]}, index=["a", "b"])
    soup = BeautifulSoup(table_html.tidy(tables.show(table).to_html())[0], "html.parser")
    assert [cell.get_text(strip=True) for cell in soup.thead("th")] == ["", "n", "why"]
    assert [len(row.find_all(["th", "td"])) for row in soup("tr")] == [3, 3, 3]


def test_short_names_in_tables_of_the_prose_keep_on_one_line():
    import table_html

    kept = table_html.keep_names(
        "<table><tr><td>atlas-s → atlas-l</td><td>-0.30 (-1.21 to +0.58)</td></tr></table>"
    )
    assert [w.text for w in BeautifulSoup(kept, "html.parser").find_all(class_="whole")] == [
        "atlas-s", "atlas-l", "-0.30", "(-1.21",
    ]  # fmt: skip
