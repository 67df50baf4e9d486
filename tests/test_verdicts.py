"""Verdicts: four kinds, made in one place, and none that the numbers do not bear."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace

import cclib
from cclib import cost, stats
from cclib.display import sentences, verdicts
from cclib.experiments import results
from cclib.study import Study

ROOT = Path(__file__).parents[1]
SHAPES = ({"n_layers": 4, "d_model": 32}, {"n_layers": 4, "d_model": 64}, {"n_layers": 8, "d_model": 64})


def study_of(traces):
    nothing = [None] * len(traces)
    return Study([t.model for t in traces], "made", 0, list(traces), nothing, nothing, nothing)


def three(n=1200, seed=0):
    return [make_trace(m, n, seed + i, 0.4 + 0.2 * i, **SHAPES[i]) for i, m in enumerate(("s", "m", "l"))]


@pytest.mark.parametrize(
    ("b", "c", "n", "kind"),
    [
        (7, 18, 1430, "loses"),  # the paper's 3B → 8B
        (41, 9, 1430, "gains"),
        (9, 14, 1430, "equivalent"),  # its main claim
        (60, 54, 1430, "undecided"),  # 70B → GPT-4o
        (0, 4, 1430, "equivalent"),  # few, and all one way: McNemar's exact p is 0.125
        (0, 4, 143, "undecided"),
        (0, 0, 143, "undecided"),  # nothing differs, and 143 questions could hide two points
        (0, 0, 1430, "equivalent"),
    ],
)
def test_a_verdict_is_one_of_four_kinds(b, c, n, kind):
    verdict = verdicts.judge(b, c, n)
    assert verdict.kind == kind
    assert verdict.difference == pytest.approx(100 * (b - c) / n)


def test_equality_is_never_read_off_an_interval_that_holds_zero():
    for b, c in ((60, 54), (2, 5), (30, 40)):
        said = str(verdicts.judge(b, c, 1430, margin=0.001))
        assert "undecided" in said and "keeps" not in said and "equivalent to" not in said
        assert f"hide a loss of {-100 * stats.paired_interval_from_counts(b, c, 1430)[0]:.2f} points" in said


def test_the_margin_is_a_parameter_and_is_named():
    assert verdicts.judge(9, 14, 1430, margin=0.02).kind == "equivalent"
    assert verdicts.judge(9, 14, 1430, margin=0.005).kind == "undecided"
    assert "within 0.5 points" in str(verdicts.judge(9, 14, 1430, margin=0.005))
    assert "within 1 point " in str(verdicts.judge(9, 14, 1430))


def test_a_loss_may_be_shown_and_smaller_than_the_margin():
    said = str(verdicts.judge(0, 10, 10_000))
    assert said.startswith("loses accuracy") and "equivalent within 1 point" in said


def test_a_chain_that_keeps_nothing_is_identical_and_the_dearer_buy():
    study = study_of(three())
    chains = study.run_chains(1.0, None)
    said = sentences.verdicts(chains)
    assert said.count("is identical to its last model") == 4
    assert said.count("which is the better buy") == 4 and "keeps its last model's accuracy" not in said
    assert "| identical |" in sentences.at_a_glance(study, chains)


def test_a_dearer_chain_that_may_be_more_accurate_is_not_called_the_worse_buy():
    small, _, last = three()
    result = cclib.cascade([small, last], 1.0, None)  # all passes are made
    mixing = results.above_mixing(result, {"s": small, "l": last})
    undecided, loses = verdicts.judge(23, 20, 448), verdicts.judge(0, 20, 448)
    assert (undecided.kind, loses.kind, mixing.dearer) == ("undecided", "loses", True)
    assert verdicts.against_mixing(mixing, undecided).endswith("which is the cheaper.")
    assert verdicts.against_mixing(mixing, loses).endswith("which is the better buy.")


def test_a_difference_from_the_papers_accuracy_is_called_one_of_tests_where_it_is():
    study = study_of(three())
    assert "The paper's are MMLU's, these are made's" in sentences.other_questions(study, "MMLU")
    assert sentences.other_questions(study, "made") == ""


def test_tables_carry_the_equivalence_beside_the_interval():
    study = study_of(three())
    table = results.accuracy(study, 0.9, None)
    columns = list(table)
    assert columns.index("p, equivalence") == columns.index("PD (points) interval") + 1
    tests = results.significance(study, 0.9, None)
    assert (tests["p, Holm"] >= tests["p"]).all()
    row = tests.loc["s → l vs. l"]
    expected = stats.equivalence(row["only chain right"], row["only last right"], len(study))
    assert row["p, equivalence"] == table.loc["s → l", "p, equivalence"] == expected
    wide = results.accuracy(study, 0.9, None, margin=0.5)["p, equivalence"].dropna()
    assert (wide < 1e-6).all()


def test_random_mixing_is_the_line_between_two_models_at_the_cascades_compute():
    small, _, large = three()
    result = cclib.cascade([small, large], 0.7, None)
    spent = 1 - cost.reduced(result, "every-pass")
    ratio = np.divide(*cost.stage_sizes([small, large]))
    share = (spent - ratio) / (1 - ratio)
    mixed = (1 - share) * small.correct.mean() + share * large.correct.mean()
    mixing = results.above_mixing(result, {"s": small, "l": large})
    assert mixing.models == ("s", "l") and not mixing.dearer
    assert mixing.points == pytest.approx(100 * (result.accuracy - mixed))
    low, high = mixing.interval
    assert low < mixing.points < high


def test_a_long_chain_is_set_against_the_best_pair_and_not_only_its_ends():
    study = study_of(three())
    result = study.run_chains(0.7, None)["s → m → l"]
    alone = dict(zip(study.models, study.test))
    ends = {m: alone[m] for m in ("s", "l")}
    best, by_ends = results.above_mixing(result, alone), results.above_mixing(result, ends)
    assert best.points <= by_ends.points


def test_confidences_that_know_nothing_do_not_beat_the_coin():
    rng = np.random.default_rng(0)
    above = []
    for seed in range(60):
        small, _, large = three(600, 3 * seed)
        blind = small.with_column("p_t", rng.random(600))
        result = cclib.cascade([blind, large], 0.5, None)
        mixing = results.above_mixing(result, {"s": small, "l": large})
        above.append(mixing.interval[0] > 0)  # it pays twice for what it sends on
        assert mixing.dearer or mixing.points < 12
    assert np.mean(above) < 0.05


def test_a_model_is_near_chance_where_it_is_not_shown_to_beat_the_best_letter():
    answers = np.repeat([0, 1, 2, 3], [355, 343, 378, 354])  # C in 26.4 %, as in MMLU's test part here

    def guesser(right):
        trace = make_trace("guesser", len(answers), 0)
        return trace.with_column("answer", answers).with_column("correct", np.arange(len(answers)) < right)

    little, more = (sentences.near_chance(study_of([guesser(k)])) for k in (404, 460))
    assert "always answering C" in little[0] and "26.4%" in little[0]
    assert more == []
    ten = make_trace("ten", 20, 0).with_column("answer", np.arange(20) % 4)
    assert sentences.near_chance(study_of([ten.with_column("correct", np.arange(20) < 10)])) == []


def test_the_highest_of_overlapping_rows_is_not_called_the_best():
    flat = pd.DataFrame({"AUROC": [0.51, 0.54, 0.53], "interval": [(0.47, 0.55), (0.5, 0.58), (0.49, 0.57)]})
    assert "of the 2 others 2 have intervals that meet its own" in verdicts.leader(flat, "AUROC", "interval")
    clear = flat.assign(AUROC=[0.51, 0.84, 0.53], interval=[(0.47, 0.55), (0.8, 0.88), (0.49, 0.57)])
    assert "1 is highest (0.840); of the 2 others 0" in verdicts.leader(clear, "AUROC", "interval")


def test_only_signed_headlines_that_are_not_zero_are_counted():
    from cclib.paper import headlines

    table = headlines.headlines(study_of(three()), 1.0, None)  # nothing is kept: all points are zero
    moved = headlines.signed(table)
    assert (moved["here"] != 0).all() and not moved["unit"].eq("p").any()
    what = moved.index.get_level_values("what")
    assert not what.str.contains("accuracy|F1|AUROC|answered").any()
    assert table.loc[(9, "p-value, 8B → 70B against 70B"), ["unit", "here"]].tolist() == ["p", 1.0]


def test_the_paper_beside_us_has_an_interval_of_two_samples():
    from cclib.paper import beside

    large = three(1430)[2]
    study = study_of([three(1430)[0], large])
    table = beside.beside(study, 1, 0.9, None)
    low, high = table.loc["70B", "difference interval"]
    alone = np.subtract(*stats.accuracy_interval(large.correct)[::-1])
    assert 1.2 * 100 * alone < high - low < 1.6 * 100 * alone  # about the square root of two


VERDICTS = r"keeps its last model|what chance explains|clearly (better|worse)|no significant difference"


def test_no_page_words_a_verdict_of_its_own():
    pages = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "book").glob("*.md"), ROOT / "README.md"]
    for page in [*pages, *(ROOT / "cclib").rglob("*.py")]:
        if page.name != "verdicts.py":
            found = re.search(VERDICTS, page.read_text(encoding="utf-8"), re.IGNORECASE)
            assert found is None or page.name in ("E-significance.ipynb", "J-audit.ipynb"), (page, found)


def test_an_estimator_that_leads_by_luck_among_many_is_not_recommended():
    from cclib.experiments.estimators import estimate

    rng = np.random.default_rng(3)
    right = rng.random(800) < 0.6
    p_t = 0.3 * right + rng.random(800)
    level = [estimate.Estimate(f"level {i}", "", "", 0.3 * right + rng.random(800)) for i in range(15)]
    own = estimate.Estimate("P(T)", "Eq. 1", "the one pass", p_t)
    table = estimate.ranking(right, [own, *level], None)
    low = table["AUROC above P(T), interval"].str[0]
    assert "**Use P(T)**" in sentences.confidence(table) and "for 15 comparisons" in sentences.confidence(
        table
    )
    better = estimate.Estimate("better", "", "", right + rng.random(800))
    said = sentences.confidence(estimate.ranking(right, [own, *level, better], None))
    assert "**Use better**" in said and "expect a little less on others" in said
    assert low.notna().sum() == 15
