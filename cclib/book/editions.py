"""Editions of the book: the same notebooks, executed for a family of models and a benchmark.

An edition is a small YAML file in `editions/`, named after it. Its executed notebooks lie in
`book/editions/<name>/`; each keeps a fingerprint of what its numbers depend on, so that a change of
prose is copied in and only a change of code, parameters or recorded traces executes it again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from cclib.book import pages
from cclib.names import is_api, is_log, runs_here, verbatim
from cclib.traces import read_trace

PARAMETERS = (
    "models", "benchmark", "data_dir", "limit", "pt", "pik", "layer", "seed", "traces_dir", "device",
    "prompt", "other_benchmark", "other_data_dir", "open_benchmark", "open_data_dir", "judge",
)  # fmt: skip
ASK_MORE = ("04-2", "05", "C-2", "F-")  # chapters that ask a model more than is on record
DECIDE = ("01", "02", "03-3", "04-1", "D-", "I-")  # and P(T) of every model but the last
KEYS = {"title", "parameters", "notebooks", "traces"}
FOLDER = Path("book") / "editions"


@dataclass(frozen=True)
class Edition:
    """One edition of the book, as its file says."""

    name: str
    title: str
    parameters: dict[str, Any] = field(default_factory=dict)  # what differs from the notebooks' own
    notebooks: tuple[str, ...] = ("*",)  # patterns of notebooks' stems
    traces: str | None = None  # folder of recorded traces, replayed without models


class Book:
    """The editions of a repository and their notebooks.

    Args:
        root: the repository's folder.
        package: folder of the code that the notebooks call.

    Raises:
        ValueError: an edition's file has an unknown key or parameter, or a pattern that finds no notebook.
    """

    def __init__(self, root: str | Path = ".", package: str | Path = Path(__file__).parents[1]) -> None:
        self.root, self.package = Path(root), Path(package)
        files = sorted((self.root / "editions").glob("*.yml"))
        self.editions = {path.stem: read_edition(path) for path in files}
        self.sources = {
            path.stem: nbformat.read(path, as_version=4)
            for path in sorted((self.root / "notebooks").glob("*.ipynb"))
        }
        self.chapters = {e.name: self._chapters(e) for e in self.editions.values()}

    def _chapters(self, edition: Edition) -> list[str]:
        """Stems of an edition's notebooks in the order of the paper: sections, then appendices."""
        for pattern in edition.notebooks:
            if self.sources and not any(fnmatch(stem, pattern) for stem in self.sources):
                raise ValueError(
                    f"editions/{edition.name}.yml: no notebook is named {pattern!r}; "
                    f"there are {', '.join(self.sources)}"
                )
        return [s for s in self.sources if any(fnmatch(s, pattern) for pattern in edition.notebooks)]

    def page(self, edition: str, stem: str) -> Path:
        return self.root / FOLDER / edition / f"{stem}.ipynb"

    def choose(self, names: Sequence[str]) -> list[Edition]:
        unknown = [n for n in names if n not in self.editions]
        if unknown:
            known = ", ".join(self.editions) or "none"
            raise ValueError(f"no edition is named {unknown[0]!r}; editions/ has: {known}")
        return [self.editions[n] for n in names or self.editions]

    def parameters(self, edition: Edition, stem: str) -> dict[str, Any]:
        """What papermill sets in a notebook: the edition's parameters that the notebook has."""
        given = dict(edition.parameters)
        if edition.traces:
            given["traces_dir"] = edition.traces
        return {k: v for k, v in given.items() if k in parameter_names(self.sources[stem], stem)}

    @cached_property
    def package_digest(self) -> str:
        """A hash of all code and data that a chapter's numbers may depend on: not of the book's machinery."""
        machinery = {self.package / "book", self.package / "__main__.py"}
        files = (p for p in self.package.rglob("*") if "__pycache__" not in p.parts)
        return digest(p for p in files if not machinery & {p, *p.parents})

    def fingerprint(self, edition: Edition, stem: str) -> str:
        """A hash of all that decides an executed notebook's outputs."""
        depends = {
            "code": [c.source for c in self.sources[stem].cells if c.cell_type == "code"],
            "parameters": self.parameters(edition, stem),
        }
        return self.hash_with_traces(edition, depends)

    def hash_with_traces(self, edition: Edition, depends: dict[str, Any]) -> str:
        """A hash of this, of the package and of an edition's recorded traces."""
        traces = digest((self.root / edition.traces).rglob("*")) if edition.traces else None
        depends = depends | {"package": self.package_digest, "traces": traces}
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()

    def is_current(self, edition: Edition, stem: str) -> bool:
        """Whether the executed copy has the outputs of this code, these parameters and these traces."""
        page = self.page(edition.name, stem)
        if not page.exists():
            return False
        recorded = nbformat.read(page, as_version=4).metadata.get("cclib", {})
        return recorded.get("fingerprint") == self.fingerprint(edition, stem)

    def build(self, names: Sequence[str] = (), echo: Callable[[str], None] = print) -> list[Path]:
        """Execute what is out of date and refresh the prose of the rest.

        Returns:
            The executed notebooks' paths.

        Raises:
            RuntimeError: a cell failed; tells the edition, the notebook and the cell.
            FileNotFoundError: an edition's recorded traces are not there.
        """
        executed = []
        for edition in self.choose(names):
            self._check_traces(edition)
            stems = self.chapters[edition.name]
            make, numbers = partial(self._make, edition, echo), range(len(stems))
            # what only replays runs side by side; a live chapter reads what the one before has recorded
            executed += _side_by_side(make, numbers) if edition.traces else map(make, numbers)
            for page in (self.root / FOLDER / edition.name).glob("*.ipynb"):
                if page.stem not in stems:  # its source is gone
                    page.unlink()
        return [page for page in executed if page]

    def _make(self, edition: Edition, echo: Callable[[str], None], number: int) -> Path | None:
        """Execute one chapter, or refresh its prose; the path of what was executed."""
        stems = self.chapters[edition.name]
        stem, where = stems[number], f"[{edition.name} {number + 1}/{len(stems)}] {stems[number]}"
        if self.is_current(edition, stem):
            ran = nbformat.read(self.page(edition.name, stem), as_version=4)
            echo(f"{where}: {'prose refreshed' if self._write(edition, stem, ran) else 'up to date'}")
            return None
        echo(f"{where}: executing")
        began = time.monotonic()
        ran = execute(self.sources[stem], self.parameters(edition, stem), stem, edition.name, self.root)
        ran.metadata["cclib"] = {"seconds": round(time.monotonic() - began)}
        self._write(edition, stem, ran)
        echo(f"{where}: {ran.metadata['cclib']['seconds']} s")
        return self.page(edition.name, stem)

    def _write(self, edition: Edition, stem: str, ran: NotebookNode) -> bool:
        notebooks = {e: {s: self.sources[s] for s in stems} for e, stems in self.chapters.items()}
        names = pages.names(edition.name, notebooks)
        page = pages.compose(
            self.sources[stem], ran, names, f"*Edition: {verbatim(edition.title)}*", self.root
        )
        page.metadata["cclib"] = {
            "edition": edition.name,
            "fingerprint": self.fingerprint(edition, stem),
            "seconds": ran.metadata.get("cclib", {}).get("seconds"),  # for the course's plan
        }
        return refresh(self.page(edition.name, stem), nbformat.writes(page, version=4) + "\n")

    def _check_traces(self, edition: Edition) -> None:
        if edition.traces and not any((self.root / edition.traces).rglob("*")):
            raise FileNotFoundError(
                f"editions/{edition.name}.yml replays the traces in {edition.traces}, and none are there; "
                "record and export them first, or leave out `traces` to run the models"
            )

    def toc(self) -> str:
        """`_toc.yml`: parts written by hand stay as they are, the editions' parts follow the notebooks."""
        path = self.root / "_toc.yml"
        written = yaml.safe_load(path.read_text()) if path.exists() else None
        written = written or {"format": "jb-book", "root": "book/index", "parts": []}
        prefix = f"{FOLDER.as_posix()}/"
        ours = [any(c["file"].startswith(prefix) for c in part["chapters"]) for part in written["parts"]]
        first = ours.index(True) if any(ours) else max(len(ours) - 1, 0)  # new: before the back matter
        by_hand = [(i, part) for i, part in enumerate(written["parts"]) if not ours[i]]
        written["parts"] = [
            *(part for i, part in by_hand if i < first),
            *self._edition_parts(prefix),
            *(part for i, part in by_hand if i >= first),
        ]
        heading = "# Editions' parts are generated: python -m cclib editions toc. Other parts are kept.\n"
        return heading + yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=110)

    def found(self) -> str:
        """What the editions found, for the front page: the Markdown of their cells tagged `found`."""
        parts = []
        for edition in self.editions.values():
            ran = [self.page(edition.name, s) for s in self.chapters[edition.name]]
            texts = [pages.printed(nbformat.read(p, as_version=4), "found") for p in ran if p.exists()]
            parts += [f"### {verbatim(edition.title)}\n\n{text}\n" for text in texts if text]
        return "\n".join(parts)

    def _edition_parts(self, prefix: str) -> Iterable[dict[str, Any]]:
        for edition in self.editions.values():
            stems = self.chapters[edition.name]
            for caption, wanted in (edition.title, r"\d"), (f"{edition.title} · appendices", r"\D"):
                files = [{"file": f"{prefix}{edition.name}/{s}"} for s in stems if re.match(wanted, s)]
                if files:
                    yield {"caption": caption, "chapters": files}


