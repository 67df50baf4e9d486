"""Claims about policies, their costs, and the promise of the one that is chosen."""

from dataclasses import replace
from functools import cache
from pathlib import Path as Folder

import numpy as np
import pandas as pd
import pytest

import cclib
from cclib import cost
from cclib.policies import (
    ABSTAIN,
    BY_TRAIN,
    Condition,
    Policy,
    Readings,
    Score,
    Stage,
    evidence,
    scores,
)
from cclib.policies.charges import charges
from cclib.policies.families import BOTH, Maker
from cclib.policies.proof import (
    Path,
    Target,
    best_of,
    betting_p_value,
    fewest_questions,
    measure,
    most_promising,
)
from cclib.study import Study
from cclib.traces import Trace

SHAPES = (
    {"n_layers": 4, "d_model": 128, "hidden_layer": 3},
    {"n_layers": 8, "d_model": 256},
    {"n_layers": 12, "d_model": 512},
)
FOLDER = Folder(__file__).parents[1] / "book/editions/qwen2.5-coder-mmlu/traces"
RECORDED = ["qwen2.5-coder-0.5b.gguf", "qwen2.5-coder-1.5b.gguf"]


def traces(setting: str, n: int, seed: int, stages: int = 2) -> list[Trace]:
    """n questions to models of which the last is better.

    "calibrated": P(T) is the probability that the stage is right. "subjects": how much the last is better
    depends on the subject, which P(T) does not tell. "edge": a stage before the last never is right where the
    last is not, keeping everything loses just over 2 points, and P(T) has few values and tells nothing.
    """
    rng = np.random.default_rng(seed)
    subject, noise = rng.integers(0, 6, n), rng.standard_normal((stages, n))
    last = rng.random(n) < {"calibrated": 0.8, "subjects": 0.7, "edge": 0.75}[setting]
    made = []
    for i in range(stages):
        right, p_t = last, np.full(n, 0.7)
        if i < stages - 1 and setting == "calibrated":
            p_t = 1 / (1 + np.exp(-2 * noise[i] - 1 - i))
            right = rng.random(n) < p_t
        elif i < stages - 1 and setting == "subjects":
            lost = rng.random(n) < np.array([0, 0, 0.02, 0.1, 0.2, 0.3])[subject] / (1 + i)
            right = np.where(rng.random(n) < 0.15, rng.random(n) < 0.7, last) & ~lost
            p_t = np.clip(0.5 + 0.1 * noise[i] + 0.1 * right, 0, 1)
        elif i < stages - 1:
            right = last & (rng.random(n) >= 0.0205 / 0.75)
            p_t = np.round(np.clip(0.5 + 0.2 * noise[i], 0, 1) * 5) / 5
        table = {
            "question_id": [f"q/{seed}/{j}" for j in range(n)],
            "subject": np.char.add("subject ", subject.astype(str)),
            "correct": right,
            "p_t": p_t,
            "answer": np.zeros(n, int),
            "option_probs": list(np.stack([p_t, (1 - p_t) * 0.6, (1 - p_t) * 0.3], 1)),
            "prompt_tokens": rng.integers(50, 150, n),
            "output_tokens": np.ones(n, int),
            "seconds": rng.random(n) * 4.0**i,
        }
        made.append(
            Trace(
                pd.DataFrame(table),
                {"model": f"m{i}", **SHAPES[len(SHAPES) - stages + i if stages > 2 else i]},
            )
        )
    return made


def a_study(setting: str, seed: int = 0, train: int = 1000, validation: int = 1000, stages: int = 2) -> Study:
    parts = [traces(setting, n, 3 * seed + i, stages) for i, n in enumerate((50, train, validation))]
    return Study([f"m{i}" for i in range(stages)], "made", 0, *parts, [None] * stages)


def by_hand(p_t, correct, **more) -> Trace:
    n = len(p_t)
    table = {"question_id": [str(i) for i in range(n)], "correct": correct, "p_t": p_t, "subject": ["s"] * n}
    return Trace(
        pd.DataFrame(table | {"prompt_tokens": [10] * n, "output_tokens": [0] * n} | more),
        {"model": "m", **SHAPES[0]},
    )


