"""What every page of the book owes its readers, in a real browser, opened from the disk.

`make check-pages` runs this on the book in _build/html, `make test` on the prose pages (see book_site.py).
"""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlparse

import pytest
from book_site import DESKTOP, LAPTOP, PHONE, ROOT, SETTLED, context
from bs4 import BeautifulSoup

from cclib.book import pdf

pytestmark = pytest.mark.slow

# ---- every page --------------------------------------------------------------------------------------


@dataclass
class Visit:
    """What a browser saw on a page, in light and dark, at desktop and phone width."""

    outside: set[str] = field(default_factory=set)  # addresses asked of other hosts
    errors: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)  # images without alternative text
    headings: list[int] = field(default_factory=list)
    overflow: dict[int, int] = field(default_factory=dict)  # pixels by which the body is wider, by width
    cut: dict[int, list[str]] = field(default_factory=dict)  # what is wider than its box, by width
    broken: list[str] = field(default_factory=list)  # words of tables and code that a phone breaks in letters
    violations: set[str] = field(default_factory=set)  # of axe's rules, serious or critical


IMAGES = """[...document.querySelectorAll("main img, main figure [role='img']")]
    .filter(e => !(e.getAttribute("alt") || e.getAttribute("aria-label")))
    .map(e => e.outerHTML.slice(0, 200))"""
HEADINGS = "[...document.querySelectorAll('main :is(h1, h2, h3, h4, h5, h6)')].map(e => Number(e.tagName[1]))"
CUT = """[...document.querySelectorAll("main *")].filter(e => e.checkVisibility() && e.clientWidth > 1
        && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible"
        && !e.closest("details:not([open]), .toggle-hidden, .math, .js-plotly-plot, select, input"))
    .map(e => `${e.tagName} ${e.className}: ${e.scrollWidth} in ${e.clientWidth}; `
         + e.textContent.slice(0, 60))"""
BROKEN = """[...document.querySelectorAll("main :is(td, th, caption, .cell_input pre)")].flatMap(box => {
    const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT), broken = [];
    while (box.checkVisibility() && texts.nextNode())
        for (const word of texts.currentNode.data.matchAll(/[\\p{L}\\p{N}.,%+]+/gu)) {
            const range = document.createRange();
            range.setStart(texts.currentNode, word.index);
            range.setEnd(texts.currentNode, word.index + word[0].length);
            const lines = [...range.getClientRects()].filter(r => r.width > 0).map(r => Math.round(r.top));
            if (new Set(lines).size > 1) broken.push(word[0]);
        }
    return broken;
})"""
AXE = {"resultTypes": ["violations"], "preload": False}  # a page from the disk may not read its style sheets


@pytest.fixture(scope="module")
def visits(site, browser) -> dict[str, Visit]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    seen = {}
    session = context(browser)
    for path in site.pages():
        visit = seen[path.relative_to(site.html).as_posix()] = Visit()
        page = session.new_page()
        page.on("request", lambda r, v=visit: v.outside.add(r.url) if is_outside(r.url) else None)
        page.on("pageerror", lambda e, v=visit: v.errors.append(str(e)))
        page.on("console", lambda m, v=visit: v.errors.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri(), wait_until="load")
        page.wait_for_timeout(300)  # scripts that start after loading
        visit.silent = page.evaluate(IMAGES)
        visit.headings = page.evaluate(HEADINGS)
        for theme in ("light", "dark"):
            page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
            page.wait_for_function(SETTLED)
            for found in axe.run(page, options=AXE).response["violations"]:
                if found["impact"] in ("serious", "critical"):
                    where = "; ".join(" ".join(map(str, n["target"])) for n in found["nodes"][:3])
                    visit.violations.add(f"{found['id']}, {theme}: {len(found['nodes'])} x, as {where}")
        for size in (DESKTOP, LAPTOP, PHONE):
            page.set_viewport_size(size)
            page.wait_for_function(f"window.innerWidth === {size['width']}")
            width = size["width"]
            visit.overflow[width] = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            visit.cut[width] = page.evaluate(CUT)
        visit.broken = page.evaluate(BROKEN)  # the phone comes last
        page.close()
    session.close()
    assert len(seen) > 3
    return seen


def is_outside(address: str) -> bool:
    return not address.startswith(("file:", "data:", "blob:"))


def told(findings: dict[str, object]) -> str:
    return "\n".join(f"{page}: {found}" for page, found in findings.items())


def test_no_page_asks_another_host(visits):
    found = {name: v.outside for name, v in visits.items() if v.outside}
    assert not found, told(found)


