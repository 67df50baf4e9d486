"""The selection rule on a trace small enough to work by hand, its laws, and its bad inputs."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace
from hypothesis import given, settings
from hypothesis import strategies as st

import cclib
from cclib.cascades import keeps
from cclib.traces import Trace


def six(model, correct, p_t=None, p_ik=None, parameters=None):
    data = {"question_id": list("abcdef"), "correct": np.array(correct, bool)}
    if p_t is not None:
        data["p_t"] = p_t
    if p_ik is not None:
        data["p_ik"] = p_ik
    return Trace(pd.DataFrame(data), {"model": model, "parameters": parameters})


SMALL = six("s", [1, 0, 1, 0, 1, 0], [0.95, 0.92, 0.50, 0.97, 0.90, 0.10], [0.9, 0.5, 0.9, 0.4, 0.50, 0.1])
MIDDLE = six("m", [1, 1, 1, 0, 1, 1], [0.99, 0.10, 0.91, 0.95, 0.20, 0.89], [0.9, 0.9, 0.6, 0.7, 0.9, 0.9])
LARGE = six("l", [1, 1, 0, 1, 1, 1])


def test_six_questions_by_hand():
    result = cclib.cascade([SMALL, MIDDLE, LARGE], pt=0.9, pik=0.5)
    # a, b, e stay (thresholds included); c is unsure by P(T), d by P(IK), f by both
    assert result.stage.tolist() == [0, 0, 1, 1, 0, 2]
    assert result.correct.tolist() == [True, False, True, False, True, True]
    assert result.stage_counts.tolist() == [3, 2, 1]
    assert result.passes.tolist() == [6, 3, 1]
    assert result.accuracy == 4 / 6


def test_escalates_when_either_confidence_is_low():
    both = cclib.cascade([SMALL, LARGE], pt=0.9, pik=0.5).stage == 0
    pt_only = cclib.cascade([SMALL, LARGE], pt=0.9, pik=None).stage == 0
    pik_only = cclib.cascade([SMALL, LARGE], pt=0.0, pik=0.5).stage == 0
    assert (both == (pt_only & pik_only)).all()


def test_leaves_early_only_where_pik_itself_says_escalate():
    result = cclib.cascade([SMALL, MIDDLE, LARGE], pt=0.9, pik=0.5)
    assert result.left_early[0].tolist() == [False, False, False, True, False, True]
    assert not result.left_early[1:].any()


def test_each_stage_may_have_its_own_thresholds():
    result = cclib.cascade([SMALL, MIDDLE, LARGE], pt=[1.0, 0.9], pik=[None, 0.65])
    assert result.stage.tolist() == [1, 2, 2, 1, 2, 2]


def test_rows_are_matched_by_question_not_by_place():
    turned = LARGE.select(list("fedcba"))
    assert (
        cclib.cascade([SMALL, turned], 0.9).correct.tolist()
        == cclib.cascade([SMALL, LARGE], 0.9).correct.tolist()
    )


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), "0.9", None])
def test_thresholds_outside_0_to_1_are_refused(value):
    with pytest.raises(ValueError, match="lie in|expected one threshold"):
        cclib.cascade([SMALL, LARGE], pt=value)


def test_stages_largest_first_are_refused():
    big = six("big", [1] * 6, [0.5] * 6, parameters=10)
    small = six("small", [1] * 6, [0.5] * 6, parameters=5)
    with pytest.raises(ValueError, match="smallest first, found big"):
        cclib.cascade([big, small], pik=None)


def test_traces_of_different_questions_are_refused():
    other = Trace(LARGE.table.slice(0, 5), {"model": "other"})
    with pytest.raises(ValueError, match="different questions"):
        cclib.cascade([SMALL, other])


def test_a_stage_without_confidence_can_only_be_last():
    with pytest.raises(ValueError, match="only be the last stage"):
        cclib.cascade([LARGE, SMALL])
    with pytest.raises(ValueError, match="pass pik=None"):
        cclib.cascade([MIDDLE.without("p_ik"), LARGE])


thresholds = st.floats(0, 1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), pt=thresholds, pik=thresholds, rise=st.floats(0, 1))
def test_laws_of_the_rule(seed, pt, pik, rise):
    traces = [make_trace(m, 60, seed + i, 0.4 + 0.2 * i) for i, m in enumerate("sml")]
    result = cclib.cascade(traces, pt, pik)
    assert result.stage_counts.sum() == 60
    assert (np.diff(result.passes) <= 0).all() and result.passes[0] == 60
    higher = cclib.cascade(traces, min(1, pt + rise), min(1, pik + rise))
    assert (higher.stage >= result.stage).all()  # raising a threshold never brings a question back
    assert (cclib.cascade(traces, 0, 0).stage == 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 4), with_pik=st.booleans())
def test_sweep_equals_the_cascade_at_every_point(seed, k, with_pik):
    traces = [make_trace(str(i), 40, seed + i, 0.5) for i in range(k)]
    pts, piks = [0, 0.3, 0.55, 0.9, 1], [0, 0.4, 0.8] if with_pik else None
    swept = cclib.sweep(traces, pts, piks)
    for i, a in enumerate(pts):
        for j, b in enumerate(piks or [None]):
            one = cclib.cascade(traces, a, b)
            assert swept.accuracy[i, j] == pytest.approx(one.accuracy, abs=1e-12)
            assert swept.stage_counts[i, j].tolist() == one.stage_counts.tolist()


def test_a_question_without_a_confidence_escalates_in_the_sweep_as_in_the_cascade():
    small, large = (make_trace(name, 4, seed, 0.5) for seed, name in enumerate("sl"))
    small = small.with_column("p_t", [0.9, np.nan, 0.9, np.nan]).with_column(
        "p_ik", [0.9, 0.9, np.nan, np.nan]
    )
    for pik in (None, 0.0):
        swept = cclib.sweep([small, large], [0.0], None if pik is None else [pik])
        assert (
            swept.stage_counts[0, 0].tolist() == cclib.cascade([small, large], 0, pik).stage_counts.tolist()
        )
    assert swept.stage_counts[0, 0].tolist() == [1, 3]


def test_a_confidence_at_its_threshold_keeps_and_one_that_is_not_used_does_not_matter():
    p_t, p_ik = np.array([0.9, 0.9, 0.8, 0.95]), np.array([0.5, 0.4, 0.9, np.nan])
    assert keeps(p_t, p_ik, 0.9, 0.5).tolist() == [True, False, False, False]
    assert keeps(p_t, p_ik, 0.9, None).tolist() == [True, True, False, True]
    assert keeps(p_t, None, 0.9, 0.5).tolist() == [True, True, False, True]
