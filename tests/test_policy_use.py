"""A chosen policy put to use: its files, the live run that decides as the traces say, the command line."""

import numpy as np
import pytest

import cclib
from cclib.policies import charges
from cclib.policies.evidence import gather
from cclib.policies.families import FAMILIES, Maker

LIMIT = 60  # test questions


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The Atlas models on a few questions of each part."""
    store = tmp_path_factory.mktemp("atlas")
    return cclib.load_study("atlas", "atlas", limit=LIMIT, traces_dir=store, device="cpu")


@pytest.fixture(scope="session")
def made(study):
    """Candidates of every family by (family, chain, scores), from the middle of each group."""
    making, _, probes, _ = gather(study)
    groups = list(Maker(study.models, making, probes, 0.3).groups())
    assert {g.family for g in groups} == {*FAMILIES}
    return {(g.family, g.members, g.scores): g.policies[len(g.policies) // 2] for g in groups}


def same(one, other):
    """Whether two runs did the same with every question, and were charged the same."""
    alike = [np.array_equal(getattr(one, k), getattr(other, k)) for k in ("stage", "asked", "abstained")]
    spent = [charges.charges(r.stages).of(r, range(len(r.stages))) for r in (one, other)]
    return all(alike) and np.array_equal(*spent)


def test_a_policy_of_any_family_is_the_same_after_it_was_saved_and_read(study, made, tmp_path):
    for i, policy in enumerate(made.values()):
        path = tmp_path / f"{i}.json"
        policy.with_about(benchmark="atlas").save(path)
        again = cclib.Policy.load(path)
        assert (again.family, again.models, again.about) == (
            policy.family,
            policy.models,
            {"benchmark": "atlas"},
        )
        assert same(policy.of(study), again.of(study))
        learned = any(c.score.weights for s in policy.stages for _, _, c in s.conditions())
        assert path.with_suffix(".safetensors").exists() == (learned or any(s.probe for s in policy.stages))
