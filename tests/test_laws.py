"""Laws of cascades and their costs, on random traces: any number of stages, coarse scores, ties, extremes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cclib
from cclib import cost
from cclib.traces import Trace

# coarse, so that scores often equal thresholds, and both ends occur
scores = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
thresholds = st.one_of(scores, st.floats(0, 1))


@st.composite
def families(draw, least=1, most=4):
    """Traces of one to four models on one to twelve questions, sizes ascending, rows in any order."""
    n = draw(st.integers(1, 12))
    traces = []
    for i in range(draw(st.integers(least, most))):
        columns = {
            "question_id": [f"q{j}" for j in range(n)],
            "correct": draw(st.lists(st.booleans(), min_size=n, max_size=n)),
            "p_t": draw(st.lists(scores, min_size=n, max_size=n)),
            "p_ik": draw(st.lists(scores, min_size=n, max_size=n)),
            "prompt_tokens": draw(st.lists(st.integers(1, 300), min_size=n, max_size=n)),
            "output_tokens": [1] * n,
            "seconds": draw(st.lists(st.floats(0, 9), min_size=n, max_size=n)),
        }
        order = draw(st.permutations(range(n)))
        about = {"model": f"m{i}", "n_layers": 2 + i, "d_model": 16 * (i + 1), "hidden_layer": 1 + i}
        traces.append(Trace(pd.DataFrame(columns).iloc[list(order)], about))
    return traces


many = settings(max_examples=50, deadline=None)


@many
@given(families())
def test_thresholds_of_0_answer_all_at_the_first_stage(traces):
    assert cclib.cascade(traces, 0, 0).stage_counts[0] == len(traces[0])


@many
@given(families())
def test_scores_below_every_threshold_answer_all_at_the_last_stage(traces):
    """A threshold above 1 is refused; what it would mean is that no score reaches it."""
    lowered = [t.with_column("p_t", np.minimum(t.p_t, 0.999)) for t in traces]
    assert cclib.cascade(lowered, 1, None).stage_counts[-1] == len(traces[0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        cclib.cascade([*traces, traces[0].without("p_t")], pt=np.nextafter(1, 2))


@many
@given(families(), thresholds, thresholds, thresholds, thresholds)
def test_raising_a_threshold_moves_no_question_to_an_earlier_stage(traces, a, b, c, d):
    (pt, higher_pt), (pik, higher_pik) = sorted([a, b]), sorted([c, d])
    low = cclib.cascade(traces, pt, pik)
    for higher in (
        cclib.cascade(traces, higher_pt, pik),
        cclib.cascade(traces, pt, higher_pik),
        cclib.cascade(traces, higher_pt, higher_pik),
    ):
        assert (higher.stage >= low.stage).all()
    assert (
        low.stage >= cclib.cascade(traces, pt, None).stage
    ).all()  # P(IK) can only add a reason to escalate


@many
@given(families(), thresholds, thresholds)
def test_counts_add_up_and_later_stages_run_on_fewer(traces, pt, pik):
    result = cclib.cascade(traces, pt, pik)
    n = len(traces[0])
    assert result.stage_counts.sum() == n == result.passes[0]
    assert (np.diff(result.passes) <= 0).all()
    assert (result.passes[:-1] - result.passes[1:] == result.stage_counts[:-1]).all()
    assert result.accuracy == pytest.approx(result.correct.sum() / n)
    assert (result.left_early.sum(1) <= result.passes - result.stage_counts).all()


@many
@given(families(), thresholds, thresholds, st.booleans(), st.booleans())
def test_every_pass_never_costs_less_than_the_papers_count(traces, pt, pik, with_pik, per_token):
    result = cclib.cascade(traces, pt, pik if with_pik else None)
    slack = 1 + 1e-12
    paper, every = (cost.compute(result, a, per_token=per_token) for a in cost.ACCOUNTINGS)
    assert every.total * slack >= paper.total and paper.reference == every.reference
    early = cost.compute(result, "every-pass", early_exit=True, per_token=per_token)
    assert paper.total <= early.total * slack <= every.total * slack**2
    for kind in (cost.tokens, cost.seconds):
        assert kind(result, "every-pass").total * slack >= kind(result, "paper").total


@settings(max_examples=40, deadline=None)
@given(
    families(least=2),
    st.lists(thresholds, min_size=1, max_size=4).map(sorted),
    st.lists(thresholds, min_size=1, max_size=3).map(sorted) | st.none(),
)
def test_the_sweep_is_the_cascade_at_every_point(traces, pts, piks):
    swept = cclib.sweep(traces, pts, piks)
    for i, pt in enumerate(pts):
        for j, pik in enumerate(piks or [None]):
            one = cclib.cascade(traces, pt, pik)
            assert swept.stage_counts[i, j].tolist() == one.stage_counts.tolist()
            assert swept.accuracy[i, j] == pytest.approx(one.accuracy, abs=1e-12)


@many
@given(families(least=2), thresholds, thresholds)
def test_the_order_of_rows_decides_nothing(traces, pt, pik):
    sorted_rows = [t.select(sorted(t.question_id)) for t in traces]
    one, other = cclib.cascade(traces, pt, pik), cclib.cascade(sorted_rows, pt, pik)
    assert dict(zip(traces[0].question_id, one.stage)) == dict(zip(sorted_rows[0].question_id, other.stage))
    assert one.accuracy == other.accuracy
