"""Claims about the Atlas benchmarks, the corpus, and the shipped models."""

import json
import random
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from cclib import atlas, load_model, split
from cclib.atlas import benchmark, corpus, recall
from cclib.atlas.facts import cities, countries
from cclib.atlas.reasoning import DAYS, MONTHS, REASONING
from cclib.models import weights

NAMES = ("atlas", "atlas-ood", "atlas-open")
BATCHES = 12  # of 1,000 sequences: what the tests read of the corpus


@pytest.fixture(scope="module")
def questions():
    return {name: atlas.questions(name) for name in NAMES}


@pytest.fixture(scope="module")
def trained():
    return [pair for step in range(BATCHES) for pair in corpus.batch(0, step, 1000)]


def shipped(name):
    return (atlas.WEIGHTS / name / "model.safetensors").exists()


needs_weights = pytest.mark.skipif(not all(map(shipped, atlas.MODELS)), reason="no weights in this checkout")


def test_importing_the_benchmark_loads_no_torch():
    code = "import sys; from cclib import atlas; atlas.questions(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_two_processes_make_the_same_questions(questions):
    code = (
        "from cclib import atlas; import hashlib;"
        f"print(hashlib.sha256(repr([atlas.questions(n) for n in {NAMES}]).encode()).hexdigest())"
    )
    made = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2)]
    assert made[0].stdout == made[1].stdout != ""


def test_there_are_about_14000_questions_of_at_least_14_subjects(questions):
    assert 13_000 <= len(questions["atlas"]) <= 15_000
    assert len({q.subject for q in questions["atlas"]}) >= 14
    assert len(questions["atlas-ood"]) == 448
    assert len(questions["atlas-open"]) == 1400


def test_ids_are_unique_and_no_question_is_asked_twice(questions):
    for name in NAMES:
        assert len({q.id for q in questions[name]}) == len(questions[name])
        assert len({benchmark.asked(q) for q in questions[name]}) == len(questions[name])


def test_four_different_options_and_each_place_is_right_equally_often(questions):
    for name in ("atlas", "atlas-ood"):
        assert all(len(set(q.choices)) == 4 for q in questions[name])
        by_subject = defaultdict(Counter)
        for q in questions[name]:
            by_subject[q.subject][q.answer] += 1
        assert all(max(c.values()) - min(c[i] for i in range(4)) <= 1 for c in by_subject.values())


def test_common_answers_are_common_among_the_wrong_options_too(questions):
    """Else the most frequent country would give a subject's answers away."""
    asian = [q for q in questions["atlas"] if q.subject == "cities_of_asia"]
    offered = [q for q in asian if "China" in q.choices]
    right = np.mean([q.choices[q.answer] == "China" for q in offered])
    assert right < 0.55


def test_a_city_is_in_the_stated_country_and_in_none_of_the_others(questions):
    located = defaultdict(set)
    for city in cities():
        located[city.name].add(countries()[city.country].name)
    asked = [q for q in questions["atlas"] if q.text.startswith("In which country is")]
    assert len(asked) > 3000
    for q in asked:
        name = q.text.removeprefix("In which country is ").removesuffix("?")
        assert located[name] == {q.choices[q.answer]}


def test_only_one_option_borders_the_country(questions):
    by_name = {c.name: c for c in countries().values()}
    for q in (q for q in questions["atlas"] if q.subject == "neighbours"):
        country = by_name[q.text.removeprefix("Which country borders ").removesuffix("?")]
        assert [by_name[o].code in country.neighbours for o in q.choices].count(True) == 1
        assert by_name[q.choices[q.answer]].code in country.neighbours


def test_only_one_option_is_spoken_in_the_country(questions):
    by_name = {c.name: c for c in countries().values()}
    for q in (q for q in questions["atlas"] if q.subject == "languages"):
        spoken = by_name[q.text.removeprefix("Which language is spoken in ").removesuffix("?")].languages
        assert [o in spoken for o in q.choices].count(True) == 1