SMALL = by_hand([0.9, 0.5, 0.2, 0.7], [True, False, False, True], **{BY_TRAIN: [0.8, 0.1, 0.9, 0.1]})
LARGE = Trace(by_hand([1.0] * 4, [True, True, False, False]).table, {"model": "l", **SHAPES[1]})
P_T, P_IK = Score("P(T)"), Score("P(IK)")


def test_the_papers_rule_is_a_policy_with_the_cascades_answers_and_costs():
    study = cclib.load_study(RECORDED, "mmlu", traces_dir=FOLDER)
    policy = Policy("", (Stage("a", keep=(Condition(P_T, 0.6),)), Stage("b")))
    run, plain = policy.run(study.test), cclib.cascade(study.test, 0.6, None)
    np.testing.assert_array_equal(run.stage, plain.stage)
    assert run.accuracy == plain.accuracy and (run.passes == plain.passes).all()
    for accounting in cost.ACCOUNTINGS:
        assert cost.compute(run, accounting).total == pytest.approx(cost.compute(plain, accounting).total)


def test_one_question_is_decided_step_by_step_as_many_are():
    route = Score("P(T)")  # any score may stand for a router's
    policy = Policy(
        "",
        (
            Stage("a", keep=(Condition(P_T, 0.6), Condition(P_IK, 0.5)), start=Condition(route, 0.3)),
            Stage("b"),
        ),
    )
    run = policy.run([SMALL, LARGE])
    for j in range(4):
        one = [Readings.of(t.select([str(j)])) for t in (SMALL, LARGE)]
        at, asked = int(policy.first(one[0])[0]), []
        while True:
            asked.append(at)
            further = int(policy.decide(at, one[at])[0])
            if further == at:
                break
            at = further
        assert at == run.stage[j] and asked == np.flatnonzero(run.ran[:, j]).tolist()
    assert run.stage.tolist() == [0, 1, 1, 1] and run.ran[0].tolist() == [True, True, False, True]


def test_every_pass_probe_and_early_end_is_charged_by_hand():
    policy = Policy(
        "", (Stage("a", keep=(Condition(P_IK, 0.5), Condition(P_T, 0.6)), leaves=True), Stage("b"))
    )
    run, sizes = policy.run([SMALL, LARGE]), cost.stage_sizes([SMALL, LARGE])
    small, large = (2 * s for s in sizes)
    probe = cost.probe_cost(SMALL)[0]
    assert run.left_early[0].tolist() == [False, True, False, True]
    expected = np.array([small, 0.75 * small + large, small + large, 0.75 * small + large]) + probe
    np.testing.assert_allclose(charges([SMALL, LARGE]).of(run, (0, 1)), expected)
    assert cost.compute(run, "every-pass").total == pytest.approx(expected.sum())
    assert charges([SMALL, LARGE], accounting="paper").of(run, (0, 1)).tolist() == [
        small,
        large,
        large,
        large,
    ]


def test_a_router_is_charged_for_every_question_and_a_gate_for_those_it_reads():
    study = a_study("subjects")
    readings, right = Readings.of(study.train[0]), [t.correct for t in study.train]
    gain = scores.learned("gain", ("P(T)", "subject"), readings, *right)
    route = scores.learned("route", ("subject", "length"), readings, *right)
    policy = Policy(
        "", (Stage("m0", keep=(Condition(gain, 0.0),), start=Condition(route, -0.05)), Stage("m1"))
    )
    run = policy.of(study, "validation")
    assert 0 < run.ran[0].sum() < 1000 and (run.deciding[0] >= 16).all()
    assert (run.deciding[0][run.ran[0]] == 32).all() and not run.deciding[1].any()
    spent = charges(run.stages).of(run, (0, 1))
    assert spent.sum() == pytest.approx(cost.compute(run, "every-pass").total)


