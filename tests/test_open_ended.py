"""Open questions: what counts as right, what as declining, and a real pass through small models."""

import numpy as np
import pytest
import torch

import cclib
from cclib.confidence.generation import generate
from cclib.confidence.p_t import answer_token
from cclib.questions import ABSTAINED, RIGHT, WRONG, string_match

QUESTION = cclib.Question(
    "o/1", "capital", "What is the capital of Chad?", accepted=("N'Djamena", "Fort-Lamy")
)


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        ("Answer: N'Djamena", RIGHT),
        ("It is n’djamena, of course.", RIGHT),
        ("FORT LAMY", RIGHT),
        ("Answer: Djamena", WRONG),
        ("Answer: Lima", WRONG),
        ("I do not know.", ABSTAINED),
        ("Could you clarify which Chad?", ABSTAINED),
        ("", ABSTAINED),
    ],
)
def test_a_response_is_right_wrong_or_declined(response, verdict):
    assert string_match(QUESTION, response) == verdict


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        ("It is not Paris but Lyon", WRONG),
        ("It isn't Paris.", WRONG),
        ("Lyon, never in Paris", WRONG),
        ("It is not Lyon but Paris", RIGHT),
        ("Paris, Lyon or Nice", WRONG),
        ("Either Lyon or Paris", WRONG),
        ("I do not know, maybe Paris", ABSTAINED),
        ("Paris, the capital", RIGHT),
    ],
)
def test_a_name_that_is_denied_offered_among_others_or_guessed_is_no_answer(response, verdict):
    question = cclib.Question("o/4", "s", "Where is the Louvre?", accepted=("Paris",))
    assert string_match(question, response) == verdict


def test_an_accepted_answer_may_hold_such_words_itself():
    question = cclib.Question("o/5", "s", "?", accepted=("To be or not to be", "Unknown Pleasures"))
    assert string_match(question, "Answer: To be or not to be") == RIGHT
    assert string_match(question, "unknown pleasures") == RIGHT


def test_accents_do_not_matter_but_word_ends_do():
    question = cclib.Question("o/2", "s", "?", accepted=("São Tomé",))
    assert string_match(question, "sao tome") == RIGHT
    assert string_match(cclib.Question("o/3", "s", "?", accepted=("Oman",)), "Romania") == WRONG


def test_open_rows_hold_confidence_response_and_verdict(tiny, tmp_path):
    questions = [
        cclib.Question(f"o/{i}", "s", f"Who {'really ' * i}is it?", accepted=("x",)) for i in range(6)
    ]
    trace = cclib.collect(tiny, questions, store=tmp_path, progress=False)
    assert len(trace) == 6 and trace.hidden.shape == (6, 64)
    model = cclib.load_model(tiny)
    token = answer_token(model, questions[3].prompt)
    with torch.inference_mode():
        logits = model.network(torch.tensor([model.encode(questions[3].prompt)])).logits[0, -1]
    assert trace.p_t[3] == pytest.approx(float(logits.softmax(-1)[token]), abs=1e-5)
    assert (trace.column("output_tokens") >= 1).all()
    assert not (trace.correct & trace.column("abstained").astype(bool)).any()


def test_generation_in_a_batch_equals_generation_alone(tiny):
    model = cclib.load_model(tiny)
    prompts = [model.encode(t) for t in ("Which?", "Question: who is it, and where, and why?\n", "A B C D")]
    ((index, together),) = generate(model, prompts)
    alone = [next(generate(model, [prompts[i]]))[1].responses[0] for i in index]
    assert sorted(index) == [0, 1, 2] and together.responses == alone


def test_kinds_of_questions_do_not_mix(tiny, tmp_path):
    closed = cclib.Question("c", "s", "?", ("a", "b"), 0)
    with pytest.raises(ValueError, match="each kind by itself"):
        cclib.collect(tiny, [QUESTION, closed], store=tmp_path, progress=False)


def test_an_open_question_without_accepted_answers_is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match="no accepted answers"):
        cclib.collect(tiny, [cclib.Question("o", "s", "?")], store=tmp_path, progress=False)


def test_a_real_prompt_ends_where_the_word_answer_can_begin(tiny):
    model = cclib.load_model(tiny)
    token = answer_token(model, QUESTION.prompt)
    assert "Answer:".startswith(model.tokenizer.decode(token)) and np.isscalar(token)
