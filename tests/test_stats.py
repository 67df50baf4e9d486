"""Statistics against hand-worked numbers, scikit-learn, statsmodels and their own laws."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    rows = stats.bootstrap(lambda x, y: x.mean() - y.mean(), a, b, n=4000)
    assert (low, high) == pytest.approx(rows, abs=0.004)


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


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="of one length"):
        stats.mcnemar([1, 0], [1])