def test_no_page_has_an_error_on_its_console(visits):
    found = {name: v.errors for name, v in visits.items() if v.errors}
    assert not found, told(found)


def test_every_figure_has_alternative_text(visits):
    found = {name: v.silent for name, v in visits.items() if v.silent}
    assert not found, told(found)


def test_headings_descend_by_one(visits):
    def jumps(levels):
        return [(a, b) for a, b in zip([0, *levels], levels) if b > a + 1]

    found = {name: jumps(v.headings) for name, v in visits.items() if jumps(v.headings)}
    assert not found, told(found)


def test_no_page_is_wider_than_a_phone_or_a_laptop(visits):
    found = {name: v.overflow for name, v in visits.items() if max(v.overflow.values()) > 0}
    assert not found, told(found)


def test_nothing_is_hidden_behind_a_scroll_bar(visits):
    """Tables, code and outputs at 1,280 and 1,440 pixels and on a phone; what a fold hides is asked for."""
    found = {f"{name} at {w}": cut for name, v in visits.items() for w, cut in v.cut.items() if cut}
    assert not found, told(found)


def test_no_word_of_a_table_or_of_code_is_broken_on_a_phone(visits):
    found = {name: v.broken for name, v in visits.items() if v.broken}
    assert not found, told(found)


def test_every_link_within_the_book_has_its_file(site):
    found = {}
    for page in site.pages():
        links = BeautifulSoup(page.read_text(), "html.parser").find_all(href=True)
        paths = {unquote(urlparse(link["href"]).path) for link in links if not urlparse(link["href"]).scheme}
        missing = sorted(p for p in paths if p and not (page.parent / p).exists())
        later = (pdf.PDF, pdf.EPUB, *(["slides/"] if not (site.html / "slides").exists() else []))
        missing = [p for p in missing if not any(made in p for made in later)]  # after the pages
        if missing:
            found[page.relative_to(site.html).as_posix()] = missing
    assert not found, told(found)


def test_axe_finds_nothing_serious(visits):
    found = {name: v.violations for name, v in visits.items() if v.violations}
    assert not found, told(found)


def test_search_finds_the_explorer_from_the_disk(site, page):
    page.goto(f"{(site.html / 'search.html').as_uri()}?q=explorer")
    page.wait_for_selector("#search-results li a")
    links = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert any("explorer.html" in link for link in links)


PAGE = """<!doctype html><div class="bd-sidebar-primary"><nav class="bd-links">
<p class="caption">Small</p><ul><li><a href="{up}editions/small/A.html">A</a>
<li><a href="{up}editions/small/B.html">B</a></ul>
<p class="caption">Large 2.5</p><ul><li><a href="{up}editions/large-2.5/A.html">A</a></ul>
<p class="caption">Words</p><ul><li><a href="{up}words.html">Words</a></ul></nav></div>
<main><h1>A</h1><p>Edition: one</p><a id="ref" href="{up}editions/small/A.html#sec-a-small">A</a>
<a id="only" href="{up}editions/small/B.html">B</a></main>
<div class="prev-next-footer"><a id="next" href="{up}editions/large-2.5/A.html">next</a></div>
<script src="{script}"></script>"""


