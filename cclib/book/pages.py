"""From an executed notebook to a page of the book: labels, links and outputs that are fit to print.

The same notebook appears once per edition, so what it names must differ: in the edition `atlas` the
label `sec-setup` becomes `sec-setup-atlas`, and what refers to it follows.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_notebook

DEFINED = [  # (before)(label)(after)
    re.compile(r"^(\()([^()\s]+)(\)=[ \t]*)$", re.M),  # (label)=
    re.compile(r"^(\s*:(?:name|label):[ \t]*)(\S+)([ \t]*)$", re.M),  # a directive's option
    re.compile(r"(\$\$[ \t]*\()([^()\s]+)(\))"),  # $$ ... $$ (label)
]
REFERRED = [
    re.compile(r"(\{(?:ref|numref|eq|any|prf:ref)\}`(?:[^`<]*<)?)([^`<>]+)(>?`)"),
    re.compile(r"(\]\(#?)([^()\s#/]+)(\))"),  # [text](label)
    re.compile(r"(\{solution(?:-start)?\}[ \t]+)(\S+)()"),  # solutions name their exercise
]
UPWARD = re.compile(  # and only once: an output keeps its text when its page is composed again
    r"(\]\(|\{doc\}`(?:[^`<]*<)?|\{(?:figure|image|include|literalinclude)\}[ \t]+|src=\")\.\./(?!\.\./)"
)
BESIDE = re.compile(r"(\]\()([\w.-]+)(\.ipynb[)#])")
KEPT = ("kernelspec", "language_info")


@dataclass(frozen=True)
class Names:
    """What a page of one edition may refer to, and under which name."""

    labels: Mapping[str, str]  # in the source: in this edition
    places: Mapping[str, str]  # a notebook's stem: its path seen from this edition's folder, no suffix

    def rename(self, text: str) -> str:
        """MyST text with labels, references and relative links as this edition needs them."""

        def label(match: re.Match) -> str:
            before, name, after = match.groups()
            return f"{before}{self.labels.get(name, name)}{after}"

        for pattern in [*DEFINED, *REFERRED]:
            text = pattern.sub(label, text)
        # notebooks/ is one folder below the root, book/editions/<name>/ three
        text = UPWARD.sub(r"\1../../../", text)
        return BESIDE.sub(lambda m: f"{m[1]}{self.places.get(m[2], m[2])}{m[3]}", text)


def names(edition: str, notebooks: Mapping[str, Mapping[str, NotebookNode]]) -> Names:
    """The names of one edition's pages, given every edition's notebooks by stem.

    What this edition leaves out is found in the first edition that has it.
    """
    labels, places = {}, {}
    others = [e for e in notebooks if e != edition]
    for owner in [edition, *others]:
        for stem, notebook in notebooks[owner].items():
            places.setdefault(stem, stem if owner == edition else f"../{owner}/{stem}")
            for label in labels_of(notebook):
                labels.setdefault(label, f"{label}-{owner}")
    return Names(labels, places)


def printed(ran: NotebookNode, tag: str) -> str:
    """The Markdown that an executed notebook's cells of this tag printed."""
    outputs = [o for c in ran.cells if is_tagged(c, tag) for o in c.get("outputs", [])]
    return "\n\n".join(o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {}))


def labels_of(notebook: NotebookNode) -> set[str]:
    """Every label that a notebook defines in its text or for a cell's figure or table."""
    found = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found |= {m[2] for pattern in DEFINED for m in pattern.finditer(cell.source)}
        found |= {part["name"] for part in _named(cell)}
    return found


