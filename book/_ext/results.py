"""Sphinx: what notebooks print, as a reader needs it.

Figures and captioned tables get numbers that go by the chapter ("Table 3.2.1" is the first of Section 3.2,
in every edition), tables get headers that a screen reader can follow, and launch buttons open the notebooks'
sources.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import Tag
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from cclib.book import pdf

CHAPTER = re.compile(r"(?:^|/)(\d\d|[A-Z])(?:-(\d))?-[^/]+$")  # 03-2-open-source-models, A-1-..., B-models
WHOLE = re.compile(
    r"\[[^\]]{1,38}\]|^(?=.{1,18}$)\S+( → \S+)+|\S*\w-\S{1,38}|[+-]\d\S*"
)  # intervals, names with a hyphen, signed numbers
ONE = r"[-+]?\d[\d.,]*(?:e[-+]\d+)?%?"
NUMBER = re.compile(rf"–|nan|{ONE}|(?:{ONE} )?\[{ONE}, {ONE}\]")  # an estimate, its interval, or both
NOTHING = "<tbody><tr><td>Nothing of it is known of these models.</td></tr></tbody>"
COLUMN, CHARACTER, PADDING = 640, 9, 17  # pixels: the page's text, a table's letter, around a cell
PHONE = 300, 7.5, 11  # the same on a phone


class results_table(nodes.General, nodes.Element):
    """A table that a cell printed: `html` without its caption, and the caption's text as `title`."""


class Results(SphinxTransform):
    """Images that cells drew become figures, tables with a caption become numbered tables."""

    default_priority = 400  # before labels are collected

    def apply(self, **kwargs: Any) -> None:
        for cell in list(
            self.document.findall(lambda n: n.get("nb_element") == "cell_code" if _element(n) else False)
        ):
            named = cell.get("cell_metadata", {}).get("mystnb", {})
            for image in list(cell.findall(nodes.image)):
                if not isinstance(image.parent.parent.parent, nodes.figure):  # in one already
                    self._figure(image)
            name = named.get("table", {}).get("name")
            for raw in list(cell.findall(nodes.raw)):
                if raw.get("format") == "html" and "<table" in raw.astext():
                    if self._table(raw, name):
                        name = None  # of several tables the first has the label

    def _figure(self, image: nodes.image) -> None:
        figure = nodes.figure()
        image.replace_self(figure)
        figure += [image, nodes.caption(image.get("alt", ""), image.get("alt", ""))]
        self.document.set_id(figure)

    def _table(self, raw: nodes.raw, name: str | None) -> bool:
        html, caption = tidy(raw.astext())
        table = results_table(html=html, title=caption)
        if caption and name:
            table["names"].append(nodes.fully_normalize_name(name))
            self.document.note_explicit_target(table)
        elif caption:
            self.document.set_id(table)
        raw.replace_self(table)
        return bool(caption)


def _element(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Element)


def tidy(html: str) -> tuple[str, str]:
    """A pandas table's HTML with one row of headers where two say the same, scopes, and no style of its own.

    Returns:
        The table, and the text of its caption, which is taken out.
    """
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.find_all("style"):
        style.decompose()
    caption = soup.find("caption")
    title = caption.extract().get_text() if caption else ""
    for table in soup.find_all("table"):
        table.attrs = {"class": "table"}
        if not table.find("tr"):  # of models that lack what it is made of
            table.append(BeautifulSoup(NOTHING, "html.parser"))
        for part in table.find_all(["tr", "th", "td"]):
            part.attrs = {k: v for k, v in part.attrs.items() if k in ("rowspan", "colspan")}
        _join_headers(table)
        for cell in table.find_all(["th", "td"]):
            if cell.name == "th":
                cell["scope"] = "col" if cell.find_parent("thead") else "row"
            said = cell.get_text(strip=True)
            if NUMBER.fullmatch(said):
                cell["class"] = "number"
            elif len(said) > 40:
                cell["class"] = "sentence"
            _keep_whole(soup, cell)
        _notes_below(soup, table)
    return str(soup), title


def _notes_below(soup: BeautifulSoup, table: Tag) -> None:
    """Columns of sentences beside many others become notes under the table, numbered at their rows."""
    head, *body = (row.find_all(["th", "td"]) for row in table.find_all("tr"))
    if len(head) < 5 or any(len(row) != len(head) for row in body):
        return
    notes: list[str] = []
    for i in [i for i in range(1, len(head)) if any("sentence" in row[i].get("class", "") for row in body)]:
        for row in body:
            if (said := row[i].get_text(" ", strip=True)) and said != "–":
                note = f"{head[i].get_text(strip=True)}: {said}"
                notes += [] if note in notes else [note]
                mark = soup.new_tag("sup", string=f" {notes.index(note) + 1}")
                row[0].append(mark)
        for row in (head, *body):
            row[i].decompose()
    if notes:
        below = soup.new_tag("ol", attrs={"class": "table-notes"})
        below.extend(soup.new_tag("li", string=note) for note in notes)
        table.insert_after(below)


def _is_wide(html: str, column: int = COLUMN, character: float = CHARACTER, padding: int = PADDING) -> bool:
    """Whether a table's longest words, side by side, take more room than the page's text has, in pixels."""
    longest: dict[int, int] = {}
    for row in BeautifulSoup(html, "html.parser").find_all("tr"):
        for i, cell in enumerate(row.find_all(["th", "td"])):
            whole = [span.extract().get_text() for span in cell.find_all(class_="whole")]
            longest[i] = max([longest.get(i, 0), *map(len, [*whole, *cell.get_text().split()])])
    return sum(character * n + padding for n in longest.values()) > column