def test_abstaining_leaves_a_question_unanswered_and_the_next_model_unasked():
    stages = (
        Stage("a", keep=(Condition(P_T, 0.6),), hope=Condition(P_IK, 0.5)),
        Stage("b", keep=(Condition(P_T, 2.0),)),
    )
    run = Policy("", stages).run([SMALL, LARGE])
    assert run.abstained.tolist() == [False, True, True, False]
    assert run.ran[1].tolist() == [False, False, True, False] and run.correct.tolist() == [
        True,
        False,
        False,
        True,
    ]
    assert Policy("", stages).decide(0, Readings.of(SMALL)).tolist() == [0, ABSTAIN, 1, 0]
    making = evidence.Evidence([SMALL, LARGE], [Readings.of(t) for t in (SMALL, LARGE)])
    made = measure(Policy("", stages), (0, 1), making, charges([SMALL, LARGE]), 0.4)
    np.testing.assert_allclose(made.loss, [0, 0.4, -0.6, -1])  # against [right, right, wrong, wrong]


def test_a_score_that_is_not_known_keeps_nothing():
    unread = replace(Readings.of(SMALL), p_t=np.array([np.nan, 0.9, 0.9, 0.0]), known={})
    policy = Policy("", (Stage("a", keep=(Condition(P_T, 0.0),)), Stage("b")))
    assert policy.decide(0, unread).tolist() == [1, 0, 0, 0]
    with pytest.raises(ValueError, match="reads P\\(IK\\)"):
        policy = Policy("", (Stage("a", keep=(Condition(P_IK, 0.0),)), Stage("b")))
        policy.run([SMALL.without(BY_TRAIN), LARGE])


def test_a_gate_learns_the_gain_and_knows_no_more_than_the_shares_without_features():
    study = a_study("subjects", train=6000)
    readings, right = Readings.of(study.train[0]), [t.correct for t in study.train]
    found = scores.learned("gain", ("subject",), readings, *right).of(readings)
    truth = pd.Series(right[0].astype(float) - right[1]).groupby(readings.subject).transform("mean")
    np.testing.assert_allclose(found, truth, atol=0.02)
    same = scores.learned("gain", ("subject",), readings, right[0], right[0])
    np.testing.assert_allclose(same.of(readings), 0, atol=1e-6)
    about = dict(zip(np.unique(readings.subject), ("law", "art", "logic", "maths", "virology", "history")))
    words = replace(readings, texts=[f"a question of {about[s]}" for s in readings.subject])
    np.testing.assert_allclose(scores.learned("route", ("words",), words, *right).of(words), truth, atol=0.03)
    with pytest.raises(ValueError, match="subject"):
        scores.learned("gain", ("subject",), readings, *right).of(replace(readings, subject=None, known={}))


def test_out_of_fold_scores_order_the_questions_that_made_a_gate():
    study = a_study("edge", train=400)
    making, *_ = evidence.gather(study)
    maker = Maker(study.models, making, [None, None], None)
    gain = maker.score("gain", 0, 1)
    held_out, fitted = gain.of(making.readings[0]), gain.of(Readings.of(study.train[0]))
    assert not np.allclose(held_out, fitted) and np.corrcoef(held_out, fitted)[0, 1] > 0


def test_a_later_stages_router_is_judged_out_of_fold_where_the_first_stage_reads_for_it():
    study = a_study("edge", train=400, stages=3)
    making, *_ = evidence.gather(study)
    maker = Maker(study.models, making, [None] * 3, None)
    chains = [g for g in maker.groups() if g.family == BOTH and len(g.members) == 3]
    assert chains
    route = chains[0].policies[0].stages[1].start.score
    judged, fitted = route.of(making.readings[0]), route.of(Readings.of(study.train[0]))
    assert not np.allclose(judged, fitted) and np.corrcoef(judged, fitted)[0, 1] > 0


