"""Claims about thresholds with a promise, on questions whose truth is known."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_trace
from scipy.stats import multinomial

import cclib
from cclib import cost, thresholds
from cclib.display import sentences
from cclib.experiments import sensitivity
from cclib.thresholds import drop_p_value
from cclib.traces import Trace

SHAPES = ({"n_layers": 2, "d_model": 64}, {"n_layers": 4, "d_model": 128}, {"n_layers": 8, "d_model": 256})


def family(n: int, seed: int = 0, stages: int = 2, honest: bool = True) -> list[Trace]:
    """Traces of which a question's P(T) is the probability that the stage is right, the last one's being 0.8.

    So the expected loss of a question that is kept is 0.8 - P(T). If not honest, P(T) tells nothing and every
    stage but the last is right half of the time.
    """
    rng = np.random.default_rng(seed)
    made = []
    for i in range(stages):
        p = 1 / (1 + np.exp(-2 * rng.standard_normal(n) - 1 - i))
        last = i == stages - 1
        right = rng.random(n) < (0.8 if last else p if honest else 0.5)
        columns = {"question_id": [f"q/{j}" for j in range(n)], "correct": right, "p_t": p}
        if not last:
            columns["p_ik"] = np.clip(p + 0.05 * rng.standard_normal(n), 0, 1)
        shape = SHAPES[len(SHAPES) - stages + i]
        made.append(Trace(pd.DataFrame(columns), {"model": f"stage {i}", **shape}))
    return made


def answering(trace: Trace, correct: np.ndarray) -> Trace:
    """The trace with other right and wrong answers."""
    return Trace(trace.table.to_pandas().assign(correct=correct), trace.provenance)


@pytest.fixture(scope="module")
def crowd() -> Trace:
    """The small model's confidences on so many questions that their mean is the expectation."""
    return family(200_000, seed=1000)[0]


def true_drop(crowd: Trace, choice: thresholds.Choice) -> float:
    """Expected loss of accuracy in a family of two: 0.8 - P(T) for what the small model keeps."""
    keeps = crowd.p_t >= choice.pt[0]
    if choice.pik is not None:
        keeps &= crowd.p_ik >= choice.pik[0]
    return float((keeps * (0.8 - crowd.p_t)).mean())


