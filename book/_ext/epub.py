"""Sphinx: the book as an EPUB, its formulas as MathML, which readers show without scripts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

from cclib.book import pdf

ITEM = re.compile(r'(<item [^>]*href="([^"]+\.xhtml)" media-type="[^"]+") />')
CONTENTS = {"mathml": "<math", "svg": "<svg"}  # what a package must say of a page


def visit_math(translator: Any, node: nodes.math) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


def choose_mathml(app: Sphinx) -> None:
    if app.builder.name == "epub":
        app.config.html_math_renderer = "mathml"


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Say of each page what it holds, pack anew, and lay the file beside the built pages."""
    if exception is not None or app.builder.name != "epub":
        return
    out = Path(app.outdir)

    def declared(item: re.Match[str]) -> str:
        page = (out / item[2]).read_text()
        held = " ".join(name for name, tag in CONTENTS.items() if tag in page)
        return f'{item[1]} properties="{held}" />' if held else item[0]

    package = out / "content.opf"
    package.write_text(ITEM.sub(declared, package.read_text()))
    app.builder.build_epub()
    html = out.parent / "html"
    if html.exists():
        shutil.copy(out / pdf.EPUB, html)
        pdf.offer(html)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.connect("builder-inited", choose_mathml)
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
