"""The cascade at work: models in memory, questions as they come.

`ask` answers one question and shows the walk; `live_cascade` answers many, each stage running only on
what the stage before it passed on, and times it. Who is asked and what is kept is a `cclib.Policy`: a chosen
one, or the paper's rule at given thresholds. Recorded traces play no part here, except where a
stage is behind an API and the call names a store: what was paid for is not paid for again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cclib.cascades import check_thresholds
from cclib.confidence.p_ik import PIK
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.names import expand_family, is_api, slug
from cclib.policies import Condition, Policy, Readings, Score, Stage
from cclib.policies.gate import texts
from cclib.policies.walks import SET_ASIDE, LiveRun, Step, Walk
from cclib.prompts import Prompt
from cclib.questions import Question, refuse_duplicates
from cclib.recording import collect

if TYPE_CHECKING:
    from cclib.models.api import APIModel

    Loaded = LanguageModel | APIModel
Models = str | Sequence["str | Path | Loaded"] | Mapping[str, "str | Path | Loaded"]
THRESHOLDS = (0.9, 0.5)  # of the paper, on P(T) and P(IK)


def ask(
    question: Question | str,
    choices: Sequence[str] = (),
    models: Models | None = None,
    probes: Sequence[PIK | None] | None = None,
    pt: float = THRESHOLDS[0],
    pik: float | None = THRESHOLDS[1],
    subject: str = "general knowledge",
    prompt: str | Prompt | None = None,
    policy: Policy | None = None,
) -> Walk:
    """Which model would you pick for this question? One question through the cascade.

    Args:
        question: a `Question`, or its text with `choices`.
        models: a family, or models (loaded ones or names), smallest first; one behind an API has no
            size, so where it stands is for you to say. Default: those of the policy, or else Atlas.
        probes: one a model, as `Study.probes`; without them P(IK) is left out.
        prompt: how the models are asked (see `cclib.load_study`), as the probes' answers were; default: as a
            loaded model is, and Table 7 for a name.
        policy: who is asked and what is kept, in place of probes and thresholds; see `live_cascade`.

    >>> cclib.ask("Which country is Lyon in?", ["Spain", "France", "Italy", "Peru"]).table()
    """
    if isinstance(question, str):
        if len(choices) < 2:
            raise ValueError(f"a question needs at least 2 choices, found {list(choices)}")
        question = Question("asked", subject, question, tuple(choices))
    if not isinstance(question, Question):
        raise ValueError(f"question must be its text with choices, or a cclib.Question; found {question!r}")
    if models is None and policy is None:
        models = "atlas"
    policy, stages = _ready(models, probes, pt, pik, prompt, policy)
    rows: dict[int, list[dict]] = {}
    read: dict[int, Readings] = {}
    run = _run(policy, stages, [question], None, rows, read)
    steps = [_step(policy.stages[i], read[i], rows[i][0], i == len(stages) - 1) for i in read]
    if run.abstained[0]:
        steps[-1] = replace(steps[-1], abstains=True)
    return Walk(question, steps, run)


def live_cascade(
    models: Models | None,
    questions: Sequence[Question],
    probes: Sequence[PIK | None] | None = None,
    pt: float = THRESHOLDS[0],
    pik: float | None = THRESHOLDS[1],
    store: str | Path | None = None,
    prompt: str | Prompt | None = None,
    policy: Policy | None = None,
    device: str | None = None,
) -> LiveRun:
    """Run a cascade from scratch: every stage answers only the questions that reach it.

    Args:
        models: as `ask` takes them; with a policy None is those that it names. {name of a stage: model}
            names some of them anew: whom to ask where the policy was proven with answers on record, which
            nobody can compare with what is asked now.
        store: folder of traces, for stages behind an API: their answers are written there as they
            arrive, and questions that are there already are not sent again.
        prompt: as `ask` takes it; of a study, `study.source.prompt`; of a policy, its own.
        policy: of `cclib.choose_policy`, or `cclib.Policy.load`. It brings its scores, thresholds and probes.
            Of the models those that it names are asked, if they are what it was proven with: the same
            weights, in the same precision, with the same prompt. Passes run to their end, also where it
            is charged for ending them early: who answers is the same, the seconds are not.
        device: of models that are named, as `cclib.load_model` takes it.

    Returns:
        Who answered what, and the wall time of each stage. The seconds of `live_cascade([last], ...)`
        are what the cascade competes with.

    Raises:
        ValueError: no questions, or open ones; models that are not what the policy was proven with.
    """
    if not questions:
        raise ValueError("there are no questions to answer; give at least one")
    refuse_duplicates(questions, "questions")
    policy, stages = _ready(models, probes, pt, pik, prompt, policy, device)
    return _run(policy, stages, questions, store, {}, {})


def _ready(
    models: Models | None,
    probes: Sequence[PIK | None] | None,
    pt: float,
    pik: float | None,
    prompt: str | Prompt | None,
    policy: Policy | None,
    device: str | None = None,
) -> tuple[Policy, list[Loaded]]:
    """The policy, and its loaded models in the order of its stages."""
    if policy is None:
        return _by_thresholds(models, probes, pt, pik, prompt, device)
    if probes is not None or (pt, pik) != THRESHOLDS:
        raise ValueError("a policy brings its own probes and thresholds; leave probes, pt and pik out")
    named = {stage.model: stage.name or stage.model for stage in policy.stages}
    if models is None or isinstance(models, Mapping):
        given = named | dict(models or {})
        absent = [s.model for s in policy.stages if s.recorded and s.model not in (models or {})]
    else:
        given = {_slug(m): m for m in (expand_family(models) if isinstance(models, str) else models)}
        absent = [name for name in named if name not in given]
    if strange := [name for name in given if isinstance(models, Mapping) and name not in named]:
        raise ValueError(f"this policy asks {', '.join(named)}, and {', '.join(strange)} is none of them")
    if of_records := [s.model for s in policy.stages if s.recorded and s.model in absent]:
        raise ValueError(
            f"{', '.join(of_records)}: this policy was proven with answers on record, and no model's weights "
            f"or prompt are; say whom to ask: --as {of_records[0]}=openai:NAME, or in Python "
            f'models={{"{of_records[0]}": "openai:NAME"}}'
        )
    if absent:
        raise ValueError(
            f"this policy asks {', '.join(named)}, found {', '.join(given)}: {', '.join(absent)} is "
            "missing; give those models, or choose a policy for these"
        )
    return policy, [_loaded_for(stage, given[stage.model], prompt, device) for stage in policy.stages]


def _loaded_for(
    stage: Stage, model: str | Path | Loaded, prompt: str | Prompt | None, device: str | None
) -> Loaded:
    """A policy's model, in the precision and with the prompt that it was proven with, or an error."""
    if stage.reads_p_ik and stage.probe is None:
        raise ValueError(
            f"this policy reads P(IK) of {stage.model} and has no probe for it, as it was chosen from "
            "recorded P(IK); choose it from a study with hidden states, whose probes it keeps"
        )
    if isinstance(model, str | Path):
        model = load_model(model, device=device, dtype=stage.dtype or "auto")
    if prompt is not None:
        model = model.asked(prompt)
    elif stage.prompt and model.provenance()["prompt_hash"] != stage.prompt_hash:
        model = model.asked(stage.prompt)
    stage.check(model.provenance())
    return model


