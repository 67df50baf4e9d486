"""Statistics against hand-worked numbers, scikit-learn, statsmodels and their own laws."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import norm
from sklearn.metrics import precision_recall_fscore_support
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from cclib import stats

rights = st.lists(st.booleans(), min_size=1, max_size=80)


def test_accuracy_and_wilson_by_hand():
    assert stats.accuracy([True, False, True, True]) == 0.75
    # 8 of 10 at z = 1.96: centre (0.8 + z²/20) / (1 + z²/10), by hand
    low, high = stats.wilson(8, 10)
    assert (low, high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert stats.accuracy_interval([True] * 8 + [False] * 2) == (low, high)


def test_wilson_refuses_what_is_no_share():
    with pytest.raises(ValueError, match="found 3 of 2"):
        stats.wilson(3, 2)
    with pytest.raises(ValueError, match="level"):
        stats.wilson(1, 2, level=95)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 200), classes=st.integers(1, 10))
def test_macro_equals_scikit_learn(seed, n, classes):
    answer, prediction = np.random.default_rng(seed).integers(0, classes, (2, n))
    expected = precision_recall_fscore_support(answer, prediction, average="macro", zero_division=0)[:3]
    assert np.allclose(stats.macro(answer, prediction), expected, rtol=0, atol=1e-12)


def test_performance_drop_is_points_or_relative_as_the_paper_prints_them():
    assert stats.performance_drop(0.7021, 0.6944).absolute == pytest.approx(-0.77)  # Table 1
    assert round(stats.performance_drop(0.7243, 0.7021).relative, 2) == -3.07  # Table 3
    assert np.isnan(stats.performance_drop(0.0, 0.1).relative)


@settings(max_examples=60, deadline=None)
@given(b=st.integers(0, 90), c=st.integers(0, 90), agree=st.integers(0, 50), corrected=st.booleans())
def test_mcnemar_equals_statsmodels(b, c, agree, corrected):
    a_correct = np.array([True] * b + [False] * c + [True] * agree, bool)
    b_correct = np.array([False] * b + [True] * c + [True] * agree, bool)
    ours = stats.mcnemar(a_correct, b_correct, corrected=corrected)
    assert (ours.b, ours.c) == (b, c)
    exact = b + c < 25
    assert ours.test == ("exact" if exact else "chi-squared")
    if b + c == 0:
        assert ours.p == 1
        return
    # at b = c statsmodels' correction turns a difference of 0 into 1; ours leaves it at 0
    theirs = statsmodels_mcnemar([[agree, b], [c, 0]], exact=exact, correction=corrected and b != c)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)
    if not exact:
        assert ours.chi2 == pytest.approx(theirs.statistic, abs=1e-12)


def test_mcnemar_by_hand():
    # (|7 - 18| - 1)² / 25 = 4, Table 9's first row
    assert stats.mcnemar_from_counts(7, 18).chi2 == 4.0
    assert round(stats.mcnemar_from_counts(7, 18).p, 4) == 0.0455
    assert stats.mcnemar_from_counts(1, 3).p == pytest.approx(10 / 16)
    with pytest.raises(ValueError, match="negative"):
        stats.mcnemar_from_counts(-1, 3)


def test_bootstrap_of_a_mean_is_near_its_normal_interval():
    x = np.random.default_rng(3).random(400) < 0.7
    half = 1.96 * x.std() / 20
    low, high = stats.bootstrap(np.mean, x, seed=1)
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.01)
    mean_of_rows = stats.bootstrap(lambda a: a.mean(-1), x, seed=1, vectorised=True)
    assert mean_of_rows == pytest.approx((low, high), abs=1e-12)


def test_bootstrap_draws_whole_rows():
    x = np.arange(50.0)
    assert stats.bootstrap(lambda a, b: (a - b).mean(), x, x + 2) == (-2, -2)


def test_paired_difference_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(0)
    b = rng.random(1000) < 0.6
    a = np.where(rng.random(1000) < 0.05, ~b, b)
    low, high = stats.paired_difference_interval(a, b)
    assert low <= a.mean() - b.mean() <= high
    assert high - low < 0.04 < 2 * 1.96 * np.sqrt(2 * 0.24 / 1000)


@pytest.mark.parametrize(
    "b, c, n, level, expected",
    [
        (6, 16, 161, 0.95, (-0.1240, -0.0054)),  # Cavo et al. 2012, in Fagerland et al.'s textbook
        (1, 7, 21, 0.95, (-0.517, -0.026)),  # Bentur et al. 2009, there
        (28, 25, 618, 0.9, (-0.0148, 0.0247)),  # R's PropCIs
    ],
)
def test_the_uncorrected_interval_is_the_published_one(b, c, n, level, expected):
    found = stats.paired_interval_from_counts(b, c, n, level, corrected=False)
    assert found == pytest.approx(expected, abs=0.6 * 10.0 ** -len(str(expected[0]).partition(".")[2]))


def constrained(b, c, n, difference):
    """Tango's standard error from the likelihood itself: the share of c that is likeliest at a difference."""
    agree = n - b - c

    def unlikely(q):
        return -(xlogy(b, q + difference) + xlogy(c, q) + xlogy(agree, 1 - 2 * q - difference))

    low, high = max(0, -difference), (1 - difference) / 2
    q = minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return np.sqrt(n * (2 * q + difference - difference**2))


