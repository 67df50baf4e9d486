"""The front page: its drawing, its figure's numbers, its sentences, and the book as one file."""

import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree
from zipfile import ZipFile

import matplotlib.pyplot as plt
import numpy as np
import pytest
from book_site import ROOT, made_up_study
from PIL import Image
from test_verdicts import study_of, three

from cclib import cost
from cclib.book import front as page
from cclib.book import pdf
from cclib.book.editions import Book
from cclib.display import front
from cclib.display.verdicts import judge, tally
from cclib.experiments.results import above_mixing
from cclib.experiments.routing.frontier import hull
from cclib.policies.walks import Step, Walk, digits
from cclib.questions import Question

ASKED = Question("q", "s", "Which `town` is <this>?", ("Rome & Ostia", "Lima"), 0)


def test_the_drawing_has_a_stage_a_step_and_takes_any_text():
    steps = [
        Step("small", 0.8, 0.4, 1, 0.9, 0.5),
        Step("large", 1.0, None, 0, 0.9, None, last=True, right=True),
    ]
    drawn = front.drawing(Walk(ASKED, steps))
    said = ElementTree.fromstring(drawn)
    texts = [e.text for e in said.iter("text")]
    assert "Which `town` is <this>?" in texts and "`" not in drawn
    assert "escalates: P(IK) and P(T) under the threshold" in texts
    assert any("Rome & Ostia" in text for text in texts) and "P(IK) is not used" in texts
    filled = [float(e.get("width")) for e in said.iter("rect") if e.get("class") == "value"]
    whole = float(next(e for e in said.iter("rect") if e.get("class") == "gauge").get("width"))
    assert np.allclose(filled, np.array([0.4, 0.8, 1.0]) * whole, atol=0.5)


def test_a_confidence_just_under_its_threshold_is_not_printed_as_if_it_reached_it():
    drawn = front.drawing(Walk(None, [Step("m", 0.899, 0.7, 1, 0.9, 0.5)]))
    assert "P(T) = 0.899" in drawn and "P(IK) = 0.70" in drawn
    assert digits(0.89997, 0.9) == "0.89997" and digits(0.9, 0.9) == "0.90" and digits(0.95, None) == "0.95"


def test_marks_and_stars_stand_where_the_compute_says():
    study = study_of(three())
    figure = front.trade_off({"Made": study}, 0.9, None)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    sizes = np.array(cost.stage_sizes(study.test))
    assert np.allclose(lines["one model alone"].get_xdata(), sizes / sizes[-1])
    for name, result in study.run_chains(0.9, None).items():
        if len(result.stages) > 1:
            spent = cost.compute(result, "every-pass").total
            alone = cost.stage_compute(sizes[-1], len(study))
            assert np.isclose(float(lines[name].get_xdata()[0]), spent / alone)
            assert np.isclose(float(lines[name].get_ydata()[0]), result.accuracy)
    plt.close(figure)


def test_random_mixing_is_the_best_line_between_any_two_models():
    x, y = hull(np.array([0.0, 0.5, 1.0]), np.array([0.2, 0.3, 0.8]))
    assert np.allclose(y, 0.2 + 0.6 * np.array(x))  # the middle model lies under the line of the other two


def test_chains_are_counted_by_their_verdicts():
    judged = [judge(7, 60, 1430), judge(3, 40, 1430), judge(0, 0, 1430, kept=False)]
    assert tally(judged) == "of 3 chains 2 lose accuracy, 1 is identical, for it keeps no question"
    assert tally(judged[:1]) == "its one chain loses accuracy"


def test_the_sentences_are_three_and_name_every_edition():
    said = front.sentences({"One": study_of(three()), "Two": study_of(three(seed=9))}, 0.9, None).splitlines()
    assert len(said) == 3 and all("on One" in line and "on Two" in line for line in said)


def test_of_random_mixing_the_range_is_of_those_that_beat_it_and_the_dearer_are_counted_apart():
    study = study_of(three(seed=3))
    models = dict(zip(study.models, study.test))
    runs = [r for r in study.run_chains(0.7, None).values() if len(r.stages) > 1]
    ahead = [m.points for m in (above_mixing(r, models) for r in runs) if m.interval[0] > 0 and not m.dearer]
    said = front.sentences({"Made": study}, 0.7, None).splitlines()[2]
    assert f"{len(ahead)} of {len(runs)} chains shown to beat it" in said and ahead
    assert (
        all(f"{end:+.2f}" in said for end in (min(ahead), max(ahead)))
        and len(re.findall(r"\d\.\d\d", said)) <= 2
    )
    idle = front.sentences({"Made": study}, 1.0, None).splitlines()[2]
    assert "4 of 4 chains cost no less than the last model alone" in idle and "beat" not in idle


