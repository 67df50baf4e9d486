"""P(T) without what its letter has anyway: a prior from other questions, from empty ones, from other orders.

A letter's probability is in part the letter's own (Zhao et al. 2021; Zheng et al. 2024). What it is whatever
stands behind it is its *prior*; dividing by it changes how sure an answer is, and which answer it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import softmax

from cclib import stats
from cclib.experiments.estimators.estimate import NO_PROBS, REPLAYED, Estimate
from cclib.experiments.letter_counts import places
from cclib.experiments.results import of_the_kept, points_above
from cclib.models.local import LanguageModel
from cclib.prompts import LETTERS
from cclib.questions import Question, spread
from cclib.study import Study
from cclib.traces import Trace

FEW = 30  # questions of a number of options, below which no prior is taken from them
EMPTY = ("N/A", "[MASK]", "")  # Zhao et al.'s inputs without content
SAMPLE = 100  # questions whose options are turned round for a prior
AS_READ, TINY = "as read", np.finfo(float).tiny

PRIOR = Estimate("P(T) without the letters' prior", "Zhao et al.; Zheng et al.", "other questions, no labels")
EMPTIED = Estimate("contextual calibration", "Zhao et al.", "a few inputs without content")
PRIDE = Estimate("PriDe", "Zheng et al.", "other orders of some questions' options")
MEAN = Estimate("mean over orders", "Zheng et al.", "a pass for each order of the options")
AGREE = Estimate("agreement over orders", "Zheng et al.", "a pass for each order of the options")

Priors = Mapping[int, np.ndarray]  # by the number c of options: (c,), summing to one


def count(probs: np.ndarray) -> np.ndarray:
    """(n,) options of each row of (n, c), which ends in NaN where there are fewer."""
    return np.isfinite(probs).sum(axis=1)


def geometric_priors(probs: np.ndarray) -> dict[int, np.ndarray]:
    """Each letter's geometric mean over questions, for every number of options that enough of them have.

    Args:
        probs: (n, c) probabilities of the options of questions whose right answers need not be known. A zero
            (a number too small to be kept) counts as the least that its letter has elsewhere.

    Raises:
        ValueError: a letter has no probability in any question.
    """
    found, n_options = {}, count(probs)
    for c in np.unique(n_options[n_options > 1]):
        rows = probs[n_options == c, :c]
        rows = rows[rows.sum(axis=1) > 0]
        if len(rows) < FEW:
            continue
        if never := [LETTERS[i] for i in np.flatnonzero((rows == 0).all(axis=0))]:
            raise ValueError(
                f"option {never[0]} has no probability in any of {len(rows)} questions of {c} options, so "
                "its prior cannot be taken out"
            )
        least = np.where(rows > 0, rows, np.inf).min(axis=0)
        logs = np.log(np.maximum(rows, least) / rows.sum(axis=1, keepdims=True))
        found[int(c)] = softmax(logs.mean(axis=0))
    return found


def taken_out(probs: np.ndarray, priors: Priors | Sequence[Priors]) -> np.ndarray:
    """(n, c) probabilities divided by the letters' prior; all options together keep what they had.

    Args:
        priors: for all rows, or for each. A row of another number of options stays as it is.
    """
    each = [priors] * len(probs) if isinstance(priors, Mapping) else priors
    prior = np.ones(probs.shape)
    for row, (known, c) in enumerate(zip(each, count(probs))):
        prior[row, :c] = known.get(int(c), 1.0)
    share = probs / prior
    total = np.nansum(share, axis=1, keepdims=True)
    mass = np.nansum(probs, axis=1, keepdims=True)
    return share * np.divide(mass, total, out=np.ones_like(mass), where=total > 0)


def turned(question: Question, by: int) -> Question:
    """The question with its options moved on by some places, the last ones to the front."""
    c = len(question.choices)
    order = [(place - by) % c for place in range(c)]  # which option stands at each letter
    choices = tuple(question.choices[i] for i in order)
    return replace(question, choices=choices, answer=order.index(question.answer))


def orders(model: LanguageModel, questions: Sequence[Question], trace: Trace) -> pd.DataFrame:
    """The questions in every other order of a cycle of their options, each read in a pass; a row a question.

    Orders of one question share their beginning, which a pack reads once.

    Returns:
        (n,) columns `mean`: each option's mean probability over all its places, the recorded one among them;
        `letters`: each letter's mean log-probability over what stood behind it, among the options; `agree`:
        share of the orders in which the recorded answer's text is chosen; `tokens` of the further passes.
    """
    from cclib.confidence.p_t import answer_questions

    asked = [
        replace(turned(q, by), id=f"{i} {by}")
        for i, q in enumerate(questions)
        for by in range(1, len(q.choices))
    ]
    read = {row["question_id"]: row for rows in answer_questions(model, asked, hidden=False) for row in rows}
    made = []
    for i, (question, own) in enumerate(zip(questions, trace.option_probs)):
        c = len(question.choices)
        passes = [read[f"{i} {by}"] for by in range(1, c)]
        by_letter = np.array([own[:c], *(row["option_probs"] for row in passes)])  # (c, c): order, letter
        by_option = np.array([np.roll(row, -by) for by, row in enumerate(by_letter)])
        said = trace.column("prediction")[i]
        share = by_letter / np.maximum(by_letter.sum(axis=1, keepdims=True), TINY)
        made.append(
            {
                "mean": by_option.mean(axis=0),
                "letters": np.log(np.maximum(share, TINY)).mean(axis=0),
                "agree": (by_option.argmax(axis=1) == said).mean(),
                "tokens": sum(row["prompt_tokens"] + 1 for row in passes),
            }
        )
    return pd.DataFrame(made)


def emptied(model: LanguageModel, questions: Sequence[Question]) -> pd.DataFrame:
    """The prompt of every subject and number of options without content; a row a prompt, with its `probs`."""
    from cclib.confidence.p_t import answer_questions

    kinds = sorted({(q.subject, len(q.choices)) for q in questions})
    asked = [
        Question(f"{subject}/{c}/{nothing}", subject, nothing, (nothing,) * c, answer=0)
        for subject, c in kinds
        for nothing in EMPTY
    ]
    kind_of = {q.id: (q.subject, len(q.choices)) for q in asked}
    rows = [row for rows in answer_questions(model, asked, hidden=False) for row in rows]
    return pd.DataFrame(
        {
            "subject": [kind_of[r["question_id"]][0] for r in rows],
            "options": [kind_of[r["question_id"]][1] for r in rows],
            "probs": [r["option_probs"] for r in rows],
            "tokens": [r["prompt_tokens"] + 1 for r in rows],
        }
    )


def without_letters(study: Study, stage: int, ask: bool = True, calibrated: bool = True) -> list[Estimate]:
    """How sure a model is of its answers without the letters' prior, and what it would answer then.

    Args:
        ask: whether a model that runs here reads other orders of the options, a pass for each.
        calibrated: whether it reads those of the validation part's questions too.
    """
    test, validation = study.test[stage], study.part(stage, "validation")
    if test.option_probs is None or test.column("prediction") is None:
        return [replace(e, missing=NO_PROBS) for e in (PRIOR, EMPTIED, PRIDE, MEAN, AGREE)]
    parts = [t for t in (test, validation) if t is not None]
    made = [_from_training(study, stage, parts)]
    if not study.runs(stage):
        return [*made, *(replace(e, missing=REPLAYED) for e in (EMPTIED, PRIDE, MEAN, AGREE))]
    questions = [q for t in parts for q in study.questions_of(t)]
    made.append(_from_empty(study, stage, parts, questions))
    if not ask:
        return [*made, *(replace(e, missing="other orders were not asked for") for e in (PRIDE, MEAN, AGREE))]
    return made + _from_orders(study, stage, parts if calibrated else parts[:1], questions)


def _from_training(study: Study, stage: int, parts: list[Trace]) -> Estimate:
    train = study.train[stage]  # the last model has none: its validation part has no labels to spoil either
    known, of = (train, "training") if train is not None else (parts[-1], "validation")
    if (train is None and len(parts) < 2) or known.option_probs is None:
        return replace(PRIOR, missing="no option probabilities of other questions are recorded here")
    try:
        priors = geometric_priors(known.option_probs)
    except ValueError as error:
        return replace(PRIOR, missing=str(error))
    n_options = count(parts[0].option_probs)
    left = int((~np.isin(n_options, list(priors))).sum())
    if left == len(n_options):
        return replace(PRIOR, missing=f"fewer than {FEW} {of} questions have as many options")
    note = f"from {len(known):,} {of} questions"
    if left:
        note += (
            f"; {left} of {len(n_options)} questions stay as they are: fewer than {FEW} have as many options"
        )
    return _made(replace(PRIOR, note=note), parts, [taken_out(t.option_probs, priors) for t in parts])


def _from_empty(study: Study, stage: int, parts: list[Trace], questions: list[Question]) -> Estimate:
    found = study.kept(stage, "emptied", EMPTY, lambda: emptied(study.model(stage), questions))
    priors: dict[str, dict[int, np.ndarray]] = {}
    for (subject, c), rows in found.groupby(["subject", "options"]):
        mean = np.stack(rows["probs"]).mean(axis=0)
        if not (mean > 0).all():
            return replace(EMPTIED, missing=f"without content, an option of {subject} has no probability")
        priors.setdefault(subject, {})[int(c)] = mean / mean.sum()
    options, each = [], iter(questions)
    for trace in parts:
        options.append(taken_out(trace.option_probs, [priors[next(each).subject] for _ in range(len(trace))]))
    extra = found["tokens"].sum() / _tokens(parts[0])
    return _made(replace(EMPTIED, extra=float(extra)), parts, options)


def _from_orders(study: Study, stage: int, parts: list[Trace], questions: list[Question]) -> list[Estimate]:
    def ask() -> pd.DataFrame:
        ends = np.cumsum([len(t) for t in parts])
        read = zip(parts, np.split(np.arange(ends[-1]), ends[:-1]))
        return pd.concat(
            [orders(study.model(stage), [questions[i] for i in rows], t) for t, rows in read],
            ignore_index=True,
        )

    found, n, tokens = study.kept(stage, "orders", len(parts), ask), len(parts[0]), _tokens(parts[0])
    each = [found[:n], found[n:]][: len(parts)]
    width = [t.option_probs.shape[1] for t in parts]
    mean = [_matrix(rows["mean"], w) for rows, w in zip(each, width)]
    extra = float(each[0]["tokens"].sum() / tokens)
    sample = pd.DataFrame(each[-1].iloc[spread(range(len(each[-1])), SAMPLE)])
    by_count = sample["letters"].groupby(sample["letters"].map(len))
    priors = {c: np.mean([softmax(one) for one in rows], axis=0) for c, rows in by_count}
    pride = replace(PRIDE, extra=float(sample["tokens"].sum() / tokens), note=f"from {len(sample)} questions")
    agree = [rows["agree"].to_numpy() for rows in each]
    return [
        _made(pride, parts, [taken_out(t.option_probs, priors) for t in parts]),
        _made(replace(MEAN, extra=extra), parts, mean),
        replace(AGREE, score=agree[0], validation=agree[1] if len(agree) > 1 else None, extra=extra),
    ]


def _tokens(trace: Trace) -> float:
    return float((trace.prompt_tokens + trace.output_tokens).sum())


def _matrix(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    """(n, c) of rows that end in NaN where they are shorter."""
    return np.array([np.pad(np.asarray(r, float), (0, width - len(r)), constant_values=np.nan) for r in rows])


def _made(estimate: Estimate, parts: list[Trace], options: list[np.ndarray]) -> Estimate:
    """The estimate with the (n, c) probabilities that it gives the options, and so the recorded answers."""
    scores = []
    for trace, probs in zip(parts, options):
        said = places(trace.column("prediction"))
        scores.append(np.where(said < 0, 0.0, np.nan_to_num(probs)[np.arange(len(said)), said]))
    return replace(
        estimate, score=scores[0], validation=scores[1] if len(scores) > 1 else None, options=options[0]
    )


def own_answers(test: Trace, estimates: Sequence[Estimate], pt: float) -> pd.DataFrame:
    """What a model's answers become where an estimate chooses them too, a row an estimate; the first as read.

    "kept" is of questions whose likeliest option has at least `pt`. Empty where the right letters are not on
    record.
    """
    answer = places(test.column("answer"))
    ways = {AS_READ: (test.correct, test.p_t, 0.0)} if test.p_t is not None else {}
    for e in estimates:
        if e.options is not None and answer is not None:
            probs = np.nan_to_num(e.options)
            ways[e.name] = (
                (probs.argmax(axis=1) == answer) & (probs.sum(axis=1) > 0),
                probs.max(axis=1),
                e.extra,
            )
    rows = {}
    for name, (right, p_t, extra) in ways.items() if len(ways) > 1 else ():
        points, interval = points_above(right, test.correct)
        rows[name] = {
            "accuracy": stats.accuracy(right),
            "accuracy interval": stats.accuracy_interval(right),
            "points above as read": np.nan if name == AS_READ else points,
            "points above as read, interval": stats.NO_INTERVAL if name == AS_READ else interval,
            "AUROC": stats.auroc(right, p_t),
            "AUROC interval": stats.auroc_interval(right, p_t),
            **of_the_kept(right, p_t >= pt),
            "extra cost": extra,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("P(T)")