def _by_thresholds(
    models: Models | None,
    probes: Sequence[PIK | None] | None,
    pt: float,
    pik: float | None,
    prompt: str | Prompt | None,
    device: str | None,
) -> tuple[Policy, list[Loaded]]:
    """The paper's rule as a policy of these models, smallest first; the thresholds are checked first."""
    check_thresholds(pt, pik)
    names = expand_family(models) if isinstance(models, str) else list(models or ())
    if not names:
        raise ValueError("models must be one or more, smallest first; found none")
    loaded = [load_model(m, device=device) if isinstance(m, str | Path) else m for m in names]
    if prompt is not None:
        loaded = [m.asked(prompt) for m in loaded]
    sizes = [m.parameters for m in loaded if m.parameters]
    if sizes != sorted(sizes):
        raise ValueError(f"stages go smallest first, found {[m.slug for m in loaded]}; turn the list round")
    probes = [None] * len(loaded) if probes is None else probes
    if len(probes) != len(loaded):
        raise ValueError(f"expected one probe (or None) a model, {len(loaded)}, found {len(probes)}")
    stages = []
    for model, probe in list(zip(loaded, probes))[:-1]:
        known = probe is not None and pik is not None and not is_api(model.name)
        keep = [Condition(Score("P(IK)"), pik)] if known else []
        stages.append(Stage(model.slug, keep=(*keep, Condition(Score("P(T)"), pt)), probe=probe))
    return Policy("the paper's rule", (*stages, Stage(loaded[-1].slug))), loaded


