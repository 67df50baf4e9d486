"""The audit's findings, each against a computation done by hand from the printed numbers."""

import numpy as np
import pytest

from cclib import paper
from cclib.paper import audit
from cclib.paper.audit.significance import exact_counts, right_answers
from cclib.stats import mcnemar_from_counts


def row(frame, column, value):
    return frame[frame[column] == value].iloc[0]


def test_printed_digits_may_be_rounded_or_cut_off():
    assert audit.prints_as(0.40487, "0.4049") == "rounded"
    assert audit.prints_as(0.40487, "0.4048") == "cut off"
    assert audit.prints_as(0.40487, "0.4050") == "no"
    assert audit.prints_as(-3.065, "-3.07") == "rounded"  # either way at the half
    assert audit.prints_as(-0.004, "0.00") == "rounded"
    assert audit.span("80.0") == pytest.approx((79.95, 80.05))


def test_llama_accuracies_are_whole_questions_of_1430_and_of_no_other_size():
    counts = audit.integer_counts([1])
    assert counts["count"].tolist() == [912, 1004, 1195, 993, 1171, 1190, 1166]
    assert (counts["fit"] == "rounded").all()
    cells = paper.printed(1)["accuracy_percent"]
    assert audit.sizes_that_fit(cells, range(500, 2500)) == [1430]


def test_two_qwen_accuracies_are_not_whole_questions_of_1430():
    counts = audit.integer_counts()
    failing = counts[counts["fit"] == "no"]
    assert list(zip(failing["table"], failing["setting"])) == [(3, "4B"), (3, "8B")]
    # 66.73 lies between 954 / 1430 = 66.71 and 955 / 1430 = 66.78
    assert round(95_400 / 1430, 2) < 66.73 < round(95_500 / 1430, 2)


def test_gpqa_accuracies_are_whole_questions_of_448():
    assert audit.integer_counts([6])["count"].tolist() == [141, 143, 234, 232, 231]


def test_each_table_follows_one_definition_of_the_drop():
    fits = audit.drop_definitions().groupby("table")["fit"].agg(set)
    for n in (1, 4, 5, 6):
        assert fits[n] == {"absolute"}
    for n in (3, 11):
        assert fits[n] == {"relative"}
    # -0.08 of 1,195 and 1,194 right: -0.0699 points, -0.0837 per cent of the reference
    assert fits[15] == {"relative"}
    assert 100 * (1194 - 1195) / 1430 == pytest.approx(-0.0699, abs=1e-4)
    assert 100 * (1194 - 1195) / 1195 == pytest.approx(-0.0837, abs=1e-4)


def test_two_tables_disagree_on_the_reduced_compute_without_pik():
    both = audit.table5_against_table15()
    assert both["difference"].tolist() == [0, 1.32]
    assert both["PD, Table 5"].tolist() == both["PD of Table 15's accuracy"].tolist() == [-0.35, -1.26]


def test_popqa_accuracies_differ_between_tables_10_and_11():
    both = audit.table10_against_table11()
    assert both["Table 11 less Table 10"].tolist() == [0.0020, -0.0127, -0.0023]
    assert both["delta computed"].tolist() == both["Table 10's delta"].tolist()
    assert audit.table11_rates()["neither"].iloc[0] == 0.3142


def test_equation_6_from_table_8():
    computed = audit.equation6()
    small = row(computed, "models", "3B → 8B")
    assert small["nominal"] == pytest.approx(100 * (1 - (487 * 3 + 943 * 8) / (1430 * 8)))
    assert round(small["nominal"], 2) == 21.28 and round(small["all weights"], 2) == 20.43
    assert small["printed"] == "20.34"
    assert (computed["fit"] == "none").all()
    # the printed reductions are all a little under what the counts give
    assert (computed["nominal"] > computed["printed"].astype(float)).all()


def test_every_pass_makes_3b_8b_dearer_than_8b_alone():
    passes = audit.every_pass()
    assert passes["models"][passes["dearer than the last model"]].tolist() == ["3B → 8B"]
    small = row(passes, "models", "3B → 8B")
    assert small["saved, every pass (%)"] == pytest.approx(100 * (1 - (1430 * 3 + 943 * 8) / (1430 * 8)))
    assert small["passes"] == [1430, 943]
    assert (passes["saved, every pass (%)"] < passes["saved by Eq. 6 (%)"]).all()
    for size in ("all weights", "Eq. 3"):
        assert audit.every_pass(size)["dearer than the last model"].tolist() == [True, False, False, False]


def test_implied_cost_ratios_do_not_fit_each_other():
    needed = audit.implied_cost_ratios().set_index("models")["needed"]
    assert needed["3B → 8B"] == pytest.approx(1 - 0.2034 * 1430 / 487)
    assert needed["3B → 8B"] - needed["3B / 8B by both"] > 0.02


