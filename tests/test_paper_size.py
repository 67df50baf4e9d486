"""Routing by answers alone: what is learned, what is charged, and that the committed figures are whole."""

import numpy as np
import pandas as pd
import pytest

from cclib import stats
from cclib.display import at_paper_size
from cclib.experiments import answers_only, paper_size
from cclib.experiments.answers_only import PAIR, PROXY, SECOND, Published, agrees, methods, setting
from cclib.experiments.routing.frontier import trade_off_curve
from cclib.logs.published import SIZES
from cclib.questions import Question
from cclib.replay import NotAtHand
from cclib.traces import Trace

N = 2000


@pytest.fixture(scope="module")
def made():
    """Questions of which a hidden state and a word tell whether they are hard; the large model knows more."""
    rng = np.random.default_rng(0)
    hard = rng.random(N) < 0.5
    small = rng.random(N) < np.where(hard, 0.2, 0.9)
    large = rng.random(N) < np.where(hard, 0.7, 0.92)
    questions = [
        Question(str(i), "s", f"word{i % 50} {'knotty' if h else 'plain'}?", ("a", "b", "c"), 0)
        for i, h in enumerate(hard)
    ]
    ids = [q.id for q in questions]

    def answered(right, length):
        said = np.where(right, 0, rng.integers(1, 3, N))
        columns = {"question_id": ids, "correct": right, "prediction": said, "response_characters": length}
        return Trace(pd.DataFrame(columns))

    probs = rng.dirichlet(np.ones(3), N)
    hidden = rng.normal(size=(N, 8)) + 2.0 * hard[:, None]
    columns = {"question_id": ids, "correct": probs.argmax(1) == 0, "p_t": probs.max(1)}
    columns |= {"option_probs": list(probs), "hidden": list(hidden), "prompt_tokens": np.full(N, 50)}
    answers = {PAIR[0]: answered(small, 200), PAIR[1]: answered(large, 200), SECOND: answered(small, 100)}
    part = rng.permutation(np.repeat([0, 0, 1, 2], N // 4))
    return Published(questions, answers, Trace(pd.DataFrame(columns)), part), hard


def test_a_proxys_reading_and_the_words_foresee_what_another_model_knows(made):
    data, hard = made
    judge = data.part == 2
    right = data.right(PAIR[0])
    best = stats.auroc(right[judge], -hard[judge].astype(float))
    for kind in ("words", "reading"):
        assert stats.auroc(right[judge], data.predicted(kind, right)[judge]) == pytest.approx(best, abs=0.05)


def test_nothing_is_learned_from_the_questions_that_judge(made):
    data, _ = made
    right = data.right(PAIR[0])
    turned = np.where(data.part == 0, right, ~right)
    np.testing.assert_array_equal(data.predicted("reading", right), data.predicted("reading", turned))


def test_every_pass_is_charged(made):
    data, _ = made
    cost = {m: SIZES[m] / SIZES[PAIR[1]] for m in (PAIR[0], SECOND, PROXY)}
    judged = setting(data, *PAIR, 2, cost[PAIR[0]])
    found = {m.name: m for m in methods(data, *PAIR, SECOND, cost)}
    s, none = cost[PAIR[0]], np.array([0.0])
    spent = {name: trade_off_curve(m, judged, none).every_pass[0] for name, m in found.items()}
    assert spent["words: is the large one needed"] == pytest.approx(s)
    assert spent["proxy's P(T)"] == pytest.approx(s + cost[PROXY])
    assert spent["agreement"] == pytest.approx(s + cost[SECOND])
    assert spent["agreement and proxy"] == pytest.approx(s + cost[SECOND] + cost[PROXY])
    whole = trade_off_curve(found["agreement"], judged, np.array([1.0]))
    assert whole.every_pass[0] == pytest.approx(1 + s + cost[SECOND])  # both cheap ones ran for nothing
    assert whole.paper[0] == pytest.approx(1)


def test_dollars_are_the_prompts_tokens_and_the_answers_by_their_length(made):
    data, _ = made
    rate = sum(len(q.prompt) for q in data.questions) / (50 * N)
    wanted = (50 * 0.60 + 200 / rate * 1.20) / 1e6
    np.testing.assert_allclose(data.dollars(PAIR[1]), wanted)
    np.testing.assert_allclose(data.dollars(PROXY), 50 * 0.08 / 1e6)  # it writes nothing


def test_models_agree_only_where_both_gave_an_answer(made):
    data, _ = made
    a, b = (Trace(pd.DataFrame({"question_id": ["0", "1", "2"], "correct": False, "prediction": p}))
            for p in ([1, 2, -1], [1, 1, -1]))  # fmt: skip
    few = Published(data.questions[:3], {"a": a, "b": b}, data.reading, data.part)
    assert agrees(few, "a", "b").tolist() == [True, False, False]


def test_thresholds_are_chosen_on_one_part_and_judged_on_another(made):
    data, _ = made
    sized = {m: SIZES[m] / SIZES[PAIR[1]] for m in (PAIR[0], SECOND, PROXY)}
    table = paper_size.tuned(data, methods(data, *PAIR, SECOND, sized))
    strict, loose = (table[table["points that may be lost"] == lose] for lose in (1.0, 5.0))
    assert (loose["sent to the large model"].to_numpy() <= strict["sent to the large model"].to_numpy()).all()
    asked_all = table["sent to the large model"] == 1
    assert (table.loc[asked_all, "saved, paper"] == 0).all()
    assert (table["saved, every pass"] <= table["saved, paper"] + 1e-12).all()


def test_a_better_confidence_may_keep_more(made):
    table = paper_size.needed(made[0])
    assert (table.diff().dropna() >= 0).all(axis=None)
    assert (table.diff(axis=1).dropna(axis=1) >= 0).all(axis=None)


def test_the_committed_figures_are_the_chapters_tables(tmp_path):
    found = paper_size.at_hand(None)
    assert list(found) == list(paper_size.TABLES)
    assert set(found["known"].index) == set(SIZES) - {PROXY}
    pair = found["pairs"].loc[" → ".join(PAIR)]
    both, small, large = (pair[c] for c in ("both right", "accuracy of the small", "accuracy of the large"))
    assert both + pair["only the small"] == pytest.approx(small)
    assert both + pair["only the large"] == pytest.approx(large)
    said = at_paper_size.in_short(found, *PAIR, PROXY)
    assert "comes first: {term}`AIQ` 54.4% (52.9% to 55.7%)" in said and "1 of 8 shown to be above" in said
    assert "that way costs 2.4% more than the large model alone" in said
    with pytest.raises(NotAtHand, match="neither outcomes.parquet"):
        paper_size.at_hand(tmp_path, figures=tmp_path)


@pytest.mark.slow
def test_the_committed_figures_are_those_of_the_published_answers(mmlu_folder):
    data = answers_only.read(mmlu_folder.parent / "mmlu_pro")
    kept = paper_size.at_hand(None)
    pd.testing.assert_frame_equal(paper_size.agreement(data), kept["agreement"], check_like=True)
    made, read = paper_size.promise(data), kept["promise"]
    numbers = made.select_dtypes("number").columns
    pd.testing.assert_frame_equal(made[numbers], read[numbers], rtol=1e-3)
    assert set(made.columns) == set(read.columns)
