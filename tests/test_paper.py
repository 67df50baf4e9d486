"""The published numbers: every table loads, and rows read by hand stand where they should."""

import numpy as np
import pytest

from cclib import cost, paper

SIZES = {1: 7, 2: 7, 3: 7, 4: 4, 5: 4, 6: 5, 7: 3, 8: 4, 9: 7, 10: 6, 11: 7, 12: 4, 13: 11, 14: 2, 15: 8}


@pytest.mark.parametrize("n", paper.titles)
def test_every_table_loads_with_all_its_rows(n):
    frame = paper.table(n)
    assert len(frame) == SIZES[n]
    assert frame.drop_duplicates().shape == frame.shape
    label = frame.columns[0]
    assert frame[label].map(bool).all() and not frame.isna().all(axis=1).any()


def test_there_is_no_table_16():
    with pytest.raises(ValueError, match="Tables 1 to 15"):
        paper.table(16)


# (table, row, column, value), read by hand from the paper's pages
READ = [
    (1, 3, "reduced_compute_percent", 20.34),
    (1, 5, "time_percent", -33.03),
    (2, 2, "f1", 0.8357),
    (3, 5, "pd_percent", 0.62),
    (4, 3, "tokens", 14505),
    (5, 3, "pd_percent", -4.27),
    (6, 4, "accuracy_percent", 51.56),
    (8, 3, "8B", 198),
    (9, 2, "chi_squared", 19.22),
    (9, 1, "p_value", 0.4048),
    (10, 5, "delta", 0.1841),
    (11, 5, "hallucination_rate", 0.3422),
    (12, 3, "output_usd_per_million", 10),
    (13, 10, "cost_usd", 0.357),
    (14, 1, "auroc_percent", 81.78),
    (15, 7, "reduced_compute_percent", 74.24),
]


@pytest.mark.parametrize("n, row, column, value", READ)
def test_numbers_read_by_hand(n, row, column, value):
    assert paper.table(n)[column][row] == value


def test_dashes_are_nan_and_digits_are_kept():
    assert np.isnan(paper.table(1)["pd_percent"][2])
    assert paper.printed(3)["accuracy_percent"][5] == "80.00"
    assert paper.decimals("80.00") == 2 and paper.decimals("487") == 0


def test_every_question_is_answered_once():
    assert (paper.table(8)[["3B", "8B", "70B"]].sum(axis=1) == paper.TEST_QUESTIONS["mmlu"]).all()


def test_parameters_follow_from_the_public_configurations():
    # layers, width, width of queries, of keys and values, feed-forward, vocabulary, tied, query/key norms
    shapes = {
        "3B": (28, 3072, 3072, 1024, 8192, 128_256, True, 0),
        "70B": (80, 8192, 8192, 1024, 28_672, 128_256, False, 0),
        "4B": (36, 2560, 4096, 1024, 9728, 151_936, True, 128),
        "32B": (64, 5120, 8192, 1024, 25_600, 151_936, False, 128),
    }
    for label, (layers, d, queries, keys, feed, words, tied, norm) in shapes.items():
        model = paper.model(label, "qwen3" if norm else "llama-3")
        layer = 2 * d * queries + 2 * d * keys + 3 * d * feed + 2 * d + 2 * norm
        assert model.parameters == layers * layer + d + (1 if tied else 2) * words * d
        assert (model.n_layers, model.d_model) == (layers, d)


def test_the_price_table_is_table_12():
    prices = cost.read_prices()
    published = paper.table(12)
    columns = ["input_usd_per_million", "output_usd_per_million"]
    assert prices[columns].to_numpy().tolist() == published[columns].to_numpy().tolist()


def test_labels_are_found_within_their_family():
    assert paper.model("8B", "qwen3").hub_id == "Qwen/Qwen3-8B"
    assert paper.model("GPT-4o").parameters is None
    with pytest.raises(KeyError, match="known there: 3B, 8B, 70B"):
        paper.model("7B")