def test_the_stated_city_leads_clearly(questions):
    people = {c.name: c.population for c in cities()}
    for q in (q for q in questions["atlas"] if q.subject == "most_people"):
        counts = [people[o] for o in q.choices]
        assert counts[q.answer] >= 1.3 * sorted(counts)[-2]


def test_arithmetic_is_right(questions):
    checked = 0
    for q in questions["atlas"] + questions["atlas-ood"]:
        if q.subject in ("addition", "subtraction", "multiplication", "three_terms"):
            numbers = q.text.removeprefix("What is ").removesuffix("?")
            assert set(numbers) <= set("0123456789 +-*")
            assert q.choices[q.answer] == str(eval(numbers))
            checked += 1
    assert checked > 900


def test_the_calendar_is_right(questions):
    for q in questions["atlas"]:
        if q.subject != "calendar" or "leap" in q.text:
            continue
        n, word, start = q.text.removesuffix("?").split()[3], *q.text.removesuffix("?").split()[-2:]
        names = DAYS if start in DAYS else MONTHS
        shift = int(n) if word == "after" else -int(n)
        assert q.choices[q.answer] == names[(names.index(start) + shift) % len(names)]


def test_kinds_that_are_worked_out_have_one_right_option():
    rng = random.Random(1)
    for kind in REASONING.values():
        for _ in range(200):
            item = kind(rng)
            assert item.answer not in item.wrong and len(set(item.wrong)) == 3
            if item.text == "Which year is a leap year?":
                assert int(item.answer) % 4 == 0 and all(int(w) % 4 for w in item.wrong)
            if item.text.startswith("How many times is"):
                letter, row = item.text.removeprefix("How many times is ").removesuffix("?").split(" in ")
                assert row.split().count(letter) == int(item.answer)


def test_popularity_has_a_long_tail(questions):
    known = [q.popularity for q in questions["atlas"] if q.subject.startswith("cities_of")]
    assert np.percentile(known, 99) > 50 * np.percentile(known, 10)


def test_no_benchmark_question_is_trained(questions, trained):
    prompts = {q.prompt for name in NAMES for q in questions[name]}
    asked = {benchmark.asked(q) for q in questions["atlas"] + questions["atlas-ood"]}
    for read, _ in trained:
        assert read not in prompts
        if "Choices:" in read and "Question: " in read:
            text, options = read.split("Question: ")[1].removesuffix("\nAnswer:").split("\nChoices: ")
            assert (text, frozenset(o[3:] for o in options.split("\n"))) not in asked


def test_operands_of_the_benchmark_are_never_trained(questions, trained):
    worked_out = {q.text for q in questions["atlas"] if q.subject in ("addition", "multiplication", "units")}
    seen = {read.split("Question: ")[-1].split("\nChoices")[0].strip() for read, _ in trained}
    assert len(worked_out) == 800 and not worked_out & seen


def test_facts_taught_as_statements_are_never_asked_in_training(trained):
    facts = [f for f in recall.facts() if f.subject != "neighbours"]  # a country has several neighbours
    told = {f.question for f in facts if f.statement_only}
    assert 0.3 < len(told) / len(facts) < 0.5
    asked = {read.split("Question: ")[1].split("\n")[0] for read, _ in trained if "Question: " in read}
    assert not told & asked


def test_kinds_of_atlas_ood_are_never_trained(questions, trained):
    subjects = {q.subject.replace("_", " ") for q in questions["atlas-ood"]}
    for read, _ in trained:
        assert not any(f"questions about {s}." in read for s in subjects)
        assert "spelled backwards" not in read and "same country as" not in read


def test_common_facts_are_seen_more_often(trained):
    seen = Counter(text for pair in trained for text in [pair[0] + pair[1]])
    told = [f for f in recall.facts() if f.subject == "cities_of_europe" and f.statement_only]
    told.sort(key=lambda f: f.popularity)
    counts = [seen[f" {f.statement}{corpus.END}"] for f in told]
    tenth = len(told) // 10
    assert sum(counts[-tenth:]) > 2 * sum(counts[:tenth])


