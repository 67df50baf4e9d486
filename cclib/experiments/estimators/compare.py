"""All of Appendix A's estimators on one model of a study, on equal terms.

What asks the model again, or reads other layers, is kept in the model's folder of traces, so the second
chapter that wants it does not run the model. What cannot be had is an `Estimate` that says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cclib.benchmarks import load_benchmark
from cclib.experiments.estimators import estimate, sampled
from cclib.experiments.estimators.estimate import Estimate
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.names import expand_family, runs_here
from cclib.prompts import LETTERS
from cclib.questions import Question
from cclib.recording import collect
from cclib.study import Study
from cclib.traces import Trace

REPLAYED = "it asks the model, and this edition replays recorded answers"
LEARNED = "logistic on "
# name, source, what it needs; the functions are found when a model is at hand
ASKED = {
    "P(True)": ("Kadavath et al.", "an extra prompt", "is_it_true"),
    "P(IK) by prompt": ("Mahaut et al.", "an extra prompt", "do_you_know"),
    "verbalised confidence": ("Lin et al.", "an extra prompt, generated text", "how_sure"),
    "top-k prompting": ("Tian et al.", "an extra prompt, generated text", "best_guesses"),
}


def estimate_all(
    study: Study,
    models: str | Sequence[str],
    which: int = 0,
    data_dir: str | Path | None = None,
    traces_dir: str | Path = "traces",
    device: str | None = None,
) -> tuple[list[Estimate], np.ndarray | None]:
    """Every estimator of Appendix A for multiple-choice questions, on one model of a study.

    Args:
        models: as given to `load_study`.
        which: the model's place in the study.

    Returns:
        The estimates, and the (v,) right and wrong answers to the validation part (None where not recorded).
    """
    name = expand_family(models)[which]
    test, validation, train = study.test[which], study.validation[which], study.train[which]
    live = study.questions is not None and runs_here(name)
    if live and validation is None:  # the last stage: its trace has the test part only
        validation = record(study, name, "validation", data_dir, traces_dir, device)
    estimates = estimate.from_one_pass(test, validation)
    estimates += _sampled(test, validation, study.seed)
    if live:
        by_id = {q.id: q for q in load_benchmark(study.benchmark, data_dir)}
        keep = CachedRuns(name, Path(traces_dir) / study.models[which], test, validation, device)
        for kind in ASKED:
            tested, checked = keep.asked(kind, by_id)
            score, tokens = tested["score"].to_numpy(), tested["tokens"].to_numpy()
            share = tested["answered"].iloc[0]
            note = "" if share == 1 else f"a number came back for {share:.0%} of the questions"
            estimates.append(_asked(kind, test, score, tokens, checked["score"].to_numpy(), note))
        if train is not None and train.hidden is not None:
            estimates += keep.layers(train, by_id, study.seed)
    else:
        estimates += [_recorded(kind, test, validation) for kind in ASKED]
        other = Estimate("P(IK) by probe, other layers", "Kadavath et al.", "hidden states")
        estimates.append(replace(other, missing="no hidden states of other layers are recorded here"))
    labels = None if validation is None else validation.correct
    return estimates + _combined(estimates, labels), labels


def with_asked(
    study: Study,
    models: str | Sequence[str],
    which: int = 0,
    data_dir: str | Path | None = None,
    traces_dir: str | Path = "traces",
    device: str | None = None,
) -> Study:
    """The study with what a model said when asked again as columns of its traces, for `export_study`.

    Such an export can be replayed with P(True) and the like in its ranking.
    """
    by_id = {q.id: q for q in load_benchmark(study.benchmark, data_dir)}
    name = expand_family(models)[which]
    folder = Path(traces_dir) / study.models[which]
    keep = CachedRuns(name, folder, study.test[which], study.validation[which], device)
    parts = [study.test[which], study.validation[which]]
    for kind, (_, _, function) in ASKED.items():
        for i, found in enumerate(keep.asked(kind, by_id)):
            parts[i] = parts[i].with_column(function, found["score"].to_numpy())
            parts[i] = parts[i].with_column(f"{function}_tokens", found["tokens"].to_numpy())
    test, validation = (
        [new if i == which else t for i, t in enumerate(old)]
        for old, new in ((study.test, parts[0]), (study.validation, parts[1]))
    )
    return replace(study, test=test, validation=validation)


def _recorded(kind: str, test: Trace, validation: Trace | None) -> Estimate:
    """What an export holds of a model that was asked again."""
    source, needs, function = ASKED[kind]
    score = test.column(function)
    if score is None:
        return Estimate(kind, source, needs, missing=REPLAYED)
    checked = None if validation is None else validation.column(function)
    return _asked(kind, test, score, test.column(f"{function}_tokens"), checked)


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
    depth = 0.0 if function == "do_you_know" else 1.0  # it asks before any answer
    return Estimate(kind, source, needs, score, validation, extra, depth, note=note)


def record(
    study: Study,
    name: str,
    part: str,
    data_dir: str | Path | None = None,
    traces_dir: str | Path = "traces",
    device: str | None = None,
) -> Trace:
    """A model's answers to the questions that the study's first model was asked in a part."""
    by_id = {q.id: q for q in load_benchmark(study.benchmark, data_dir)}
    asked = next(t for t in getattr(study, part) if t is not None).question_id
    return collect(name, [by_id[i] for i in asked], store=traces_dir, device=device)


def _sampled(test: Trace, validation: Trace | None, seed: int) -> list[Estimate]:
    """Self-consistency and semantic entropy of k draws from the option probabilities."""
    k = sampled.SAMPLES
    kinds = {"self-consistency": "Wang et al.", "semantic entropy": "Kuhn et al."}
    if test.option_probs is None or test.column("prediction") is None:
        reason = "no samples and no option probabilities are recorded here"
        return [Estimate(n, s, f"{k} samples", missing=reason) for n, s in kinds.items()]
    made: dict[str, list] = {n: [] for n in kinds}
    for trace in (test, validation):
        if trace is None:
            for column in made.values():
                column.append(None)
            continue
        drawn = sampled.draw_options(trace.option_probs, k, seed)
        made["self-consistency"].append(sampled.agreement(drawn, trace.column("prediction")))
        made["semantic entropy"].append(-sampled.semantic_entropy(drawn))
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


class CachedRuns:
    """Runs a model where what is asked for is not yet in its folder of traces; loads it at most once."""

    def __init__(
        self, name: str, folder: Path, test: Trace, validation: Trace | None, device: str | None
    ) -> None:
        self.name, self.folder, self.device = name, folder, device
        self.parts = (test,) if validation is None else (test, validation)
        self._model: LanguageModel | None = None

    @property
    def model(self) -> LanguageModel:
        if self._model is None:
            self._model = load_model(self.name, device=self.device)
        return self._model

    def frame(self, what: str, made_of: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        rows = [
            (t.provenance.get("checksum"), t.question_id.tolist(), t.correct.tolist()) for t in self.parts
        ]
        key = hashlib.sha256(json.dumps([rows, made_of]).encode()).hexdigest()[:16]
        path = self.folder / f"{what}-{key}.parquet"
        if not path.exists():
            aside = path.with_suffix(".partial")
            make().to_parquet(aside)
            aside.replace(path)
        return pd.read_parquet(path)

    def asked(self, kind: str, by_id: dict[str, Question]) -> list[pd.DataFrame]:
        """What came back on the test and the validation part: columns score, tokens, answered."""
        from cclib.experiments.estimators import prompted

        function = ASKED[kind][2]

        def make() -> pd.DataFrame:
            questions = [by_id[i] for t in self.parts for i in t.question_id]
            said = np.concatenate([t.column("prediction") for t in self.parts])
            answers = [f"{LETTERS[a]}. {q.choices[a]}" for q, a in zip(questions, said)]
            more = () if function == "do_you_know" else (answers,)
            score, tokens, share = getattr(prompted, function)(self.model, questions, *more)
            return pd.DataFrame({"score": score, "tokens": tokens, "answered": share})

        templates = [prompted.IS_IT_TRUE, prompted.DO_YOU_KNOW, prompted.HOW_SURE, prompted.BEST_GUESSES]
        found, n = self.frame(function, templates, make), len(self.parts[0])
        return [found.iloc[:n], found.iloc[n:]]

    def layers(self, train: Trace, by_id: dict[str, Question], seed: int) -> list[Estimate]:
        from cclib.experiments import probe_scans

        def make() -> pd.DataFrame:
            parts = [(t, [by_id[i] for i in t.question_id]) for t in (train, self.parts[1], self.parts[0])]
            made = probe_scans.probe_layers(self.model, parts, seed)
            return pd.DataFrame({e.name: np.concatenate([e.score, e.validation]) for e in made})

        from cclib.confidence.p_ik import PIK

        found = self.frame("layers", [train.question_id.tolist(), seed, PIK.protocol()], make)
        n, extra = len(self.parts[0]), estimate.probe_extra(self.parts[0])
        return [
            Estimate(
                c, probe_scans.SOURCE, probe_scans.NEEDS, v[:n], v[n:], extra, depth=(at + 1) / found.shape[1]
            )
            for at, (c, v) in enumerate((c, column.to_numpy()) for c, column in found.items())
            if at + 1 != train.hidden_layer  # the answering pass read that one
        ]