@pytest.mark.parametrize("b, c, n", [(9, 14, 1430), (12, 2, 50), (1, 7, 60), (0, 4, 1430), (40, 20, 160)])
def test_the_ends_are_where_the_score_test_gives_way(b, c, n):
    for level in (0.9, 0.95):
        low, high = stats.paired_interval_from_counts(b, c, n, level)
        z = norm.ppf((1 + level) / 2)
        assert (b - c - n * low - 1) / constrained(b, c, n, low) == pytest.approx(z, abs=2e-4)
        assert (n * high - b + c - 1) / constrained(b, c, n, high) == pytest.approx(z, abs=2e-4)


def test_without_discordant_questions_the_interval_is_wilsons_with_a_correction():
    low, high = stats.paired_interval_from_counts(0, 0, 1430)
    assert low == pytest.approx(-high, abs=1e-12)
    # where the excess n d - 1 is z standard errors sqrt(n d (1 - d)), by hand a quadratic in d
    z2 = norm.ppf(0.975) ** 2
    roots = np.roots([1430**2 + 1430 * z2, -(2 * 1430 + 1430 * z2), 1])
    assert high == pytest.approx(roots.max(), abs=1e-9)


def test_the_interval_leaves_out_zero_where_mcnemars_test_rejects():
    for n in (60, 1430):
        for discordant in range(1, 60):
            for b in range(discordant + 1):
                c = discordant - b
                low, high = stats.paired_interval_from_counts(b, c, n)
                p = stats.mcnemar_from_counts(b, c).p
                if abs(p - 0.05) > 0.001:  # (4, 13) has an exact p of 0.049
                    assert (p < 0.05) == (high < 0 or low > 0), (b, c, n)


def percentile_bootstrap(b, c, n):
    drawn = np.random.default_rng(0).multinomial(n, [b / n, c / n, 1 - (b + c) / n], size=10_000)
    return np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])


def coverage(interval, n, u, v, draws=1500):
    """How often an interval from (b, c, n) holds u - v, where b has the chance u and c has v."""
    counts, times = np.unique(
        np.random.default_rng(1).multinomial(n, [u, v, 1 - u - v], draws)[:, :2], axis=0, return_counts=True
    )
    ends = [interval(int(b), int(c), n) for b, c in counts]
    return sum(t for (low, high), t in zip(ends, times) if low <= u - v <= high) / draws


CORNERS = [
    (1430, 0.001, 0), (1430, 0, 0.001), (1430, 0.0001, 0), (1430, 0.0029, 0), (1430, 0.002, 0.0005),
    (1430, 0.01, 0.006), (1430, 0.05, 0.05), (143, 0.01, 0), (143, 0.04, 0.005), (36, 0.1, 0), (36, 0.3, 0.2),
]  # fmt: skip


@pytest.mark.parametrize("n, u, v", CORNERS)
def test_the_interval_covers_the_truth_in_the_hard_corners(n, u, v):
    assert coverage(stats.paired_interval_from_counts, n, u, v) >= 0.93


def test_the_percentile_bootstrap_does_not_cover_there():
    assert coverage(percentile_bootstrap, 1430, 0.001, 0, 400) < 0.85
    assert percentile_bootstrap(0, 4, 1430)[1] < 0 < stats.paired_interval_from_counts(0, 4, 1430)[1]
    assert stats.mcnemar_from_counts(0, 4).p == 0.125


def test_the_papers_main_claim_is_equivalence_within_one_point():
    # 9 and 14 of 1,430 (Table 9): -0.35 points; by hand the score at -1 point is (14.3 - 5 - 0.5) / se
    assert stats.equivalence(9, 14, 1430) == pytest.approx(
        norm.sf(8.8 / constrained(9, 14, 1430, -0.01)), abs=1e-6
    )
    assert stats.equivalence(9, 14, 1430) < 0.05
    assert stats.equivalence(9, 14, 1430, 0.005) > 0.05
    assert stats.equivalence(9, 37, 1430) > 0.5  # 3B → GPT-4o loses 1.96 points
    with pytest.raises(ValueError, match="0.01 is one point"):
        stats.equivalence(9, 14, 1430, 1.0)


