"""The built pages as one PDF, printed by an installed Chromium, without LaTeX.

Each page is printed by itself. The parts are put together with an outline, a printed table of contents, page
numbers, and links that lead from page to page within the file.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import yaml
from bs4 import BeautifulSoup

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from pypdf import PdfReader, PdfWriter

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PDF, EPUB = "book.pdf", "book.epub"
INTERACTIVE = ("book/explorer",)  # a page of sliders is nothing on paper
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
OFFER = '<p id="{}"( hidden(="")?)?>'


@dataclass
class Chapter:
    """A page of the book: its part's heading, its own title, where it was built, how it printed."""

    part: str
    title: str
    page: Path
    printed: Path
    first: int = 0  # number of its first page, from 1


def write(root: Path, echo: Callable[[str], None] = print) -> Path:
    """Print the book in `_build/html` to `book.pdf` beside its pages, and offer it on the front page.

    Raises:
        FileNotFoundError: no built pages, or no Chromium or Chrome.
    """
    html = root / "_build" / "html"
    if not (html / "index.html").exists():
        raise FileNotFoundError(f"there is no book at {html}: make book")
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        chapters = read_toc(root, html, Path(folder))
        for number, chapter in enumerate(chapters, 1):
            echo(f"[{number}/{len(chapters)}] {chapter.title}")
            print_page(browser, chapter.page, chapter.printed)
        shutil.move(assemble(chapters, browser, Path(folder)), html / PDF)
    offer(html)
    return html / PDF


