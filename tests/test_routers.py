"""Claims about routers, their cost against quality, and tokens handed over (Appendix A)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cclib
from cclib.confidence.generation import generate
from cclib.display import sentences
from cclib.experiments.routing import compare, frontier, ranking, routers, token_handover
from cclib.experiments.routing.frontier import Method, Setting

SMALL = np.array([1, 1, 0, 0], bool)
LARGE = np.array([1, 0, 1, 1], bool)
BY_HAND = Setting(SMALL, LARGE, small_cost=0.1)
RATES = np.linspace(0, 1, 5)  # one question after the other


def clusters(seed=0, n=600):
    """Questions of three kinds: only the large model knows the first, both the second, neither the third."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    x = np.eye(3)[kind] * 3 + rng.normal(size=(n, 3)) * 0.5
    small = rng.random(n) < np.array([0.1, 0.9, 0.1])[kind]
    large = rng.random(n) < np.array([0.9, 0.9, 0.1])[kind]
    return x, small, large, kind


LEARNERS = [
    routers.linear,
    routers.nearest_neighbours,
    routers.quality_gap,
    routers.similarity_weighted,
    routers.matrix_factorisation,
    routers.eagle,
]


@pytest.mark.parametrize("router", LEARNERS, ids=lambda f: f.__name__)
def test_routers_send_what_only_the_large_model_knows(router):
    x, small, large, _ = clusters()
    new, _, _, kind = clusters(seed=1, n=200)
    score = router(x, small, large, new)
    assert score.shape == (200,)
    assert score[kind == 0].mean() > score[kind == 1].mean()
    assert cclib.stats.auroc(kind == 0, score) > 0.95


def test_a_confidence_cannot_tell_hard_from_hopeless_and_a_router_can():
    x, small, large, kind = clusters()
    new, new_small, new_large, new_kind = clusters(seed=1)
    setting = Setting(new_small, new_large, 0.1)
    sure = Method("confidence", "", "", -np.array([0.1, 0.9, 0.1])[new_kind], depth=1.0)
    routed = Method("router", "", "", routers.linear(x, small, large, new))
    areas = [frontier.apgr(frontier.trade_off_curve(m, setting).quality) for m in (sure, routed)]
    assert areas[1] > areas[0] + 0.1


def test_similarity_weights_are_those_of_routellm():
    x, new = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 0.0]])
    small, large = np.array([0, 1, 1]), np.array([1, 0, 1])
    weight = 10 * 10 ** np.array([1, 0, 1 / np.sqrt(2)])
    expected = weight @ [1, 0, 0.5] / weight.sum()
    np.testing.assert_allclose(routers.similarity_weighted(x, small, large, new), expected)


def test_elo_of_two_models_by_hand():
    x, new = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    after_one = 2 * 32 * 0.5  # the large model wins against an equal
    after_two = after_one + 2 * 32 * (1 - 1 / (1 + 10 ** (-after_one / 400)))
    expected = 0.5 * after_one + 0.5 * after_two  # the global game, then the same one as a neighbour
    np.testing.assert_allclose(routers.eagle(x, np.array([0]), np.array([1]), new), expected)


def test_a_profile_is_the_difference_of_accuracies_by_skill():
    skill = np.repeat(["a", "b"], 1000)
    small, large = np.arange(2000) % 10 < 5, np.where(skill == "a", True, np.arange(2000) % 10 < 2)
    got = routers.profile(skill, small, large, np.array(["a", "b", "unheard of"]))
    np.testing.assert_allclose(got, [0.5, -0.3, 0.1], atol=0.01)


def test_words_of_new_questions_are_weighed_by_the_training_part():
    train, new = routers.words(["the city of Rome", "the river Po"], ["the city"])
    assert train.shape == (2, new.shape[1])
    alone = routers.words(["the city of Rome", "the river Po"])[0]
    assert (alone != train).nnz == 0


def test_where_a_model_is_always_right_its_router_is_constant():
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert (routers.probability_right(x, np.ones(20, bool), x) == 1).all()


def test_frontier_of_four_questions_by_hand():
    method = Method("m", "", "", np.array([0.0, -1.0, 2.0, 1.0]), extra=0.05)
    got = frontier.trade_off_curve(method, BY_HAND, RATES)
    np.testing.assert_allclose(got.quality, [0.5, 0.75, 1, 1, 0.75])
    np.testing.assert_allclose(got.paper, [0.1, 0.325, 0.55, 0.775, 1])
    np.testing.assert_allclose(got.every_pass, got.paper + 0.05)