@pytest.mark.parametrize("n", [272, 448, 1430])
def test_equivalence_is_said_of_a_true_loss_of_the_margin_in_one_case_of_twenty_at_most(n):
    for gained in (0, 0.002, 0.01):
        counts = np.random.default_rng(2).multinomial(n, [gained, gained + 0.01, 0.99 - 2 * gained], 2000)
        said = [stats.equivalence(int(b), int(c), n) < 0.05 for b, c, _ in counts]
        assert np.mean(said) < 0.06


def test_a_loss_at_the_edge_of_significance_is_missed_more_often_than_found():
    for d in (0.01, 0.016, 0.05):
        assert 0.4 < stats.mcnemar_power(1.96 * np.sqrt(d / 1430), d, 1430) < 0.46
        assert stats.detectable_loss(d, 1430) == pytest.approx(2.8016 * np.sqrt(d / 1430), rel=1e-4)
        assert 0.76 < stats.mcnemar_power(stats.detectable_loss(d, 1430), d, 1430) < 0.81
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(1430, [0.006, 0.016, 0.978], 1000)
    found = np.mean([stats.mcnemar_from_counts(int(b), int(c)).p < 0.05 for b, c, _ in drawn])
    assert stats.mcnemar_power(0.01, 0.022, 1430) == pytest.approx(found, abs=0.05)


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, np.nan, 0.02]).tolist() == pytest.approx(
        [0.03, 0.04, np.nan, 0.04], nan_ok=True
    )


def test_macro_intervals_are_those_of_drawn_rows():
    rng = np.random.default_rng(5)
    answer = rng.integers(0, 4, 300)
    said = np.where(rng.random(300) < 0.6, answer, rng.integers(0, 4, 300))
    by_rows = stats.bootstrap(lambda a, p: stats.macro(a, p).f1, answer, said, n=1000)
    assert stats.macro_intervals(answer, said).f1 == pytest.approx(by_rows, abs=0.006)
    assert np.isnan(stats.macro_intervals([], []).f1).all()


def test_the_interval_of_a_calibration_error_holds_the_true_one():
    rng = np.random.default_rng(0)
    many = rng.beta(4, 2, 200_000)
    for power in (1, 1.5, 0.5):  # calibrated, too sure, not sure enough
        bins = np.minimum((many * 10).astype(int), 9)
        true = np.abs(np.bincount(bins, weights=many**power - many)).sum() / len(many)
        held, above = 0, 0
        for _ in range(40):
            p = rng.beta(4, 2, 700)
            low, high = stats.ece_interval(rng.random(700) < p**power, p)
            held, above = held + (low <= true + 1e-9 <= high + 1e-9), above + (low > 0)
        assert held >= 36
        assert above <= 4 if power == 1 else above >= 36


def test_auroc_intervals_by_ranks_are_scikit_learns():
    rng = np.random.default_rng(4)
    label, score = rng.random((20, 60)) < 0.4, rng.integers(0, 7, (20, 60))
    label[3] = True
    expected = [stats.auroc(*row) for row in zip(label, score)]
    assert stats.auroc_rows(label, score).tolist() == pytest.approx(expected, nan_ok=True)
    low, high = stats.auroc_interval(label[0], score[0])
    assert low < stats.auroc(label[0], score[0]) < high
    errors = stats.brier_interval([1, 0, 1, 1], [0.9, 0.2, 0.7, 0.6])
    assert 0.01 < errors[0] < stats.brier([1, 0, 1, 1], [0.9, 0.2, 0.7, 0.6]) < errors[1] < 0.16


def test_two_aurocs_are_compared_by_delongs_test():
    rng = np.random.default_rng(6)
    label = rng.random(400) < 0.5
    a = label + rng.normal(0, 1, 400)
    b, c = a + rng.normal(0, 0.1, 400), rng.normal(0, 1, 400)
    difference, (low, high), p = stats.auroc_difference(label, a, c)
    assert difference == pytest.approx(stats.auroc(label, a) - stats.auroc(label, c))
    drawn = stats.bootstrap(
        lambda y, s, t: stats.auroc_rows(y, s) - stats.auroc_rows(y, t), label, a, c, vectorised=True
    )
    assert (low, high) == pytest.approx(drawn, abs=0.012) and p < 1e-6
    assert stats.auroc_difference(label, a, b)[2] > 0.05
    assert stats.auroc_difference(label, a, 2 * a) == (0, stats.NO_INTERVAL, 1.0)
    alike = [stats.auroc_difference(label, *rng.normal(0, 1, (2, 400)))[2] < 0.05 for _ in range(200)]
    assert np.mean(alike) < 0.1
    by_counts = stats.auroc_interval_from_counts(stats.auroc(label, a), label.sum(), (~label).sum())
    assert by_counts == pytest.approx(stats.auroc_interval(label, a), abs=0.012)


