"""A whole edition about questions, subjects, options, ids and files whose names attack the page."""

import csv
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from test_trust import HOSTILE, ROOT

import cclib
from cclib.book.editions import Book

CHAPTERS = ("01-introduction", "02-1-model-selection", "03-1-setup", "C-1-prompts")
MODEL = "<img src=x onerror=alert(1)>{{ cycler.__init__.__globals__.os.system('touch ran') }}$x$.csv"


class Page(HTMLParser):
    """What a browser would act on, and the text it would show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.scripts, self.tags, self.text, self.inside = [], [], [], None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        (self.scripts if self.inside == "script" else self.text).append(data)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Executed and compiled in a folder of its own, as `make book` does it."""
    root = tmp_path_factory.mktemp("hostile")
    rows = [
        {
            "id": f"{i} {HOSTILE[i % len(HOSTILE)]}",
            "subject": HOSTILE[i % 3],
            "question": f"Number {i}: {HOSTILE[i % len(HOSTILE)]}",
            "A": f"{HOSTILE[(i + 1) % len(HOSTILE)]} a",
            "B": f"{HOSTILE[(i + 2) % len(HOSTILE)]} b",
            "answer": "AB"[i % 2],
        }
        for i in range(66)
    ]
    table = root / "{{ 7 * 7 }}<b>`$(touch ran)`.csv"
    with table.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with (root / MODEL).open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["question_id", "correct", "answer", "prediction"])
        writer.writerows(
            [r["id"], i % 3 > 0, i % 2, i % 2 if i % 3 else 1 - i % 2] for i, r in enumerate(rows)
        )
    for folder in ("notebooks", "editions"):
        (root / folder).mkdir()
    for stem in CHAPTERS:
        shutil.copy(ROOT / "notebooks" / f"{stem}.ipynb", root / "notebooks")
    parameters = {"models": ["atlas-s", MODEL], "benchmark": table.name, "device": "cpu"}
    edition = {"title": "<script>alert(1)</script> {{ 7 * 7 }} $x$", "parameters": parameters}
    (root / "editions" / "hostile.yml").write_text(yaml.safe_dump(edition))
    for folder in ("_static", "_ext", "_templates"):
        shutil.copytree(ROOT / "book" / folder, root / "book" / folder)
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    (root / "book" / "index.md").write_text("# Hostile\n\n```{include} editions/found.md\n```\n")
    shutil.copy(ROOT / "_config.yml", root)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in (
        [sys.executable, "-m", "cclib", "editions", "build"],
        [Path(sys.executable).with_name("jupyter-book"), "build", ".", "--path-output", ".", "--quiet"],
    ):
        ran = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-3000:] + ran.stdout[-3000:]
    html = root / "_build" / "html"
    assert not list(root.rglob("ran")) and not (ROOT / "ran").exists()
    return {
        p.stem: Page(p) for p in [html / "book" / "index.html", *html.glob("book/editions/hostile/*.html")]
    }


@pytest.mark.slow
def test_nothing_of_theirs_acts_in_a_page(pages):
    assert set(pages) == {"index", *CHAPTERS}
    for page in pages.values():
        assert not [s for s in page.scripts if "alert(1)" in s]
        for _, attributes in page.tags:
            assert not [a for a in attributes if a.startswith("on") and "alert" in attributes[a]]
            for where in ("href", "src"):
                there = attributes.get(where) or ""
                assert not re.match(r"\s*javascript:", there, re.IGNORECASE)
                assert there != "x" and "127.0.0.1" not in there and "passwd" not in there


@pytest.mark.slow
def test_no_expression_of_theirs_is_evaluated_and_all_of_it_is_shown(pages):
    text = {stem: " ".join(" ".join(p.text).split()) for stem, p in pages.items()}
    assert "{{ 7 * 7 }}<b>`$(touch ran)`.csv" in text["03-1-setup"]
    for page in text.values():
        assert not re.search(r"\b49\b ?\$x\$", page)
    said = text["01-introduction"]
    assert any(" ".join(h.split()) in said for h in HOSTILE if "\u202e" not in h)
    for stem in CHAPTERS:
        assert "<script>alert(1)</script> {{ 7 * 7 }} $x$" in text[stem]  # the edition's title


@pytest.mark.slow
def test_no_formula_of_theirs_is_set(pages):
    """What MathJax would set stands in elements of the class `math`; the chapters' own are there."""
    import html as entities

    for page in pages.values():
        maths = [a for _, a in page.tags if "math" in (a.get("class") or "").split()]
        assert all("javascript" not in entities.unescape(str(a)) for a in maths)


def test_the_edition_is_one_that_the_book_takes(tmp_path):
    (tmp_path / "editions").mkdir()
    (tmp_path / "editions" / "e.yml").write_text(yaml.safe_dump({"title": "<b>", "parameters": {}}))
    assert Book(tmp_path, package=Path(cclib.__file__).parent / "published").found() == ""
