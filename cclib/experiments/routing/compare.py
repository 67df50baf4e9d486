"""Every router and every cascade of Appendix A on one pair of models, on the same questions.

The pair is a study's smallest and largest model; or the first that is known by its answers alone and the
largest, where what stands before is a proxy (`answers_only`). Routers learn from the training part,
thresholds are chosen on the validation part, and both need the large model's answers there: `compare`
records them, or finds them in an export that has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse

from cclib import cost
from cclib.experiments.answers_only import first_bare, study_methods
from cclib.experiments.estimators import estimate_all
from cclib.experiments.routing import frontier, routers
from cclib.experiments.routing.frontier import Method, Setting
from cclib.policies.gate import texts
from cclib.study import Study
from cclib.traces import Trace

NO_TEXTS = "the questions' texts are not at hand in a replayed edition"
NO_LARGE = "the large model's answers to the training questions are not recorded here"
LEARNED = "labelled training questions"

# name: source, function; each is tried on both kinds of features
LEARNERS: dict[str, tuple[str, Callable]] = {
    "linear": ("RouterBench", routers.linear),
    "nearest neighbours": ("RouterBench", routers.nearest_neighbours),
    "quality gap": ("Hybrid-LLM", routers.quality_gap),
    "similarity-weighted": ("RouteLLM", routers.similarity_weighted),
    "matrix factorisation": ("RouteLLM", routers.matrix_factorisation),
    "Elo of neighbours": ("Eagle", routers.eagle),
}
LOOKS_UP = {"nearest neighbours", "similarity-weighted", "Elo of neighbours"}  # compare with all of training
STRENGTH = {"words": 1.0, "hidden state": 0.01}  # of linear models; dense features need more restraint


@dataclass(frozen=True)
class Comparison:
    """All methods on one pair, and what they are judged and tuned on."""

    names: tuple[str, str]  # small, large
    test: Setting
    validation: Setting | None
    methods: list[Method]


def compare(study: Study) -> Comparison:
    """Score the test and validation questions with everything that this edition can run.

    Raises:
        ValueError: the study has one model only.
    """
    if len(study.models) < 2:
        raise ValueError(f"routing needs two models or more, found {study.models}")
    bare = first_bare(study)
    more = [] if bare is None else study_methods(study, bare)
    if bare:  # what comes before is a proxy, and no model of the pair
        study = study.without(bare)
    small, large = study.test[0], study.test[-1]
    sizes = cost.stage_sizes([small, large])
    ratio = float(sizes[0] / sizes[1])
    estimates, _ = estimate_all(study)
    methods = [*more, *(frontier.from_estimate(e, ratio) for e in estimates)]
    test = Setting(small.correct, large.correct, ratio)
    train_large, valid_large = study.part(-1, "train"), study.part(-1, "validation")
    if study.live and study.part(0, "train") is not None and train_large is not None:
        methods += learned(study, train_large)
    else:  # the large model's answers are on record where it has a probe
        methods += _replayed(study, train_large)
    validation = None
    valid_small = study.part(0, "validation")
    if valid_small is not None and valid_large is not None:
        validation = Setting(valid_small.correct, valid_large.correct, ratio)
    return Comparison((study.models[0], study.models[-1]), test, validation, methods)


def learned(study: Study, train_large: Trace) -> list[Method]:
    """Every router that learns from a study's training part, and the large model's answers to it."""
    parts: list[Trace] = [study.part(0, "train"), study.part(0, "validation"), study.test[0]]
    asked = [study.questions_of(t) for t in parts]
    read = [texts(qs) for qs in asked]
    small, large = parts[0].correct, train_large.correct
    last = study.test[-1]
    flops = cost.stage_cost(last, per_token=True).mean()  # of the large model's pass
    if np.isnan(flops):  # its tokens are not known: one at least, which charges a router too much
        flops = cost.stage_cost(last, cost.stage_sizes([study.test[0], last])[-1]).mean()
    n = len(parts[2])
    features: dict[str, tuple[list, float]] = {"words": (routers.words(*read), 0.0)}
    if all(t.hidden is not None for t in parts):
        depth = (parts[0].hidden_layer or 1) / (parts[0].n_layers or 1)
        features["hidden state"] = (routers.standardised(*(t.hidden for t in parts)), depth)
    methods = []
    for kind, (x, depth) in features.items():
        new = sparse.vstack(x[2:0:-1]).tocsr() if sparse.issparse(x[0]) else np.concatenate(x[2:0:-1])
        width = new.nnz / new.shape[0] if sparse.issparse(new) else new.shape[1]
        for name, (source, function) in LEARNERS.items():
            options = {"strength": STRENGTH[kind]} if name in ("linear", "quality gap") else {}
            score = function(x[0], small, large, new, **options)
            work = 2 * width * (len(small) if name in LOOKS_UP else 2)
            needs = f"{kind} of the question; {LEARNED}"
            methods.append(
                Method(f"{name}, {kind}", source, needs, score[:n], score[n:], depth, float(work / flops))
            )
    if "hidden state" in features and all(t.option_probs is not None for t in parts):
        x = [
            np.hstack([f, routers.options(t.option_probs)])
            for f, t in zip(features["hidden state"][0], parts)
        ]
        gap = [routers.linear(x[0], small, large, part, STRENGTH["hidden state"]) for part in x[2:0:-1]]
        needs = f"hidden state and option probabilities; {LEARNED}"
        methods.append(Method("linear, hidden state and options", "combination", needs, *gap, depth=1.0))
    skill = [np.array([q.subject for q in qs]) for qs in asked]
    gaps = [routers.profile(skill[0], small, large, s) for s in (skill[2], skill[1])]
    methods.append(Method("benchmark profile", "Shnitzer et al.", f"the subject; {LEARNED}", *gaps))
    if any(t.column("prediction") is None for t in parts):
        return methods
    said = [
        [
            (text, dict(enumerate(q.choices)).get(a, ""))
            for text, q, a in zip(part, qs, t.column("prediction"))
        ]
        for part, qs, t in zip(read, asked, parts)
    ]
    x = routers.words_with_answer(*said)
    wrong = [1 - routers.probability_right(x[0], small, part) for part in x[2:0:-1]]
    needs = f"words of question and answer; {LEARNED}"
    return [*methods, Method("scorer of question and answer", "FrugalGPT", needs, *wrong, depth=1.0)]


def _replayed(study: Study, train_large: Trace | None) -> list[Method]:
    """What can be run where texts, hidden states or the large model's training answers are not at hand."""
    train, validation, test = study.train[0], study.validation[0], study.test[0]
    no_large = [NO_LARGE] if train_large is None else []
    absent = {
        "words": [] if study.questions else [NO_TEXTS],
        "hidden state": [] if test.hidden is not None else ["no hidden states are recorded here"],
    }
    reasons = {kind: "; ".join([*why, *no_large]) for kind, why in absent.items()}
    methods = [
        Method(f"{name}, {kind}", source, f"{kind} of the question; {LEARNED}", missing=why)
        for kind, why in reasons.items()
        for name, (source, _) in LEARNERS.items()
    ]
    profile = partial(Method, "benchmark profile", "Shnitzer et al.", f"the subject; {LEARNED}")
    scorer = partial(
        Method, "scorer of subject, letter and options", "after FrugalGPT, without text",
        f"subject, chosen letter and sorted option probabilities; {LEARNED}",
    )  # fmt: skip
    if train is None:
        return [*methods, profile(missing=NO_LARGE), scorer(missing="no training answers are recorded here")]
    large = None if train_large is None else train_large.correct
    parts = [part for part in (test, validation) if part is not None]
    gaps = [
        routers.profile(train.column("subject"), train.correct, large, part.column("subject"))
        for part in parts
    ]
    methods.append(profile(*gaps))
    if train.option_probs is None:
        return [*methods, scorer(missing=NO_TEXTS)]
    x = [_subject_and_answer(t, train) for t in (train, *parts)]
    wrong = [1 - routers.probability_right(x[0], train.correct, part, 0.1) for part in x[1:]]
    return [*methods, scorer(*wrong, depth=1.0)]


def _subject_and_answer(trace: Trace, train: Trace) -> np.ndarray:
    """(n, s + c + c) subject and chosen letter as ones, and the log-probabilities of the options, sorted."""
    subjects = np.unique(train.column("subject"))
    letters = np.arange(train.option_probs.shape[1])
    return np.hstack(
        [
            trace.column("subject")[:, None] == subjects,
            trace.column("prediction")[:, None] == letters,
            routers.options(trace.option_probs),
        ]
    ).astype(float)
