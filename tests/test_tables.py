"""Tables and sentences: what they say follows from the traces, and nothing is said that was not measured."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import make_trace

import cclib
from cclib import cost, paper, stats
from cclib.display import in_short, sentences, tables
from cclib.experiments import ablation, results, sensitivity
from cclib.paper import beside
from cclib.study import Study

SHAPES = ({"n_layers": 4, "d_model": 32}, {"n_layers": 4, "d_model": 64}, {"n_layers": 8, "d_model": 64})
TRACES = [
    make_trace(m, 400, i, 0.4 + 0.2 * i, hidden_layer=3, **SHAPES[i]) for i, m in enumerate(("s", "m", "l"))
]


def study_of(traces):
    nothing = [None] * len(traces)
    return Study([t.model for t in traces], "made", 0, list(traces), nothing, nothing, nothing)


STUDY, ONE = study_of(TRACES), study_of(TRACES[:1])
BARE = study_of(
    [TRACES[0].without("p_ik"), TRACES[2].without("p_t", "p_ik", "prediction", "answer", "seconds")]
)


def test_every_chain_of_three_has_its_row():
    table = results.accuracy(STUDY, 0.6, 0.5)
    assert list(table.index) == ["s", "m", "l", "s → m", "s → l", "m → l", "s → m → l"]
    row = table.loc["s → l"]
    result = cclib.cascade([TRACES[0], TRACES[2]], 0.6, 0.5)
    assert row["accuracy"] == result.accuracy
    assert row["PD (points)"] == pytest.approx(100 * (result.accuracy - TRACES[2].correct.mean()))
    low, high = row["PD (points) interval"]
    assert low <= row["PD (points)"] <= high
    assert row["reduced compute, every pass"] <= row["reduced compute, paper"]


def test_the_interval_of_a_pairs_saving_is_wilsons_of_the_share_kept():
    result = cclib.cascade([TRACES[0], TRACES[2]], 0.6, None)
    small, large = cost.stage_sizes(result.stages)
    kept = stats.wilson(int(result.stage_counts[0]), 400)
    assert cost.saving_interval(result, "paper") == pytest.approx([k * (1 - small / large) for k in kept])
    assert cost.saving_interval(result, "every-pass") == pytest.approx([k - small / large for k in kept])


def test_a_saving_has_an_interval_where_nothing_is_kept_and_where_all_is():
    none, every = (cclib.cascade(TRACES, threshold, None) for threshold in (1.0, 0.0))
    assert none.stage_counts.tolist() == [0, 0, 400] and every.stage_counts.tolist() == [400, 0, 0]
    low, high = cost.saving_interval(none, "paper")
    assert low == pytest.approx(0, abs=1e-12) and 0 < high < 0.02
    low, high = cost.saving_interval(every, "paper")
    assert low < high == pytest.approx(cost.reduced(every))
    shapeless = cclib.cascade([make_trace("s"), make_trace("l", seed=1)], 0.6, None)
    assert np.isnan(cost.saving_interval(shapeless, "paper")).all()


@pytest.mark.parametrize("accounting", cost.ACCOUNTINGS)
def test_the_interval_of_a_saving_covers_the_true_one(accounting):
    def chain(n, seed):
        return [make_trace(m, n, seed + i, 0.5, **SHAPES[i]) for i, m in enumerate(("s", "m", "l"))]

    for threshold in (0.6, 0.97):
        true = cost.reduced(cclib.cascade(chain(40_000, 0), threshold, None), accounting)
        drawn = [cclib.cascade(chain(300, 3 * k), threshold, None) for k in range(1, 150)]
        held = [low <= true <= high for low, high in (cost.saving_interval(r, accounting) for r in drawn)]
        assert np.mean(held) >= 0.92


def test_models_stand_beside_those_of_their_role():
    assert beside.roles(STUDY) == {"3B": 0, "8B": 1, "70B": 2}
    assert beside.counterpart(STUDY, "3B → 70B") == "s → l"
    two = study_of([TRACES[0], TRACES[2]])
    assert beside.counterpart(two, "3B → 70B") == "s → l"
    assert beside.counterpart(two, "8B → 70B") is None
    assert beside.counterpart(ONE, "3B") == "s"


def test_table_1_keeps_the_papers_rows_where_there_is_no_counterpart():
    table = beside.beside(study_of([TRACES[0], TRACES[2]]), 1, 0.6, 0.5)
    assert list(table.index) == list(paper.table(1)["models"])
    assert table.loc["8B", "here"] == "–" and np.isnan(table.loc["8B", "accuracy, here"])
    assert table.loc["3B", "accuracy, paper"] == pytest.approx(0.6378)


def test_3b_to_8b_is_dearer_than_the_8b_when_every_pass_is_counted():
    counted = beside.every_pass_at_the_papers_counts()
    assert counted.loc["3B → 8B", "reduced, Eq. 6"] == pytest.approx(1 - (487 * 3 + 943 * 8) / (1430 * 8))
    assert counted.loc["3B → 8B", "reduced, every pass"] == pytest.approx(
        1 - (1430 * 3 + 943 * 8) / (1430 * 8)
    )
    assert counted.loc["3B → 8B", "reduced, every pass"] < 0


def test_f1_beside_the_papers_is_scikit_learns():
    from sklearn.metrics import f1_score

    table = beside.macro_beside(STUDY, 0.6, 0.5)
    expected = f1_score(TRACES[2].column("answer"), TRACES[2].column("prediction"), average="macro")
    assert table.loc["70B", "F1, here"] == pytest.approx(expected, abs=1e-12)


def test_pik_is_judged_at_an_equal_share_too():
    table = ablation.worth_of_pik(STUDY, 0.4, 0.5)
    row = table.loc["s → l"]
    both, alone = (cclib.cascade([TRACES[0], TRACES[2]], 0.4, p) for p in (0.5, None))
    assert row["difference (points)"] == pytest.approx(100 * (both.accuracy - alone.accuracy))
    assert row["more questions to the last stage"] == both.stage_counts[-1] - alone.stage_counts[-1] > 0


def test_the_surface_is_the_cascade_at_every_pair():
    surface = sensitivity.surface(STUDY, (0, 2))
    result = cclib.cascade([TRACES[0], TRACES[2]], 0.6, 0.4)
    assert surface.accuracy[60, 40] == pytest.approx(result.accuracy)
    assert surface.reduced_paper[60, 40] == pytest.approx(cost.reduced(result))
    i, j = sensitivity.best_within(surface, 0.0)
    assert surface.reduced_every_pass[i, j] == surface.reduced_every_pass.max()
    assert sensitivity.best_within(surface, 2.0) is None


@pytest.mark.parametrize("study", [STUDY, ONE, BARE], ids=["three", "one", "no P(IK)"])
def test_every_table_stands_whatever_is_missing(study):
    made = [
        results.accuracy(study, 0.9, 0.5), results.macro(study, 0.9, 0.5),
        results.stage_counts(study, 0.9, 0.5), results.significance(study, 0.9, 0.5),
        results.confidence(study), results.kept_by_stage(study, 0.9, 0.5),
        beside.beside(study, 1, 0.9, 0.5), beside.beside(study, 3, 0.9, 0.5),
        beside.compute_beside(study, 1, 0.9, 0.5), beside.macro_beside(study, 0.9, 0.5),
        beside.probes_beside(study), beside.first_stage_keeps(study, 0.9, 0.5),
        ablation.without_pik(study, 0.9, 0.5), ablation.worth_of_pik(study, 0.9, 0.5),
        beside.table5_beside(study, 0.9, 0.5), beside.table15_beside(study, 0.5),
        sensitivity.over_seeds([study], 0.9, 0.5),
    ]  # fmt: skip
    assert all("<table" in tables.show(t).to_html() for t in made if len(t))


def test_sentences_name_rises_as_rises():
    chains = STUDY.run_chains(1.0, 0.5)  # nobody is sure enough: all passes on top
    text = sentences.verdicts(chains)
    assert "*rises*" in text and "keeps nothing" in sentences.cautions(STUDY, chains)
    assert "Here is no chain" in sentences.verdicts(ONE.run_chains(0.9, 0.5))


def test_a_model_near_chance_is_called_that():
    guesser = study_of([make_trace("guesser", 400, 3, 0.25), TRACES[2]])
    text = sentences.cautions(guesser, guesser.run_chains(0.9, 0.5))
    assert "guesser is near chance" in text and "**l is near chance**" not in text
    few = study_of([t.select(t.question_id[:5]) for t in (make_trace("few", 5, 1, 1.0), TRACES[2])])
    few = study_of(
        [few.test[0].with_column("answer", [1, 1, 1, 0, 2]).with_column("correct", [1, 1, 1, 1, 0])]
    )
    (line,) = sentences.near_chance(few)
    assert "not shown to be above chance on 5 questions" in line and "80.0%" in line and "near" not in line
    words = study_of([t.with_column("response", ["Answer: Rome"] * len(t)) for t in guesser.test])
    assert sentences.near_chance(words) == []  # in words there is nothing to guess among


def test_shown_tables_hold_no_markup_of_strangers():
    html = tables.show(pd.DataFrame({"model": ["<script>alert(1)</script>"], "accuracy": [0.5]})).to_html()
    assert "<script>" not in html and "50.0%" in html


def test_the_walk_of_a_question_is_the_cascades():
    result = cclib.cascade(TRACES, 0.6, 0.5)
    for index in (0, 7, int(result.stage.argmax())):
        steps = results.walk(STUDY, index, 0.6, 0.5).table()
        assert len(steps) == result.stage[index] + 1
        assert (
            steps["decision"]
            .iloc[-1]
            .startswith("answer (" + ("right" if result.correct[index] else "wrong"))
        )
        assert all(d.startswith("escalate") for d in steps["decision"].iloc[:-1])


def test_confidence_tables_agree_with_the_statistics():
    table = results.confidence(STUDY)
    assert table.loc["s: P(T)", "AUROC"] == stats.auroc(TRACES[0].correct, TRACES[0].p_t)
    low, high = table.loc["s: P(T)", "AUROC interval"]
    assert low < table.loc["s: P(T)", "AUROC"] < high


@pytest.mark.parametrize("study", [STUDY, ONE, BARE], ids=["three", "one", "no P(IK)"])
def test_headlines_hold_every_table_or_say_what_is_missing(study):
    from cclib.paper.headlines import headlines

    table = headlines(study, 0.6, 0.5)
    without_probe = {14} if len(study.models) == 1 else set()
    assert {n for n, _ in table.index} == set(range(1, 16)) - {7, 12} - without_probe
    gaps = table[table["here"].isna()]
    assert (gaps["if missing"] != "").all() and (table["paper"].notna()).all()
    chain, kept = ("3B → 70B", 487) if len(study.models) == 2 else ("8B → 70B", 594)
    row = table.loc[(8, f"answered before the last stage, {chain}")]
    assert row["paper"] == pytest.approx(100 * kept / 1430) and row["derived"]


def test_headlines_stand_beside_the_chains_that_the_chapters_set_beside_them():
    from cclib.paper.headlines import headlines

    two = study_of([TRACES[0], TRACES[2]])  # a smallest and a largest: no model plays the 8B
    table = headlines(two, 0.6, 0.5, transferred=two)
    shown = beside.beside(two, 1, 0.6, 0.5).loc["3B → 70B"]
    row = table.loc[(1, "points lost, 3B → 70B")]
    assert (row["paper"], row["here"]) == (-1.68, shown["PD (points), here"])
    saved = beside.compute_beside(two, 1, 0.6, 0.5).loc["3B → 70B"]
    row = table.loc[(1, "compute saved, 3B → 70B")]
    assert (row["paper"], row["here"]) == (32.47, 100 * saved["reduced, here, by the paper's count"])
    assert table.loc[(8, "answered before the last stage, 3B → 70B"), "paper"] == pytest.approx(48700 / 1430)
    what = table.index.get_level_values("what")
    assert not what.str.contains("3B → 8B → 70B").any()  # the longest chain is the pair itself
    dashes = table[table["here"].isna()]  # as in 4.1 and 4.2, whose tables have no 3B → 70B
    assert {5, 6} <= set(dashes.index.get_level_values("table"))
    assert dashes.loc[[5, 6], "if missing"].str.contains("stand for 3B → 70B").all()
    for n, chain in ((5, "8B → 70B"), (6, "8B → 70B")):
        assert beside.counterpart(two, chain, beside.LABELS[1 if n == 5 else n]) is None


def test_headlines_are_shown_with_two_decimals_and_p_values_as_p():
    from cclib.paper.headlines import headlines

    shown = tables.by_unit(headlines(STUDY, 0.6, 0.5))
    assert shown.loc[(1, "points lost, 8B → 70B"), "paper"] == "-0.35"
    assert shown.loc[(15, "points changed by P(T) ≥ 50 in place of 95 %, 8B → 70B"), "paper"] == "-8.95 †"
    p = shown.loc[(9, "p-value, 8B → 70B against 70B")]
    assert p["paper"] == "0.405" and p["difference"] == "–"


def test_dollars_are_in_one_unit_with_two_digits_of_the_smallest():
    html = tables.show(pd.DataFrame({"USD, every pass": [6.758e-05, 0.0002281]})).to_html()
    assert "0.000068" in html and "0.000228" in html
    prices = tables.show(pd.DataFrame({"output_usd_per_million": [0.16, 10.0]})).to_html()
    assert "0.16" in prices and "10.00" in prices


def test_dollars_of_an_edition_and_before_gpt4_by_hand():
    from cclib.paper import dollars

    table = dollars.by_chain(STUDY, 0.6, 0.5)
    prices, size = dollars.stand_in_prices(STUDY), cost.stage_sizes(STUDY.test)[2]
    assert prices["l"] == pytest.approx((0.10 * size / 8e9, 0.20 * size / 8e9))
    read, written = TRACES[2].prompt_tokens.mean(), TRACES[2].column("output_tokens").mean()
    thousand = 1000 * (read * prices["l"][0] + written * prices["l"][1]) / 1e6
    assert table.loc["l", "USD, every pass"] == pytest.approx(thousand)
    assert (table["USD, every pass"] >= table["USD, answering stage"]).all()
    asked = pd.DataFrame({"USD for 1,000 questions": [2.0, 1.5]}, index=["GPT-4", "l → GPT-4"])
    paid = dollars.before_gpt4(asked, 0.1)
    assert paid.loc["GPT-4", "reduced, both"] == 0  # no local pass is made before GPT-4 alone
    assert paid.loc["l → GPT-4", ["USD, both", "reduced, both"]].tolist() == pytest.approx([1.6, 0.2])


def test_seconds_are_compared_only_where_each_models_own_are_even():
    even = [
        t.with_column("prompt_tokens", TRACES[0].prompt_tokens).with_column(
            "seconds", s * TRACES[0].prompt_tokens
        )
        for t, s in zip(TRACES, (0.001, 0.003, 0.002))
    ]
    study = study_of(even)
    chains = study.run_chains(1.0, None)  # every question goes through every stage
    assert results.time_moved(chains["s → l"]) == pytest.approx(0.5)
    said = sentences.times_here(study, chains)
    assert "s → l takes 50.0% more" in said and "m, of" in said and "no faster than l" in said
    loads = np.where(np.arange(len(even[0])) < 100, 3.0, 1.0)  # a quarter while the machine did other work
    odd = study_of([even[0].with_column("seconds", loads * even[0].seconds), *even[1:]])
    assert np.isnan(results.time_moved(odd.run_chains(1.0, None)["s → l"]))
    assert "3.0 times" in sentences.times_here(odd, odd.run_chains(1.0, None))


def test_published_percentages_and_dollars_are_shown_as_printed():
    html = tables.show(paper.table(4).set_index("models")).to_html()
    assert "86.43%" in html and "reduced tokens" in html and "_percent" not in html
    assert "$0.096" in tables.show(paper.table(13).set_index("models")).to_html()


def test_a_study_without_cautions_says_so():
    chains = STUDY.run_chains(0.5, None)
    assert "No model is near chance" in sentences.cautions(STUDY, chains)


def test_a_chapters_summary_repeats_the_numbers_of_its_table():
    slow = {"mean, cascade / alone": [1.2, 0.9], "95th percentile, cascade / alone": [2.0, 1.5]}
    text = in_short.waiting(pd.DataFrame(slow, index=["a", "b"]))
    assert text.startswith("In 1 of 2 chains") and "2.00 times as long in the worst" in text
    seeds = pd.DataFrame({"accuracy": [0.71, 0.7], "reduced compute, every pass": [0.1, 0.13]})
    text = in_short.over_seeds(seeds, STUDY.run_chains(0.9, 0.5))
    assert text.startswith("Over 2 probes the accuracy spans 1.00 points and the saving 3.00;")
    chain = cclib.cascade(TRACES, 0.9, 0.5)
    kept = 1 - chain.stage_counts[-1] / 400
    said = in_short.distribution({"s → m → l": chain}, pd.Series({"law": 0.4, "art": 0.1}))
    assert (
        f"s → m → l keeps {kept:.0%} of the questions" in said
        and "law stays" in said
        and "art least (10%)" in said
    )
    table = pd.DataFrame({"reduced, paper": [0.25], "reduced, every pass": [-0.05]}, index=["s → m → l"])
    said = in_short.dollars({"s → m → l": chain}, table)
    assert "saves 25.0% of its last model's dollars" in said and "costs 5.0% *more* with every pass" in said


@pytest.mark.parametrize("study", [STUDY, ONE, BARE], ids=["three", "one", "no P(IK)"])
def test_a_chapters_summary_stands_whatever_is_missing(study):
    chains, none = study.run_chains(0.9, 0.5), pd.DataFrame()
    said = [
        in_short.reaching_last(chains), in_short.selection(chains, 0.2, 0.1),
        in_short.confidences(results.confidence(study)), in_short.setup(study, 4),
        in_short.over_seeds(sensitivity.over_seeds([study], 0.9, 0.5), chains),
        in_short.worth_of_pik(ablation.worth_of_pik(study, 0.9, 0.5)),
        in_short.distribution(chains, pd.Series([0.5, 0.5])), in_short.probes(none), in_short.waiting(none),
        in_short.chosen_on_halves(none, 0.01), in_short.where_sure(study, none, 0.9),
    ]  # fmt: skip
    assert not any("nan" in text or "None" in text for text in said)
    assert said[-3:] == ["", "", ""] and "no P(IK) to judge" in said[-4]


def test_a_figures_title_does_not_speak_of_halves_or_ranges_that_are_not_there():
    last = pd.Series([0.2, 0.4, 0.6, 0.9], [0.0, 0.5, 0.75, 1.0])
    assert in_short.half_reaching(last) == "Half of the questions reach the last stage at P(T) ≥ 0.75"
    assert in_short.half_reaching(last + 0.3).startswith("Without any threshold on P(T) 50%")
    assert in_short.half_reaching(last - 0.5) == "At P(T) ≥ 1 40% of the questions reach the last stage"
    chain = cclib.cascade(TRACES[1:], 0.9, 0.5)
    kept = f"{1 - chain.stage_counts[-1] / 400:.1%}"
    assert in_short.spared({"a": chain}) == f"{kept} of the questions never reach the last model"
    idle = {"b": cclib.cascade(TRACES[1:], 1.0, 0.5)}
    both = in_short.spared({"a": chain} | idle)
    assert both == f"Between 0.0% and {kept} of the questions never reach the last model"
    assert in_short.spared(idle) == "Every question reaches the last model"


def test_an_interval_stands_with_its_estimate():
    table = pd.DataFrame(
        {
            "accuracy": [0.5, 0.25],
            "accuracy interval": [(0.4, 0.6), np.nan],
            "above mixing (points)": [-0.3551, np.nan],
            "above mixing, interval": [(-1.104, 0.4), (np.nan, np.nan)],
            "size": [0.07402, -8.95],
            "alone interval": [(1.0, 2.0), (3.0, 4.0)],
        }
    )
    soup = BeautifulSoup(tables.show(table).to_html(), "html.parser")
    cells = [row.find_all("td") for row in soup("tr")[1:]]
    assert [[cell.text for cell in row] for row in cells] == [
        ["50.0% [40.0%, 60.0%]", "-0.36 [-1.10, +0.40]", "0.07", "[1, 2]"],
        ["25.0%", "–", "-8.95", "[3, 4]"],
    ]
