"""What rounding decides: the same model in bfloat16 and float32."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import cclib
from cclib.display import in_short
from cclib.experiments import precision
from cclib.experiments.estimators.estimate import margin


def a_trace(options, answer):
    options = np.asarray(options)
    said = options.argmax(axis=1)
    columns = {"prediction": said, "p_t": options.max(axis=1), "option_probs": list(options)}
    table = {"question_id": [str(i) for i in range(len(said))], "correct": said == answer}
    return cclib.Trace(pd.DataFrame(table | columns))


def test_what_two_recordings_differ_in_is_counted_by_hand():
    exact = a_trace([[0.95, 0.05], [0.5, 0.45], [0.4, 0.6], [0.91, 0.09]], [0, 0, 1, 0])
    rounded = a_trace([[0.95, 0.05], [0.45, 0.5], [0.5, 0.5], [0.89, 0.11]], [0, 0, 1, 0])
    row = precision.apart(rounded, exact, 0.9)
    assert (
        row["share of answers changed"] == 0.5
    )  # the second, and the third, whose tie the lower letter wins
    assert row["P(T) moved, mean"] == pytest.approx((0 + 0 + 0.1 + 0.02) / 4)
    assert row["P(T) moved, largest"] == pytest.approx(0.1)
    assert row["share across the threshold"] == row["share tied"] == 0.25
    assert row["accuracy (points)"] == pytest.approx(-50)


@pytest.fixture(scope="module")
def rounded_model():
    return cclib.load_model("atlas-s", device="cpu", dtype="bfloat16")


def test_in_bfloat16_no_two_likeliest_options_tie_unless_the_product_is_rounded_too(rounded_model):
    questions = cclib.load_benchmark("atlas", limit=400)
    as_recorded = np.array(precision._options(rounded_model, questions))
    with precision.product_in_bfloat16(rounded_model.network):
        product = np.array(precision._options(rounded_model, questions))
    assert (margin(as_recorded) > 0).all()
    assert (margin(product) == 0).mean() > 0.01
    np.testing.assert_array_equal(as_recorded, precision._options(rounded_model, questions))  # undone


def test_the_rounded_product_is_the_networks_own_in_bfloat16(rounded_model):
    questions = cclib.load_benchmark("atlas", limit=40)
    with precision.product_in_bfloat16(rounded_model.network):
        product = precision._options(rounded_model, questions)
    letters = rounded_model.option_tokens(questions[0].prompt, 4)
    for question, probs in zip(questions, product):
        with torch.inference_mode():
            tokens = torch.tensor([rounded_model.encode(question.prompt)])
            logits = rounded_model.network(tokens).logits[0, -1]
        assert logits.dtype == torch.bfloat16
        own = logits.float().log_softmax(-1)[letters].exp().numpy()
        np.testing.assert_allclose(np.log(probs), np.log(own), atol=0.2)  # a bit or two of logits near ten


def test_a_live_study_is_read_once_and_an_export_replays_its_figures_at_their_threshold(tmp_path):
    from cclib import replay

    study = cclib.load_study(["atlas-s"], limit=30, traces_dir=tmp_path / "t", device="cpu")
    table, where = precision.by_precision(study, 0.9)
    assert table.index.tolist() == [("atlas-s", precision.ARITHMETIC), ("atlas-s", precision.PRODUCT)]
    assert (table["questions"] == 30).all() and "cpu" in where["atlas-s"]
    away = replace(study, source=replace(study.source, device="no such device", loaded={}))
    pd.testing.assert_frame_equal(precision.by_precision(away, 0.9)[0], table)  # kept: no model is loaded

    folder = cclib.export_study(study, tmp_path / "export")
    empty, _ = precision.by_precision(cclib.load_study(["atlas-s"], traces_dir=folder), 0.9)
    assert empty.empty and "No model" in in_short.rounding(empty, {}, 0.9)
    path = folder / "atlas-s" / precision.FILE
    replay.write_figures(table.loc["atlas-s"], path, '{"pt": 0.9, "device": "a machine"}')
    replayed = cclib.load_study(["atlas-s"], traces_dir=folder)
    again, where = precision.by_precision(replayed, 0.9)
    np.testing.assert_allclose(again["P(T) moved, mean"], table["P(T) moved, mean"])
    assert again.index.tolist() == table.index.tolist() and "a machine" in in_short.rounding(
        again, where, 0.9
    )
    assert precision.by_precision(replayed, 0.8)[0].empty  # other figures, so none