def test_qwen_pairs_ask_two_kept_shares_of_the_same_model():
    shares = audit.kept_shares().query("table == 3")["kept, implied"].tolist()
    assert shares == pytest.approx([0.178 / 0.5, 0.527 / 0.875, 0.3318 / 0.75])
    for size in ("all weights", "Eq. 3"):
        four = audit.kept_shares(size).query("table == 3")["kept, implied"]
        assert four.iloc[1] > 1.5 * four.iloc[0]


def test_one_setting_saves_less_without_pik():
    checked = audit.more_kept_without_pik()
    assert checked[~checked["agrees"]]["setting"].tolist() == ["8B → 70B, P(T) >= 95 %"]


def test_no_whole_number_of_kept_questions_gives_the_reduction_on_gpqa():
    kept = audit.kept_on_gpqa().set_index("kept")
    assert (kept["fit"] == "none").all()
    # 20 of 448 by the labels' sizes: 20 / 448 (1 - 8 / 70); by Eq. 3 the 8B costs a tenth of the 70B
    assert kept.loc[20, "nominal"] == pytest.approx(100 * 20 / 448 * 62 / 70)
    assert kept.loc[20, "Eq. 3"] == pytest.approx(100 * 20 / 448 * 0.9)
    sizes = ["nominal", "all weights", "Eq. 3"]
    assert [round(v, 2) for v in kept.loc[20, sizes].agg(["min", "max"])] == [3.95, 4.02]
    assert [round(v, 2) for v in kept.loc[19, sizes].agg(["min", "max"])] == [3.76, 3.82]


def test_chains_of_llama_are_above_a_coin_with_their_shares_and_4b_to_8b_is_not():
    coin = audit.coin().set_index(["table", "models"])
    gain = coin["gain over it (points)"].round(2)
    by_hand = 83.22 - (594 * 70.21 + 836 * 83.57) / 1430
    assert coin.loc[(1, "8B → 70B"), "gain over it (points)"] == pytest.approx(by_hand)
    assert gain[1].tolist() == [1.42, 5.06, 5.20, 6.56]
    assert gain[3, "4B → 8B"] == -0.19
    # with every pass counted 3B → 8B pays more than the 8B, which is asked in its place, and the 70B at times
    paid = coin.loc[(1, "3B → 8B"), "compute, every pass"]
    better = 70.21 + (paid - 1) * 8 / (70 - 8) * (83.57 - 70.21)
    assert paid > 1 and coin.loc[(1, "3B → 8B"), "gain over that (points)"] == pytest.approx(69.44 - better)
    # 3B → 70B: the best pair at its compute is the 8B and the 70B, not its own two
    spent = coin.loc[(1, "3B → 70B"), "compute, every pass"]
    other = 70.21 + (spent * 70 - 8) / (70 - 8) * (83.57 - 70.21)
    assert coin.loc[(1, "3B → 70B"), "coin, same compute_percent"] == pytest.approx(other)
    # 8B → 70B: (1430 * 8 + 836 * 70) / (1430 * 70) of the compute, by hand
    to_last = ((1430 * 8 + 836 * 70) / (1430 * 70) - 8 / 70) / (1 - 8 / 70)
    expected = 70.21 + to_last * (83.57 - 70.21)
    assert coin.loc[(1, "8B → 70B"), "coin, same compute_percent"] == pytest.approx(expected)


def test_times_ask_for_two_speeds_of_one_pair_of_models():
    ratios = audit.speed_ratios().set_index("ratio").loc["3B / 8B"]
    assert ratios["every pass timed"] == pytest.approx(1 - 0.1890 - 943 / 1430)
    assert ratios.drop("table").astype(float).round(2).tolist() == [0.15, 0.89, 0.45, 1.08]


def test_table_11s_dollars_buy_fewer_tokens_than_the_prompt_has():
    bought = audit.tokens_on_popqa().set_index("model")
    assert bought.loc["3B", "input tokens bought"] == 37_500
    assert round(bought.loc["3B", "a question of all"], 1) == 2.6
    assert round(bought.loc["3B", "a question of a tenth"], 1) == 26.3
    assert (bought["a question of a tenth"] < bought["prompt, at least"]).all()


def test_table_13s_dollars_fit_one_length_of_prompt():
    tokens = audit.tokens_on_mmlu().set_index("model").filter(like="input tokens")
    assert tokens.loc["GPT-4o"].round().tolist() == [158, 158]
    # (0.928 - 36,225 · 10 / 10⁶) / 2.5 · 10⁶ / 1,430
    assert tokens.loc["GPT-4o"].mean() == pytest.approx((0.928e6 - 362_250) / 2.5 / 1430)
    llama = tokens.drop("GPT-4o")
    assert llama.iloc[:, 0].max() < llama.iloc[:, 1].min()