def _run(
    policy: Policy,
    models: Sequence[Loaded],
    questions: Sequence[Question],
    store: str | Path | None,
    rows: dict[int, list[dict]],
    read: dict[int, Readings],
) -> LiveRun:
    """Put the questions to the stages that the policy names; fills in each stage's rows and readings."""
    if bare := next((q for q in questions if not q.choices), None):
        raise ValueError(
            f"question {bare.id} is open, and a live cascade answers questions with options; give it choices"
        )
    k, n = len(models), len(questions)
    prediction, seconds = np.zeros(n, int), np.zeros(k)
    tokens, passes = np.zeros((k, n, 2)), np.zeros((k, n))

    def decide(i: int, reached: np.ndarray) -> np.ndarray:
        began, some = time.perf_counter(), [questions[j] for j in reached]
        probe = policy.stages[i].probe if policy.stages[i].reads_p_ik else None
        rows[i] = _answer(models[i], some, probe, store)
        read[i] = _readings(some, rows[i], probe)
        go_on = policy.decide(i, read[i])
        seconds[i] = time.perf_counter() - began
        for j, row in zip(reached, rows[i]):
            prediction[j] = SET_ASIDE if row["prediction"] is None else row["prediction"]
            tokens[i, j] = [row[kind] or 0 for kind in ("prompt_tokens", "output_tokens")]
            passes[i, j] = row.get("seconds") or 0.0
        return go_on

    stage, asked, abstained = policy.steps(_alone(policy, models[0], questions), decide)
    names = tuple(m.name for m in models)
    return LiveRun(stage, prediction, seconds, names, asked, abstained, tokens, passes)


def _alone(policy: Policy, first: Loaded, questions: Sequence[Question]) -> Readings:
    """What is known of the questions before any pass; an API tells lengths only afterwards."""
    lengths = None
    if any(stage.start for stage in policy.stages) and not is_api(first.name):
        from cclib.confidence.forward import encode_questions

        lengths = np.array([len(ids) for ids in encode_questions(first, questions)], float)
    return Readings(len(questions), np.array([q.subject for q in questions]), lengths, texts(questions))


def _readings(questions: Sequence[Question], rows: Sequence[dict], probe: PIK | None) -> Readings:
    """What a stage's pass gave of the questions that reached it; NaN where an endpoint set one aside."""
    probs = np.full((len(rows), max(len(q.choices) for q in questions)), np.nan)
    for row, into in zip(rows, probs):
        into[: len(row.get("option_probs") or ())] = row.get("option_probs") or ()
    hidden = None if probe is None else np.stack([r["hidden"] for r in rows]).astype(np.float32)
    return Readings(
        len(rows),
        np.array([q.subject for q in questions]),
        np.array([r["prompt_tokens"] for r in rows], float),
        texts(questions),
        np.array([r.get("p_t") for r in rows], float),
        None if probe is None else probe.probability(hidden),
        probs,
    )


def _answer(
    model: Loaded, questions: Sequence[Question], probe: PIK | None, store: str | Path | None
) -> list[dict]:
    """Trace rows in the order of the questions, with hidden states where a probe reads them."""
    from cclib.confidence.p_t import answer_questions
    from cclib.models.api import answer_by_api

    if not is_api(model.name):
        parts = answer_questions(
            model, questions, None if probe is None else probe.layer, hidden=probe is not None
        )
    elif store is None:
        parts = answer_by_api(model, questions)
    elif unjudged := next((q.id for q in questions if q.answer is None), None):
        raise ValueError(
            f"question {unjudged} has no right answer on record, and a store keeps only what can be judged; "
            "leave store out"
        )
    else:
        parts = [collect(model, questions, store, prompt=model.prompt).table.to_pylist()]
    by_id = {row["question_id"]: row for rows in parts for row in rows}
    return [by_id[q.id] for q in questions]


def _step(stage: Stage, readings: Readings, row: dict, last: bool) -> Step:
    """What a stage made of the one question that was read."""
    thresholds = {c.score.kind: c.threshold for c in stage.keep}
    others = tuple(
        (c.score.label, float(c.score.of(readings)[0]), c.threshold)
        for c in stage.keep
        if c.score.kind not in ("P(T)", "P(IK)")
    )
    aside = row["prediction"] is None
    return Step(
        stage.model,
        float(readings.p_t[0]),
        None if readings.p_ik is None else float(readings.p_ik[0]),
        SET_ASIDE if aside else row["prediction"],
        thresholds.get("P(T)"),
        thresholds.get("P(IK)"),
        last,
        aside=row["note"] if aside else "",
        others=others,
    )


def _slug(model: str | Path | Loaded) -> str:
    return slug(model) if isinstance(model, str | Path) else model.slug
