"""A prompt is a parameter: what a model reads, what a trace says of it, and that two never mix."""

import json

import numpy as np
import pytest
import torch

import cclib
from cclib import prompts
from cclib.confidence.forward import encode_questions
from cclib.confidence.p_t import answer_questions
from cclib.confidence.packing import make_packs
from cclib.prompts import ENDPOINT, Prompt
from cclib.questions import Question

ROLES = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ '\\n' if not loop.last else '' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n' }}<|assistant|>{% endif %}"
)
EXAMPLES = [
    Question("e1", "a_b", "One?", ("x", "y"), 1),
    Question("e2", "a_b", "Two?", ("u", "v"), 0),
]
ASKED = Question("q", "a_b", "Three?", ("s", "t"), 0)
OPEN = Question("o", "a_b", "Who?", accepted=("Ann",))


@pytest.fixture(scope="module")
def atlas_questions():
    return cclib.load_benchmark("atlas", limit=2000)


@pytest.fixture
def chatty(small, monkeypatch):
    monkeypatch.setattr(small.tokenizer, "chat_template", ROLES)
    return small


def test_examples_stand_before_a_question_in_the_benchmarks_own_layout():
    assert cclib.few_shot(EXAMPLES, 2).text(ASKED) == (
        "The following are multiple choice questions (with answers) about a b.\n\n"
        "One?\nA. x\nB. y\nAnswer: B\n\nTwo?\nA. u\nB. v\nAnswer: A\n\nThree?\nA. s\nB. t\nAnswer:"
    )


def test_an_open_question_follows_answered_ones():
    shown = Question("e", "a_b", "Where?", accepted=("Rome", "Roma"))
    said = cclib.few_shot([shown], 1).text(OPEN)
    assert said.endswith("Question: Where?\nAnswer: Rome\n\nQuestion: Who?\n")


def test_chat_roles_end_where_the_letter_comes(chatty):
    model = chatty.asked("table-7-chat")
    said = model.text(ASKED)
    assert said.startswith("<|user|>The following are multiple choice questions about a b.")
    assert said.endswith("B. t\n<|assistant|>Answer:")
    assert len(set(model.option_tokens(said, 2))) == 2


def test_auto_is_the_papers_reading_roles_for_open_questions_alone(chatty):
    assert chatty.asked("auto").prompt.name == "table-7"
    assert chatty.asked("auto", is_open=True).prompt.name == "table-7-chat"
    assert chatty.asked("auto", is_open=True).text(OPEN).endswith("<|user|>Question: Who?\n<|assistant|>")


def test_a_template_without_a_system_role_takes_its_words_in_the_users_turn(small, monkeypatch):
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + ROLES
    monkeypatch.setattr(small.tokenizer, "chat_template", refuses)
    said = small.asked("table-7-chat").text(OPEN)
    assert said == f"<|user|>{prompts.OPEN_ENDED_SYSTEM}\nQuestion: Who?\n<|assistant|>"


def test_a_template_that_opens_a_thought_is_refused(small, monkeypatch):
    thinks = ROLES.replace("<|assistant|>{% endif %}", "<|assistant|><think>{% endif %}")
    monkeypatch.setattr(small.tokenizer, "chat_template", thinks)
    with pytest.raises(ValueError, match="opens a thought"):
        small.asked("table-7-chat").text(OPEN)


def test_a_prompt_is_the_same_on_every_day(small, monkeypatch):
    monkeypatch.setattr(small.tokenizer, "chat_template", "{{ strftime_now('%d %b %Y') }}" + ROLES)
    assert small.asked("table-7-chat").text(OPEN).startswith("26 Jul 2024<|")


def test_every_prompt_has_a_hash_of_its_own_and_the_papers_is_the_one_it_always_had():
    few, other = cclib.few_shot(EXAMPLES, 2), cclib.few_shot(EXAMPLES[::-1], 2)
    asked = [Prompt().hash(), Prompt().hash(ENDPOINT), few.hash(), few.hash(ENDPOINT), other.hash()]
    asked += [Prompt("table-7-chat").hash(t) for t in ("one", "two")]
    assert len(set(asked)) == len(asked)
    assert asked[:2] == ["0d0486f7fdff", "bd36baa0c4d8"]  # of traces that are published


def test_answers_to_two_prompts_never_mix(tmp_path, atlas_questions):
    asked = atlas_questions[:12]
    few = cclib.few_shot(
        [q for q in atlas_questions if q not in asked and q.subject in {a.subject for a in asked}], 1
    )
    plain = cclib.collect("atlas-s", asked, tmp_path)
    shown = cclib.collect("atlas-s", asked, tmp_path, prompt=few)  # asked for by its name: nothing to warn of
    assert (shown.provenance["prompt"], plain.provenance["prompt"]) == ("few-shot:1", "table-7")
    assert not np.array_equal(shown.p_t, plain.p_t) and shown.prompt_tokens.min() > plain.prompt_tokens.min()
    for prompt, first in ((few, shown), ("auto", plain), ("table-7", plain)):
        again = cclib.collect("atlas-s", asked, tmp_path, prompt=prompt)
        np.testing.assert_array_equal(again.p_t, first.p_t)


