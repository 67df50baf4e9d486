"""How far P(IK) carries, and that an export replays it, on a real small model."""

import dataclasses

import numpy as np
import pytest

import cclib
from cclib import stats
from cclib.book.export import publish, with_p_ik_by_train
from cclib.confidence.p_ik import PIK
from cclib.experiments import probe_scans, results, transfer
from cclib.policies import evidence
from cclib.questions import spread

LIMIT, ELSEWHERE = 120, 90


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def study(store):
    return cclib.load_study(["atlas-s", "atlas-m"], "atlas", limit=LIMIT, traces_dir=store, probe_last=True)


@pytest.fixture(scope="module")
def other(study, store):
    return transfer.transfer(study, limit=ELSEWHERE)


@pytest.fixture(scope="module")
def exported(study, other, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edition") / "traces"
    given = {"limit": LIMIT, "traces_dir": store, "elsewhere": ELSEWHERE}
    return publish(["atlas-s", "atlas-m"], folder, "atlas", **given)


def test_a_probe_carried_elsewhere_is_the_one_fitted_at_home(study, other):
    assert len(other) == ELSEWHERE
    assert other.benchmark != study.benchmark
    for probe, trace in zip(study.probes, other.test):
        assert np.array_equal(trace.p_ik, probe.probability(trace.hidden))


def test_a_probe_fitted_elsewhere_has_seen_no_question_of_this_study(study, other):
    back = transfer.from_elsewhere(study, other)
    away = other.test[0]
    check = set(spread(away.question_id, ELSEWHERE // 5))
    assert not set(away.question_id) & set(study.test[0].question_id)
    learn = away.select(q for q in away.question_id if q not in check)
    probe = PIK.fit(learn, away.select(q for q in away.question_id if q in check), seed=study.seed)
    assert np.array_equal(back.test[0].p_ik, probe.probability(study.test[0].hidden))
    assert not np.array_equal(back.test[0].p_ik, study.test[0].p_ik)


def test_without_hidden_states_elsewhere_nothing_is_said_about_the_reverse(study, other):
    blind = dataclasses.replace(other, test=[t.without("hidden") for t in other.test])
    assert all(t.p_ik is None for t in transfer.from_elsewhere(study, blind).test)


def test_the_largest_size_is_all_that_is_on_record_and_gives_the_studys_own_probe(study):
    sizes = probe_scans.by_size(study)
    assert set(sizes) == {"atlas-s", "atlas-m"}
    for i, table in enumerate(sizes.values()):
        assert list(table.index) == [125, 250, 4 * LIMIT]
        own = stats.auroc(study.test[i].correct, study.test[i].p_ik)
        assert table["AUROC"].iloc[-1] == pytest.approx(own)
        assert (table["low"] <= table["AUROC"]).all() and (table["AUROC"] <= table["high"]).all()


def test_an_export_replays_every_probe_without_a_model(study, other, exported):
    names = ["atlas-s", "atlas-m"]
    replayed = cclib.load_study(names, "atlas", traces_dir=exported)
    away = transfer.transfer(replayed)
    assert away.benchmark == other.benchmark
    pairs = [(study, replayed), (other, away)]
    pairs.append((transfer.from_elsewhere(study, other), transfer.from_elsewhere(replayed, away)))
    pairs += zip(probe_scans.reseeded(study), probe_scans.reseeded(replayed))
    assert len(pairs) == 3 + probe_scans.SEEDS
    for made, read in pairs:
        for ours, theirs in zip(made.test, read.test):
            assert ours.question_id.tolist() == theirs.question_id.tolist()
            assert np.allclose(ours.p_ik, theirs.p_ik)
    sizes = probe_scans.by_size(replayed)
    assert [list(t.index) for t in sizes.values()] == [[125, 250, 4 * LIMIT]] * 2
    layers = probe_scans.by_layer(replayed)
    assert [len(t) for t in layers.values()] == [t.n_layers for t in study.test]
    opened = transfer.open_study(replayed)
    assert len(opened) == ELSEWHERE and opened.questions is None
    assert [q.id for q in opened.texts()] == opened.test[0].question_id.tolist()  # Atlas is at hand


def test_an_export_holds_what_is_in_no_part_and_neither_texts_nor_hidden_states(study, tmp_path):
    spare = [q for q in cclib.load_benchmark("atlas") if q.id not in set(study.test[0].question_id)]
    known = set(study.train[0].question_id) | set(study.validation[0].question_id)
    spare = [q for q in spare if q.id not in known][:30]
    whole = cclib.collect("atlas-s", [*study.questions, *spare], store=tmp_path, progress=False)
    folder = cclib.export_study(study, tmp_path / "export", [whole])
    on_disk = cclib.read_trace(folder / "atlas-s")
    assert set(on_disk.question_id[on_disk.column("part") == "rest"]) == {q.id for q in spare}
    assert not {"hidden", "response", "prompt"} & {
        c for c in on_disk.table.column_names if on_disk.table[c].null_count < len(on_disk)
    }
    found = results.on_record(cclib.load_study(study.models, "atlas", traces_dir=folder))
    assert found.loc["atlas-s, all on record", "questions"] == len(study) * 6 + 30
    assert found.loc["atlas-m, all on record", "questions"] == len(study) * 6


def test_an_export_lets_policies_read_p_ik_as_the_recording_did(study, exported):
    replayed = cclib.load_study(["atlas-s", "atlas-m"], "atlas", limit=LIMIT, traces_dir=exported)
    (made, proof, _, notes), (made_here, proof_here, *_) = evidence.gather(replayed), evidence.gather(study)
    assert not notes
    for here, away in ((made_here, made), (proof_here, proof)):
        assert np.array_equal(here.readings[0].p_ik, away.readings[0].p_ik)
    assert replayed.test[0].column(evidence.BY_TRAIN) is not None


def test_an_export_leaves_p_ik_out_where_the_training_questions_are_too_few(study):
    few = [trace.select(trace.question_id[:3]) for trace in study.train]
    read = with_p_ik_by_train(dataclasses.replace(study, train=few))
    assert all(trace.column(evidence.BY_TRAIN) is None for trace in read.test)