def test_the_corpus_repeats_itself_from_its_seed():
    assert corpus.batch(3, 7, 200) == corpus.batch(3, 7, 200) != corpus.batch(3, 8, 200)


def test_invented_names_are_declined_and_are_nobody_s(trained):
    real = {c.name.lower() for c in cities()}
    declined = [read for read, said in trained if said.startswith(corpus.DECLINE)]
    assert len(declined) > 100
    for read in declined:
        name = read.split("Question: ")[1].split("?")[0].split(" is ")[-1].split(" of ")[-1].split(" in ")[-1]
        assert name.lower() not in real


def test_unknown_names_are_refused_with_what_is_known():
    with pytest.raises(ValueError, match="atlas-ood"):
        atlas.questions("atlas-hard")
    with pytest.raises(ValueError, match="atlas-s"):
        atlas.model_folder("atlas-xl")


def test_missing_weights_say_how_to_make_them(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "ATLAS_FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="train --size m"):
        atlas.model_folder("atlas-m")


@needs_weights
def test_the_three_models_take_at_most_25_megabytes():
    assert sum(f.stat().st_size for f in atlas.WEIGHTS.rglob("*") if f.is_file()) <= 25e6


@needs_weights
@pytest.mark.parametrize("name", atlas.MODELS)
def test_shipped_weights_have_the_recorded_accuracy(name, questions):
    from cclib.atlas import evaluate
    from cclib.atlas.train import option_probs

    record = json.loads(evaluate.RECORD.read_text())
    assert record["questions"] == {n: evaluate.fingerprint(questions[n]) for n in NAMES}
    model = load_model(name, device="cpu")
    test = split(questions["atlas"], seed=0).test
    probs = option_probs(model.network, model.tokenizer, test)
    right = probs.argmax(1) == np.array([q.answer for q in test])
    assert right.mean() == pytest.approx(record[name]["test"]["accuracy"], abs=0.003)
    sure = probs.max(1) >= evaluate.SURE
    assert sure.mean() > 0.05
    assert right[sure].mean() >= right[~sure].mean() + 0.10


@needs_weights
def test_sizes_are_eight_points_apart():
    from cclib.atlas import evaluate

    record = json.loads(evaluate.RECORD.read_text())
    s, m, large = (record[name]["test"]["accuracy"] for name in atlas.MODELS)
    assert m - s >= 0.08 and large - m >= 0.08


@needs_weights
def test_option_letters_are_single_tokens_and_prompts_fit(questions):
    model = load_model("atlas-s", device="cpu")
    for q in questions["atlas"][::500]:
        assert len(set(model.option_tokens(q.prompt, 4))) == 4
    longest = max(questions["atlas"], key=lambda q: len(q.prompt))
    assert len(model.encode(longest.prompt)) < model.context_length
    stem = model.encode(questions["atlas-open"][0].prompt)
    assert model.encode(questions["atlas-open"][0].prompt + "Answer")[:-1] == stem


@needs_weights
def test_the_models_share_one_tokenizer():
    texts = {(atlas.model_folder(n) / "tokenizer.json").read_bytes() for n in atlas.MODELS}
    assert len(texts) == 1


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Ten steps at once and five plus five end at the same weights."""
    from safetensors.torch import load_file

    from cclib.atlas import train

    tiny = train.Recipe(layers=1, width=16, heads=1, steps=4, rate=0.02, rows=2)
    monkeypatch.setitem(train.RECIPES, "s", tiny)
    monkeypatch.setattr(train, "CHECK_EVERY", 2)
    few = split(atlas.questions(), seed=0).validation[:8]
    monkeypatch.setattr(train, "validation_questions", lambda: few)
    whole = train.train("s", runs=tmp_path / "a", out=tmp_path / "whole")
    train.train("s", minutes=0, runs=tmp_path / "b", out=tmp_path / "part")
    parts = train.train("s", runs=tmp_path / "b", out=tmp_path / "parts")
    one, two = (load_file(f / "model.safetensors") for f in (whole, parts))
    assert one.keys() == two.keys()
    assert all((one[k] == two[k]).all() for k in one)
