"""The cascade explorer in a real browser, from the disk: its numbers are cclib's, its controls work."""

import random

import numpy as np
import pytest
import yaml
from book_site import MADE, PHONE, SETTLED, context

import cclib
from cclib import cost, stats
from cclib.experiments import results
from cclib.experiments.routing.frontier import hull

pytestmark = pytest.mark.slow

FOLLOWED = """(bars => bars.every((bar, c) => bar.customdata.every(
    ([count], subject) => count === cascadeExplorer.numbers.fate[subject * bars.length + c])
))(document.querySelector('#explorer-fate').data)"""


def open_explorer(page, site, setting=""):
    """The explorer at a setting, once its numbers and figures are there."""
    page.goto(f"{(site.html / 'book' / 'explorer.html').as_uri()}{setting}")
    page.wait_for_function(
        "window.cascadeExplorer?.numbers && document.querySelector('#explorer-fate .plotly')"
    )


def numbers(page):
    return page.evaluate("({...cascadeExplorer.numbers, fate: Array.from(cascadeExplorer.numbers.fate)})")


def link(edition, members, pt, pik, prices=None):
    told = ",".join("off" if v is None else f"{v:g}" for v in pik)
    chain, levels = "-".join(map(str, members)), ",".join(f"{v:g}" for v in pt)
    setting = f"#edition={edition}&chain={chain}&pt={levels}&pik={told}"
    return setting + (f"&prices={','.join(f'{a:g}:{b:g}' for a, b in prices)}" if prices else "")


def random_setting(site, draw):
    """An edition, a chain, thresholds with P(IK) left out here and there, sometimes typed prices."""
    edition = draw.choice([e["name"] for e in site_editions(site)])
    study = site.study(edition)
    members = draw.choice(study.chains())
    inner = [study.test[i] for i in members[:-1]]
    pt = [round(draw.random(), draw.choice([2, 3])) for _ in inner]
    pik = [round(draw.random(), 3) if t.p_ik is not None and draw.random() < 0.8 else None for t in inner]
    prices = [(draw.randint(1, 9) / 8, draw.randint(1, 99) / 4) for _ in members]
    return edition, members, pt, pik, prices if draw.random() < 0.5 else None


def site_editions(site):
    text = (site.html / "_static" / "explorer" / "editions.js").read_text()
    return yaml.safe_load(text.removeprefix("window.cascadeEditions = ").rstrip(";\n"))


def plain_setting(site):
    """The link of a first chain at the paper's thresholds, and its stages."""
    edition = site_editions(site)[0]["name"]
    members = site.study(edition).chains()[0]
    return link(edition, members, [0.9], [0.5]), site.study(edition).chain(members)


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


# ---- the explorer ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(browser, site):
    """A page that goes from setting to setting."""
    session = context(browser)
    page = session.new_page()
    open_explorer(page, site)
    yield page
    session.close()


@pytest.mark.parametrize("seed", range(20))
def test_the_explorers_numbers_are_cclibs(site, opened, seed):
    edition, members, pt, pik, prices = random_setting(site, random.Random(seed))
    setting = link(edition, members, pt, pik, prices)
    opened.evaluate(f"location.hash = '{setting}'")
    opened.wait_for_function(f"cascadeExplorer.numbers.link === '{setting}'")
    shown = numbers(opened)
    stages = site.study(edition).chain(members)
    result = cclib.cascade(stages, pt, pik)
    alone = stages[-1].correct.mean()
    drop = stats.performance_drop(alone, result.accuracy)
    assert shown["accuracy"] == close(result.accuracy) and shown["reference"] == close(alone)
    assert shown["interval"] == close(list(stats.accuracy_interval(result.correct)))
    assert shown["drop"] == {"absolute": close(drop.absolute), "relative": close(drop.relative)}
    assert shown["counts"] == result.stage_counts.tolist() and shown["passes"] == result.passes.tolist()
    listed = dict(zip([t.model for t in stages], prices)) if prices else None
    for name, accounting in (("paper", "paper"), ("everyPass", "every-pass")):
        for kind, expected in (
            ("compute", cost.compute(result, accounting)),
            ("dollars", cost.dollars(result, listed, accounting)),
        ):
            found = shown[kind][name]
            assert found["stages"] == close(expected.stages.tolist())
            assert found["total"] == close(expected.total) and found["reference"] == close(expected.reference)
            assert found["reduced"] == close(expected.reduced)
    subjects = np.unique(stages[0].column("subject").astype(str), return_inverse=True)[1]
    fate = np.zeros((subjects.max() + 1, len(stages), 2), int)
    np.add.at(fate, (subjects, result.stage, (~result.correct).astype(int)), 1)
    assert shown["fate"] == fate.ravel().tolist()