def test_auroc_counts_pairs():
    # of the 2 x 3 pairs, 4 are in order and 1 is tied
    label, score = [1, 1, 0, 0, 0], [0.9, 0.4, 0.5, 0.4, 0.1]
    assert stats.auroc(label, score) == pytest.approx(4.5 / 6)
    false_positive, true_positive = stats.roc(label, score)
    assert np.trapezoid(true_positive, false_positive) == pytest.approx(4.5 / 6)


def test_auprc_by_hand():
    assert stats.auprc([1, 0, 1], [0.9, 0.8, 0.7]) == pytest.approx((1 + 2 / 3) / 2)


def test_calibration_by_hand():
    label, prob = [1, 0, 1, 1], [0.95, 0.85, 0.15, 1.0]
    table = stats.reliability(label, prob)
    assert table["count"].tolist() == [1, 1, 2]
    assert table["low"].tolist() == [0.1, 0.8, 0.9]
    assert table["confidence"].tolist() == pytest.approx([0.15, 0.85, 0.975])
    assert stats.ece(label, prob) == pytest.approx((0.85 + 0.85 + 2 * 0.025) / 4)
    assert stats.brier(label, prob) == pytest.approx((0.05**2 + 0.85**2 + 0.85**2) / 4)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        stats.ece([1], [1.2])


def test_probe_scores_by_hand():
    # kept: right, wrong; left: right, wrong, wrong
    scores = stats.binary_scores([1, 0, 1, 0, 0], [0.9, 0.5, 0.2, 0.1, 0.4])
    assert scores == pytest.approx({"accuracy": 0.6, "f1": 0.5, "f1_false": 2 / 3, "f1_macro": 7 / 12})


def test_accuracy_coverage_by_hand():
    coverage, kept = stats.accuracy_coverage([0, 1, 1, 0], [0.1, 0.9, 0.5, 0.5])
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert kept.tolist() == pytest.approx([1, 0.75, 2 / 3, 0.5])  # the tied pair counts half each
    assert stats.aurc([0, 1, 1, 0], [0.1, 0.9, 0.5, 0.5]) == pytest.approx(1 - (1 + 0.75 + 2 / 3 + 0.5) / 4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60))
def test_laws_of_the_coverage_curve(seed, n):
    rng = np.random.default_rng(seed)
    correct, confidence = rng.random(n) < 0.6, rng.integers(0, 4, n) / 4
    order = rng.permutation(n)
    area = stats.aurc(correct, confidence)
    assert area == pytest.approx(stats.aurc(correct[order], confidence[order]), abs=1e-12)
    assert stats.accuracy_coverage(correct, confidence)[1][-1] == pytest.approx(correct.mean())
    assert stats.aurc(correct, correct.astype(float)) <= area + 1e-12  # an oracle's order is best


@given(right=rights)
def test_an_interval_holds_its_accuracy(right):
    low, high = stats.accuracy_interval(right)
    assert -1e-12 <= low <= stats.accuracy(right) + 1e-12 <= high + 2e-12 <= 1 + 1e-9


def test_labels_of_one_kind_give_nan_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(stats.auroc([1, 1], [0.2, 0.3]))
        assert np.isnan(stats.auprc([0, 0], [0.2, 0.3]))
        assert len(stats.roc([1, 1], [0.2, 0.3])[0]) == 0
        for empty in (stats.accuracy([]), stats.ece([], []), stats.brier([], []), stats.aurc([], [])):
            assert np.isnan(empty)
        assert np.isnan(stats.macro([], [])).all()
        assert np.isnan(stats.bootstrap(np.mean, [])).all()
        assert np.isnan(stats.paired_difference_interval([], [])).all() and np.isnan(
            stats.equivalence(0, 0, 0)
        )
        assert (
            np.isnan(stats.ece_interval([], [])).all()
            and np.isnan(stats.auroc_interval([1, 1], [0, 1])).all()
        )


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="of one length"):
        stats.mcnemar([1, 0], [1])