def test_a_reader_chooses_the_edition_once(page, tmp_path):
    script = (ROOT / "book" / "_static" / "editions.js").as_uri()
    chapters = ("editions/small/A.html", "editions/small/B.html", "editions/large-2.5/A.html")
    for name in (*chapters, "words.html", "front.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PAGE.format(up="../" * name.count("/"), script=script))

    def listed():
        return [link.get_attribute("href") for link in page.locator("nav a").all() if link.is_visible()]

    page.goto((tmp_path / "editions/small/A.html").as_uri())
    assert len(listed()) == 3
    following = page.locator("#next")  # not on into another edition, but to what is listed next
    assert following.inner_text() == "B" and following.get_attribute("href").endswith("small/B.html")
    page.goto((tmp_path / "editions/small/B.html").as_uri())
    assert page.locator("#next").get_attribute("href").endswith("words.html")
    page.goto((tmp_path / "editions/small/A.html").as_uri())
    with page.expect_navigation():
        page.select_option("main select", label="Large 2.5")
    assert page.url.endswith("/editions/large-2.5/A.html") and len(listed()) == 2
    page.goto((tmp_path / "words.html").as_uri())
    assert listed() == ["editions/large-2.5/A.html", "words.html"] and page.locator("select").count() == 1
    assert page.locator("#ref").evaluate("a => a.href").endswith("/large-2.5/A.html#sec-a-large-2-5")
    page.goto((tmp_path / "front.html").as_uri())  # in no list: "next" is the first chapter of the lists
    assert page.locator("#next").get_attribute("href") == "editions/large-2.5/A.html"
    page.evaluate("localStorage.setItem('edition', 'small')")
    page.reload()
    assert page.locator("#next").get_attribute("href").endswith("editions/small/A.html")
    page.evaluate("localStorage.setItem('edition', 'large-2.5')")
    page.goto((tmp_path / "words.html").as_uri())
    assert page.locator("#only").evaluate("a => a.href").endswith("/small/B.html")


FOUND = """<div id="search-results"><p class="search-summary">found 4 page(s)</p><ul class="search">
<li><a href="words.html#term-a">Words</a><li><a href="editions/small/A.html">A</a>
<li><a href="editions/large-2.5/A.html">A</a><li><a href="words.html">Words</a></ul></div>"""


def test_a_search_counts_what_it_lists_once_and_in_the_chosen_edition(page, tmp_path):
    script = (ROOT / "book" / "_static" / "editions.js").as_uri()
    (tmp_path / "search.html").write_text(PAGE.format(up="", script=script))
    page.goto((tmp_path / "search.html").as_uri())
    page.evaluate("""html => {
        const main = document.querySelector("main");
        main.innerHTML = "<div id='search-results'></div>";
        document.dispatchEvent(new Event("DOMContentLoaded", {bubbles: true}));
        main.firstChild.innerHTML = html;
    }""", FOUND)  # fmt: skip
    page.wait_for_function("document.querySelector('.search-summary').textContent === 'found 2 page(s)'")
    links = page.locator("ul.search > li:visible > a")
    assert [link.get_attribute("href") for link in links.all()] == [
        "words.html#term-a",
        "editions/small/A.html",
    ]


def test_the_explorer_and_the_sidebar_show_the_same_edition(page, tmp_path):
    script = (ROOT / "book" / "_static" / "editions.js").as_uri()
    choice = "<select id='explorer-edition'><option>small</option><option>large-2.5</option></select>"
    text = PAGE.format(up="", script=script).replace("<h1>", f"{choice}<h1>")
    (tmp_path / "explorer.html").write_text(text)
    page.goto((tmp_path / "explorer.html").as_uri() + "#edition=large-2.5&chain=0-1")
    assert page.locator(".edition-switch select").input_value() == "large-2.5"  # a link's edition
    with page.expect_navigation(wait_until="load"):
        page.select_option(".edition-switch select", "small")
    assert page.url.endswith("#edition=small")
    with page.expect_navigation(wait_until="load"):
        page.select_option("#explorer-edition", "large-2.5")
    assert page.locator(".edition-switch select").input_value() == "large-2.5"


def test_a_searchs_excerpts_are_of_the_text_and_not_of_the_code(page, tmp_path):
    script = (ROOT / "book" / "_static" / "search.js").as_uri()
    theirs = "const DOCUMENTATION_OPTIONS = {}, Search = {htmlToText: html => html}"
    (tmp_path / "search.html").write_text(f"<script>{theirs}</script><script src='{script}'></script>")
    page.goto((tmp_path / "search.html").as_uri())
    said = page.evaluate("Search.htmlToText('<main>what is said<div class=cell_input>import x</div></main>')")
    assert "what is said" in said and "import" not in said


def test_a_tap_on_a_solutions_title_opens_it(site, page):
    chapter = next((p for p in site.pages() if 'class="solution dropdown' in p.read_text()), None)
    if chapter is None:
        pytest.skip("this book has no exercise")
    page.goto(chapter.as_uri())
    page.wait_for_selector(".solution.toggle-hidden")
    words = page.locator(".solution .admonition-title a").first
    words.scroll_into_view_if_needed()
    box = words.bounding_box()
    page.mouse.click(box["x"] + 10, box["y"] + 5)
    page.wait_for_selector(".solution:not(.toggle-hidden)")
    assert page.url == chapter.as_uri()  # not away to the exercise


def test_without_scripts_every_edition_is_listed(browser, tmp_path):
    (tmp_path / "words.html").write_text(PAGE.format(up="", script="none.js"))
    session = context(browser, java_script_enabled=False)
    page = session.new_page()
    page.goto((tmp_path / "words.html").as_uri())
    assert all(link.is_visible() for link in page.locator("nav a").all())
    session.close()