def stack(html: str) -> str:
    """A table too wide for a phone, marked to stand there as one block a row, each cell beside its heading.

    Cells are counted from the right: headers that span rows are missing on the left.
    """
    if not _is_wide(html, *PHONE):
        return html
    soup = BeautifulSoup(html, "html.parser")
    rows = soup.find_all("tr")
    top = soup.thead.find_all("tr")[-1] if soup.thead else rows[0]
    head = [cell.get_text(" ", strip=True) for cell in top.find_all(["th", "td"])]
    for row in rows:
        cells = row.find_all(["th", "td"])
        for cell, name in zip(reversed(cells), reversed(head)):
            if cell.name == "td":
                cell["data-label"] = name
    soup.table["class"] = [*soup.table.get("class", []), "stacked"]
    return str(soup)


def _join_headers(table: Tag) -> None:
    """pandas prints the index's name in a row of its own: it goes into the empty corner above it."""
    rows = table.thead.find_all("tr") if table.thead else []
    if len(rows) < 2:
        return
    above, below = (row.find_all("th") for row in rows[-2:])
    names = [c for c in below if c.get_text(strip=True)]
    corner = above[: len(names)]
    if (
        below[: len(names)] == names
        and len(corner) == len(names)
        and not any(c.get_text(strip=True) for c in corner)
    ):
        for empty, name in zip(corner, names):
            empty.string = name.get_text(strip=True)
        rows[-1].decompose()


def _keep_whole(soup: BeautifulSoup, cell: Tag) -> None:
    """No line break within `[70.9%, 75.6%]`, `atlas-s` or `3B → 8B → 70B`."""
    for text in list(cell.find_all(string=True)):
        parts, at = [], 0
        for match in WHOLE.finditer(text):
            whole = soup.new_tag("span", attrs={"class": "whole"})
            whole.string = match[0]
            parts += [text[at : match.start()], whole]
            at = match.end()
        if parts:
            text.replace_with(*parts, text[at:])


def visit_table(translator: Any, node: results_table) -> None:
    title = translator.encode(node["title"] or "Table")
    label = f' id="{node["ids"][0]}"' if node["ids"] else ""
    wide = " full-width" if _is_wide(node["html"]) else ""
    translator.body.append(
        f'<div class="results-table{wide}"{label} role="region" tabindex="0" aria-label="{title}">'
    )
    before, _, after = node["html"].partition('<table class="table">')
    translator.body.append(f'{before}<table class="table">')
    if node["title"]:
        translator.body.append("<caption>")
        translator.add_fignumber(node)
        translator.body.append(f'<span class="caption-text">{title}</span>')
        translator.add_permalink_ref(node, "Link to this table")
        translator.body.append("</caption>")
    translator.body.append(f"{after}</div>")
    raise nodes.SkipNode


def skip(translator: Any, node: results_table) -> None:
    raise nodes.SkipNode


def not_drawn(app: Sphinx, env: Any, node: nodes.Element, text: nodes.Element) -> nodes.Node | None:
    """An edition may lack what a figure or table is drawn from; a reference to it then says so."""
    target = node.get("reftarget", "")
    if node.get("reftype") == "numref" and target.startswith(("fig-", "tab-")):
        return nodes.emphasis(
            "", f"a {'figure' if target.startswith('fig-') else 'table'} not drawn in this edition"
        )
    return None


def number_by_chapter(app: Sphinx, env: Any) -> list[str]:
    """Figures, tables and exercises count within their chapter, which has the paper's own number."""
    for docname, kinds in env.toc_fignumbers.items():
        if match := CHAPTER.search(docname):
            chapter = (match[1].lstrip("0") or "0", *([match[2]] if match[2] else []))
            for kind, numbers in kinds.items():
                kinds[kind] = {label: (*chapter, str(i)) for i, label in enumerate(numbers, 1)}
    return []


def mend_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Launch buttons open `notebooks/`, a list of sources is no ARIA list, wide tables stack on a phone."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "url" in button:
                button["url"] = re.sub(r"book/editions/[^/]+/", "notebooks/", button["url"])
    if "body" in context:
        body = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )
        context["body"] = re.sub(r"<table\b.*?</table>", lambda m: stack(m[0]), body, flags=re.S)


def only_with_an_address(app: Sphinx, config: Any) -> None:
    """Without an address there is nothing to launch, and the theme would stop at an empty one."""
    if not config.html_theme_options.get("repository_url"):
        for name in ("repository_url", "launch_buttons"):
            config.html_theme_options.pop(name, None)


def offer_files(app: Sphinx, exception: Exception | None) -> None:
    """The front page links to the PDF and the EPUB where they are there."""
    if exception is None and app.builder.name == "html":
        pdf.offer(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_enumerable_node(
        results_table, "table", title_getter=lambda node: node["title"], html=(visit_table, None),
        latex=(skip, None), text=(skip, None), man=(skip, None), texinfo=(skip, None),
    )  # fmt: skip
    app.add_transform(Results)
    app.connect("config-inited", only_with_an_address)
    app.connect("missing-reference", not_drawn)
    app.connect("env-get-updated", number_by_chapter, priority=900)
    app.connect("html-page-context", mend_page, priority=900)
    app.connect("build-finished", offer_files)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
