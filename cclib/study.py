"""A study: one family on one benchmark, split, answered, probed. What every chapter starts from.

The first chapter that asks for a study records its traces; the next ones replay them. An exported
study (`export_study`) is the same without hidden states and question texts, small enough to publish.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import pandas as pd

from cclib import prompts, replay
from cclib.benchmarks import development_questions, load_benchmark
from cclib.benchmarks.logged import LOGGED, logged_benchmark
from cclib.cascades import Cascade, cascade, chains, check_stages
from cclib.confidence.p_ik import PIK
from cclib.models.api_judge import APIJudge, find_judge, judge_name
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.names import expand_family, is_api, is_log, runs_here, slug
from cclib.prompts import Prompt
from cclib.questions import STRING_MATCH, Judge, Question, check_limit, check_parts, check_seed, split, spread
from cclib.recording import answers_of, by_rows, collect, recorded
from cclib.traces import Trace, read_trace

TRAIN_QUESTIONS = 4000  # enough for the probe's AUROC to level off; see H. Evaluation of P(IK)


@dataclass(frozen=True)
class Source:
    """Where a study comes from, and so where more of it can be had."""

    names: list[str]  # k, the models as they were named
    data_dir: str | Path | None = None  # of the benchmark's files
    traces_dir: str | Path = "traces"
    device: str | None = None
    judge: str | Judge | None = None  # of open answers
    outside: dict[str, Trace] = field(default_factory=dict, repr=False)  # known by their answers, by name
    parts: dict[str, list[str]] = field(default_factory=dict, repr=False)  # ids of each part's questions
    logged: list[Question] | None = None  # the questions of the logs, where these make the benchmark
    prompt: Prompt = field(default_factory=Prompt)
    loaded: WeakValueDictionary = field(default_factory=WeakValueDictionary, repr=False, compare=False)


@dataclass(frozen=True)
class Study:
    """Traces of k models on the parts of one benchmark, smallest model first."""

    models: list[str]  # k short names
    benchmark: str
    seed: int
    test: list[Trace]  # k, the same n questions in the same order; with p_ik where there is a probe
    train: list[Trace | None]  # k, what each probe was fitted on; None where none was
    validation: list[Trace | None]  # k, what each probe was stopped and calibrated on
    probes: list[PIK | None]  # k; the last stage needs none
    questions: list[Question] | None = None  # n test questions; None in an exported study
    notes: list[str] = field(default_factory=list)  # what is missing, and how to get it
    source: Source = field(default_factory=lambda: Source([]))

    def __len__(self) -> int:
        return len(self.test[0])

    @property
    def prompt(self) -> str:
        """The name of the prompt that the questions were put in."""
        named = self.source.prompt.name
        if named != prompts.AUTO:
            return named
        return next((t.provenance["prompt"] for t in self.test if "prompt" in t.provenance), prompts.TABLE_7)

    @property
    def live(self) -> bool:
        """Whether more can be asked: the questions are at hand. Of a replayed study, only traces are."""
        return self.questions is not None

    def runs(self, stage: int) -> bool:
        """Whether a stage's model can be asked more: it runs here, and the study is live."""
        return self.live and runs_here(self.source.names[stage])

    def folder(self, stage: int) -> Path:
        """Where a stage's trace is kept, and what else was worked out with its model."""
        return Path(self.source.traces_dir) / self.models[stage]

    def model(self, stage: int) -> LanguageModel:
        """A stage's loaded model, in the precision of its trace; the same one for as long as it is in use.

        Raises:
            ValueError: the study is replayed, or the stage is known by its answers only.
        """
        if not self.runs(stage):
            why = "its model is known by its answers only" if self.live else "this study is replayed"
            raise ValueError(
                f"{self.models[stage]} cannot be asked: {why}; load a study with models that run here"
            )
        found = self.source.loaded.get(self.models[stage])
        if found is None:
            dtype = self.test[stage].provenance.get("dtype") or "auto"
            found = load_model(self.source.names[stage], device=self.source.device, dtype=dtype)
        found = found.asked(self.source.prompt, is_open=not self.questions[0].choices)
        self.source.loaded[self.models[stage]] = found
        return found

    def record(self, stage: int, questions: Sequence[Question]) -> Trace:
        """A stage's answers to other questions, at the layer and in the precision of its trace."""
        about = self.test[stage].provenance
        return collect(
            self.source.names[stage],
            questions,
            store=self.source.traces_dir,
            layer=about.get("hidden_layer"),
            device=self.source.device,
            dtype=about.get("dtype") or "auto",
            prompt=self.source.prompt,
            judge=self.source.judge,
        )

    def part(self, stage: int, part: str) -> Trace | None:
        """A stage's trace of "train", "validation" or "test".

        What the study went without (the last model needs no probe) is recorded now, on the questions that
        another stage was asked, or taken from what is known of an outside stage; None where that cannot be.
        """
        traces = getattr(self, part)
        named = {slug(name): name for name in self.source.outside}
        if self.models[stage] in named:
            outside = self.source.outside[named[self.models[stage]]]
            ids = self.source.parts[part]
            return outside.select(ids) if {*ids} <= {*outside.question_id} else None
        asked = next((t for t in traces if t is not None), None)
        if traces[stage] is not None or asked is None or not self.runs(stage):
            return traces[stage]
        return self.record(stage, self.questions_of(asked))

    def whole(self, stage: int) -> Trace:
        """All that is on record of a stage's answers to this benchmark, made as its trace was."""
        judge = find_judge(self.source.judge, self.source.traces_dir)
        return recorded(self.folder(stage), self.test[stage], list(self.all_questions.values()), judge)

    def questions_of(self, trace: Trace) -> list[Question]:
        """The questions of a trace on this study's benchmark, row by row."""
        return [self.all_questions[i] for i in trace.question_id]

    @cached_property
    def all_questions(self) -> dict[str, Question]:
        """Every question of the benchmark by its id, in the benchmark's order."""
        logged = self.source.logged
        return {q.id: q for q in logged or load_benchmark(self.benchmark, self.source.data_dir)}

    def kept(self, stage: int, what: str, made_of: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table in the stage's folder, made where it is not there yet for these answers.

        Args:
            made_of: what else it depends on, as JSON can hold it.
        """
        parts = [t for t in (self.test[stage], self.part(stage, "validation")) if t is not None]
        key = hashlib.sha256(json.dumps([[t.key for t in parts], made_of]).encode()).hexdigest()[:16]
        path = self.folder(stage) / f"{what}-{key}.parquet"
        if not path.exists():
            aside = path.with_suffix(".partial")
            make().to_parquet(aside)
            aside.replace(path)
        return pd.read_parquet(path)

    @property
    def has_pik(self) -> bool:
        """Whether every stage but the last has P(IK)."""
        return all(t.p_ik is not None for t in self.test[:-1])

    def texts(self) -> list[Question] | None:
        """The n test questions; of an export, which holds none, where they come with the package (Atlas)."""
        if self.live or not self.benchmark.startswith("atlas") or self.benchmark.endswith(LOGGED):
            return self.questions
        trace = self.test[0]
        if not self.all_questions.keys() >= set(trace.question_id):
            return None
        found, asked = self.questions_of(trace), trace.column("question_hash")
        return found if asked is None or all(h in (None, q.hash) for h, q in zip(asked, found)) else None

    def threshold(self, pik: float | None) -> float | None:
        """The threshold on P(IK), or None where this study has no P(IK) to compare with it."""
        return pik if self.has_pik else None

    def without(self, n: int) -> Study:
        """The study of all but its first n models."""
        fields = ("models", "test", "train", "validation", "probes")
        cut = {name: getattr(self, name)[n:] for name in fields}
        return replace(self, source=replace(self.source, names=self.source.names[n:]), **cut)

    def chain(self, members: Sequence[int]) -> list[Trace]:
        """The test traces of some of the models."""
        return [self.test[i] for i in members]

    def chains(self) -> list[tuple[int, ...]]:
        """Every chain of two or more models that can be a cascade: all stages but the last have P(T)."""
        return [c for c in chains(len(self.test)) if all(self.test[i].p_t is not None for i in c[:-1])]

    def chain_name(self, members: Sequence[int]) -> str:
        return " → ".join(self.models[i] for i in members)

    def two_stages(self) -> tuple[int, ...]:
        """The chain that plays 8B → 70B: the one before the last, if it has P(T), and the last."""
        return self.chains()[-1][-2:] if self.chains() else (len(self.models) - 1,)

    def run_chains(self, pt: float, pik: float | None) -> dict[str, Cascade]:
        """Every chain of the family at one pair of thresholds; single models are chains of one."""
        results = {}
        for members in [*((i,) for i in range(len(self.models))), *self.chains()]:
            stages = self.chain(members)
            usable = pik if all(t.p_ik is not None for t in stages[:-1]) else None
            results[self.chain_name(members)] = cascade(stages, pt, usable)
        return results


def load_study(
    models: str | Sequence[str] = "atlas",
    benchmark: str = "atlas",
    data_dir: str | Path | None = None,
    limit: int | None = None,
    layer: int | None = None,
    seed: int = 0,
    traces_dir: str | Path = "traces",
    device: str | None = None,
    probe_last: bool = False,
    prompt: str | Prompt = prompts.AUTO,
    judge: str | Judge | None = None,
) -> Study:
    """Record (or replay) a family on a benchmark and fit its probes.

    Args:
        models: a family's name or models smallest first; the path of a CSV or Parquet trace, or of logs
            of lm-evaluation-harness, may stand for a stage known only by what it answered (see
            `read_trace`). A model behind an API ("openai:NAME") is asked the test questions only, for it
            has no probe.
        benchmark: logs bring their own where none but the default is named; of a named one, the questions
            that they hold are taken.
        limit: this many test questions, as many for validation, four times as many for training.
        layer: 1-based layer of the hidden state; default: nearest to 24/28 of each model's depth.
        seed: of the split and the probes.
        traces_dir: where traces are kept, or the folder of an exported study, which needs neither
            models nor the benchmark's files.
        probe_last: fit a probe for the last model too, for a cascade that goes on after it.
        prompt: "auto" (the paper's: Table 7, in chat roles where the question is open and the model has a
            template), "table-7", "table-7-chat", or "few-shot:K" (K answered examples, default 5, of the
            question's subject: the benchmark's development questions, or else training ones, left out then).
        judge: of open answers: "string-match", a model behind an API ("openai:NAME"), or a function; see
            `cclib.collect`. Default: string match, or whoever judged an exported study.

    Raises:
        ValueError: unknown models, benchmark or prompt, stages not smallest first; a layer or a prompt that
            was not recorded, or a judge that an exported study was not judged by.
    """
    names = expand_family(models)
    check_limit(limit)
    check_seed(seed)
    source = Source(names, data_dir, traces_dir, device)
    if replay.is_export(traces_dir):
        return _replayed(source, benchmark, limit, layer, seed, prompt, judge)
    source = replace(source, judge=judge and find_judge(judge, traces_dir))
    outside = {name: read_trace(name) for name in names if not is_api(name) and not runs_here(name)}
    if any(map(is_log, names)):
        benchmark, logged, notes = logged_benchmark(names, outside, benchmark, data_dir)
        source, divided = replace(source, logged=logged), split(logged, seed=seed)
    else:
        questions = load_benchmark(benchmark, data_dir=data_dir)
        outside = {name: by_rows(name, trace, questions) for name, trace in outside.items()}
        divided, notes = split(questions, seed=seed), []
    source = replace(source, prompt=prompt_for(prompt, benchmark, data_dir, divided.train))
    test, validation = divided.test, divided.validation
    train = spread([q for q in divided.train if q.id not in source.prompt.example_ids], TRAIN_QUESTIONS)
    if limit is not None:
        test, validation, train = spread(test, limit), spread(validation, limit), spread(train, 4 * limit)
    if any(map(runs_here, names if probe_last else names[:-1])):
        check_parts(divided, benchmark)
    ids = {k: [q.id for q in v] for k, v in (("train", train), ("validation", validation), ("test", test))}
    source = replace(source, outside=outside, parts=ids)
    study = Study([slug(n) for n in names], benchmark, seed, [], [], [], [], test, notes, source)
    for i, name in enumerate(names):
        probed = runs_here(name) and (probe_last or i < len(names) - 1)
        parts = [test, train, validation] if probed else [test]
        if runs_here(name) or is_api(name):
            asked = [*test, *validation, *train] if probed else test
            made = {"store": traces_dir, "layer": layer, "device": device, "prompt": source.prompt}
            whole = collect(name, asked, **made, judge=source.judge)
        else:
            whole = outside[name] if is_log(name) else answers_of(name, outside[name], test)
        study.notes.extend(whole.provenance.get("notes", ()))
        traces = [whole.select(q.id for q in part) for part in parts]
        probe = None
        if not runs_here(name):
            known = "behind an API" if is_api(name) else "known by its answers only"
            study.notes.append(f"{slug(name)} is {known}: no hidden states, so no P(IK)")
        elif probed:
            try:
                traces[1:] = [trace.answered() for trace in traces[1:]]  # a judge may have no verdict
                probe = _probe(*traces[1:], seed, Path(traces_dir) / slug(name))
            except ValueError as error:
                study.notes.append(f"P(IK) is left out: {error}")
        scored = [probe.score(t) for t in traces] if probe else [traces[0], None, None]
        for column, trace in zip((study.test, study.train, study.validation), scored):
            column.append(trace)
        study.probes.append(probe)
    check_stages(study.test)
    if isinstance(source.judge, APIJudge):
        study.notes.append(f"Verdicts are {judge_name(source.judge)}'s, for {source.judge.spent} in all")
    return _answered(study)


def prompt_for(
    prompt: str | Prompt, benchmark: str, data_dir: str | Path | None, train: Sequence[Question]
) -> Prompt:
    """A prompt by its name, with the benchmark's examples where it shows any.

    Raises:
        ValueError: there is no such prompt, or a subject has too few examples.
    """
    if isinstance(prompt, Prompt) or not (k := prompts.shots(prompt)):
        return prompts.read_prompt(prompt)
    examples = development_questions(benchmark, data_dir)
    if not examples:
        by_subject: dict[str, list[Question]] = {}
        for question in train:
            by_subject.setdefault(question.subject, []).append(question)
        examples = [q for some in by_subject.values() for q in spread(some, k)]
    return prompts.few_shot(examples, k)


def _answered(study: Study) -> Study:
    """The study on the questions that no stage's endpoint, nor a judge, set aside, and a note of the others.

    Raises:
        ValueError: none is left.
    """
    notes = []
    for name, trace in zip(study.models, study.test):
        noted = {"endpoint", "judge"} & {*trace.provenance} and trace.column("note") is not None
        count = Counter(trace.table.column("note").drop_null().to_pylist() if noted else ())
        for note, n in sorted(count.items()):
            counted = "" if note.startswith("set aside") else ", which counts as wrong"
            notes.append(f"{name}: {n} of {len(trace)} test questions have no answer{counted} ({note})")
    aside = set().union(*(trace.question_id[trace.set_aside] for trace in study.test))
    if aside:
        notes.append(f"{len(aside)} of {len(study)} test questions are set aside: no table counts them")
    ids = [i for i in study.test[0].question_id if i not in aside]
    if not ids:
        raise ValueError(f"every test question is set aside: {'; '.join(notes)}")
    return replace(
        study,
        test=[trace.select(ids) for trace in study.test] if aside else study.test,
        questions=[q for q in study.questions if q.id not in aside],
        notes=[*study.notes, *notes],
    )


def _probe(train: Trace, validation: Trace, seed: int, folder: Path) -> PIK:
    """Fit a probe, or read the one that was fitted on these very rows before."""
    made_of = [train.key, validation.key, seed, PIK.protocol()]
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    path = folder / f"probe-{key}.safetensors"
    if path.exists():
        return PIK.load(path)
    probe = PIK.fit(train, validation, seed=seed)
    probe.save(path)
    return probe


def export_study(study: Study, folder: str | Path, whole: Sequence[Trace] = ()) -> Path:
    """Write a study's traces without hidden states: what a reader needs to replay its chapters.

    Args:
        whole: traces of all that was recorded of some of the models; what is in none of the study's
            parts goes along as the part "rest".
    """
    folder = Path(folder)
    recorded = {slug(trace.model): trace for trace in whole}
    for stage, name in enumerate(study.models):
        found = {part: getattr(study, part)[stage] for part in replay.PARTS}
        parts = {part: trace for part, trace in found.items() if trace is not None}
        if name in recorded:
            known = {q for trace in parts.values() for q in trace.question_id}
            rest = [q for q in recorded[name].question_id if q not in known]
            parts["rest"] = recorded[name].select(rest)
        replay.write_parts(folder, name, parts, study.test[stage].provenance)
    replay.write_about(folder, study.benchmark, study.seed, study.models, study.prompt)
    return folder


def _replayed(
    source: Source,
    benchmark: str,
    limit: int | None,
    layer: int | None,
    seed: int,
    prompt: str | Prompt,
    judge: str | Judge | None,
) -> Study:
    folder = Path(source.traces_dir)
    about = replay.read_about(folder)
    if benchmark == "atlas" and about["benchmark"].endswith(LOGGED):  # logs bring their own
        benchmark = about["benchmark"]
    for key, wanted in (("benchmark", benchmark), ("seed", seed)):
        if about[key] != wanted:
            raise ValueError(
                f"{folder} holds a study with {key} {about[key]!r}, not {wanted!r}; "
                "give another traces_dir to record a new one"
            )
    wanted = prompt.name if isinstance(prompt, Prompt) else prompt
    if wanted == prompts.FEW_SHOT:
        wanted = f"{wanted}:{prompts.SHOTS}"
    if wanted not in (prompts.AUTO, about["prompt"]):
        raise ValueError(
            f"{folder} holds answers to the prompt {about['prompt']}, not {wanted}; give the traces of that "
            "prompt, or another traces_dir to record them"
        )
    source = replace(source, prompt=Prompt(about["prompt"]))
    study = Study([slug(n) for n in source.names], benchmark, seed, [], [], [], [], source=source)
    absent = [n for n in study.models if n not in about["models"]]
    if absent:
        raise ValueError(f"{folder} holds {about['models']}, not {absent}; give another traces_dir")
    for name in study.models:
        parts = replay.read_parts(folder, name)
        test = parts["test"]
        if layer not in (None, test.hidden_layer):
            raise ValueError(f"{folder / name} was recorded at layer {test.hidden_layer}, not {layer}")
        by = str(test.provenance.get("judge", STRING_MATCH))
        wanted = judge_name(judge) if callable(judge) else judge or by
        if by != wanted and not by.startswith(f"{wanted} at "):
            raise ValueError(
                f"{folder / name} holds answers judged by {by}, not by {wanted}, and no texts to judge anew; "
                "leave judge out, or give another traces_dir"
            )
        study.test.append(test if limit is None else test.select(spread(test.question_id, limit)))
        study.train.append(parts.get("train"))
        study.validation.append(parts.get("validation"))
        study.probes.append(None)
    study.notes.append(
        "These traces are replayed: they hold what was measured, but no hidden states and no question texts."
    )
    check_stages(study.test)
    return study


def chains_of(results: Mapping[str, Cascade]) -> dict[str, Cascade]:
    """Those of the results that are chains of two or more models."""
    return {name: r for name, r in results.items() if len(r.stages) > 1}
