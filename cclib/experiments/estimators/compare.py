"""All of Appendix A's estimators on one model of a study, on equal terms.

What asks the model again, or reads other layers, is kept in the model's folder of traces, so the second
chapter that wants it does not run the model. What cannot be had is an `Estimate` that says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cclib.experiments import probe_scans
from cclib.experiments.estimators import estimate, option_letters, prompted, sampled
from cclib.experiments.estimators.estimate import REPLAYED, Estimate
from cclib.prompts import LETTERS
from cclib.study import Study
from cclib.traces import Trace

LEARNED = "logistic on "
# name: source, what it needs, who asks
ASKED = {
    "P(True)": ("Kadavath et al.", "an extra prompt", prompted.is_it_true),
    "P(IK) by prompt": ("Mahaut et al.", "an extra prompt", prompted.do_you_know),
    "verbalised confidence": ("Lin et al.", "an extra prompt, generated text", prompted.how_sure),
    "top-k prompting": ("Tian et al.", "an extra prompt, generated text", prompted.best_guesses),
}
TEMPLATES = [prompted.IS_IT_TRUE, prompted.DO_YOU_KNOW, prompted.HOW_SURE, prompted.BEST_GUESSES]


def estimate_all(
    study: Study, stage: int = 0, calibrated: bool = True, orders: bool = True
) -> tuple[list[Estimate], np.ndarray | None]:
    """Every estimator of Appendix A for multiple-choice questions, on one model of a study.

    Args:
        calibrated: ask a model anew about the validation part too: what Brier score and ECE need, and
            AUROC does not.
        orders: whether a model that runs here reads every question in other orders of its options too.

    Returns:
        The estimates, and the (v,) right and wrong answers to the validation part (None where not recorded).
    """
    test, validation, train = study.test[stage], study.part(stage, "validation"), study.train[stage]
    estimates = estimate.from_one_pass(test, validation) + _sampled(test, validation, study.seed)
    estimates += option_letters.without_letters(study, stage, orders, calibrated)
    if study.runs(stage):
        estimates += [_asked_anew(study, stage, kind, calibrated) for kind in ASKED]
        if train is not None and train.hidden is not None:
            estimates += _layers(study, stage)
    else:
        estimates += [_on_record(kind, test, validation) for kind in ASKED]
        other = Estimate("P(IK) by probe, other layers", "Kadavath et al.", "hidden states")
        estimates.append(replace(other, missing="no hidden states of other layers are recorded here"))
    labels = None if validation is None else validation.correct
    return estimates + _combined(estimates, labels), labels


def _asked_anew(study: Study, stage: int, kind: str, calibrated: bool) -> Estimate:
    function, test = ASKED[kind][2], study.test[stage]

    def ask() -> pd.DataFrame:
        validation = study.part(stage, "validation") if calibrated else None
        traces = [t for t in (test, validation) if t is not None]
        questions = [q for t in traces for q in study.questions_of(t)]
        said = np.concatenate([t.column("prediction") for t in traces])
        answers = [f"{LETTERS[a]}. {q.choices[a]}" for q, a in zip(questions, said)]
        more = () if function is prompted.do_you_know else (answers,)
        score, tokens, share = function(study.model(stage), questions, *more)
        return pd.DataFrame({"score": score, "tokens": tokens, "answered": share})

    made_of = TEMPLATES if calibrated else [*TEMPLATES, "test"]
    found, n = study.kept(stage, function.__name__, made_of, ask), len(test)
    score, tokens = found["score"].to_numpy(), found["tokens"].to_numpy()
    share = found["answered"].iloc[0]
    note = "" if share == 1 else f"a number came back for {share:.0%} of the questions"
    checked = score[n:] if len(score) > n else None
    return _asked(kind, test, score[:n], tokens[:n], checked, note)


def _layers(study: Study, stage: int) -> list[Estimate]:
    """The probe at every layer but the one that the answering pass read."""
    found, test = probe_scans.scan(study, stage), study.test[stage]
    return [
        Estimate(
            f"P(IK) by probe, layer {layer} of {len(found)}",
            "Kadavath et al.",
            "hidden states; labelled training questions",
            row["test"],
            row["validation"],
            extra=estimate.probe_extra(test),
            depth=layer / len(found),
        )
        for layer, row in found.iterrows()
        if layer != test.hidden_layer
    ]


def _on_record(kind: str, test: Trace, validation: Trace | None) -> Estimate:
    """What an export holds of a model that was asked again."""
    source, needs, function = ASKED[kind]
    score = test.column(function.__name__)
    if score is None:
        return Estimate(kind, source, needs, missing=REPLAYED)
    checked = None if validation is None else validation.column(function.__name__)
    return _asked(kind, test, score, test.column(f"{function.__name__}_tokens"), checked)


def _asked(
    kind: str,
    test: Trace,
    score: np.ndarray,
    tokens: np.ndarray,
    validation: np.ndarray | None,
    note: str = "",
) -> Estimate:
    source, needs, function = ASKED[kind]
    extra = float(np.mean(tokens) / (test.prompt_tokens + test.output_tokens).mean())
    depth = 0.0 if function is prompted.do_you_know else 1.0  # it asks before any answer
    return Estimate(kind, source, needs, score, validation, extra, depth, note=note)


def _sampled(test: Trace, validation: Trace | None, seed: int) -> list[Estimate]:
    """Self-consistency and semantic entropy of k draws from the option probabilities."""
    k = sampled.SAMPLES
    kinds = {"self-consistency": "Wang et al.", "semantic entropy": "Kuhn et al."}
    if test.option_probs is None or test.column("prediction") is None:
        reason = "no samples and no option probabilities are recorded here"
        return [Estimate(n, s, f"{k} samples", missing=reason) for n, s in kinds.items()]
    made: dict[str, list] = {n: [None, None] for n in kinds}
    for i, trace in enumerate(t for t in (test, validation) if t is not None):
        drawn = sampled.draw_options(trace.option_probs, k, seed)
        made["self-consistency"][i] = sampled.agreement(drawn, trace.column("prediction"))
        made["semantic entropy"][i] = -sampled.semantic_entropy(drawn)
    tokens = test.prompt_tokens
    extra = float(np.mean(k / (tokens + 1.0))) if tokens is not None else 0.0
    note = f"{k} letters drawn after one reading of the prompt"
    return [
        Estimate(n, s, f"{k} samples", *made[n], extra, is_probability=n == "self-consistency", note=note)
        for n, s in kinds.items()
    ]


def _combined(estimates: Sequence[Estimate], labels: np.ndarray | None) -> list[Estimate]:
    by_name = {e.name: e for e in estimates}
    made = []
    for parts in (("P(T)", "P(IK) by probe"), ("P(T)", "P(IK) by probe", "margin", "predictive entropy")):
        name = LEARNED + (" and ".join(parts) if len(parts) == 2 else "all of the one pass")
        if labels is None:
            reason = "the answers to the validation part are not recorded here"
            made.append(Estimate(name, "learned on the validation part", "hidden states", missing=reason))
        else:
            made.append(estimate.combination(name, [by_name[p] for p in parts], labels))
    return made