def test_p_ik_that_the_validation_questions_calibrated_proves_nothing():
    study = a_study("calibrated")
    seen = [[t.with_column("p_ik", t.p_t) for t in part] for part in (study.train, study.validation)]
    choice = cclib.choose_policy(replace(study, train=seen[0], validation=seen[1]), 0.03)
    assert (
        any("P(IK) is left out" in note for note in choice.notes)
        and "stopping early" not in choice.families.index
    )
    own = [[t.with_column(BY_TRAIN, t.p_t) for t in part] for part in (study.train, study.validation)]
    choice = cclib.choose_policy(replace(study, train=own[0], validation=own[1]), 0.03)
    assert not choice.notes and {"stopping early", "the paper's rule"} <= {*choice.families.index}


def test_hidden_states_give_a_probe_that_saw_training_questions_alone(tmp_path):
    study = cclib.load_study(["atlas-s", "atlas-l"], "atlas", limit=120, traces_dir=tmp_path, device="cpu")
    making, proving, probes, notes = evidence.gather(study)
    assert not notes and making.readings[0].p_ik is not None and making.readings[0].texts is not None
    flipped = [t.with_column("correct", ~t.correct) for t in study.validation if t is not None]
    again = evidence.gather(replace(study, validation=[flipped[0], study.validation[1]]))
    np.testing.assert_array_equal(proving.readings[0].p_ik, again[1].readings[0].p_ik)
    np.testing.assert_array_equal(making.readings[0].p_ik, again[0].readings[0].p_ik)
    choice = cclib.choose_policy(study, 0.1)
    run = choice.policy.of(study)
    assert len(run.stage) == len(study) and choice.candidates > 500


def test_no_answer_to_a_validation_question_makes_a_candidate_or_its_order():
    study = a_study("subjects", train=600, validation=300)
    target, paths = Target(0.02, None, 1.0), []
    for validation in (study.validation, [t.with_column("correct", ~t.correct) for t in study.validation]):
        making, *_ = evidence.gather(replace(study, validation=validation))
        groups = list(Maker(study.models, making, [None] * 2, None).groups())
        made = [p for g in groups for p in Path.both(g, making, charges(making.stages), target)]
        best = most_promising(made, target, 300, 0.05)
        paths.append((best.group.family, best.order.tolist(), [m.drop for m in best.made]))
    assert paths[0] == paths[1]


def test_without_training_answers_one_half_makes_and_the_other_proves():
    study = a_study("subjects")
    making, proving, _, notes = evidence.gather(replace(study, train=[study.train[0], None]))
    ids = [set(e.stages[0].question_id) for e in (making, proving)]
    assert not ids[0] & ids[1] and ids[0] | ids[1] == set(study.validation[0].question_id)
    assert any("50% of the validation questions prove" in note for note in notes)


@cache
def crowd(setting: str, stages: int) -> evidence.Evidence:
    made = traces(setting, 100_000, 10**6, stages)
    return evidence.Evidence(made, [Readings.of(t) for t in made])


def drawn(everyone: evidence.Evidence, n: int, rng: np.random.Generator) -> evidence.Evidence:
    rows = rng.integers(0, len(everyone), n)
    ids = [[str(i) for i in range(n)]]
    stages = [
        Trace(t.table.take(rows).set_column(0, "question_id", ids), t.provenance) for t in everyone.stages
    ]
    return evidence.Evidence(stages, [r.take(rows) for r in everyone.readings])