def test_a_cascade_pays_for_the_small_pass_and_a_probe_for_a_part_of_it():
    score = np.arange(4.0)
    whole, part = (
        frontier.trade_off_curve(Method("m", "", "", score, depth=d), BY_HAND, RATES).every_pass
        for d in (1, 0.5)
    )
    np.testing.assert_allclose(whole, RATES + 0.1)
    np.testing.assert_allclose(part, RATES + 0.1 - 0.05 * RATES)


def test_equal_scores_are_the_straight_line_between_the_models():
    got = frontier.trade_off_curve(Method("m", "", "", np.ones(4)), BY_HAND, RATES)
    np.testing.assert_allclose(got.quality, 0.5 + 0.25 * RATES)
    assert frontier.aiq(got, BY_HAND) == pytest.approx(0.625)
    assert frontier.apgr(got.quality, RATES) == pytest.approx(0.5)
    assert frontier.cpt(got.quality, 0.8, RATES) == pytest.approx(0.8)


def test_routellms_measures_by_hand():
    quality = np.array([0.5, 0.6, 0.9, 1.0, 1.0])
    np.testing.assert_allclose(frontier.recovered(quality), [0, 0.2, 0.8, 1, 1])
    assert frontier.apgr(quality, RATES) == pytest.approx((0.1 + 0.5 + 0.9 + 1) / 4)
    assert frontier.cpt(quality, 0.5, RATES) == pytest.approx(0.375)
    assert frontier.cpt(quality, 0.8, RATES) == pytest.approx(0.5)
    assert np.isnan(frontier.cpt(np.array([0.5, 0.5, 0.5, 0.5, 0.5]), 0.5, RATES))


def test_the_hull_is_concave_does_not_fall_and_lies_above_its_points():
    rng = np.random.default_rng(0)
    x, y = rng.random(40), rng.random(40)
    hx, hy = frontier.hull(x, y)
    assert (np.diff(hy) >= 0).all() and (np.diff(hx) > 0).all()
    slopes = np.diff(hy) / np.diff(hx)
    assert (np.diff(slopes) <= 1e-12).all()
    assert (np.interp(x, hx, hy) >= y - 1e-12).all()


def test_aiq_of_one_good_point_by_hand():
    x = np.array([0.1, 0.1, 0.55, 1.0, 1.0])
    front = frontier.Frontier(RATES, np.array([0.5, 0.5, 0.9, 0.8, 0.7]), x, x)
    expected = (0.45 * 0.7 + 0.45 * 0.9) / 0.9  # up to (0.55, 0.9), and no lower after it
    assert frontier.aiq(front, BY_HAND) == pytest.approx(expected, abs=1e-3)


def test_no_method_beats_the_oracle_nor_falls_below_mixing():
    rng = np.random.default_rng(4)
    small, large = rng.random(500) < 0.5, rng.random(500) < 0.7
    setting = Setting(small, large, 0.2)
    best = frontier.aiq(frontier.trade_off_curve(frontier.oracle(setting), setting), setting)
    mixing = (small.mean() + large.mean()) / 2
    for seed in range(10):
        method = Method("m", "", "", np.random.default_rng(seed).random(500))
        got = frontier.aiq(frontier.trade_off_curve(method, setting), setting)
        assert mixing - 1e-9 <= got <= best + 1e-9


def test_bands_hold_the_measured_curve():
    x, small, large, _ = clusters()
    setting = Setting(small, large, 0.1)
    method = Method("m", "", "", routers.linear(x, small, large, x))
    low, high = np.quantile(frontier.bands(method, setting), [0.005, 0.995], axis=0)
    quality = frontier.trade_off_curve(method, setting).quality
    assert ((low <= quality) & (quality <= high)).all()


def test_the_tuned_threshold_is_the_highest_that_keeps_the_target():
    score = np.array([0.9, 0.8, 0.8, 0.1])
    setting = Setting(np.array([0, 0, 0, 1], bool), np.ones(4, bool), 0.1)
    choose = ranking.choose_threshold
    assert choose(score, setting, 1.0) == 0.8
    assert choose(score, setting, 0.5) == 0.9
    assert choose(score, setting, 0.25) == np.inf
    assert choose(-score, setting, 2.0) == -np.inf


def test_a_wrong_score_or_accounting_is_refused():
    with pytest.raises(ValueError, match="expected 4 finite scores"):
        frontier.trade_off_curve(Method("m", "", "", np.array([1.0, np.nan, 0, 0])), BY_HAND)
    with pytest.raises(ValueError, match="unknown accounting"):
        frontier.trade_off_curve(Method("m", "", "", np.ones(4)), BY_HAND).cost("cheap")


def test_the_ranking_names_what_could_not_be_had():
    methods = [Method("there", "", "", np.arange(4.0)), Method("gone", "", "", missing="no texts")]
    table = ranking.ranking(methods, BY_HAND)
    assert table.index.tolist() == ["there", "gone"]
    assert table.loc["gone", "note"] == "not available: no texts"
    assert "1 methods" in sentences.routing(table, None, 0.6, 1.0)


