"""The book in a classroom: notebooks without their solutions, slides, and how long a session takes to run.

Jupyter shows plain Markdown, so roles and directives of MyST are put into plain words here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from cclib.book.editions import Book

# what each session of the course runs, in its order; book/course.md says what is done with it
SESSIONS = {
    "Asking the small model first": (
        "01-introduction", "02-1-model-selection", "02-2-confidence", "03-1-setup", "03-2-open-source-models",
    ),
    "Does it hold?": ("04-1-ablation", "E-significance", "G-cost", "I-sensitivity", "05-limitations"),
}  # fmt: skip

FENCE = re.compile(r"^```\{(exercise|solution)-(start|end)\}.*?^```[ \t]*$\n?", re.M | re.S)
CITE = re.compile(r"\{cite(?::(?P<kind>\w+))?\}`(?P<keys>[^`]+)`")
REFERENCE = re.compile(r"\{(?:ref|numref|doc)\}`(?:(?P<text>[^`<]*?)\s*<)?(?P<label>[^`<>]+)>?`")
TERM = re.compile(r"\{term\}`([^`<]*?)(?:\s*<[^`>]*>)?`")
LABEL = re.compile(r"^\([^()\s]+\)=[ \t]*\n", re.M)
ON_A_SLIDE = ("#", "-", "|", "$$", ">", "**", "![")  # the rest of a cell's prose is for the speaker


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """A copy in which every solution is one empty code cell; the exercises stay.

    Raises:
        ValueError: an exercise or a solution that begins does not end, or the other way round.
    """
    cells: list[NotebookNode] = []
    inside = None  # the directive that is open
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            if inside != "solution":
                cells.append(deepcopy(cell))
            continue
        before, *fences = FENCE.split(cell.source)
        kept = "" if inside == "solution" else before
        for what, edge, text in zip(fences[::3], fences[1::3], fences[2::3]):
            if inside != (what if edge == "end" else None):
                raise ValueError(f"{{{what}-{edge}}} where {inside or 'nothing'} is open")
            inside = None if edge == "end" else what
            if inside == "solution":
                cells += _prose(kept, cell)
                cells.append(new_code_cell("# your answer", id=f"answer-{len(cells)}"))
                kept = ""
            else:
                kept += ("**Exercise.** " if inside else "") + text
        cells += _prose(kept, cell)
    if inside:
        raise ValueError(f"{inside}-start without {inside}-end")
    seen: set[str] = set()
    for i, cell in enumerate(cells):  # a cell that was cut in two has its id twice
        if cell.get("id") in seen:
            cell.id = f"{cell.id}-{i}"[:64]
        seen.add(cell.id)
    return new_notebook(cells=cells, metadata=deepcopy(notebook.metadata))


def _prose(text: str, cell: NotebookNode) -> list[NotebookNode]:
    text = text.strip("\n")
    return [new_markdown_cell(text, id=cell.id, metadata=deepcopy(cell.metadata))] if text else []


def plain(text: str, titles: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """MyST text as Markdown that Jupyter shows: references and citations in words.

    Args:
        text: of a Markdown cell.
        titles: of what has a label, by label.
        sources: "Author et al. (year)" by BibTeX key.
    """

    def cited(match: re.Match) -> str:
        names = [sources.get(key.strip(), key.strip()) for key in match["keys"].split(",")]
        if match["kind"] == "t":
            return ", ".join(names)
        return "(" + "; ".join(name.replace(" (", ", ").rstrip(")") for name in names) + ")"

    text = LABEL.sub("", text)
    text = CITE.sub(cited, text)
    text = TERM.sub(r"\1", text)
    return REFERENCE.sub(lambda m: m["text"] or f"“{titles.get(m['label'], m['label'])}”", text)


def titles_of(notebooks: Mapping[str, NotebookNode]) -> dict[str, str]:
    """Headings and captions by the label that refers to them."""
    found = {}
    for notebook in notebooks.values():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                found |= dict(re.findall(r"^\((\S+)\)=\s*\n#+ (.*)$", cell.source, re.M))
            settings = cell.metadata.get("mystnb", {})
            for what in ("figure", "table"):
                if name := settings.get(what, {}).get("name"):
                    found[name] = f"the {what} “{name}”"
    return found


def sources_of(bibliography: Path) -> dict[str, str]:
    """Author et al. (year), of every entry of a BibTeX file."""
    from pybtex.database import parse_file  # comes with sphinxcontrib-bibtex, which only the book needs

    found = {}
    for key, entry in parse_file(str(bibliography)).entries.items():
        names = [" ".join(p.last_names) for p in entry.persons["author"]]
        who = (
            names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
        )
        found[key] = re.sub(r"[{}]", "", f"{who} ({entry.fields['year']})")
    return found


def write_students(book: Book, folder: Path) -> list[Path]:
    """Every source notebook without solutions, into `folder`; they run where the package is installed."""
    titles, sources = titles_of(book.sources), sources_of(book.root / "book" / "references.bib")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stem, source in book.sources.items():
        notebook = without_solutions(source)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = plain(cell.source, titles, sources)
        notebook.nbformat_minor = 5
        written.append(folder / f"{stem}.ipynb")
        nbformat.write(notebook, written[-1])
    return written


def deck(
    notebooks: Sequence[NotebookNode], titles: Mapping[str, str], sources: Mapping[str, str]
) -> NotebookNode:
    """One notebook of the cells that have a `slideshow` type, for nbconvert.

    Of a Markdown cell the headings, lists, formulas and bold beginnings are on the slide, its other
    paragraphs in the speaker's notes.
    """
    cells = []
    for notebook in notebooks:
        for cell in notebook.cells:
            kind = cell.metadata.get("slideshow", {}).get("slide_type")
            if kind in (None, "", "skip"):
                continue
            if cell.cell_type == "markdown":
                text = plain(FENCE.sub("", cell.source), titles, sources)
                blocks = re.split(r"\n{2,}", text.strip())
                shown = [b for b in blocks if b.startswith(ON_A_SLIDE)]
                said = [b for b in blocks if not b.startswith(ON_A_SLIDE)]
                cells.append(_slide(new_markdown_cell("\n\n".join(shown)), kind))
                if said:
                    cells.append(_slide(new_markdown_cell("\n\n".join(said)), "notes"))
            else:
                cells.append(_slide(_described(deepcopy(cell), titles, sources), kind))
    for i, cell in enumerate(cells):
        cell.id = f"slide-{i}"
    return new_notebook(cells=cells)


def _slide(cell: NotebookNode, kind: str) -> NotebookNode:
    cell.metadata = NotebookNode(slideshow=NotebookNode(slide_type=kind))
    return cell


def _described(cell: NotebookNode, titles: Mapping[str, str], sources: Mapping[str, str]) -> NotebookNode:
    """Outputs with the images' descriptions, tables without their own style, text without roles."""
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            output.metadata["image/png"] = output.metadata.get("image/png", {}) | {"alt": alt}
        if "text/html" in data:
            data["text/html"] = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.S)
        if "text/markdown" in data:
            data["text/markdown"] = plain(data["text/markdown"], titles, sources)
    return cell