def test_an_edition_without_a_compute_is_not_drawn():
    assert page.is_cascade(study_of(three())) and not page.is_cascade(made_up_study())


@pytest.mark.parametrize("file, name", [(pdf.PDF, "as-pdf"), (pdf.EPUB, "as-epub")])
def test_a_file_is_offered_where_it_is_there(tmp_path, file, name):
    (tmp_path / "book").mkdir()
    front_page = tmp_path / "book" / "index.html"
    front_page.write_text(f'<p id="{name}" hidden>a file</p>')
    pdf.offer(tmp_path)
    assert "hidden" in front_page.read_text()
    (tmp_path / file).write_bytes(b"")
    pdf.offer(tmp_path)
    assert front_page.read_text() == f'<p id="{name}">a file</p>'
    (tmp_path / file).unlink()
    pdf.offer(tmp_path)
    assert front_page.read_text() == f'<p id="{name}" hidden>a file</p>'


def test_the_readmes_pictures_are_of_the_traces_that_are_here():
    book = Book(ROOT)
    for picture in (ROOT / page.PICTURES).glob("*.png"):
        assert Image.open(picture).text["traces"] == page.traces_of(book), f"{picture.name}: make pictures"


@pytest.mark.slow
def test_the_epub_is_well_formed_and_shows_formulas_without_scripts(tmp_path):
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("*.ipynb", "explorer"))
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "book" / "index.md").write_text("# Book\n\n$p_i$ and <svg/>\n\n$$\\sum_i x_i \\ge 1$$\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters: [file: book/explorer]\n")
    builder = ["--builder", "custom", "--custom-builder", "epub"]
    call = "from jupyter_book.cli.main import main; main()"
    run = [sys.executable, "-c", call, "build", str(tmp_path), "--path-output", str(tmp_path), *builder]
    done = subprocess.run(run, capture_output=True, text=True)
    written = tmp_path / "_build" / "epub" / pdf.EPUB
    assert written.exists(), done.stderr[-2000:]
    with ZipFile(written) as file:
        assert file.namelist()[0] == "mimetype"
        pages = {name: file.read(name).decode() for name in file.namelist() if name.endswith(".xhtml")}
        package = file.read("content.opf").decode()
    for written in pages.values():
        ElementTree.fromstring(written)
    assert pages["book/index.xhtml"].count("<math") == 2 and "\\(" not in pages["book/index.xhtml"]
    assert 'href="book/index.xhtml" media-type="application/xhtml+xml" properties="mathml svg"' in package
    assert "explorer.xhtml" in pages["nav.xhtml"]


def test_without_a_browser_or_a_book_it_is_said_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="make book"):
        pdf.write(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install one"), pdf.open_browser():
        pass


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="no Chromium or Chrome")
def test_the_pages_become_one_file_with_contents_numbers_outline_and_links(tmp_path):
    pypdf = pytest.importorskip("pypdf")
    html = tmp_path / "_build" / "html"
    (html / "book").mkdir(parents=True)
    (html / "index.html").write_text("")
    for name, to in (("index", "b"), ("a", "index"), ("b", "a")):
        long = "<p style='break-before:page'>more</p>" * (name == "a")
        fold = "<details><summary>all</summary>what is folded</details>"
        text = f"{fold}<h1>Page {name}</h1><a href='{to}.html'>to {to}</a><a href='lost.html'>lost</a>{long}"
        (html / "book" / f"{name}.html").write_text(text)
    (tmp_path / "_toc.yml").write_text(
        "root: book/index\nparts:\n- caption: Part\n  chapters:\n  - file: book/a\n  - file: book/b\n"
    )
    reader = pypdf.PdfReader(pdf.write(tmp_path, echo=lambda _: None))
    texts = [re.sub(r"\s+", " ", sheet.extract_text()).strip() for sheet in reader.pages]
    assert len(texts) == 5 and [text.split()[-1] for text in texts] == list("12345")
    assert "Page a 3" in re.sub(r"(?<=\D)(?=\d)", " ", texts[1]).replace("  ", " ")
    assert "what is folded" in texts[0]  # nobody opens it on paper
    outline = reader.outline
    assert [item.title for item in outline[:3]] == ["Page index", "Contents", "Part"]
    assert [reader.get_destination_page_number(item) for item in outline[3]] == [2, 4]
    links = [a.get_object() for sheet in reader.pages for a in sheet.get("/Annots", ())]
    assert len(links) == 5 and not any(
        "/A" in link for link in links
    )  # "lost" leads nowhere, no path is kept