def compose(
    source: NotebookNode, executed: NotebookNode, names: Names, banner: str, root: Path
) -> NotebookNode:
    """A page: prose from the source, code and outputs from its executed copy.

    Args:
        source: the notebook as it is now.
        executed: a notebook of the same code cells with outputs; one of its cells may be the parameters
            that were injected. Its prose is not used.
        names: of the edition.
        banner: put under the page's heading.
        root: the repository's folder, which outputs must not show.
    """
    ran = iter([cell for cell in executed.cells if cell.cell_type == "code"])
    code = (c for c in source.cells if c.cell_type == "code" and not is_tagged(c, "parameters"))
    first = next(code, None)
    loads = first if first and re.match(r"(import|from) ", first.source) else None
    cells = []
    for cell in source.cells:
        if cell.cell_type == "code":
            page_cell = deepcopy(next(ran))
            page_cell.metadata = deepcopy(cell.metadata)
            page_cell.id = cell.get("id", page_cell.get("id"))
            for part in _named(page_cell):
                part["name"] = names.labels[part["name"]]
                if "caption" in part:
                    part["caption"] = names.rename(part["caption"])
            kept = [o for o in page_cell.outputs if o.get("name") != "stderr" and not _says_nothing(o)]
            page_cell.outputs = [clean(_renamed(o, names), root) for o in kept]
            cells.append(page_cell)
            if cell is loads:
                _fold(page_cell, "what is imported and loaded")
            if is_tagged(cell, "parameters"):
                _fold(page_cell, "the notebook's own parameters")
                following = _injected(executed)
                if following is not None:
                    next(ran)
                    cells.append(_fold(following, "this edition's parameters"))
        else:
            page_cell = deepcopy(cell)
            page_cell.source = names.rename(cell.source)
            cells.append(page_cell)
    _place(banner, cells)
    kept = {k: v for k, v in (executed.metadata | source.metadata).items() if k in KEPT}
    page = new_notebook(cells=cells, metadata=kept)
    page.nbformat_minor = max(source.nbformat_minor, 5)
    return page


def is_tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def clean(output: NotebookNode, root: Path) -> NotebookNode:
    """An output whose text shows no folder of the machine that ran it."""
    folders = [root.resolve(), Path(sys.prefix), Path.home()]
    for folder, stands_for in zip(folders, (".", "<python>", "~"), strict=True):
        if len(folder.parts) > 1:
            path = re.compile(rf"(?<![\w/.]){re.escape(str(folder))}(?![\w.-])")
            output = _replace(output, path, stands_for)
    return output


def _replace(value: Any, path: re.Pattern, stands_for: str) -> Any:
    if isinstance(value, str):
        return path.sub(lambda _: stands_for, value)
    if isinstance(value, list):
        return [_replace(v, path, stands_for) for v in value]
    if isinstance(value, dict):
        return type(value)({k: _replace(v, path, stands_for) for k, v in value.items()})
    return value


def _renamed(output: NotebookNode, names: Names) -> NotebookNode:
    if "text/markdown" in output.get("data", {}):
        output.data["text/markdown"] = names.rename(output.data["text/markdown"])
    return output


def _named(cell: NotebookNode) -> list[dict[str, Any]]:
    """A cell's settings of its figure and of its table, those that have a name."""
    settings = cell.metadata.get("mystnb", {})
    return [settings[what] for what in ("figure", "table") if settings.get(what, {}).get("name")]


def _says_nothing(output: NotebookNode) -> bool:
    """Markdown without text: a page would show the object's name in its place."""
    return output.get("data", {}).get("text/markdown", "some").strip() == ""


def _injected(executed: NotebookNode) -> NotebookNode | None:
    return next((deepcopy(c) for c in executed.cells if is_tagged(c, "injected-parameters")), None)


def _fold(cell: NotebookNode, what: str) -> NotebookNode:
    """What is for those who rerun is folded for readers, unless the author said otherwise."""
    tags = cell.metadata.get("tags", [])
    if not any(t.startswith(("hide-", "remove-")) for t in tags):
        tags = [*tags, "hide-input"]
    kept = {k: v for k, v in cell.metadata.items() if k not in ("papermill", "execution")}  # times, paths
    prompts = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}
    cell.metadata = NotebookNode(kept | {"tags": tags, "mystnb": {**prompts, **kept.get("mystnb", {})}})
    return cell


def _place(banner: str, cells: list[NotebookNode]) -> None:
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"^(# .*)$", lambda m: f"{m[1]}\n\n{banner}", cell.source, count=1, flags=re.M
            )
            return
