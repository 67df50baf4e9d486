"""Logs of lm-evaluation-harness as traces; tests/logs holds version 0.4.13's own, of 18 Atlas questions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import cclib
from cclib.benchmarks import load_benchmark, logged_questions
from cclib.benchmarks.logged import logged_name, on_benchmark
from cclib.logs.harness import OF_LETTER, OF_TEXT
from cclib.names import is_log, runs_here, slug
from cclib.traces import read_trace

LOGS = Path(__file__).parent / "logs"
SMALL, MEDIUM = LOGS / "atlas-s", LOGS / "atlas-m"


def samples(task, model="atlas-s"):
    return [json.loads(line) for line in next((LOGS / model).glob(f"samples_{task}_*")).open()]


def written(folder, rows, name="samples_t_2026-01-02T03-04-05.000006.jsonl"):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row(scores, target, continuations, doc=None, doc_id=0, context="Q", **more):
    """A sample as version 0.4.3 and later write it."""
    contexts = [context] * len(scores) if isinstance(context, str) else context
    return {
        "doc_id": doc_id,
        "doc": doc or {"question": f"number {doc_id}?"},
        "target": target,
        "arguments": {
            f"gen_args_{i}": {"arg_0": c, "arg_1": f" {text}"}
            for i, (c, text) in enumerate(zip(contexts, continuations))
        },
        "resps": [[[str(score), "False"]] for score in scores],
        "filter": "none",
        **more,
    }


def test_a_letters_log_is_what_the_model_itself_says_at_the_same_prompt():
    log = read_trace(SMALL)
    known = {(q.text, q.choices): q for q in load_benchmark("atlas")}
    rows = [r for r in log.table.to_pylist() if r["subject"] != "atlas_texts"]
    questions = [known[r["question"], tuple(r["choices"])] for r in rows]
    assert [q.prompt for q in questions] == [r["prompt"] for r in rows]
    from cclib.confidence.p_t import answer_questions

    model = cclib.load_model("atlas-s", device="cpu")
    own = {r["question_id"]: r for batch in answer_questions(model, questions) for r in batch}
    for q, logged in zip(questions, rows):
        assert logged["p_t"] == pytest.approx(own[q.id]["p_t"], abs=1e-4)
        np.testing.assert_allclose(logged["option_probs"], own[q.id]["option_probs"], atol=1e-4)
        assert (logged["prediction"], logged["correct"]) == (own[q.id]["prediction"], own[q.id]["correct"])


def test_letters_keep_all_mass_and_whole_texts_share_it_and_the_trace_says_which(tmp_path):
    letters = written(tmp_path / "a", [row(np.log([0.2, 0.5]), "1", "AB")])
    texts = written(tmp_path / "b", [row(np.log([0.2, 0.5]), "0", ["the cat", "a dog"])])
    one, other = read_trace(letters), read_trace(texts)
    assert (one.p_t[0], one.provenance["p_t"]) == (pytest.approx(0.5), OF_LETTER)
    assert (other.p_t[0], other.provenance["p_t"]) == (pytest.approx(5 / 7), OF_TEXT)
    assert one.correct[0] and not other.correct[0]
    assert {OF_LETTER, OF_TEXT} == set(read_trace(SMALL).provenance["p_t"].split("; "))


def test_what_ran_is_taken_from_the_results_beside_the_samples():
    about = read_trace(MEDIUM).provenance
    assert (about["model"], about["parameters"], about["dtype"]) == ("atlas-m", 1_058_016, "float32")
    assert (about["few_shot"], about["recorded"]) == (0, "2026-11-26")
    assert about["versions"]["lm_eval"] == "0.4.13"
    assert about["notes"] == []


def test_without_results_the_folder_names_the_model_and_a_word_is_said(tmp_path):
    folder = written(tmp_path / "My-Model", samples("atlas_units"))
    trace = read_trace(folder)
    assert trace.model == "my-model" and trace.parameters is None
    assert "no results_*.json" in trace.provenance["notes"][0]


def test_sub_tasks_are_subjects_and_two_logs_are_matched_by_document(tmp_path):
    small, medium = read_trace(SMALL), read_trace(MEDIUM)
    assert set(small.question_id) == set(medium.question_id)
    questions = logged_questions([small, medium])
    assert {q.subject for q in questions} == {"atlas_capitals", "atlas_texts", "atlas_units"}
    assert logged_name([small, medium]) == "atlas (logged)"
    turned = samples("atlas_units", "atlas-m")[::-1][:4]
    turned = [r | {"doc_id": i} for i, r in enumerate(turned)]
    name = "samples_atlas_units_2026-01-02T03-04-05.000006.jsonl"
    other = read_trace(written(tmp_path / "m", turned, name))
    shared = logged_questions([small, other])
    assert len(shared) == 4
    ids = [q.id for q in shared]
    np.testing.assert_array_equal(other.select(ids).correct, medium.select(ids).correct)


def test_logs_without_a_question_in_common_are_refused(tmp_path):
    other = read_trace(written(tmp_path, [row([-1, -2], "0", "AB")]))
    with pytest.raises(ValueError, match="no question in common"):
        logged_questions([read_trace(SMALL), other])


def test_a_log_takes_a_benchmarks_ids_where_texts_and_options_agree():
    atlas = load_benchmark("atlas")
    found = on_benchmark(read_trace(SMALL), atlas)
    assert len(found) == 12  # the capitals were logged twice, with letters and with whole texts
    known = {q.id: q for q in atlas}
    assert all(known[i].answer == a for i, a in zip(found.question_id, found.column("answer")))
    with pytest.raises(ValueError, match="none of its 18 logged questions"):
        on_benchmark(read_trace(SMALL), load_benchmark("atlas-ood"))


def test_a_parquet_table_of_details_reads_like_the_lines_it_was_made_of(tmp_path):
    rows = samples("atlas_units")
    for at in (
        tmp_path / "owner__x__atlas_units" / "latest" / "0000.parquet",
        tmp_path / "atlas_units.parquet",
    ):
        at.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), at)
        assert is_log(at) and not runs_here(at)
        table = read_trace(at).table
        wanted = read_trace(SMALL).table.filter(pa.compute.field("subject") == "atlas_units")
        assert table.equals(wanted)


def test_rows_of_fewer_options_and_more_than_ten_requests_keep_their_order(tmp_path):
    many = [row(np.log(np.r_[[0.01] * 11, 0.5]), "L", "ABCDEFGHIJKL"), row([-1, -2], "A", "AB", doc_id=1)]
    for file in (tmp_path / "t.jsonl", tmp_path / "t.parquet"):
        if file.suffix == ".jsonl":
            written(tmp_path, many, file.name)
        else:
            pq.write_table(pa.Table.from_pylist(many), file)  # fills up with None, and sorts names as texts
        trace = read_trace(file)
        assert trace.column("prediction").tolist() == [11, 0] and trace.correct.all()


def test_early_versions_wrote_lists_and_numbers_and_one_json_list(tmp_path):
    old = []
    for r in samples("atlas_units"):
        r = {k: v for k, v in r.items() if not k.endswith("_hash")}
        r["arguments"] = [list(one.values()) for one in r["arguments"].values()]
        r["resps"] = [[[float(s), g == "True"]] for [[s, g]] in r["resps"]]
        r["target"] = int(r["target"])
        old.append(r)
    (tmp_path / "atlas_units.jsonl").write_text(json.dumps(old, indent=2))
    (tmp_path / "results.json").write_text(
        json.dumps({"config": {"model_args": "pretrained=a/b,dtype=float"}})
    )
    trace = read_trace(tmp_path)
    wanted = read_trace(SMALL).table.filter(pa.compute.field("subject") == "atlas_units")
    assert trace.table.equals(wanted)  # ids too: the hash of the document is taken as the harness takes it
    assert trace.model == "a/b"


@pytest.mark.parametrize(
    ("target", "continuations", "acc", "right"),
    [
        ("2", ["A", "B", "C", "D"], 1.0, 2),
        (2, ["one", "two", "three", "four"], 1.0, 2),
        ("three", ["one", "two", "three", "four"], 1.0, 2),
        ("(C)", ["(A)", "(B)", "(C)", "(D)"], 1.0, 2),
        ("C", ["A", "B", "C", "D"], 0.0, 2),  # the target counts, not acc
        ("3", ["1", "2", "3", "4"], 1.0, 2),  # its text: acc tells
        ("2", ["4", "3", "2", "1"], 1.0, 2),
        ("2", ["2", "3", "4", "5"], 1.0, 2),  # its index: acc tells
        ("[0, 2]", ["x", "y", "z", "w"], 1.0, 2),
    ],
)
def test_a_target_is_an_index_a_letter_or_a_text(tmp_path, target, continuations, acc, right):
    folder = written(tmp_path, [row([-3, -4, -1, -2], target, continuations, acc=acc)])
    trace = read_trace(folder)
    assert trace.correct[0] and trace.column("answer")[0] == right
    assert ("otherwise in acc" in str(trace.provenance["notes"])) == (acc == 0)


def test_the_options_texts_are_found_in_each_kind_of_document(tmp_path):
    docs = [
        {"question": "?", "choices": ["p", "q"]},
        {"Question": "?", "choice1": "p", "choice2": "q"},
        {"query": "?", "options": ["p", "q"]},
        {"question": "?", "choices": {"text": ["p", "q"], "label": ["A", "B"]}},
        {"question": "?", "A": "p", "B": "q"},
        {"goal": "?", "sol1": "p", "sol2": "q"},
        {"input": "?", "option_a": "p", "option_b": "q"},
    ]
    rows = [row([-1, -2], "A", "AB", doc, i) for i, doc in enumerate(docs)]
    found = logged_questions([read_trace(written(tmp_path, rows))])
    assert [(q.text, q.choices, q.answer) for q in found] == [("?", ("p", "q"), 0)] * len(docs)


def test_options_that_are_contexts_are_judged_by_acc_with_a_word(tmp_path):
    contexts = ["The cup fits, the cup", "The cup fits, the box"]
    rows = [
        row([-1, -2], "is small.", ["is small."] * 2, {"sentence": "s _"}, i, contexts, acc=a)
        for i, a in ((0, 1), (1, 0))
    ]
    trace = read_trace(written(tmp_path, rows))
    assert trace.correct.tolist() == [True, False] and trace.column("answer").tolist() == [0, 1]
    assert trace.column("choices")[0].tolist() == ["cup", "box"]
    assert "by acc" in trace.provenance["notes"][0]


def test_requests_without_the_question_are_no_options(tmp_path):
    """acc_mutual_info asks for every option a second time, after nothing."""
    both = row([-1, -2, -0.5, -0.1], "0", ["yes", "no", "yes", "no"], context=["Q", "Q", "", ""])
    trace = read_trace(written(tmp_path, [both]))
    assert trace.option_probs.shape == (1, 2) and trace.correct[0]


GENERATED = row([-1, -2], "0", "AB") | {
    "resps": [["The answer is B"]],
    "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {}}},
}
LAMBADA = row([-1], "word", ["word"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GENERATED], "text that the model wrote"),
        ([LAMBADA], "one log-likelihood"),
        ([row([-1, -2], "0", ["x", "y"], acc=0.3)], "scored by shares"),
        ([row([-1, -2], "0", "AB"), row([-1, -2], "0", "AB")], "document 0 occurs twice"),
        ([row([-1, -2], "E", "AB")], "is none of the options"),
        ([row([-1, -2], "7", "AB")], "is none of the options"),
        ([row([-1, 3], "0", "AB")], "a number up to 0"),
        ([row([-1, "nan"], "0", "AB")], "a number up to 0"),
        ([row([-0.1, -0.2], "0", "AB")], "add up to"),
        ([row([-3, -1], "1", ["1", "2"])], "index or its text"),
        ([{"question": "?", "answer": 1}], "expected a sample"),
        ([{k: v for k, v in row([-1, -2], "0", "AB").items() if k != "arguments"}], "expected arguments"),
        ([], "no samples"),
    ],
)
def test_what_is_no_multiple_choice_log_is_refused_with_its_row(tmp_path, rows, said):
    with pytest.raises(ValueError, match=said):
        read_trace(written(tmp_path, rows))


def test_half_a_file_is_refused_by_its_json_or_by_the_runs_own_count(tmp_path):
    shutil.copytree(SMALL, tmp_path / "a")
    file = next((tmp_path / "a").glob("samples_atlas_units_*"))
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"samples_atlas_units.*row 4: not whole JSON"):
        read_trace(tmp_path / "a")
    file.write_text("".join(whole.splitlines(keepends=True)[:3]))
    with pytest.raises(ValueError, match="3 questions, where the run's results count 6"):
        read_trace(tmp_path / "a")


def test_of_two_runs_in_a_folder_the_newest_is_read_and_a_word_is_said(tmp_path):
    shutil.copytree(SMALL, tmp_path / "a")
    for file in MEDIUM.glob("*"):
        later = file.name.replace("2026-11-26", "2027-01-01")
        shutil.copy(file, tmp_path / "a" / later)
    trace = read_trace(tmp_path / "a")
    np.testing.assert_array_equal(trace.p_t, read_trace(MEDIUM).p_t)
    assert trace.model == "atlas-m" and "several runs" in trace.provenance["notes"][0]


def test_two_models_in_one_folder_are_refused():
    with pytest.raises(ValueError, match="several models: atlas-m, atlas-s"):
        read_trace(LOGS)


def test_tasks_that_are_not_multiple_choice_are_left_out_with_a_word(tmp_path):
    written(tmp_path, [row([-1, -2], "0", "AB")])
    written(tmp_path, [GENERATED], "samples_gsm8k_2026-01-02T03-04-05.000006.jsonl")
    trace = read_trace(tmp_path)
    assert len(trace) == 1 and "left out 1 of 2 tasks" in str(trace.provenance["notes"])


def test_results_without_samples_say_how_to_log_them(tmp_path):
    (tmp_path / "results_2026-01-02T03-04-05.json").write_text("{}")
    with pytest.raises(ValueError, match="--log_samples"):
        read_trace(tmp_path)
    with pytest.raises(FileNotFoundError, match="no log at"):
        read_trace(tmp_path / "nothing.jsonl")


def test_logs_are_told_from_models_and_traces(tmp_path, tiny_pair):
    assert is_log(SMALL) and not runs_here(SMALL)
    assert is_log("hub:open-llm-leaderboard/owner__Name-8B-details")
    assert not is_log(tiny_pair[0]) and runs_here(tiny_pair[0])
    assert not is_log("owner/name") and not is_log("openai:gpt-4o") and not is_log(tmp_path)


def test_a_log_is_named_by_its_folder_and_one_of_the_hub_by_its_model():
    assert slug(SMALL) == slug(next(SMALL.glob("samples_atlas_units*"))) == "atlas-s"
    assert slug("hub:open-llm-leaderboard/owner__Name-8B-details") == "name-8b"


def test_repeated_documents_keep_ids_of_their_own(tmp_path):
    rows = [row([-1, -2], "0", "AB", {"question": "the same"}, i) for i in range(2)]
    one, two = read_trace(written(tmp_path, rows)).question_id
    assert two == f"{one}-2"


def test_a_gated_data_set_and_a_missing_network_are_told_apart(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    asked = {}

    def refuse(error):
        def download(repository, **options):
            asked.update(options, repository=repository)
            raise error

        return download

    import httpx

    gated = GatedRepoError("gated", response=httpx.Response(403, request=httpx.Request("GET", "https://x")))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse(gated))
    with pytest.raises(PermissionError, match="accept its terms"):
        read_trace("hub:open-llm-leaderboard/owner__Name-details@abc")
    assert (asked["repository"], asked["revision"]) == ("open-llm-leaderboard/owner__Name-details", "abc")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse(LocalEntryNotFoundError("away")))
    with pytest.raises(FileNotFoundError, match="could not be fetched"):
        read_trace("hub:open-llm-leaderboard/owner__Name-details")


def test_a_study_of_logs_needs_no_benchmark_no_model_and_no_hidden_states(tmp_path):
    study = cclib.load_study([str(SMALL), str(MEDIUM)], traces_dir=tmp_path)
    assert (study.models, study.benchmark) == (["atlas-s", "atlas-m"], "atlas (logged)")
    assert study.chains() == [(0, 1)] and not study.has_pik
    assert {q.subject for q in study.questions} == {"atlas_capitals", "atlas_texts", "atlas_units"}
    kept = study.run_chains(0.3, None)["atlas-s → atlas-m"]
    np.testing.assert_array_equal(kept.stage, (read_trace(SMALL).select(study.test[0].question_id).p_t < 0.3))
    assert cclib.cost.compute(kept).missing == []  # by all weights, which the results count
    assert not any(tmp_path.iterdir())


def test_a_log_stands_beside_a_model_that_runs_here_on_the_logged_questions(tmp_path):
    folder = written(tmp_path / "log", samples("atlas_units"), "samples_atlas_units.jsonl")
    study = cclib.load_study(["atlas-s", str(folder)], traces_dir=tmp_path / "traces", device="cpu")
    own, wanted = study.test[0], read_trace(SMALL).select(study.test[0].question_id)
    np.testing.assert_array_equal(own.correct, wanted.correct)
    assert np.abs(own.option_probs - wanted.option_probs).max() > 1e-3  # the subject is called otherwise


def test_a_model_is_not_asked_questions_whose_options_are_not_in_the_log(tmp_path):
    written(tmp_path / "log", [row([-1, -2], "0", "AB", doc_id=i) for i in range(10)])
    with pytest.raises(ValueError, match="letters of the options and not their texts"):
        cclib.load_study(["atlas-s", str(tmp_path / "log")], traces_dir=tmp_path)


def test_logs_take_a_named_benchmarks_questions(tmp_path):
    table = tmp_path / "own.csv"
    rows = [r["doc"] for r in samples("atlas_units")]
    lines = [",".join([r["question"], *r["choices"], "ABCD"[r["answer"]]]) for r in rows[:4]]
    table.write_text("question,A,B,C,D,answer\n" + "\n".join(lines))
    study = cclib.load_study([str(SMALL), str(MEDIUM)], str(table), traces_dir=tmp_path)
    assert set(study.all_questions) == {f"own/{i}" for i in range(4)}
    assert "4 of 6" not in str(study.notes) and len(study) == 1


def test_an_exported_study_of_logs_replays_without_them_and_holds_no_texts(tmp_path):
    study = cclib.load_study([str(SMALL), str(MEDIUM)], traces_dir=tmp_path)
    cclib.export_study(study, tmp_path / "out")
    again = cclib.load_study(["away/atlas-s", "away/atlas-m"], traces_dir=tmp_path / "out")
    assert again.benchmark == study.benchmark and again.texts() is None
    for before, after in zip(study.test, again.test):
        np.testing.assert_array_equal(before.p_t, after.p_t)
        assert not {"question", "choices", "prompt"} & set(after.table.column_names)


def test_a_log_is_a_benchmark_too():
    assert [q.id for q in load_benchmark(SMALL)] == read_trace(SMALL).question_id.tolist()


def test_an_edition_of_logs_is_published_and_replays(tmp_path):
    from cclib.book.export import publish

    publish([str(SMALL), str(MEDIUM)], tmp_path / "out", traces_dir=tmp_path / "traces")
    again = cclib.load_study(["away/atlas-s", "away/atlas-m"], traces_dir=tmp_path / "out")
    assert again.benchmark == "atlas (logged)" and again.chains() == [(0, 1)]


def test_a_router_learns_from_logs_of_the_training_questions(tmp_path):
    from cclib.experiments.routing.compare import compare

    study = cclib.load_study([str(SMALL), str(MEDIUM)], traces_dir=tmp_path)
    for stage, log in enumerate((SMALL, MEDIUM)):
        train = study.part(stage, "train")
        assert not {*train.question_id} & {*study.test[stage].question_id}
        np.testing.assert_array_equal(train.correct, read_trace(log).select(train.question_id).correct)
    found = {m.name: m for m in compare(study).methods}
    for name in ("linear, words", "quality gap, words", "benchmark profile"):
        assert np.isfinite(found[name].score).all() and 0 <= found[name].extra < 1
    assert "linear, hidden state" not in found