@pytest.mark.parametrize(("n", "drop"), [(25, 0.0), (40, 0.1), (60, 0.02), (60, 0.3)])
def test_a_p_value_falls_under_its_level_no_more_often_than_that(n, drop):
    lost, gained = (x.ravel() for x in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    possible = lost + gained <= n
    lost, gained = lost[possible], gained[possible]
    p = np.array([drop_p_value(int(a), int(b), n, drop, 0.005) for a, b in zip(lost, gained)])
    for worse in (0.0, 0.05):  # at the hypothesis's edge, and within it
        m = drop + worse
        for differ in np.linspace(m, 1, 12):
            chance = multinomial.pmf(
                np.stack([lost, gained, n - lost - gained], 1),
                n,
                [(differ + m) / 2, (differ - m) / 2, 1 - differ],
            )
            for level in (0.01, 0.05, 0.2):
                assert chance[p <= level].sum() <= level + 1e-9


def test_a_p_value_is_the_tail_of_the_sum_of_losses_by_direct_summation():
    n, drop, lost, gained, spent = 50, 0.1, 3, 2, 0.01
    differ = cclib.thresholds.beta.ppf(1 - spent, 6, 45)
    one = np.array([(differ - drop) / 2, 1 - differ, (differ + drop) / 2])  # of -1, 0, 1
    law = one
    for _ in range(n - 1):
        law = np.convolve(law, one)
    tail = law[: n + lost - gained + 1].sum()
    assert drop_p_value(lost, gained, n, drop, spent) == pytest.approx(tail + spent, abs=1e-9)


def test_a_p_value_falls_with_what_may_be_lost_and_rises_with_what_was():
    by_drop = [drop_p_value(8, 4, 1000, m, 0.005) for m in (0.004, 0.008, 0.01, 0.02, 0.05)]
    assert by_drop == sorted(by_drop, reverse=True) and by_drop[0] > 0.2 > 0.01 > by_drop[-1]
    by_loss = [drop_p_value(lost, 4, 1000, 0.02, 0.005) for lost in range(4, 20)]
    assert by_loss == sorted(by_loss)


def test_the_promise_holds_over_many_draws(crowd):
    choices = [cclib.choose_thresholds(family(800, seed), 0.02, 0.1) for seed in range(200)]
    drops = np.array([true_drop(crowd, c) for c in choices if c.found])
    assert len(drops) > 150
    assert (drops > 0.02).sum() <= 20  # a tenth of the draws


def test_picking_the_cheapest_without_correction_breaks_it():
    drawn = sensitivity.over_draws(family(800, 5), 0.02, 0.1, draws=200)
    broken = (drawn["drop"] > 0.02 + 1e-12).groupby(drawn["way"]).mean()
    assert broken["with the promise"] <= 0.1 < 0.2 < broken["not corrected"]


def test_finds_thresholds_where_nothing_is_lost():
    stages = family(1500, 3)
    last = answering(stages[1], stages[0].correct)
    choice = cclib.choose_thresholds([stages[0], last])
    assert choice.found and choice.drop == 0
    assert choice.pt == (0.0,)  # all is kept by the first stage
    assert choice.reduced > 0.8


def test_says_that_none_qualifies_where_confidence_tells_nothing():
    choice = cclib.choose_thresholds(family(1500, honest=False))
    assert not choice.found and choice.pt is None and choice.reduced == 0
    assert "those that are proven cost" in choice.reason and choice.proven > 0


def test_says_when_there_are_too_few_questions():
    choice = cclib.choose_thresholds(family(60))
    assert not choice.found and "60 questions are too few" in choice.reason


def test_says_when_even_the_surest_are_wrong():
    stages = family(1500)
    sure = answering(stages[0], np.zeros(1500, bool)).without("p_t", "p_ik").with_column("p_t", np.ones(1500))
    choice = cclib.choose_thresholds([sure, stages[1]])
    assert not choice.found and choice.proven == 0 and "strictest" in choice.reason


@pytest.mark.parametrize("stages", [2, 3])
def test_more_may_be_lost_more_is_saved(stages):
    traces = family(1500, 7, stages)
    saved = [cclib.choose_thresholds(traces, m).reduced for m in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)]
    assert saved == sorted(saved) and saved[-1] > saved[1]
    surer = [cclib.choose_thresholds(traces, 0.02, d).reduced for d in (0.001, 0.01, 0.05, 0.2)]
    assert surer == sorted(surer)


@pytest.mark.parametrize("stages", [2, 3])
@pytest.mark.parametrize("accounting", cost.ACCOUNTINGS)
@pytest.mark.parametrize("with_pik", [True, False])
def test_what_is_promised_is_what_the_cascade_does(stages, accounting, with_pik):
    traces = family(1500, 11, stages)
    choice = cclib.choose_thresholds(traces, 0.03, accounting=accounting, with_pik=with_pik)
    result = cclib.cascade(traces, choice.pt, choice.pik)
    assert len(choice.pt) == stages - 1
    assert choice.drop == pytest.approx(traces[-1].correct.mean() - result.accuracy)
    assert choice.reduced == pytest.approx(cost.reduced(result, accounting))
    assert choice.p_value <= choice.delta
    assert with_pik or choice.pik is None


def test_stages_may_get_thresholds_of_their_own():
    tried = thresholds.candidates(family(300, 2, stages=3))
    assert (tried.pt[:, 0] > tried.pt[:, 1]).any() and (tried.pt[:, 0] < tried.pt[:, 1]).any()
    assert sum(tried.shares) == pytest.approx(1) and len(tried.pt) == len(tried.shares) * len(thresholds.GRID)
    assert np.isnan(tried.pik).any() and (tried.pt >= 0).all() and (tried.pt <= 1).all()