def test_the_main_claim_is_equivalence_and_two_comparisons_of_seven_are_not_significant():
    rows = audit.paired_differences().set_index("comparison")
    open_ones = rows[rows["p, printed"] > 0.05]
    assert open_ones["difference (points)"].round(2).tolist() == [-0.35, 0.42]
    claim = rows.loc["8B → 70B vs 70B"]
    assert claim["p, equivalence"] < 0.05 < claim["p, printed"]
    low, high = claim["difference interval"]
    assert -1.2 < low < -1 and 0.3 < high < 0.45
    # seven tests corrected by hand: the largest of the significant three, 0.00007, times five
    assert rows["p, Holm"].round(5).tolist()[4] == pytest.approx(5 * 0.00007)
    assert (rows["p, Holm"] < 0.05).sum() == 3
    assert np.isnan(rows.loc["3B → 70B vs 70B", "p, equivalence"])


def test_two_comparisons_of_table_9_share_all_their_numbers():
    assert audit.shared_results()["cascade"].tolist() == ["3B → 8B", "8B → GPT-4o"]


def test_reductions_follow_from_the_tables_totals():
    totals = audit.reductions_from_totals()
    assert (totals[totals["table"] != 11]["fit"] == "yes").all()
    assert totals[totals["table"] == 11]["fit"].tolist() == ["within rounding"] * 3 + ["yes"]


def test_fewer_tokens_than_questions_are_spared_gpt_4o():
    spared = audit.tokens_against_counts()
    assert spared["questions kept (%)"].tolist() == pytest.approx([48_700 / 1430, 59_400 / 1430])
    assert (spared["questions kept (%)"] > spared["dollars saved (%)"]).all()
    assert (spared["dollars saved (%)"] > spared["tokens saved (%)"]).all()


def test_dollars_charge_the_answering_stage_only():
    dollars = audit.dollars_by_accounting()
    assert (dollars["nearer"] == "answers only").all()
    assert dollars["every pass"][0] == pytest.approx(0.017 + 943 / 1430 * 0.021)


def test_context_term_is_small_by_width_not_by_size():
    llama = row(audit.context_condition((36_864,)), "model", "Llama-3.2-3B-Instruct")
    assert llama["terms equal at n_ctx"] == 36_864
    assert llama["n_ctx = 36,864"] == pytest.approx(1)
    assert llama["N / that"] > 10_000


def test_right_answers_are_table_1s_and_table_4s():
    assert right_answers()["3B → 8B"] == 993 and right_answers()["70B → GPT-4o"] == 1242


def test_five_of_seven_statistics_fit_the_accuracies():
    tests = audit.discordant_counts()
    assert tests["(b, c), corrected"].tolist() == [
        [(7, 18)], [(9, 14)], [], [], [(9, 37)], [(7, 18)], [(60, 54)],
    ]  # fmt: skip
    assert tests["digits"].tolist() == ["rounded", "cut off", "-", "-", "cut off", "rounded", "cut off"]
    assert not any(tests["(b, c), plain"])  # no row fits without the continuity correction
    for pairs, difference in zip(tests["(b, c), corrected"], tests["c - b"]):
        assert all(c - b == difference for b, c in pairs)


def test_two_statistics_fit_differences_three_questions_larger():
    for cell, difference, pair in (("19.22", 29, (9, 41)), ("20.48", 24, (3, 30))):
        assert audit.counts_that_give(cell, difference) == []
        nearest = audit.nearest_differences(cell, difference).iloc[0]
        assert nearest["away"] == 3 and (nearest["b"], nearest["c"]) == pair
    # and one pair of counts gives both, with the correction and without it
    assert mcnemar_from_counts(9, 41).chi2 == 19.22
    assert mcnemar_from_counts(9, 41, corrected=False).chi2 == 20.48


def test_counts_turn_round_with_the_sign_of_the_difference():
    assert audit.counts_that_give("4.00", -11) == [(18, 7)]
    assert exact_counts("0.4048", 5) == [(9, 14)]


def test_table_14s_f1_is_not_that_of_the_known_questions():
    scores = audit.probe_f1()
    assert not scores["know"].any()
    assert scores["does not know"].all() and scores["mean of both"].all()
    # a hand-made probe: 60 known of 100, 50 kept of which 45 known
    known, said = np.repeat([1, 0], [60, 40]), np.repeat([1, 0, 1, 0], [45, 15, 5, 35])
    f1 = 2 * (known & said).sum() / (known.sum() + said.sum())
    errors = (known != said).mean()
    assert f1 * errors / (2 * (1 - f1)) == pytest.approx(0.45)


def test_the_summary_counts_each_check():
    summary = audit.summary().set_index("tables")
    assert summary.loc["1, 4, 9", ["numbers", "fit"]].tolist() == [7, 5]
    assert summary.loc["1, 3", ["numbers", "fit", "do not fit"]].tolist() == [2, 1, "4B"]
    assert summary.loc["1, 14", "fit"] == 2
    assert summary.loc[["6", "1, 3, 8", "7, 11, 12"], "fit"].tolist() == [0, 0, 0]
    assert summary.loc["12, 13", "fit"] == 3
    assert (summary["fit"] <= summary["numbers"]).all()