MODELS = ["atlas-s", "atlas-l"]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    study = cclib.load_study(MODELS, "atlas", limit=120, traces_dir=folder, device="cpu")
    return study, compare.compare(study)


def test_every_router_and_cascade_runs_on_atlas(live):
    study, compared = live
    assert all(m.score is not None and m.validation is not None for m in compared.methods)
    sources = {m.source for m in compared.methods}
    assert {"FrugalGPT", "RouteLLM", "Hybrid-LLM", "RouterBench", "Eagle", "Shnitzer et al."} <= sources
    assert compared.test.small_cost == pytest.approx((64 / 192) ** 2)  # both have four layers (Eq. 3)
    table = ranking.tuned(compared.methods, compared.test, compared.validation)
    assert len(table) == len(compared.methods)
    assert (table["reduced compute, every pass"] <= table["reduced compute, paper"] + 1e-9).all()


def test_routers_never_see_the_test_parts_answers(live):
    study, compared = live
    flipped = replace(study, test=[t.with_column("correct", ~t.correct) for t in study.test])
    again = compare.learned(flipped, study.part(-1, "train"))
    before = {m.name: m.score for m in compared.methods}
    for method in again:
        np.testing.assert_array_equal(method.score, before[method.name], err_msg=method.name)


def test_a_replayed_pair_ranks_what_it_can_and_names_the_rest():
    folder = Path(__file__).parents[1] / "book/editions/qwen2.5-coder-mmlu/traces"
    models = ["qwen2.5-coder-0.5b.gguf", "qwen2.5-coder-1.5b.gguf"]
    study = cclib.load_study(models, "mmlu", traces_dir=folder)
    compared = compare.compare(study)
    had = {m.name: m for m in compared.methods if m.score is not None}
    assert not any(m.source == "FrugalGPT" for m in had.values())  # no text is read here
    assert {"P(T)", "P(IK) by probe", "benchmark profile", "scorer of subject, letter and options"} <= set(
        had
    )
    assert all(m.missing for m in compared.methods if m.score is None)
    assert compared.validation.large.mean() == study.validation[1].correct.mean()
    assert len(ranking.tuned(compared.methods, compared.test, compared.validation)) == len(had)
    unknown = replace(study, train=[study.train[0], None], validation=[study.validation[0], None])
    without = compare.compare(unknown)
    assert without.validation is None
    score = {m.name: m for m in without.methods}["benchmark profile"].score
    assert not np.array_equal(score, had["benchmark profile"].score)  # it knew the large model's answers too
    wordless = [m.missing for m in without.methods if m.missing.startswith(compare.NO_TEXTS)]
    assert wordless and all(compare.NO_LARGE in missing for missing in wordless)


@pytest.fixture(scope="module")
def pair():
    return [cclib.load_model(m, device="cpu") for m in MODELS]


@pytest.fixture(scope="module")
def opened():
    return cclib.load_benchmark("atlas-open", limit=30)


def test_checking_no_token_is_the_small_model_and_every_token_the_large_one(pair, opened):
    small, large = pair
    prompts = [small.encode(q.prompt) for q in opened]
    for model, threshold in ((small, 1.0), (large, -1.0)):
        ran = token_handover.hand_over(small, large, prompts, threshold)
        alone = {i: r[0] for index, made in generate(model, prompts) for i, r in zip(index, made.responses)}
        assert ran.responses == [alone[i] for i in range(len(prompts))]
    assert ran.checked.all()


def test_tokens_are_checked_where_the_small_model_is_unsure(pair, opened):
    small, large = pair
    prompts = [small.encode(q.prompt) for q in opened]
    ran = token_handover.hand_over(small, large, prompts, 0.3)
    np.testing.assert_array_equal(ran.checked, ran.uncertainty > 0.3)
    assert 0 < ran.checked.mean() < 1 and not (ran.replaced & ~ran.checked).any()
    never = ran.large_tokens == 0
    assert never.any() and (ran.large_tokens[~never] > min(map(len, prompts))).all()


def test_uncertainty_is_zero_for_a_sure_token_and_high_for_an_even_choice():
    logits = np.array([[100.0, 0, 0, 0], [1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(token_handover.uncertainty(logits), [0, 0.75], atol=1e-9)


def test_models_of_different_vocabularies_cannot_hand_over(pair, tiny_pair):
    other = cclib.load_model(tiny_pair[0], device="cpu")
    with pytest.raises(ValueError, match="different tokenizers"):
        token_handover.hand_over(pair[0], other, [[1, 2]], 0.5)