def write_slides(book: Book, folder: Path, edition: str = "atlas") -> list[Path]:
    """A deck of reveal.js slides for each session, from an edition's executed notebooks.

    The pages expect reveal.js and MathJax at `../_static`, as the built book has them.

    Raises:
        FileNotFoundError: a notebook of a session is not executed.
    """
    from nbconvert import SlidesExporter

    titles, sources = titles_of(book.sources), sources_of(book.root / "book" / "references.bib")
    titles |= {f"{label}-{edition}": title for label, title in titles.items()}  # as its pages call them
    options: dict[str, Any] = {
        "template_name": "slides",
        "extra_template_basedirs": [str(book.root / "book" / "_templates")],
        "reveal_url_prefix": "../_static/reveal",
        "reveal_theme": "white",
        "exclude_input": True,
        "exclude_anchor_links": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (title, stems) in enumerate(SESSIONS.items(), 1):
        pages = [book.page(edition, stem) for stem in stems]
        if missing := [p for p in pages if not p.exists()]:
            raise FileNotFoundError(f"{missing[0]} is not there: python -m cclib editions build {edition}")
        slides = deck([nbformat.read(p, as_version=4) for p in pages], titles, sources)
        opening = new_markdown_cell(f"# {title}\n\n**Session {number} of {len(SESSIONS)}**", id="opening")
        slides.cells.insert(0, _slide(opening, "slide"))
        slides.metadata["title"] = title
        text, _ = SlidesExporter(**options).from_notebook_node(slides)
        written.append(folder / f"session-{number}.html")
        written[-1].write_text(text)
    return written


def times(book: Book, edition: str = "atlas") -> str:
    """How long the notebooks of each session took when they were last executed (Markdown)."""
    lines = ["| session | notebooks | seconds, one by one | together |", "| --- | --- | --- | --: |"]
    sessions = {f"{n}. {title}": stems for n, (title, stems) in enumerate(SESSIONS.items(), 1)}
    for what, stems in (sessions | {"all chapters and appendices": book.chapters.get(edition, [])}).items():
        took = [_seconds(book.page(edition, stem)) for stem in stems]
        each = ", ".join("?" if s is None else f"{s:.0f}" for s in took) if what in sessions else ""
        together = f"{sum(took) / 60:.1f} minutes" if took and None not in took else "not measured"
        lines.append(f"| {what} | {len(stems)} | {each} | {together} |")
    return "\n".join([*lines, ""])


def _seconds(page: Path) -> float | None:
    if not page.exists():
        return None
    return nbformat.read(page, as_version=4).metadata.get("cclib", {}).get("seconds")