def promised(
    setting: str, draws: int, makings: int, max_drop: float, delta: float, stages: int = 2, n: int = 700
):
    """(draws, 4) true drop and saving of the policy that is chosen, and of the thresholds that are."""
    rng, everyone = np.random.default_rng(7), crowd(setting, stages)
    target, rows, whole = Target(max_drop, None, 1.0), [], charges(everyone.stages)
    for seed in range(makings):
        study = a_study(setting, seed, train=1500, validation=10, stages=stages)
        making, *_ = evidence.gather(study)
        groups = list(Maker(study.models, making, [None] * stages, None).groups())
        made = [p for g in groups for p in Path.both(g, making, charges(making.stages), target)]
        path, truth = most_promising(made, target, n, delta), {}
        for _ in range(draws // makings):
            proving = drawn(everyone, n, rng)
            best = best_of(path.proven(proving, charges(proving.stages), target, delta), target)
            row = [0.0, 0.0]
            if best is not None:
                if best[0] not in truth:
                    m = measure(best[0], path.group.members, everyone, whole, 1.0)
                    truth[best[0]] = [m.drop, 1 - m.cost]
                row = truth[best[0]]
            thresholds = (
                cclib.choose_thresholds(proving.stages, max_drop, delta) if len(rows) % 10 == 0 else None
            )
            rows.append([*row, np.nan, np.nan])
            if thresholds is not None:
                rows[-1][2:] = [0.0, 0.0]
                if thresholds.found:
                    plain = cclib.cascade(everyone.stages, thresholds.pt, thresholds.pik)
                    lost = everyone.stages[-1].correct.mean() - plain.accuracy
                    rows[-1][2:] = [lost, cost.reduced(plain, "every-pass")]
    return np.array(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "stages"), [("calibrated", 2), ("subjects", 2), ("edge", 2), ("subjects", 3)]
)
def test_the_promise_holds_over_many_draws_and_saves_no_less_than_thresholds(setting, stages):
    rows = promised(setting, 500, 5, 0.02, 0.1, stages)
    broken = (rows[:, 0] > 0.02).sum()
    assert broken <= 50 + 2 * np.sqrt(500 * 0.1 * 0.9)  # a tenth of the draws, and two standard errors
    assert (rows[:, 1] > 0).mean() > 0.5
    compared = rows[~np.isnan(rows[:, 3])]  # the same draws
    gain = compared[:, 1] - compared[:, 3]
    assert gain.mean() > -2 * gain.std() / np.sqrt(len(gain))


def test_picking_the_cheapest_that_lost_little_would_break_it():
    rng, everyone, broken = np.random.default_rng(3), crowd("edge", 2), 0
    policies = [
        Policy("", (Stage("a", keep=(Condition(P_T, x),)), Stage("b"))) for x in (0.8, 0.6, 0.4, 0.2, 0.0)
    ]
    whole = charges(everyone.stages)
    truth = [measure(p, (0, 1), everyone, whole, 1.0).drop for p in policies]
    for _ in range(40):
        proving = drawn(everyone, 700, rng)
        at = charges(proving.stages)
        made = [measure(p, (0, 1), proving, at, 1.0) for p in policies]
        broken += truth[max(i for i, m in enumerate(made) if m.drop <= 0.02 or not i)] > 0.02
    assert broken > 12


def test_a_betting_p_value_falls_under_its_level_no_more_often_than_that():
    rng = np.random.default_rng(0)
    for low, high, values in ((-1, 1, [1, 0, -0.6]), (0, 3, [3, 1, 0])):
        chance = [0.1, 0.8, 0.1]
        mean = float(np.dot(values, chance))
        p = [betting_p_value(rng.choice(values, 300, p=chance), mean, low, high, 0.1) for _ in range(400)]
        assert np.mean(np.array(p) <= 0.1) <= 0.1
        assert betting_p_value(rng.choice(values, 2000, p=chance), mean + 0.1, low, high, 0.1) < 0.1


def test_a_budget_gives_the_most_accurate_within_it():
    study = a_study("subjects")
    choices = [cclib.choose_policy(study, max_cost=b) for b in (0.3, 0.6, 0.9)]
    assert all(c.proven and 1 - c.saved <= b for c, b in zip(choices, (0.3, 0.6, 0.9)))
    drops = [c.drop for c in choices]
    assert drops == sorted(drops, reverse=True)
    nothing = cclib.choose_policy(study, max_cost=0.01)
    assert (
        not nothing.proven and nothing.policy.models == ["m0"] and "1.0% of the last model" in nothing.reason
    )