@contextmanager
def open_browser() -> Iterator[Browser]:
    """An installed Chromium or Chrome, without a window.

    Raises:
        FileNotFoundError: there is none.
    """
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise FileNotFoundError(
            f"this needs an installed Chromium or Chrome, and found none ({', '.join(BROWSERS)}): install one"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


def read_toc(root: Path, html: Path, folder: Path) -> list[Chapter]:
    """The book's pages in the order of `_toc.yml`, the front page first."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    listed = [("", toc["root"])] + [(p["caption"], c["file"]) for p in toc["parts"] for c in p["chapters"]]
    chapters = []
    for number, (part, file) in enumerate(listed):
        page = html / f"{file}.html"
        if file not in INTERACTIVE and page.exists():
            heading = BeautifulSoup(page.read_text(), "html.parser").find("h1")
            title = heading.get_text().rstrip("#").strip() if heading else Path(file).name
            chapters.append(Chapter(part, title, page, folder / f"{number:03}.pdf"))
    return chapters


def open_page(browser: Browser, page: Path, **options: Any) -> Page:
    """A built page, loaded in the light theme."""
    tab = browser.new_page(color_scheme="light", **options)
    tab.set_default_timeout(120_000)  # patient on busy machines
    tab.goto(page.resolve().as_uri(), wait_until="load")
    return tab


def print_page(browser: Browser, page: Path, to: Path) -> None:
    """Print one page, its folds open, when its formulas are set."""
    tab = open_page(browser, page)
    tab.evaluate("document.querySelectorAll('details:not(.hide)').forEach(fold => { fold.open = true; })")
    tab.evaluate("window.MathJax?.startup?.promise")
    tab.pdf(path=to, format="A4", prefer_css_page_size=True)
    tab.close()


def assemble(chapters: Sequence[Chapter], browser: Browser, folder: Path) -> Path:
    """One file of the printed chapters, with contents, outline, numbers and links."""
    from pypdf import PdfReader, PdfWriter

    readers = [PdfReader(chapter.printed) for chapter in chapters]
    lengths = [len(reader.pages) for reader in readers]
    contents = _contents(chapters, browser, folder)  # once without numbers, to see how long it is
    at = 1 + len(contents.pages)
    for chapter, length in zip(chapters[1:], lengths[1:]):
        chapter.first = at + lengths[0]
        at += length
    contents = _contents(chapters, browser, folder)
    writer = PdfWriter()
    for pages in (readers[0].pages, contents.pages, *(reader.pages for reader in readers[1:])):
        for page in pages:
            writer.add_page(page)
    chapters[0].first = 1
    numbers = PdfReader(_numbers(len(writer.pages), browser, folder))
    for page, number in zip(writer.pages, numbers.pages):
        page.merge_page(number)
        page.compress_content_streams()  # merging unpacks them
    _outline(writer, chapters, lengths[0] + 1)
    _link(writer, {chapter.page.resolve(): chapter.first for chapter in chapters})
    writer.add_metadata({"/Title": chapters[0].title})
    writer.compress_identical_objects()
    path = folder / PDF
    writer.write(path)
    return path


def _contents(chapters: Sequence[Chapter], browser: Browser, folder: Path) -> PdfReader:
    from pypdf import PdfReader

    lines, part = ["<h1>Contents</h1>"], ""
    for chapter in chapters[1:]:
        if chapter.part != part:
            part = chapter.part
            lines.append(f"<h2>{escape(part)}</h2>")
        title = f"<span>{escape(chapter.title)}</span>"
        lines.append(f'<a href="{chapter.page.resolve().as_uri()}">{title}<b>{chapter.first}</b></a>')
    style = (
        "@page{size:A4;margin:18mm 15mm}body{font:10.5pt sans-serif}h1{font-size:20pt}"
        "h2{font-size:11.5pt;margin:9pt 0 2pt;break-after:avoid}a{display:flex;"
        "justify-content:space-between;color:#000;text-decoration:none;"
        "border-bottom:.5pt dotted #999;margin-left:8pt}b{font-weight:400}"
    )
    return PdfReader(_printed(f"<style>{style}</style>{''.join(lines)}", "contents", browser, folder))


def _numbers(pages: int, browser: Browser, folder: Path) -> Path:
    """So many empty pages with a number at the foot of each."""
    style = (
        "@page{size:A4;margin:0}body{margin:0}p{height:296mm;margin:0;padding-top:286mm;box-sizing:border-box;"
        "text-align:center;font:9pt sans-serif;break-after:page}p:last-child{break-after:auto}"
    )
    lines = "".join(f"<p>{number}</p>" for number in range(1, pages + 1))
    return _printed(f"<style>{style}</style>{lines}", "numbers", browser, folder)


def _printed(body: str, name: str, browser: Browser, folder: Path) -> Path:
    source = folder / f"{name}.html"
    source.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>{body}')
    print_page(browser, source, folder / f"{name}.pdf")
    return folder / f"{name}.pdf"


def _outline(writer: PdfWriter, chapters: Sequence[Chapter], contents: int) -> None:
    writer.add_outline_item(chapters[0].title, 0)
    writer.add_outline_item("Contents", contents - 1)
    part, above = "", None
    for chapter in chapters[1:]:
        if chapter.part != part:
            part = chapter.part
            above = writer.add_outline_item(part, chapter.first - 1, is_open=False)
        writer.add_outline_item(chapter.title, chapter.first - 1, parent=above)


def _link(writer: PdfWriter, places: dict[Path, int]) -> None:
    """Links to built pages lead to where they stand in the file; none keeps a path of this machine."""
    from pypdf.generic import ArrayObject, NameObject

    for page in writer.pages:
        kept = ArrayObject()
        for annotation in page.get("/Annots", ()):
            link = annotation.get_object()
            address = str(link.get("/A", {}).get("/URI", ""))
            if not address.startswith("file:"):
                kept.append(annotation)
                continue
            first = places.get(Path(unquote(urlparse(address).path)))
            if first is not None:
                del link["/A"]
                to = writer.pages[first - 1].indirect_reference
                link[NameObject("/Dest")] = ArrayObject([to, NameObject("/Fit")])
                kept.append(annotation)
        if "/Annots" in page:
            page[NameObject("/Annots")] = kept


def offer(html: Path) -> None:
    """Show the front page's links to the PDF and the EPUB where the file is there, hide them where not."""
    page = html / "book" / "index.html"
    if not page.exists():
        return
    shown = text = page.read_text()
    for file in (PDF, EPUB):
        name = f"as-{file.rpartition('.')[2]}"
        hidden = "" if (html / file).exists() else " hidden"
        shown = re.sub(OFFER.format(name), f'<p id="{name}"{hidden}>', shown)
    if shown != text:
        page.write_text(shown)
