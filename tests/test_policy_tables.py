"""A practitioner's tables: own questions, a record of a large model, the commands of the page, odd files."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_api_errors import answer, endpoint
from test_policies import a_study
from typer.testing import CliRunner

import cclib
from cclib import __main__ as command_line
from cclib.display.in_words import in_words
from cclib.policies import evidence
from cclib.policies.charges import charges
from cclib.policies.findings import mixing
from cclib.policies.proof import fewest_questions
from cclib.prompts import LETTERS
from cclib.study import TRAIN_QUESTIONS

PAGE = (Path(__file__).parents[1] / "book" / "rerun.md").read_text()
SECTION = PAGE[PAGE.index("(sec-policy-use)=") :]
SECTION = SECTION[: SECTION.index("\n## ", SECTION.index("\n## ") + 1)]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", SECTION, flags=re.S)
HEADERS = [text.split("\n")[0].split(",") for kind, text in BLOCKS if kind == "text"]
STAND_INS = {"Qwen/Qwen3-0.6B": "atlas-s", "qwen3-0.6b": "atlas-s", "openai:gpt-4o": "openai:small"}
ROWS = 300


def stood_in(text: str) -> str:
    for name, other in STAND_INS.items():
        text = text.replace(name, other)
    return text


def invoke(*given) -> str:
    done = CliRunner().invoke(command_line.app, [*map(str, given)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def told(monkeypatch, *given) -> str:
    """What the command line says before it ends with an error."""
    monkeypatch.setattr(sys, "argv", ["cclib", *map(str, given)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return str(ended.value.code)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The page's three tables and new.csv, in the columns that it shows."""
    folder, rng = tmp_path_factory.mktemp("desk"), np.random.default_rng(0)
    questions = cclib.load_benchmark("atlas", limit=ROWS + 6)
    rows = [[q.text, *q.choices, LETTERS[q.answer]] for q in questions]
    pd.DataFrame(rows[:ROWS], columns=HEADERS[0]).to_csv(folder / "questions.csv", index=False)
    pd.DataFrame(rows[ROWS:], columns=HEADERS[0]).drop(columns="answer").to_csv(
        folder / "new.csv", index=False
    )
    large = [[i, rng.random() < 0.9, 112, 1] for i in range(ROWS)]
    pd.DataFrame(large, columns=HEADERS[1]).to_csv(folder / "gpt4.csv", index=False)
    prices = next(text for kind, text in BLOCKS if kind == "text" and text.startswith("model,"))
    (folder / "prices.csv").write_text(stood_in(prices))
    return folder


@pytest.fixture
def at_the_desk(desk, monkeypatch):
    monkeypatch.chdir(desk)
    return desk


CHOOSE = ["policy", "choose", "atlas-s", "gpt4.csv", "--benchmark", "questions.csv"]
PRICED = [*CHOOSE, "--unit", "USD", "--prices", "prices.csv"]


