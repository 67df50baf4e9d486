"""A chosen policy put to use: its files, the live run that decides as the traces say, the command line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_api_errors import FILTER, QUESTIONS, answer, endpoint, error, only
from typer.testing import CliRunner

import cclib
from cclib.__main__ import app
from cclib.policies import ABSTAIN, Condition, Policy, Readings, Score, Stage, charges
from cclib.policies.evidence import gather
from cclib.policies.families import FAMILIES, Maker
from cclib.prompts import LETTERS

LIMIT = 60  # test questions


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("atlas")


@pytest.fixture(scope="session")
def study(store):
    """The Atlas models on a few questions of each part."""
    return cclib.load_study("atlas", "atlas", limit=LIMIT, traces_dir=store, device="cpu")


@pytest.fixture(scope="session")
def models(study):
    return [cclib.load_model(name, device="cpu") for name in study.models]


@pytest.fixture(scope="session")
def made(study):
    """Candidates of every family, one of the middle of each group."""
    making, _, probes, _ = gather(study)
    groups = list(Maker(study.models, making, probes, 0.3).groups())
    assert {g.family for g in groups} == {*FAMILIES}
    return [g.policies[len(g.policies) // 2 - 1] for g in groups]


def by_thresholds(*models, threshold=0.5, **of_first):
    """Stages of these names; all but the last keep where P(T) reaches the threshold."""
    keep = (Condition(Score("P(T)"), threshold),)
    stages = [Stage(name, keep=keep) for name in models[:-1]] + [Stage(models[-1])]
    return Policy("one score", (replace(stages[0], **of_first), *stages[1:]))


def as_recorded(live, recorded):
    """Whether a live run asked, answered and abstained as the policy does on the traces."""
    same = [np.array_equal(getattr(live, k), getattr(recorded, k)) for k in ("stage", "asked", "abstained")]
    return all(same) and np.array_equal(live.prediction, recorded.prediction)


def test_a_policy_of_any_family_is_the_same_after_it_was_saved_and_read(study, made, tmp_path):
    for i, policy in enumerate(made):
        path = tmp_path / f"{i}.json"
        policy.with_about(benchmark="atlas").save(path)
        again = cclib.Policy.load(path)
        assert (again.family, again.models, again.about) == (
            policy.family,
            policy.models,
            {"benchmark": "atlas"},
        )
        one, two = policy.of(study), again.of(study)
        assert np.array_equal(one.stage, two.stage) and np.array_equal(one.abstained, two.abstained)
        spent = [charges.charges(r.stages).of(r, range(len(r.stages))) for r in (one, two)]
        assert np.array_equal(*spent)
        learned = any(c.score.weights for s in policy.stages for _, _, c in s.conditions())
        assert path.with_suffix(".safetensors").exists() == (learned or any(s.probe for s in policy.stages))


@pytest.mark.slow
def test_live_use_of_a_policy_of_any_family_does_as_its_application_to_the_traces(study, made, models):
    skipped = abstained = 0
    for policy in made:
        recorded = policy.of(study)
        live = cclib.live_cascade(models, study.questions, policy=policy)
        assert as_recorded(live, recorded), (policy.family, policy.name)
        assert (live.correct(study.questions) == recorded.correct).all()
        skipped, abstained = skipped + (~live.asked[0]).sum(), abstained + live.abstained.sum()
    assert skipped and abstained  # routers skip a model, abstaining ones give no answer


def test_the_chosen_policy_read_from_its_file_asks_live_as_on_the_traces(study, tmp_path):
    chosen = cclib.choose_policy(study, max_drop=0.15)
    chosen.policy.save(tmp_path / "policy.json")
    policy = cclib.Policy.load(tmp_path / "policy.json")
    assert chosen.proven and policy.about["max_drop"] == 0.15
    recorded = chosen.policy.of(study)
    live = cclib.live_cascade(None, study.questions, policy=policy, device="cpu")  # the models that it names
    assert as_recorded(live, recorded)
    table = live.table(study.questions)
    assert table["questions asked"].tolist() == recorded.passes.tolist()
    assert (
        table["tokens billed"].sum() == 0 == table["USD"].sum()
        and (live.seconds[recorded.passes > 0] > 0).all()
    )
    read = [t.prompt_tokens[ran].sum() + ran.sum() for t, ran in zip(recorded.stages, recorded.asked)]
    assert table["tokens"].tolist() == read
    for j in (0, 1):
        walk = cclib.ask(study.questions[j], policy=policy)
        assert (
            walk.model == policy.models[recorded.stage[j]]
            and walk.steps[-1].prediction == recorded.prediction[j]
        )
        assert walk.spent()["questions asked"].tolist() == live.asked[:, j].astype(int).tolist()


def test_steps_are_the_hand_worked_ones():
    policy = by_thresholds("a", "b", "c")
    p_t = {0: [0.9, 0.4, 0.5], 1: [0.1, 0.8, 0.1]}
    said = []

    def decide(stage, reached):
        said.append((stage, reached.tolist()))
        p = [p_t[stage][j] for j in reached] if stage in p_t else [0.0] * len(reached)
        return policy.decide(stage, Readings(len(reached), p_t=np.array(p)))

    at, asked, abstained = policy.steps(Readings(3), decide)
    assert said == [(0, [0, 1, 2]), (1, [1])] and at.tolist() == [0, 1, 0]
    assert asked.tolist() == [[True] * 3, [False, True, False], [False] * 3] and not abstained.any()
    hopeless = replace(policy.stages[0], hope=Condition(Score("P(T)"), 0.45))
    unsure = Policy("abstaining", (hopeless, *policy.stages[1:]))
    assert unsure.decide(0, Readings(3, p_t=np.array(p_t[0]))).tolist() == [0, ABSTAIN, 0]


def damaged(path, change):
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


DAMAGES = {
    "half a file": (lambda p: p.write_bytes(p.read_bytes()[:-40]), "is damaged: it is not JSON"),
    "not text": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "is damaged: it is not JSON"),
    "something else": (lambda p: p.write_text("[1, 2]"), "holds no policy"),
    "another version": (lambda p: damaged(p, lambda d: d.update(version=2)), "version 2, .*reads 1; read it"),
    "no stages": (lambda p: damaged(p, lambda d: d.update(stages=[])), "a stage or more"),
    "no model": (lambda p: damaged(p, lambda d: d["stages"][0].pop("model")), "a text under 'model'"),
    "unknown score": (
        lambda p: damaged(p, lambda d: d["stages"][0]["keep"][0].update(score="luck")),
        "expected a score of .*'luck'",
    ),
    "no number": (
        lambda p: damaged(p, lambda d: d["stages"][0]["keep"][0].update({"at least": "high"})),
        "a number under 'at least', found 'high'",
    ),
    "not finite": (
        lambda p: damaged(p, lambda d: d["stages"][0]["keep"][0].update({"at least": float("inf")})),
        "a finite number",
    ),
    "fewer features": (
        lambda p: damaged(p, lambda d: d["stages"][0]["keep"][0]["features"].pop()),
        "expected weights",
    ),
    "half the weights": (
        lambda p: (w := p.with_suffix(".safetensors")).write_bytes(w.read_bytes()[:-8]),
        "should have the SHA-256",
    ),
    "other weights": (
        lambda p: p.with_suffix(".safetensors").write_bytes(b"\x80\x04pickle"),
        "should have the SHA-256",
    ),
}  # fmt: skip


def gated():
    """A policy with a learned gate whose weights are zero."""
    weights = {"mean": np.zeros(2), "scale": np.ones(2), "coef": np.zeros((4, 2)), "intercept": np.zeros(4)}
    keep = (Condition(Score("gain", weights, ("P(T)", "length")), -0.1),)
    return Policy("learned gate", (Stage("a", keep=keep), Stage("b")))


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_policy_is_refused_with_what_to_do(case, tmp_path):
    change, message = DAMAGES[case]
    path = tmp_path / "policy.json"
    gated().save(path)
    cclib.Policy.load(path)
    change(path)
    with pytest.raises(ValueError, match=message) as told:
        cclib.Policy.load(path)
    assert str(path) in str(told.value)


def test_files_that_are_not_there_are_named(tmp_path):
    path = tmp_path / "policy.json"
    with pytest.raises(FileNotFoundError, match="no policy at"):
        cclib.Policy.load(path)
    gated().save(path)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no weights at .*policy.safetensors"):
        cclib.Policy.load(path)
    with pytest.raises(ValueError, match="saved as a .json file"):
        gated().save(tmp_path / "policy.txt")


def test_both_files_can_be_renamed_together_and_hold_no_code(tmp_path):
    gated().save(tmp_path / "policy.json")
    for suffix in ("json", "safetensors"):
        shutil.move(tmp_path / f"policy.{suffix}", tmp_path / f"mine.{suffix}")
    assert cclib.Policy.load(tmp_path / "mine.json").models == ["a", "b"]
    stage = json.loads((tmp_path / "mine.json").read_text())["stages"][0]
    assert stage["keep"] == [
        {"score": "gain", "at least": -0.1, "features": ["P(T)", "length"], "subjects": []}
    ]


def test_other_weights_precisions_and_prompts_are_refused(study, models):
    about = [t.provenance for t in study.test]
    stages = tuple(Stage.of(m, a) for m, a in zip(study.models, about))
    whole = Policy("one model", stages)
    for key, other in (("checksum", "sha256:0"), ("dtype", "bfloat16"), ("prompt_hash", "0" * 12)):
        policy = replace(whole, stages=(replace(stages[0], prompt=None, **{key: other}), *stages[1:]))
        message = f"{other} for atlas-s, found {about[0][key]}; "
        with pytest.raises(ValueError, match=message):
            cclib.ask(study.questions[0], models=models, policy=policy)
        with pytest.raises(ValueError, match=message):
            policy.of(study)
    with pytest.raises(
        ValueError, match="asks atlas-s, atlas-m, atlas-l, found atlas-s: atlas-m, atlas-l is"
    ):
        cclib.ask(study.questions[0], models=models[:1], policy=whole)
    with pytest.raises(ValueError, match="brings its own"):
        cclib.ask(study.questions[0], models=models, policy=whole, pt=0.5)


def test_p_ik_without_its_probe_is_refused_live(study, models):
    keep = (Condition(Score("P(IK)"), 0.5),)
    policy = Policy("one score", (Stage("atlas-s", keep=keep), Stage("atlas-l")))
    with pytest.raises(ValueError, match="reads P.IK. of atlas-s and has no probe"):
        cclib.live_cascade(models, study.questions, policy=policy)


def test_abstaining_is_no_answer_and_says_why(study, models):
    sure = (Condition(Score("P(T)"), 1.0),)
    policy = Policy(
        "abstaining", (Stage("atlas-s", keep=sure, hope=Condition(Score("P(T)"), 1.0)), Stage("atlas-l"))
    )
    walk = cclib.ask(study.questions[0], models=models, policy=policy)
    assert walk.answer == "no answer" and len(walk.steps) == 1
    assert walk.steps[0].decision == "abstain: P(T) too low, and a larger model is not likely right"
    run = cclib.live_cascade(models, study.questions, policy=policy)
    assert run.abstained.all() and not run.correct(study.questions).any()
    answers = run.answers(study.questions)
    assert set(answers["note"]) == {"abstained"} and set(answers["answer"]) == {""}


def test_the_command_line_chooses_shows_and_applies(study, store, tmp_path):
    def cclib_policy(*given):
        done = CliRunner().invoke(app, ["policy", *map(str, given)], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    path = tmp_path / "policy.json"
    given = [
        "--benchmark",
        "atlas",
        "--limit",
        LIMIT,
        "--max-drop",
        0.15,
        "--traces-dir",
        store,
        "--device",
        "cpu",
    ]
    chosen = cclib_policy("choose", "atlas", *given, "--out", path)
    shown = cclib_policy("show", path)
    policy = cclib.Policy.load(path)
    assert shown.strip() in chosen and policy.name in shown and "at most 15 points of accuracy" in shown
    some = study.questions[:6]
    for known in (True, False):  # with and without the right answers
        rows = [
            {"id": q.id, "subject": q.subject, "question": q.text, **dict(zip(LETTERS, q.choices))}
            | ({"answer": LETTERS[q.answer]} if known else {})
            for q in some
        ]
        pd.DataFrame(rows).to_csv(tmp_path / "questions.csv", index=False)
        told = cclib_policy(
            "apply", path, tmp_path / "questions.csv", tmp_path / "answers.csv", "--device", "cpu"
        )
        answers = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
        recorded = policy.of(study)
        assert answers["id"].tolist() == [q.id for q in some] and "questions asked" in told
        assert answers["stage"].tolist() == [policy.models[i] for i in recorded.stage[: len(some)]]
        assert answers["answer"].tolist() == [LETTERS[i] for i in recorded.prediction[: len(some)]]
        right = [str(r) for r in recorded.correct[: len(some)]]
        assert answers["right"].astype(str).tolist() == (right if known else [""] * len(some))
        assert (answers["tokens"] > 0).all() and (answers["USD"] == 0).all()


def test_a_stage_behind_an_api_gets_what_the_policy_passes_on_and_is_accounted_for(models, tmp_path):
    small = models[0]
    alone = cclib.live_cascade([small], QUESTIONS)
    p_t = [cclib.ask(q, models=[small]).steps[0].p_t for q in QUESTIONS]
    threshold = np.mean(sorted(p_t)[1:3])  # two of five are under it
    with endpoint(lambda *_: answer()) as (api, asked):
        served = f"served:small@{api.host}"
        policy = by_thresholds("atlas-s", "openai-small", threshold=threshold)
        policy = replace(policy, stages=(policy.stages[0], replace(policy.stages[1], checksum=served)))
        run = cclib.live_cascade([small, api], QUESTIONS, policy=policy, store=tmp_path)
        passed_on = np.array(p_t) < threshold
        assert len(asked) == passed_on.sum() == 2 and (run.stage == passed_on).all()
        assert run.prediction.tolist() == np.where(passed_on, 1, alone.prediction).tolist()
        table = run.table(QUESTIONS, {"small": (2.0, 8.0)})
        assert table["tokens billed"].tolist() == [0, 102] and table["questions asked"].tolist() == [5, 2]
        assert table["USD"].tolist() == pytest.approx([0, 2 * (50 * 2 + 8) / 1e6])
        each = run.answers(QUESTIONS, {"small": (2.0, 8.0)})
        assert (
            each["USD"].sum() == pytest.approx(table["USD"].sum())
            and each["tokens"].sum() == table["tokens"].sum()
        )
        cclib.live_cascade([small, api], QUESTIONS, policy=policy, store=tmp_path)
        assert len(asked) == 2  # what was paid for is not paid for again
        walk = cclib.ask(QUESTIONS[int(np.argmin(p_t))], models=[small, api], policy=policy)
        assert walk.model == "openai-small" and walk.spent()["tokens billed"].tolist() == [0, 51]
        elsewhere = replace(policy.stages[1], checksum="served:small@api.openai.com")
        with pytest.raises(ValueError, match="served:small@api.openai.com for openai-small, found"):
            cclib.ask(QUESTIONS[0], models=[small, api], policy=replace(policy, stages=(elsewhere,)))


def test_what_an_endpoint_sets_aside_goes_on_to_the_next_stage(models):
    with endpoint(only((400, error(FILTER, "content_filter")))) as (api, _asked):
        policy = by_thresholds("openai-small", "atlas-l", threshold=0.5)
        run = cclib.live_cascade([api, models[2]], QUESTIONS, policy=policy)
        assert run.stage.tolist() == [0, 0, 1, 0, 0] and not run.set_aside.any()
        walk = cclib.ask(QUESTIONS[2], models=[api, models[2]], policy=policy)
        assert [s.decision.split(":")[0] for s in walk.steps] == ["escalate", "answer"]