def _side_by_side(make: Callable[[int], Path | None], numbers: Iterable[int]) -> list[Path | None]:
    """As many at once as there are cores; after a failure no other is begun."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [pool.submit(make, number) for number in numbers]
        try:
            return [future.result() for future in made]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_edition(path: Path) -> Edition:
    """An edition from its file.

    Raises:
        ValueError: the file is not a mapping, has no title, or has an unknown key or parameter.
    """
    check_name(path.stem)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: an edition's file is YAML in UTF-8, found: {error}") from error
    if not isinstance(found, dict) or "title" not in found:
        raise ValueError(f"{path}: an edition's file is a mapping with at least a title")
    parameters = found.get("parameters") or {}
    for kind, given, known in ("key", found, sorted(KEYS)), ("parameter", parameters, PARAMETERS):
        unknown = [k for k in given if k not in known]
        if unknown:
            raise ValueError(f"{path}: unknown {kind} {unknown[0]!r}; known are {', '.join(known)}")
    patterns = found.get("notebooks") or ["*"]
    return Edition(path.stem, found["title"], parameters, tuple(patterns), found.get("traces"))


def check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ValueError(
            f"an edition is named with a-z, 0-9, '.', '_' and '-' (its pages' labels end in it); "
            f"found {name!r}"
        )


def parameter_names(notebook: NotebookNode, stem: str) -> set[str]:
    """The names that a notebook's parameters cell sets.

    Raises:
        ValueError: not exactly one cell is tagged `parameters`, or it sets an unknown name.
    """
    cells = [c for c in notebook.cells if pages.is_tagged(c, "parameters")]
    if len(cells) != 1:
        raise ValueError(f"{stem}: exactly one cell must be tagged parameters, found {len(cells)}")
    assigned = [n for n in ast.walk(ast.parse(cells[0].source)) if isinstance(n, ast.Assign)]
    found = {t.id for n in assigned for t in n.targets if isinstance(t, ast.Name)}
    unknown = sorted(found - set(PARAMETERS))
    if unknown:
        raise ValueError(f"{stem}: unknown parameter {unknown[0]!r}; known are {', '.join(PARAMETERS)}")
    return found


def refresh(path: Path, text: str) -> bool:
    """Write a file; one with this text stays untouched, so that nothing downstream is made again."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    aside.write_text(text)
    aside.replace(path)
    return True