@pytest.mark.parametrize("more", [[], ["--proving", "0.5", "--max-drop", "0.06"]])
def test_every_command_of_the_page_runs(more, at_the_desk, monkeypatch):
    commands = next(text for kind, text in BLOCKS if kind == "bash").replace("\\\n", " ").strip().split("\n")
    assert [shlex.split(c)[4] for c in commands] == ["choose", "show", "apply"]
    with endpoint(lambda *_: answer()) as (api, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", api.base_url)
        output = []
        for command in commands:
            words = shlex.split(stood_in(command))
            assert words[:3] == ["python", "-m", "cclib"]
            output.append(invoke(*words[3:], *(more if words[4] == "choose" else [])))
        chosen, shown, applied = output
        policy, answers = cclib.Policy.load("policy.json"), pd.read_csv("answers.csv")
        assert policy.about["proven"] == bool(more) and shown.strip() in chosen
        assert "openai:small was asked in place of gpt4.csv" in applied
        assert len(asked) == (answers["stage"] == "openai-small").sum() > 0 and len(answers) == 6
        assert more or len(asked) == 6  # nothing is proven: GPT-4 alone


def test_the_page_says_how_many_rows_would_do():
    needed = fewest_questions(0.01, 0.05)
    for number in (needed, 10 * needed, int(np.ceil(needed / 0.45)), TRAIN_QUESTIONS):
        assert f"{number:,}" in SECTION


def test_a_choice_says_how_the_models_do_alone_and_what_mixing_does(at_the_desk):
    said = invoke(*PRICED, "--max-drop", 0.06, "--proving", 0.5, "--out", "told.json")
    policy = cclib.Policy.load("told.json")
    about = policy.about
    assert about["proven"] and about["questions"] == round(0.5 * (ROWS - ROWS // 10))
    assert said.startswith(in_words(policy))
    assert re.search(r"atlas-s alone: \d+\.\d% right \(.* to .*\), at 0\.0% of the cost of gpt4\.csv\.", said)
    assert re.search(r"gpt4\.csv alone: \d+\.\d% right \(", said)
    assert "drawing lots between atlas-s and gpt4.csv at the same cost loses" in said
    assert about["intervals"]["saved"][0] <= about["saved"] <= about["intervals"]["saved"][1]
    gap = about["models"]["gpt4.csv"]["right"] - about["models"]["atlas-s"]["right"]
    assert about["mixing"]["drop"] == pytest.approx(gap * about["saved"])  # atlas-s costs nothing
    assert about["families"][policy.family] == pytest.approx(about["saved"])


def test_where_nothing_is_proven_the_most_promising_is_shown_and_how_many_rows_would_do(at_the_desk):
    said = invoke(*PRICED, "--out", "nothing.json")
    about, needed = cclib.Policy.load("nothing.json").about, fewest_questions(0.01, 0.05)
    assert not about["proven"] and about["questions"] == 30
    assert (
        f"30 questions are too few: {needed} would do ({10 * needed:,} rows of a table, of which 10%" in said
    )
    assert f"NOT PROVEN: {about['promising']['family']}, {about['promising']['chain']}" in said
    assert "No family that had been picked beforehand" in said and min(map(int, about["more"])) >= needed
    assert {*about["promising"]} == {"family", "chain", "saved", "drop", "intervals", "mixing"}


def test_mixing_is_the_best_pair_at_the_cost_by_hand():
    study = a_study("subjects", stages=3)
    on = evidence.Evidence(study.test, [])
    right = on.right.mean(axis=1)
    found = replace(charges(study.test), passes=np.array([[1.0], [4.0], [10.0]]) * np.ones(50))
    half = mixing(study.models, 0.55, on, found)
    pairs = {
        (0, 1): right[1],
        (0, 2): (right[0] + right[2]) / 2,
        (1, 2): right[1] + (right[2] - right[1]) / 4,
    }
    assert half["drop"] == pytest.approx(right[2] - max(pairs.values()))
    assert mixing(study.models, 0.05, on, found) is None  # nothing costs so little


def test_a_share_that_proves_takes_no_part_in_making():
    study = a_study("subjects", train=600, validation=100)
    making, proving, *_ = evidence.gather(study, 0.5)
    ids = [set(e.stages[0].question_id) for e in (making, proving)]
    assert not ids[0] & ids[1] and [*map(len, ids)] == [350, 350]
    assert ids[0] | ids[1] == {*study.train[0].question_id, *study.validation[0].question_id}
    flipped = {}
    for part in ("train", "validation"):
        flipped[part] = [
            t.with_column("correct", t.correct ^ np.isin(t.question_id, [*ids[1]]))
            for t in getattr(study, part)
        ]
    again = evidence.gather(replace(study, **flipped), 0.5)
    assert (again[0].right == making.right).all() and (again[1].right != proving.right).all()
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="proving is a share"):
            cclib.choose_policy(study, proving=share)
    own = [
        [t.with_column(evidence.BY_TRAIN, t.p_t) for t in part] for part in (study.train, study.validation)
    ]
    choice = cclib.choose_policy(replace(study, train=own[0], validation=own[1]), 0.03, proving=0.5)
    assert any(
        "P(IK) is left out" in note for note in choice.notes
    )  # another division's probe has seen these


def test_rows_of_a_table_are_counted_by_the_splits_rule(at_the_desk):
    study = cclib.load_study(["atlas-s", "gpt4.csv"], "questions.csv")
    making, _, _, _ = evidence.gather(study)
    counted = {share: evidence.rows_for(400, study, making, share) for share in (None, 0.5, 0.05)}
    assert counted == {None: 4000, 0.5: 889, 0.05: 40_000}  # the last of 4,000 and 4,000 questions
    unknown = replace(study.source, parts=study.source.parts | {"train": []})
    few, proving, *_ = evidence.gather(replace(study, train=[None, None], source=unknown), 0.3)
    assert (len(few), len(proving)) == (21, 9)
    assert evidence.rows_for(9, study, few, 0.3) == ROWS


def test_a_live_last_model_is_asked_every_row_once(at_the_desk, monkeypatch, tmp_path):
    with endpoint(lambda *_: answer()) as (api, asked):
        monkeypatch.setenv("OPENAI_BASE_URL", api.base_url)
        given = ["policy", "choose", "atlas-s", "openai:small", "--benchmark", "questions.csv", "--out"]
        given += [tmp_path / "live.json", "--traces-dir", tmp_path, "--unit", "seconds", "--max-cost", 0.9]
        given += ["--limit", 20]
        invoke(*given)
        assert len(asked) == 20 + 20 + 80  # test, validation, training
        invoke(*given)
        assert len(asked) == 120
        policy = cclib.Policy.load(tmp_path / "live.json")
        assert policy.about["reference"] == "openai-small" and policy.about["questions"] == 20


def test_records_may_number_the_rows_and_nothing_is_guessed(at_the_desk, monkeypatch, tmp_path):
    record = pd.read_csv("gpt4.csv")
    study = cclib.load_study(["atlas-s", "gpt4.csv"], "questions.csv")
    by_name = record.assign(question_id=[f"questions/{i}" for i in range(ROWS)])
    by_name.to_csv("named.csv", index=False)
    named = cclib.load_study(["atlas-s", "named.csv"], "questions.csv")
    for part in ("train", "validation", "test"):
        one, two = study.part(1, part), named.part(1, part)
        assert one.question_id.tolist() == two.question_id.tolist() and (one.correct == two.correct).all()
        rows = [int(q.removeprefix("questions/")) for q in one.question_id]
        assert (one.correct == record["correct"].to_numpy()[rows]).all()
    record.assign(question_id=record["question_id"] + 1).to_csv("from-one.csv", index=False)
    with pytest.raises(ValueError, match="numbers 1 to 300, and the rows of questions go from 0 .* to 299"):
        cclib.load_study(["atlas-s", "from-one.csv"], "questions.csv")
    pd.concat([record, record.assign(question_id=record["question_id"] + ROWS)]).to_csv(
        "long.csv", index=False
    )
    with pytest.raises(ValueError, match="numbers 0 to 599"):
        cclib.load_study(["atlas-s", "long.csv"], "questions.csv")
    table = pd.read_csv("questions.csv").assign(id=range(1, ROWS + 1))  # ids of one's own are what they are
    table.to_csv("own-ids.csv", index=False)
    own = cclib.load_study(["atlas-s", "from-one.csv"], "own-ids.csv")
    rows = [int(q) - 1 for q in own.test[1].question_id]
    assert (own.test[1].correct == record["correct"].to_numpy()[rows]).all()


def test_errors_of_the_command_line_name_its_flags_and_what_is_missing(at_the_desk, monkeypatch):
    said = told(monkeypatch, *CHOOSE)
    assert "of gpt4 they are not on record" in said
    assert "--sizes" in said and "--unit USD" in said and "=" not in said
    Path("other.csv").write_text("model,input_usd_per_million,output_usd_per_million\natlas-s,0,0\n")
    said = told(monkeypatch, *CHOOSE, "--unit", "USD", "--prices", "other.csv")
    assert said == "USD are not known of every answer: gpt4 lacks a price (a row 'gpt4' of --prices)"
    pd.read_csv("gpt4.csv").drop(columns="output_tokens").to_csv("short.csv", index=False)
    said = told(monkeypatch, *(w.replace("gpt4.csv", "short.csv") for w in PRICED))
    assert "short lacks the column output_tokens of its recorded answers and a price" in said
    assert told(monkeypatch, *CHOOSE, "--max-drop", 2).startswith("--max-drop is a share of one")
    assert told(monkeypatch, *CHOOSE, "--prices", "no.csv").startswith(
        "no prices at no.csv; give a CSV with mod"
    )
    assert invoke(*CHOOSE, "--sizes", 2e5, "--sizes", 2e12, "--out", "sized.json").endswith("sized.json\n")


def test_a_record_is_asked_live_by_name_only_and_weights_are_still_compared(at_the_desk, monkeypatch):
    invoke(*PRICED, "--max-drop", 0.06, "--proving", 0.5, "--out", "as.json")
    use = ["policy", "apply", "as.json", "new.csv", "as.csv"]
    assert "--as gpt4.csv=openai:NAME" in told(monkeypatch, *use)
    assert "--as gpt4.csv=openai:NAME" in told(
        monkeypatch, *use, "--models", "atlas-s", "--models", "atlas-l"
    )
    assert "gpt4 is none of them" in told(monkeypatch, *use, "--as", "gpt4=atlas-l")
    assert "STAGE=MODEL" in told(monkeypatch, *use, "--as", "gpt4.csv")
    other = [*use, "--as", "gpt4.csv=atlas-l", "--as", "atlas-s=atlas-m"]
    assert "proven with weights of the checksum" in told(monkeypatch, *other)
    assert "atlas-l was asked in place of gpt4.csv" in invoke(*use, "--as", "gpt4.csv=atlas-l")
    questions = cclib.benchmarks.read_table("new.csv", answered=False)
    run = cclib.live_cascade({"gpt4.csv": "atlas-l"}, questions, policy=cclib.Policy.load("as.json"))
    assert [LETTERS[p] for p in run.prediction] == pd.read_csv("as.csv")["answer"].tolist()


ODD = {
    "not there": (None, "no benchmark file at odd.csv"),
    "empty": ("", "an empty file"),
    "no rows": ("question,A,B,answer\n", "no questions under the header"),
    "no answers": ("question,A,B\nx,1,2\ny,3,4\n", "missing answer"),
    "answers as text": ("question,A,B,answer\nx,1 m,2 m,2 m\n", "that is the text of option B"),
    "one row": ("question,A,B,answer\nx,1,2,A\n", "leaves 0 for training"),
    "three rows": ("question,A,B,answer\nx,1,2,A\ny,3,4,B\nz,5,6,A\n", "20 are needed, found 1"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_tables_are_refused_for_what_they_are(case, tmp_path, monkeypatch):
    content, message = ODD[case]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("odd.csv").write_text(content)
    assert message in told(monkeypatch, "policy", "choose", "atlas", "--benchmark", "odd.csv")


def test_one_model_and_a_free_last_one_are_refused(at_the_desk, monkeypatch):
    said = told(monkeypatch, "policy", "choose", "atlas-s", "--benchmark", "questions.csv")
    assert "two models or more, found 1 (atlas-s)" in said
    turned = ["policy", "choose", "gpt4.csv", "atlas-s", *PRICED[4:]]
    assert "atlas-s costs 0 USD" in told(monkeypatch, *turned)


def test_a_small_table_whose_probe_cannot_be_fitted_still_gets_a_choice(at_the_desk):
    pd.read_csv("questions.csv").head(26).to_csv("few.csv", index=False)
    said = invoke("policy", "choose", "atlas-s", "atlas-l", "--benchmark", "few.csv", "--out", "few.json")
    assert "3 questions are too few" in said


def test_help_and_show_wait_for_no_heavy_library(at_the_desk):
    heavy = "{'torch', 'transformers', 'matplotlib', 'nbformat', 'statsmodels'"
    for imports, libraries in (
        ("cclib.__main__", f"{heavy}, 'pandas', 'sklearn', 'scipy'}}"),
        ("cclib.display.in_words", f"{heavy}}}"),
    ):
        code = f"import sys, {imports}; sys.exit(str({libraries} & sys.modules.keys() or ''))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert not done.stderr.strip(), done.stderr