def test_a_trace_without_p_ik_is_judged_by_p_t_alone():
    traces = family(1500, 3)
    choice = cclib.choose_thresholds([traces[0].without("p_ik"), traces[1]], 0.03)
    assert choice.found and choice.pik is None


def test_models_of_unknown_size_can_be_given_one():
    bare = [Trace(t.table, {"model": t.model}) for t in family(1500, 3)]
    with pytest.raises(ValueError, match="sizes="):
        cclib.choose_thresholds(bare)
    assert cclib.choose_thresholds(bare, 0.03, with_pik=False, sizes=[1, 10]).found
    with pytest.raises(ValueError, match="with_pik=False"):
        cclib.choose_thresholds(bare, 0.03, sizes=[1, 10])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_drop": -0.01}, "max_drop"),
        ({"max_drop": 1}, "max_drop"),
        ({"delta": 0}, "delta"),
        ({"delta": 1.5}, "delta"),
        ({"accounting": "per-token"}, "unknown accounting"),
        ({"sizes": [1]}, "2 models"),
    ],
)
def test_refuses_what_makes_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        cclib.choose_thresholds(family(100), **arguments)


def test_refuses_traces_that_are_no_cascade():
    traces = family(100)
    with pytest.raises(ValueError, match="two stages"):
        cclib.choose_thresholds(traces[:1])
    with pytest.raises(ValueError, match="no p_t"):
        cclib.choose_thresholds([traces[0].without("p_t"), traces[1]])
    with pytest.raises(ValueError, match="no p_ik"):
        cclib.choose_thresholds([traces[0].without("p_ik"), traces[1]], with_pik=True)


def test_halves_judge_on_questions_that_were_not_chosen_on():
    stages = [make_trace("a", 400, 1, 0.5, **SHAPES[0]), make_trace("b", 400, 2, 0.9, **SHAPES[2])]
    run = partial(sensitivity.over_draws, stages, 0.2, 0.1, draws=5)
    whole, halved = run(), run(halves=True)
    tried = thresholds.candidates(stages)
    row = whole[whole["found"]].iloc[0]
    assert row["drop"] == pytest.approx(tried.loss[row["candidate"]].mean())
    assert row["reduced"] == pytest.approx(1 - tried.cost[row["candidate"]].mean())
    on_half = halved[halved["found"]]
    assert not np.allclose(on_half["drop"], tried.loss[on_half["candidate"]].mean(1))
    assert np.allclose(on_half["drop"] * 200, np.round(on_half["drop"] * 200))


def test_knowing_the_truth_saves_the_most():
    stages = family(1000, 21)
    table = sensitivity.promise_check(stages, 0.03, draws=50)
    reduced = table["reduced compute"]
    assert reduced["knowing the truth"] >= reduced["with the promise"] > 0
    assert table.loc["with the promise", "share broken"] <= 0.1


def test_a_recorded_edition_saves_nothing_when_every_pass_is_paid_for():
    folder = Path(__file__).parents[1] / "book/editions/qwen2.5-coder-mmlu/traces"
    models = ["qwen2.5-coder-0.5b.gguf", "qwen2.5-coder-1.5b.gguf"]
    study = cclib.load_study(models, "mmlu", traces_dir=folder)
    table = sensitivity.chosen_on_half(study)
    every, paper = (table.xs(a, level="accounting").iloc[0] for a in ("every pass", "paper"))
    assert every["P(T) at least"] == "–" and "proven cost" in every["note"]
    assert paper["reduced compute"] > 0 and paper["note"] == ""
    kept = {a: sensitivity.promise_check(study.test, accounting=a, draws=40) for a in cost.ACCOUNTINGS}
    text = sentences.promise(pd.concat(kept, names=["chain", "choice"]), 0.01, 0.05)
    assert text.startswith("- The promise holds") and "every-pass: nothing saves compute" in text
    assert "paper: the promise saves" in text
