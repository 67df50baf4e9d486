"""Sphinx: what notebooks print, as a reader needs it.

Figures and captioned tables get numbers that go by the chapter ("Table 3.2.1" is the first of Section 3.2,
in every edition), tables get headers that a screen reader can follow, and launch buttons open the notebooks'
sources.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from table_html import is_wide, keep_names, stack, tidy

from cclib.book import pdf

CHAPTER = re.compile(r"(?:^|/)(\d\d|[A-Z])(?:-(\d))?-[^/]+$")  # 03-2-open-source-models, A-1-..., B-models
MARKDOWN_TABLE = re.compile(r'(<div class="pst-scrollable-table-container)">(<table\b.*?</table>)', re.S)
COLUMNS = 5  # of a table that fits the page's text
IMAGE = re.compile(r'<img [^>]*src="([^"]*_images/[^"]+)"[^>]*>')


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


def visit_table(translator: Any, node: results_table) -> None:
    title = translator.encode(node["title"] or "Table")
    label = f' id="{node["ids"][0]}"' if node["ids"] else ""
    wide = " full-width" if is_wide(node["html"]) else ""
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
    """Launch buttons open `notebooks/`, a list of sources is no ARIA list, wide tables stack on a phone.

    An image leads to its file, which a phone shows larger.
    """
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "url" in button:
                button["url"] = re.sub(r"(?<!_sources/)book/editions/[^/]+/", "notebooks/", button["url"])
    if "body" in context:
        body = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )
        if pagename.startswith("book/editions/"):  # a page with contents at its side, which make room
            body = MARKDOWN_TABLE.sub(_with_room, body)
        body = re.sub(r"<table\b.*?</table>", lambda m: stack(keep_names(m[0])), body, flags=re.S)
        if app.builder.name == "html":
            body = IMAGE.sub(r'<a class="enlarge" href="\1">\g<0></a>', body)
        context["body"] = body


def _with_room(container: re.Match[str]) -> str:
    """A Markdown table of many columns gets the room and the letters of a table of results."""
    many = container[2].partition("</tr>")[0].count("<th") > COLUMNS
    return f'{container[1]}{" results-table full-width" if many else ""}">{container[2]}'


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
