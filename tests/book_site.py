"""A built book for the browser's tests: the one in the folder BOOK, or a small one that they build.

The small one has the prose pages, and the explorer over the committed edition and one that is made up.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from cclib.book import explorer, pdf
from cclib.book.editions import FOLDER, Book, add_edition
from cclib.study import Study, export_study
from cclib.traces import Trace

ROOT = Path(__file__).parents[1]
BROWSERS = pdf.BROWSERS
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
LAPTOP = {"width": 1440, "height": 900}
MADE = "made-up"
SETTLED = "document.getAnimations().every(a => a.playState !== 'running')"  # colours change in steps


@dataclass
class Site:
    """A built book: its pages, and the editions that it was built from."""

    html: Path
    book: Book
    studies: dict[str, Study] = field(default_factory=dict)

    def study(self, edition: str) -> Study:
        if edition not in self.studies:
            self.studies[edition] = explorer.read_study(self.book, self.book.editions[edition])
        return self.studies[edition]

    def pages(self) -> list[Path]:
        return sorted(p for p in self.html.rglob("*.html") if "_static" not in p.parts)


def build(root: Path) -> Site:
    """The book in the folder BOOK where that is set, else a small one built in `root`."""
    if "BOOK" in os.environ:
        return Site(ROOT / os.environ["BOOK"], Book(ROOT))
    replayed = [e for e in Book(ROOT).editions.values() if e.traces]
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("*.ipynb", "explorer"))
    for page in (root / "book").glob("*.md"):  # what editions write for the prose pages to include
        for included in re.findall(r"\{include\} (editions/\S+)", page.read_text()):
            (root / "book" / included).write_text("What the editions found stands here.\n")
    shutil.copy(ROOT / "_config.yml", root)
    for edition in replayed:
        parameters = {k: v for k, v in edition.parameters.items() if k in ("models", "benchmark", "seed")}
        write_edition(root, edition.name, parameters, edition.traces)
    export_study(made_up_study(), root / FOLDER / MADE / "traces")
    named = {"models": made_up_study().models, "benchmark": "made up"}
    write_edition(root, MADE, named, f"{FOLDER.as_posix()}/{MADE}/traces")
    book = Book(root, package=ROOT / "cclib")
    explorer.write(book, echo=lambda _: None)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    toc["parts"] = [p for p in toc["parts"] if not p["chapters"][0]["file"].startswith(f"{FOLDER}/")]
    (root / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))
    book_builder = "from jupyter_book.cli.main import main; main()"
    build = [sys.executable, "-c", book_builder, "build", str(root), "--path-output", str(root), "--quiet"]
    done = subprocess.run(build, capture_output=True, text=True)
    assert (root / "_build/html/book/explorer.html").exists(), done.stderr[-2000:]
    return Site(root / "_build" / "html", book)


def context(browser, **options):
    """A fresh browser session at desktop width in the light theme, patient on busy machines."""
    opened = browser.new_context(viewport=DESKTOP, color_scheme="light", **options)
    opened.set_default_timeout(120_000)
    return opened


def write_edition(root, name, parameters, traces):
    path = add_edition(root, name, parameters)
    path.write_text(path.read_text() + f"traces: {traces}\n")


def made_up_study() -> Study:
    """Four priced models on 1,430 questions; the second has no P(IK), the last no size, and P(T) has ties."""
    rng = np.random.default_rng(7)
    n, names = (
        1430,
        ["llama-3.2-3b-instruct", "meta-llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "gpt-4o"],
    )
    subject, hard = rng.choice([f"subject_{i}" for i in range(57)], n), rng.random(n)
    traces = []
    for i, name in enumerate(names):
        columns = {
            "question_id": [f"made/{q}" for q in range(n)],
            "subject": subject,
            "correct": rng.random(n) < 1 - hard * (0.9 - 0.2 * i),
            "p_t": rng.beta(2, 1, n).round(2),  # thresholds in steps of 0.01 meet equal values
            "prompt_tokens": rng.integers(40, 400, n),
            "output_tokens": rng.integers(1, 3, n),
        }
        if i != 1:
            columns["p_ik"] = rng.random(n)
        shape = {} if i == 3 else {"n_layers": 28 + 4 * i, "d_model": 3072 + 1024 * i}
        traces.append(Trace(pd.DataFrame(columns), {"model": name, **shape}))
    return Study(names, "made up", 0, traces, [None] * 4, [None] * 4, [None] * 4)