def digest(paths: Iterable[Path]) -> str:
    """One hash of files' names and contents, whatever their order."""
    files = sorted(p for p in paths if p.is_file())
    parts = [f"{p.name} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def execute(
    source: NotebookNode, parameters: dict[str, Any], stem: str, edition: str, root: Path
) -> NotebookNode:
    """Run a notebook from the repository's root, as `papermill` does on the command line.

    Raises:
        RuntimeError: a cell failed; the message has its number, its first line and the traceback.
    """
    import papermill  # slow to import, and not needed to find that all is up to date

    from cclib.book import kernels

    try:
        return papermill.execute_notebook(
            source,
            None,
            parameters,
            kernel_name="python3",
            language="python",
            resources={"metadata": {"path": str(root)}},  # papermill's own `cwd` moves the whole process
            progress_bar=False,
            stderr_file=sys.stderr,  # progress bars are for the terminal, not for the page
            extra_arguments=["--log-level=CRITICAL"],  # a kernel calls its own end an error
            kernel_manager_class=kernels.manager(),
        )
    except papermill.PapermillExecutionError as error:
        cells = [c.source for c in source.cells]
        number = cells.index(error.source) + 1 if error.source in cells else 0
        cell = f"cell {number}" if number else "the cell of injected parameters"
        raise RuntimeError(
            f"edition {edition}, notebook {stem}, {cell} ({error.source.strip().splitlines()[0]}):\n"
            + re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))  # without the terminal's colours
        ) from error


def add_edition(root: Path, name: str, parameters: dict[str, Any], title: str | None = None) -> Path:
    """Write an edition's file, without the chapters that cannot be shown for these models.

    Where none of them runs here, nothing can be asked; where one but the last is known by its answers alone,
    there is no cascade.

    Raises:
        FileExistsError: there is another edition of this name.
        ValueError: the name is not fit for a label.
    """
    check_name(name)
    path = root / "editions" / f"{name}.yml"
    about = {"title": title or name, "parameters": parameters}
    stems = sorted(p.stem for p in (root / "notebooks").glob("*.ipynb"))
    models = parameters.get("models")
    if isinstance(models, list):
        absent = () if any(map(runs_here, models)) else ASK_MORE
        recorded = [name for name in models[:-1] if not (runs_here(name) or is_api(name) or is_log(name))]
        if any(read_trace(name).p_t is None for name in recorded):
            absent += DECIDE
        if absent:
            about["notebooks"] = [stem for stem in stems if not stem.startswith(absent)]
    text = yaml.safe_dump(about, sort_keys=False)
    if path.exists() and path.read_text() != text:
        raise FileExistsError(f"{path} is there already and differs; edit it, or choose another name")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