def test_examples_read_in_a_pack_give_what_whole_prompts_give(small, atlas_questions):
    asked = atlas_questions[:30]
    few = _few(atlas_questions, asked)
    model = small.asked(few)
    rows = {r["question_id"]: r for part in answer_questions(model, asked) for r in part}
    for question in asked[::10]:
        ids = model.tokenizer(few.text(question))["input_ids"]
        probs = model.network(torch.tensor([ids])).logits[0, -1].softmax(-1)
        letters = model.option_tokens(few.text(question), len(question.choices))
        np.testing.assert_allclose(rows[question.id]["option_probs"], probs[letters], atol=1e-5)


def _few(questions, asked):
    subjects = {q.subject for q in asked}
    return cclib.few_shot([q for q in questions if q.subject in subjects and q not in asked], 2)


def test_a_head_longer_than_the_budget_is_read_once_for_many_questions():
    head = list(range(1000))
    encoded = [[*head, 2000 + i, *range(40)] for i in range(40)]
    packs = make_packs(encoded, 100)
    assert sum(len(p.tokens) for p in packs) == 1000 + 40 * 41


def test_the_last_question_of_a_subject_does_not_cut_the_next_subjects_head_short():
    encoded = [[1, 2, 3], *([1, *range(100, 200), 900 + i] for i in range(10))]
    (pack,) = make_packs(encoded, 10_000)
    assert len(pack.tokens) <= 3 + 101 + 10


def test_a_study_is_asked_with_examples_that_it_then_leaves_out(tmp_path):
    study = cclib.load_study(["atlas-s", "atlas-m"], limit=20, traces_dir=tmp_path, prompt="few-shot:2")
    shown = study.source.prompt.example_ids
    everybody = {q for t in (study.test[0], study.train[0], study.validation[0]) for q in t.question_id}
    assert shown and not shown & everybody
    assert study.prompt == "few-shot:2" == study.test[1].provenance["prompt"]
    model, question = study.model(0), study.questions[0]
    assert model.text(question) == study.source.prompt.text(question)
    out = cclib.export_study(study, tmp_path / "out")
    assert json.loads((out / "study.json").read_text())["prompt"] == "few-shot:2"
    kept = cclib.load_study(["atlas-s", "atlas-m"], traces_dir=out, prompt="few-shot:2")
    assert kept.prompt == "few-shot:2"
    with pytest.raises(ValueError, match="holds answers to the prompt few-shot:2, not table-7"):
        cclib.load_study(["atlas-s", "atlas-m"], traces_dir=out, prompt="table-7")


def test_mmlus_development_questions_are_its_examples(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "test").mkdir()
    rows = "".join(f"Question {i}?,a,b,c,d,B\n" for i in range(5))
    (tmp_path / "dev" / "law_dev.csv").write_text(rows)
    (tmp_path / "test" / "law_test.csv").write_text(rows.replace("Question", "Test"))
    from cclib.study import prompt_for

    prompt = prompt_for("few-shot", "mmlu", tmp_path, cclib.load_benchmark("mmlu", tmp_path))
    assert prompt.name == "few-shot:5"
    assert prompt.example_ids == {f"mmlu-dev/law/{i}" for i in range(5)}


def test_what_cannot_be_asked_is_refused_before_anything_is_recorded(tmp_path, atlas_questions, small):
    asked = atlas_questions[:4]
    wrong = {
        "no chat template": "table-7-chat",
        "must be one of auto, table-7": "table-8",
        "needs examples": "few-shot",
        "only of": cclib.few_shot(EXAMPLES, 1),
    }
    for said, prompt in wrong.items():
        with pytest.raises(ValueError, match=said):
            cclib.collect(small, asked, tmp_path / "store", prompt=prompt)
    long = [Question(f"l{i}", asked[0].subject, "word " * 900, ("x", "y"), 0) for i in range(5)]
    with pytest.raises(ValueError, match="tokens with the prompt few-shot:5"):
        cclib.collect(small, asked[:1], tmp_path / "store", prompt=cclib.few_shot(long))
    assert not list((tmp_path / "store").rglob("*.*"))
    with pytest.raises(ValueError, match="needs 3 development questions.*has 2; ask with few-shot:2"):
        cclib.few_shot(EXAMPLES, 3)
    with pytest.raises(ValueError, match="plain completions, which have no roles"):
        cclib.load_model("openai-completions:x", base_url="http://127.0.0.1:9/v1").asked("table-7-chat")


def test_encoding_a_chat_adds_no_second_beginning(chatty, monkeypatch):
    seen = []
    monkeypatch.setattr(
        type(chatty.tokenizer),
        "__call__",
        lambda self, texts, add_special_tokens=True: (
            seen.append(add_special_tokens) or {"input_ids": [[1]] * len(texts)}
        ),
    )
    encode_questions(chatty.asked("table-7-chat"), [ASKED])
    encode_questions(chatty, [ASKED])
    assert seen == [False, True]