@pytest.mark.parametrize("accounting", ["paper", "everyPass"])
def test_the_frontier_is_what_no_pair_of_thresholds_beats(site, page, accounting):
    setting, stages = plain_setting(site)
    open_explorer(page, site, setting)
    page.select_option("#explorer-accounting", accounting)
    drawn = page.evaluate("cascadeExplorer.frontier.map(p => [p.cost, p.accuracy])")
    levels = np.arange(51) / 50
    results = [cclib.cascade(stages, a, b) for a in levels for b in [None, *levels[1:]]]
    name = accounting.replace("everyPass", "every-pass")
    grid = np.array([[1 - cost.compute(r, name).reduced, r.accuracy] for r in results])
    for spent, accuracy in drawn:
        assert np.abs(grid - [spent, accuracy]).max(axis=1).min() < 1e-9
        assert grid[grid[:, 0] < spent - 1e-9, 1].max(initial=0) < accuracy
    for spent, accuracy in grid:
        assert any(s <= spent + 1e-9 and a >= accuracy - 1e-9 for s, a in drawn)
    shown = numbers(page)
    point = page.evaluate("(({x, y}) => [x[0], y[0]])(document.querySelector('#explorer-frontier').data[4])")
    assert point == close([100 * (1 - shown["compute"][accounting]["reduced"]), 100 * shown["accuracy"]])


def test_random_mixing_is_of_all_models_and_the_page_says_how_far_the_setting_is_above_it(site, page):
    edition = site_editions(site)[0]["name"]
    study = site.study(edition)
    members = next(m for m in study.chains() if not np.isnan(cost.stage_sizes(study.chain(m))).any())
    open_explorer(page, site, link(edition, members, [0.7] * (len(members) - 1), [None] * (len(members) - 1)))
    sizes = np.array(cost.stage_sizes(study.test))
    known = ~np.isnan(sizes)
    right = np.array([t.correct.mean() for t in study.test])
    corners = np.stack(hull(sizes[known] / sizes[members[-1]], right[known]))
    drawn = page.evaluate("['x', 'y'].map(a => [...document.querySelector('#explorer-frontier').data[1][a]])")
    assert np.array(drawn) == pytest.approx(100 * corners)
    result = cclib.cascade(study.chain(members), 0.7, None)
    models = {m: t for m, t, k in zip(study.models, study.test, known) if k}
    above = f"{results.above_mixing(result, models).points:+.2f}".replace("-", "\u2212")
    assert f"the setting is {above} points above it" in page.inner_text("#explorer-frontier-caption")


def finger(page, selector, across, down):
    """A finger lands in the middle of a control and moves by so many pixels; how far the page scrolled."""
    page.locator(selector).evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    box, before = page.locator(selector).bounding_box(), page.evaluate("scrollY")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    steps = [("touchStart", 0), *(("touchMove", i / 10) for i in range(1, 11))]
    for kind, part in steps:
        point = {"x": x + across * part, "y": y + down * part}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        page.wait_for_timeout(20)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)
    return page.evaluate("scrollY") - before


def test_a_finger_that_scrolls_the_page_moves_no_slider(site, browser):
    session = context(browser, has_touch=True, is_mobile=True)
    page = session.new_page()
    page.set_viewport_size(PHONE)
    open_explorer(page, site, plain_setting(site)[0])
    assert finger(page, "#explorer-pt-0", 10, -200) > 50
    assert page.input_value("#explorer-pt-0") == page.input_value("#explorer-pt-0-exact") == "0.9"
    assert "pt=0.9&" in numbers(page)["link"]
    assert finger(page, "#explorer-pt-0", 40, 0) == 0  # dragged
    moved = page.input_value("#explorer-pt-0")
    assert 0.5 < float(moved) < 0.9 and f"pt={moved}&" in numbers(page)["link"]
    page.focus("#explorer-pt-0")
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#explorer-pt-0")) == pytest.approx(float(moved) + 0.01)
    session.close()


def test_a_button_loads_the_thresholds_that_are_proven(site, page):
    """On the page's data, with a promise put in where the edition has none."""
    open_explorer(page, site, plain_setting(site)[0])
    stages = plain_setting(site)[1]
    page.evaluate("""() => {
        const chain = window.cascadeData[cascadeEditions[0].name].chains[0];
        chain.proven = {pt: [0.625], maxDrop: 0.01, probability: 0.95, saved: 0.2, questions: 1000};
        document.querySelector('#explorer-chain').dispatchEvent(new Event('change'));
    }""")
    page.click("#explorer-proven")
    result = cclib.cascade(stages, [0.625], None)
    assert numbers(page)["accuracy"] == close(result.accuracy)
    assert numbers(page)["counts"] == result.stage_counts.tolist()
    assert "0.625" in page.inner_text("#explorer-promise") and "pik=off" in numbers(page)["link"]


