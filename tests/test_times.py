"""The Time columns on a card: how many questions reach a stage, and what that takes."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cclib import paper
from cclib.display import sentences
from cclib.paper import times

SPEED = Path(__file__).parents[1] / "speed"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SPEED))
    yield
    for name in ("gpu", "mmlu_lengths"):
        sys.modules.pop(name, None)


def test_questions_that_reach_a_stage_by_hand():
    # Table 8: 3B keeps 487 of 1,430, then 8B 198
    assert times.reached(1)["3B → 8B → 70B"] == [1430, 943, 745]
    # Table 3 saves 33.18 %: 8B keeps 0.3318 / (1 - 8 / 32) = 44.24 % of the questions
    assert times.reached(3) == {"4B → 8B": [1430, 921], "4B → 32B": [1430, 569], "8B → 32B": [1430, 797]}
    assert times.counts("Llama 8B") == {1430, 943} and times.counts("Qwen3 32B") == {569, 797}


def test_a_cascades_time_is_that_of_every_pass_it_made_by_hand():
    seconds = {"Llama 3B": 2.0, "Llama 8B": 4.0, "Llama 70B": 40.0}
    shapes = {n: {"seconds": s, times.SECONDS: {"1430": s}} for n, s in seconds.items()}
    shapes["Llama 70B"][times.SECONDS]["745"] = 30.0  # measured, and not in proportion
    table = times.beside(1, {"questions": 1430, "shapes": shapes})
    assert table.loc["3B → 8B", "time, true shapes"] == pytest.approx((2 + 4 * 943 / 1430) / 4 - 1)
    assert table.loc["3B → 8B → 70B", "time, true shapes"] == pytest.approx(
        (2 + 4 * 943 / 1430 + 30) / 40 - 1
    )
    assert table["time, paper"].tolist()[:3] == pytest.approx([-0.189, -0.2651, -0.3303])
    assert times.beside(3, {"questions": 1430, "shapes": shapes})["time, true shapes"].isna().all()


def test_what_was_measured_covers_the_chains_and_is_told_with_its_making():
    for card in times.measured().values():
        shown = pd.concat({n: times.beside(n, card) for n in (1, 3)})
        found = shown["time, true shapes"]
        assert found.notna().sum() == 7 and np.isnan(found[3, "4B → 8B → 32B"])
        text = sentences.card_times(card, shown, paper.HARDWARE)
        assert card["card"] in text and card["measured by"].split(",")[0] in text


def test_prompts_made_from_lengths_pack_as_those_they_were_taken_from(scripts):
    from mmlu_lengths import FILE, prompts, structure

    rows = pd.read_csv(FILE)
    assert len(rows) == paper.TEST_QUESTIONS["mmlu"]
    made = prompts(rows, 4096)
    assert structure(made).equals(rows) and made == sorted(made)
    assert structure([[5, 6], [5], [5, 6, 7], [9]]).to_numpy().tolist() == [[1, 0], [2, 1], [3, 2], [1, 0]]


def test_the_script_runs_to_its_end_and_leaves_what_chapters_and_plans_read(scripts, tmp_path, capsys):
    import gpu

    gpu.main(trial=True, shapes="Llama 3B,Llama 8B", into=tmp_path, figures=tmp_path)
    (file,) = tmp_path.glob("*.json")
    found = json.loads(file.read_text())
    assert set(found["shapes"]) == {"Llama 3B", "Llama 8B"} and found["questions"] == 40
    assert times.beside(1, found).loc["3B → 8B", "time, true shapes"] > -1
    assert found["shapes"]["Llama 8B"][times.SECONDS].keys() == {"40", "26"}
    (page,) = tmp_path.glob("*.md")
    assert page.read_text() == capsys.readouterr().out.rstrip("\n") + "\n"
