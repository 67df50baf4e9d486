"""Answers that others published: tables of several models, and MMLU-Pro's zip files."""

import json
import zipfile

import pandas as pd
import pytest

import cclib
from cclib.logs import published
from cclib.names import runs_here, slug
from cclib.traces import read_trace

ANSWERS = pd.DataFrame(
    {
        "question_id": [70, 71, 70, 71],
        "model": ["small", "small", "large", "large"],
        "prediction": ["A", None, "A", "J"],
        "correct": [True, False, True, True],
    }
)


@pytest.fixture(params=["csv", "parquet"])
def answers(request, tmp_path):
    path = tmp_path / f"outcomes.{request.param}"
    ANSWERS.to_csv(path, index=False) if request.param == "csv" else ANSWERS.to_parquet(path)
    return path


def test_a_model_is_named_among_several_of_one_file(answers):
    name = f"{answers}#small"
    trace = read_trace(name)
    assert (trace.model, slug(name), runs_here(name)) == ("small", "small", False)
    assert trace.question_id.tolist() == ["70", "71"] and trace.correct.tolist() == [True, False]
    assert trace.column("prediction").tolist() == [0, -1]  # none was found in what it wrote


@pytest.mark.parametrize("named", ["", "#other"])
def test_a_file_of_several_models_says_whose_answers_it_holds(answers, named):
    with pytest.raises(ValueError, match="holds the answers of large, small; name one of them, as outcomes"):
        read_trace(f"{answers}{named}")


def test_published_answers_are_stages_of_a_study_on_mmlu_pro(tmp_path, answers):
    rows = {"question_id": [70, 71], "category": ["law", "law"], "question": ["?", "!"]}
    table = pd.DataFrame(rows | {"options": [["a", "b", "c"]] * 2, "answer_index": [0, 2]})
    table.to_parquet(tmp_path / "questions.parquet")
    study = cclib.load_study([f"{answers}#small", f"{answers}#large"], "mmlu-pro", tmp_path)
    assert study.models == ["small", "large"] and len(study) == 1
    assert study.chains() == []  # nothing says how sure the small one was


def zipped(path, *files):
    with zipfile.ZipFile(path, "w") as packed:
        for i, content in enumerate(files):
            packed.writestr(
                f"eval_results/{i}.json", content if isinstance(content, str) else json.dumps(content)
            )
    return path


def test_the_authors_zip_files_are_read_as_users_get_them(tmp_path):
    row = {"question_id": 70, "category": "computer science", "options": ["a", "b"], "answer": "B"}
    path = zipped(
        tmp_path / "model_outputs_Meta-Llama-3.1-8B-Instruct_5shots.zip",
        [row | {"pred": "B", "generated_text": "The answer is (B)"}],
        [row | {"question_id": 71, "pred": None, "model_outputs": "?"}],
        {"accuracy": 0.5},
    )
    trace = read_trace(path)
    assert trace.model == "Meta-Llama-3.1-8B-Instruct" and not runs_here(path)
    assert trace.question_id.tolist() == ["70", "71"] and trace.correct.tolist() == [True, False]
    assert trace.column("response_characters").tolist() == [17, 1]
    assert trace.column("subject")[0] == "computer_science"


@pytest.mark.parametrize("content", ["[{", [{"question_id": 1}], {"accuracy": 1}])
def test_another_zip_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="expected"):
        read_trace(zipped(tmp_path / "x.zip", content))
    (tmp_path / "y.zip").write_text("no zip")
    with pytest.raises(ValueError, match="expected a zip"):
        read_trace(tmp_path / "y.zip")


def test_eleven_models_answered_all_of_mmlu_pro(mmlu_folder):
    folder = mmlu_folder.parent / "mmlu_pro"
    small = read_trace(f"{folder / 'outcomes.parquet'}#llama-3.1-8b-instruct")
    assert len(small) == 12_032 and round(small.correct.mean(), 3) == 0.442


def test_a_router_on_words_needs_answers_alone(tmp_path):
    from cclib.experiments.routing.compare import compare

    rows = {"question_id": range(60), "category": ["law"] * 60, "answer_index": [0] * 60}
    table = pd.DataFrame(
        rows | {"question": [f"word{i % 7}?" for i in range(60)], "options": [["a", "b"]] * 60}
    )
    table.to_parquet(tmp_path / "questions.parquet")
    names = ("llama-2-7b", "llama-2-70b")
    answers = [
        pd.DataFrame({"question_id": range(60), "model": m, "correct": [i % k > 0 for i in range(60)]})
        for m, k in zip(names, (2, 5))
    ]
    pd.concat(answers).to_csv(tmp_path / "outcomes.csv", index=False)
    study = cclib.load_study([f"{tmp_path}/outcomes.csv#{m}" for m in names], "mmlu-pro", tmp_path)
    found = {m.name: m for m in compare(study).methods}
    assert found["P(T)"].score is None and "p_t" in found["P(T)"].missing
    assert found["linear, words"].score.shape == (6,) and found["linear, words"].depth == 0
    assert compare(study).test.small_cost == pytest.approx(6.74 / 68.98)


def test_models_sizes_follow_from_their_shapes_and_are_the_weights_that_the_hub_counts():
    counted = {
        "qwen2.5-coder-1.5b": 1_543_714_304,
        "phi-3-mini": 3_821_079_552,
        "yi-6b": 6_061_035_520,
        "llama-2-7b": 6_738_415_616,
        "qwen1.5-7b-chat": 7_721_324_544,
        "llama-3.1-8b-instruct": 8_030_261_248,
        "llama-2-13b": 13_015_864_320,
        "yi-34b": 34_388_917_248,
        "llama-2-70b": 68_976_648_192,
        "llama-3.1-70b-instruct": 70_553_706_496,
    }
    found = published.parameters(published.SHAPES)
    assert {name: int(found[name]) for name in counted} == counted
    assert published.SIZES["llama-3.1-8b-instruct"] == 8.03
