"""Claims about passes that end where P(IK) says escalate."""

import numpy as np
import pytest

from cclib import PIK, load_model
from cclib.confidence.p_t import answer_questions
from cclib.confidence.packing import Group
from cclib.experiments.early_exit import answer_leaving, remaining


@pytest.fixture(scope="module")
def reading(tiny, questions, tmp_path_factory):
    """A model, its whole passes, and a probe of them (fitted to labels that have nothing to say)."""
    from cclib import collect

    model = load_model(tiny, device="cpu")
    trace = collect(model, questions, store=tmp_path_factory.mktemp("store"), layer=3, progress=False)
    labels = np.arange(len(trace)) % 3 == 0
    trace = trace.with_column("correct", labels)
    return model, trace, PIK.fit(trace, trace)


def test_what_stays_is_answered_as_by_a_whole_pass(reading, questions):
    model, trace, probe = reading
    p_ik = probe.probability(trace.hidden)
    threshold = float(np.median(p_ik))
    rows, saved = answer_leaving(model, questions, probe, threshold)
    np.testing.assert_allclose([r["p_ik"] for r in rows], p_ik, atol=1e-5)
    stays = np.array([r["p_t"] is not None for r in rows])
    clear = np.abs(p_ik - threshold) > 1e-5
    assert (stays == (p_ik >= threshold))[clear].all() and 0 < stays.sum() < len(rows)
    np.testing.assert_allclose([r["p_t"] for r in rows if r["p_t"]], trace.p_t[stays], atol=1e-5)
    assert [r["prediction"] for r, s in zip(rows, stays) if s] == trace.column("prediction")[stays].tolist()
    assert 0 < saved < 1 / 4  # one layer of four, for less than all tokens


def test_where_nobody_stays_the_upper_layers_never_run(reading, questions):
    model, _, probe = reading
    ran = []
    handle = model.layers[3].register_forward_hook(lambda *_: ran.append(1))
    rows, saved = answer_leaving(model, questions, probe, 1.0)
    handle.remove()
    assert not ran and all(r["p_t"] is None for r in rows)
    assert saved == pytest.approx(1 / 4)


def test_where_all_stay_it_is_a_whole_pass(reading, questions):
    model, trace, probe = reading
    rows, saved = answer_leaving(model, questions, probe, 0.0)
    np.testing.assert_allclose([r["p_t"] for r in rows], trace.p_t, atol=1e-5)
    assert saved == 0
    again = {r["question_id"]: r for batch in answer_questions(model, questions) for r in batch}
    np.testing.assert_allclose([again[i]["p_t"] for i in trace.question_id], trace.p_t, atol=1e-6)


def test_tails_that_leave_take_their_tokens_and_lonely_heads_along():
    groups = [Group((0, 3), [(3, 2), (5, 1)]), Group((6, 2), [(8, 2)]), Group((10, 0), [(10, 3)])]
    left, kept = remaining(groups, {1, 3})
    assert left == [Group((0, 3), [(3, 1)]), Group((4, 0), [(4, 3)])]
    assert kept == [0, 1, 2, 5, 10, 11, 12]
