"""From models and a benchmark to scored traces, live and exported, and the live cascade."""

import numpy as np
import pandas as pd
import pytest

import cclib
from cclib.experiments import transfer
from cclib.questions import spread


@pytest.fixture(scope="session")
def own_table(tmp_path_factory):
    """A benchmark of 400 rows in a CSV, for models that guess."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "question": [f"Question number {i}, what holds?" for i in range(400)],
            **{letter: [f"{letter.lower()}{i % 7}" for i in range(400)] for letter in "ABCD"},
            "answer": rng.choice(list("ABCD"), 400),
            "subject": np.repeat(["one", "two"], 200),
        }
    )
    path = tmp_path_factory.mktemp("table") / "own.csv"
    rows.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def study(tiny_pair, own_table, tmp_path_factory):
    return cclib.load_study(tiny_pair, str(own_table), traces_dir=tmp_path_factory.mktemp("traces"))


def test_a_study_has_every_part_where_the_cascade_needs_it(study):
    assert study.models == ["tiny-small", "tiny-large"]
    assert [len(t) for t in study.test] == [40, 40] and len(study.questions) == 40
    assert study.train[0] is not None and study.train[1] is None  # the last stage needs no probe
    assert len(study.train[0]) == 320 and len(study.validation[0]) == 40
    assert study.has_pik and study.threshold(0.5) == 0.5 and study.chains() == [(0, 1)]


def test_no_test_question_is_trained_on(study):
    parts = [study.test[0], study.train[0], study.validation[0]]
    ids = [i for part in parts for i in part.question_id]
    assert len(set(ids)) == len(ids) == 400


def test_an_exported_study_replays_the_same_cascade_without_models_or_texts(study, tmp_path):
    cclib.export_study(study, tmp_path)
    replay = cclib.load_study(["gone/tiny-small", "gone/tiny-large"], study.benchmark, traces_dir=tmp_path)
    for threshold in (0.0, 0.3, 0.6):
        one = cclib.cascade(study.test, threshold, 0.25)
        two = cclib.cascade(replay.test, threshold, 0.25)
        assert (one.stage == two.stage).all() and (one.correct == two.correct).all()
    assert replay.test[0].hidden is None and replay.questions is None
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"what holds" not in written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed"),
        ({"benchmark": "mmlu"}, "benchmark"),
        ({"layer": 1}, "layer"),
        ({"models": ["other/model"]}, "holds"),
    ],
)
def test_an_export_is_not_taken_for_another_study(study, tmp_path, change, message):
    cclib.export_study(study, tmp_path)
    asked = {"models": study.models, "benchmark": study.benchmark, "traces_dir": tmp_path} | change
    with pytest.raises(ValueError, match=message):
        cclib.load_study(**asked)


def test_an_outside_trace_can_be_the_last_stage(study, tiny_pair, own_table, tmp_path):
    answers = pd.DataFrame({"question_id": study.test[0].question_id, "correct": True})
    answers.to_csv(tmp_path / "oracle.csv", index=False)
    extended = cclib.load_study(
        [*tiny_pair, tmp_path / "oracle.csv"], str(own_table), traces_dir=tmp_path / "traces", limit=20
    )
    assert extended.models[-1] == "oracle.csv" and len(extended) == 20
    assert cclib.cascade(extended.test, pt=1, pik=None).accuracy == 1


def test_where_the_probe_has_nothing_to_learn_the_study_says_so(tiny_pair, own_table, tmp_path):
    rows = pd.read_csv(own_table).assign(answer="A", A="always", B="b", C="c", D="d")
    rows["question"] = "the same"  # so every answer is the same, right or wrong
    rows.to_csv(tmp_path / "constant.csv", index=False)
    with pytest.warns(UserWarning, match="398 such rows"):
        study = cclib.load_study(tiny_pair, str(tmp_path / "constant.csv"), traces_dir=tmp_path / "t")
    assert not study.has_pik and study.threshold(0.5) is None
    assert "P(IK) is left out" in study.notes[0] and "nothing to learn" in study.notes[0]


def test_one_model_alone_is_a_study_without_chains(tiny_pair, own_table, tmp_path):
    study = cclib.load_study(tiny_pair[:1], str(own_table), traces_dir=tmp_path, limit=10)
    assert study.chains() == [] and len(study.test[0]) == 10


def test_the_run_card_names_what_ran(study):
    card = cclib.run_card(study)
    assert card.loc["parameters (Eq. 3)", "tiny-small"] == f"{12 * 4 * 32**2:,}"
    assert card.loc["layer of P(IK)", "tiny-large"] == 3
    assert card.loc["weights", "tiny-small"].startswith("sha256:")


def test_a_live_study_gives_its_models_and_records_what_it_went_without(study):
    assert study.live and study.runs(0) and study.runs(-1)
    model = study.model(0)
    assert study.model(0) is model  # loaded once, while it is in use
    part = study.part(1, "validation")  # the last model has no probe, so it was not asked these
    assert study.validation[1] is None
    assert part.question_id.tolist() == study.validation[0].question_id.tolist()
    assert part.hidden_layer == study.test[1].hidden_layer
    assert study.part(0, "validation") is study.validation[0]


def test_a_replayed_study_says_that_its_models_cannot_be_asked(study, tmp_path):
    cclib.export_study(study, tmp_path)
    replay = cclib.load_study(study.models, study.benchmark, traces_dir=tmp_path)
    assert not replay.live and not replay.runs(0) and replay.part(1, "validation") is None
    with pytest.raises(ValueError, match="tiny-small cannot be asked: this study is replayed"):
        replay.model(0)
    assert transfer.or_none(transfer.transfer, replay) is None  # nothing on other questions was exported
    assert transfer.or_none(transfer.open_study, replay) is None


def test_what_is_worked_out_with_a_model_is_kept_beside_its_trace(study):
    made = []

    def make():
        made.append(1)
        return pd.DataFrame({"value": [0.5]})

    first, again = (study.kept(0, "figures", ["seed", 0], make) for _ in range(2))
    study.kept(0, "figures", ["seed", 1], make)
    assert made == [1, 1] and first.equals(again)


def test_only_absent_questions_and_traces_are_done_without():
    def missing_weights():
        raise FileNotFoundError("no model at gone.gguf")

    with pytest.raises(FileNotFoundError, match="gone.gguf"):
        transfer.or_none(missing_weights)


def test_spread_covers_the_whole_and_never_repeats():
    assert spread(range(10), 3) == [0, 4, 9] and spread(range(3), 5) == [0, 1, 2]


def test_the_live_cascade_decides_as_the_traces_say(study, tiny_pair):
    pt = float(np.median(study.test[0].p_t))
    live = cclib.live_cascade(tiny_pair, study.questions, study.probes, pt, 0.25)
    recorded = cclib.cascade(study.test, pt, 0.25)
    assert (live.stage == recorded.stage).mean() > 0.97  # a score on the threshold may fall either way
    assert (live.correct(study.questions) == recorded.correct).mean() > 0.97
    assert (live.seconds > 0).all()


def test_asking_shows_the_walk_and_the_last_stage_answers(tiny_pair):
    choices = ["Spain", "France", "Italy", "Peru"]
    walk = cclib.ask("Which country is Lyon in?", choices, models=tiny_pair, pt=1.0)
    assert walk.model == "tiny-large" and walk.answer in choices
    assert walk.steps[0].decision == "escalate: P(T) too low"
    assert cclib.ask("Which?", choices, models=tiny_pair, pt=0.0).model == "tiny-small"
    assert list(walk.table()["model"]) == ["tiny-small", "tiny-large"]


def test_live_stages_go_smallest_first(tiny_pair):
    with pytest.raises(ValueError, match="smallest first"):
        cclib.ask("Which?", ["a", "b"], models=tiny_pair[::-1])