@pytest.mark.parametrize("unit", ["USD", "seconds"])
def test_dollars_and_seconds_are_units_too(unit):
    prices = {"m0": (1.0, 2.0), "m1": (10.0, 20.0)}
    choice = cclib.choose_policy(a_study("calibrated"), 0.03, unit=unit, prices=prices)
    assert choice.proven and choice.saved > 0.2
    with pytest.raises(
        ValueError, match="USD are not known of every answer: m0 lacks a price .*; m1 lacks a price"
    ):
        cclib.choose_policy(a_study("calibrated"), unit="USD")


def test_bounds_lie_where_they_must():
    choice = cclib.choose_policy(a_study("subjects"), 0.02, abstention=0.6)
    saved = choice.bounds["saved"]
    assert saved["oracle"] >= saved["mixing at random"] > 0
    assert saved["all candidates known"] >= max(choice.saved, saved["one score, its threshold known"])
    assert saved["the promise costs"] == pytest.approx(saved["all candidates known"] - choice.saved)
    assert choice.saved_interval[0] <= choice.saved <= choice.saved_interval[1]
    assert (
        choice.more["expected"].is_monotonic_increasing
        and choice.families.loc["abstaining", "candidates"] > 100
    )


def test_says_how_many_questions_would_do():
    n = fewest_questions(0.01, 0.05)
    assert cclib.thresholds.drop_p_value(0, 0, n, 0.01, 0.005) <= 0.05
    assert cclib.thresholds.drop_p_value(0, 0, n - 1, 0.01, 0.005) > 0.05
    choice = cclib.choose_policy(a_study("calibrated", validation=60))
    assert not choice.proven and f"60 questions are too few: {n} would do" in choice.reason
    assert choice.policy.models == ["m1"] and choice.saved == 0 == choice.drop
    assert "max_drop 0" in cclib.choose_policy(a_study("edge", validation=60), 0.0).reason


def test_refuses_what_no_policy_can_be_chosen_from():
    study = a_study("calibrated", train=300, validation=300)
    with pytest.raises(ValueError, match="two models or more, found 1"):
        one = {k: getattr(study, k)[:1] for k in ("models", "test", "train", "validation", "probes")}
        cclib.choose_policy(replace(study, **one))
    with pytest.raises(ValueError, match="m1: no answers to validation questions"):
        cclib.choose_policy(replace(study, validation=[study.validation[0], None]))
    for arguments, message in (
        ({"max_drop": 1}, "max_drop"), ({"delta": 0}, "delta"), ({"max_cost": 0}, "max_cost"),
        ({"abstention": 1}, "abstention"), ({"accounting": "x"}, "unknown accounting"),
        ({"unit": "tokens"}, "unknown unit"), ({"sizes": [1]}, "2 models"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            cclib.choose_policy(study, **arguments)
    bare = [[t.without("p_t", "option_probs") for t in part] for part in (study.train, study.validation)]
    choice = cclib.choose_policy(replace(study, train=bare[0], validation=bare[1]))
    assert any("only single models and routers remain" in note for note in choice.notes)
    assert {*choice.families.index} == {"one model", "router"}


def test_other_weights_are_refused():
    policy = Policy("", (Stage("a", checksum="sha256:1"), Stage("b")))
    with pytest.raises(ValueError, match="checksum sha256:1 .*found sha256:2"):
        policy.run([Trace(SMALL.table, {**SMALL.provenance, "checksum": "sha256:2"}), LARGE])


def test_the_recorded_edition_saves_by_a_router_what_no_confidence_does():
    study = cclib.load_study(RECORDED, "mmlu", traces_dir=FOLDER)
    choice = cclib.choose_policy(study, 0.02)
    assert choice.proven and choice.saved > 0.05 and "router" in choice.policy.family
    assert not choice.families.loc["the paper's rule", "proven"]
    run = choice.policy.of(study)
    assert (
        cost.compute(run, "every-pass").total
        < cost.compute(cclib.cascade(study.test, 0.9, None), "every-pass").total
    )