def test_the_figures_follow_a_slider(site, page):
    open_explorer(page, site, plain_setting(site)[0])
    page.locator("#explorer-pt-0").fill("0.31")
    shown = numbers(page)
    page.wait_for_function(FOLLOWED)
    point = page.evaluate("(({x, y}) => [x[0], y[0]])(document.querySelector('#explorer-frontier').data[4])")
    assert point == close([100 * (1 - shown["compute"]["everyPass"]["reduced"]), 100 * shown["accuracy"]])
    bars = page.evaluate(
        "document.querySelector('#explorer-fate').data.map(t => t.customdata.map(c => c[0]))"
    )
    assert np.array(bars).T.ravel().tolist() == shown["fate"]


def test_the_keyboard_moves_a_slider_and_the_change_is_announced(site, page):
    open_explorer(page, site)
    before = numbers(page)
    page.focus("#explorer-chain")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "explorer-pt-0"
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert page.input_value("#explorer-pt-0") == page.input_value("#explorer-pt-0-exact") == "0.7"
    after = numbers(page)
    assert after["counts"][0] > before["counts"][0]
    said = f"Accuracy {100 * after['accuracy']:.1f}\u00a0%"
    page.wait_for_function(f"document.querySelector('#explorer-live').textContent.startsWith('{said}')")


def test_a_link_restores_a_setting_and_reset_the_papers(site, page, browser):
    open_explorer(page, site)
    page.locator("#explorer-pt-0-exact").fill("0.123")
    page.locator("#explorer-reads-0").uncheck()
    there = page.get_attribute("#explorer-link", "href")
    session = context(browser)
    other = session.new_page()
    open_explorer(other, site, there)
    assert numbers(other)["link"] == there and "pt=0.123" in there and "pik=off" in there
    assert numbers(other)["accuracy"] == numbers(page)["accuracy"]
    other.click("#explorer-reset")
    members = other.evaluate("cascadeExplorer.numbers.models.length") - 1
    assert f"pt={','.join(['0.9'] * members)}&" in numbers(other)["link"]
    session.close()


def test_a_bad_link_falls_back_to_the_papers_thresholds(site, page):
    open_explorer(page, site, "#edition=no-such&chain=7-1&pt=2,abc&pik=,-1&prices=x")
    edition = site_editions(site)[0]["name"]
    assert numbers(page)["link"].startswith(f"#edition={edition}&chain=")
    assert set(numbers(page)["link"].split("pt=")[1].split("&")[0].split(",")) == {"0.9"}


def test_the_page_says_what_was_not_recorded(site, page):
    if MADE not in site.book.editions:
        pytest.skip("every stage of this book's editions is recorded whole")
    open_explorer(page, site, link(MADE, (1, 3), [0.9], [None]))
    assert page.is_disabled("#explorer-pik-0")
    assert "P(IK) was not recorded" in page.text_content("#explorer-stages")
    assert "gpt-4o: sizes were not recorded" in page.text_content("#explorer-missing")
    assert page.is_hidden("#explorer-frontier") and "not known" in page.text_content("#explorer-costs")
    assert "$" in page.text_content("#explorer-costs")  # listed prices


def test_typed_prices_give_dollars(site, page):
    edition = site_editions(site)[0]["name"]
    open_explorer(page, site, f"#edition={edition}")
    page.click("#explorer-prices summary")
    for box in page.locator("#explorer-prices input").all():
        box.fill("2.5")
    assert "no listed price" not in page.text_content("#explorer-missing")
    assert page.text_content("#explorer-costs").count("$") == 4


def test_without_javascript_the_page_says_so(site, browser):
    session = context(browser, java_script_enabled=False)
    blind = session.new_page()
    blind.goto((site.html / "book" / "explorer.html").as_uri())
    assert "needs JavaScript" in blind.inner_text("main")
    session.close()


def test_the_theme_switch_reaches_page_and_figures(site, page):
    open_explorer(page, site)
    colours = []
    for _ in range(4):  # light, dark and the system's, in the theme's order
        colours.append(
            page.evaluate("""[document.documentElement.dataset.theme,
            getComputedStyle(document.body).backgroundColor,
            document.querySelector('#explorer-fate').layout.font.color]""")
        )
        page.locator(".theme-switch-button:visible").first.click()
        page.wait_for_function(SETTLED)
    assert len({tuple(c) for c in colours}) == 2 and {c[0] for c in colours} == {"light", "dark"}
    assert len({c[1] for c in colours}) == len({c[2] for c in colours}) == 2
