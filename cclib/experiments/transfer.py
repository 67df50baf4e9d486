"""How far P(IK) carries: to other questions, other seeds, other layers, fewer training questions.

An exported study holds the results of these too (`cclib.replay`), because a reader without hidden
states cannot work them out anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cclib import replay
from cclib.benchmarks import load_benchmark
from cclib.cascades import check_stages
from cclib.confidence.p_ik import PIK
from cclib.questions import Judge, Question, split, spread
from cclib.study import Source, Study, load_study, prompt_for

# the questions that a probe of this benchmark is tried on unchanged (the paper: MMLU to GPQA)
ELSEWHERE = {"atlas": "atlas-ood", "mmlu": "gpqa"}


def transfer(
    study: Study, benchmark: str | None = None, limit: int | None = None, data_dir: str | Path | None = None
) -> Study:
    """The same models and probes, unchanged, on all questions of another benchmark (Section 4.2).

    Outside traces do not reach to other questions, and an API is paid by the question: they are left out.

    Args:
        data_dir: folder of the other benchmark's files.
        benchmark: default: "atlas-ood" after Atlas, "gpqa" after MMLU, "atlas" after all else and where
            that cannot be had (a note says why); in an exported study, the one that was exported.

    Raises:
        NotAtHand: the other benchmark, or its exported traces, are not there.
    """
    if not study.live:
        return _read_transfer(study, benchmark)
    other, questions, notes = find_benchmark(benchmark, ELSEWHERE.get(study.benchmark), "atlas", data_dir)
    stages = [i for i in range(len(study.models)) if study.runs(i)]
    if not stages:
        raise replay.NotAtHand("other questions need a model to answer them that runs here; none does")
    prompt = prompt_for(study.source.prompt.name, other, data_dir, split(questions, study.seed).train)
    questions = [q for q in questions if q.id not in prompt.example_ids]
    questions = spread(questions, limit or len(questions))
    asked = replace(study, source=replace(study.source, prompt=prompt))
    recorded, probes = [asked.record(i, questions) for i in stages], [study.probes[i] for i in stages]
    test = [probe.score(t) if probe else t for t, probe in zip(recorded, probes)]
    source = replace(asked.source, names=[study.source.names[i] for i in stages], data_dir=data_dir)
    return replace(
        study,
        models=[study.models[i] for i in stages],
        benchmark=other,
        test=check_stages(test),
        train=[None] * len(test),
        validation=[None] * len(test),
        probes=probes,
        questions=questions,
        notes=notes,
        source=source,
    )


def or_none(made: Callable[..., Study], *arguments: object, **options: object) -> Study | None:
    """What `transfer` or `open_study` returns, or None where its questions or traces are not at hand."""
    try:
        return made(*arguments, **options)
    except replay.NotAtHand:
        return None


def find_benchmark(
    asked: str | None, wished: str | None, at_hand: str, data_dir: str | Path | None = None
) -> tuple[str, list[Question], list[str]]:
    """The benchmark that was asked for; or else the wished one, or what is at hand where that fails."""
    name = asked or wished or at_hand
    try:
        return name, load_benchmark(name, data_dir=data_dir), []
    except (FileNotFoundError, PermissionError) as error:
        if asked:
            raise replay.NotAtHand(str(error)) from error
        note = f"{at_hand} stands in for {name}, which is not at hand: {error}"
        return at_hand, load_benchmark(at_hand), [note]


def _read_transfer(study: Study, benchmark: str | None) -> Study:
    folder = Path(study.source.traces_dir)
    found = replay.benchmarks_of(folder)
    other = benchmark or (found[0] if found else None)
    if other not in found:
        raise replay.NotAtHand(
            f"{folder} holds no traces of these models on {other or 'another benchmark'} "
            f"(it has: {', '.join(found) or 'none'}); run the models, and publish the edition"
        )
    away = replay.on(folder, other)
    names = [m for m in study.models if m in replay.read_about(away)["models"]]
    test = check_stages([replay.read_parts(away, m)["test"] for m in names])
    kept = {"notes": list(study.notes), "source": Source(names, traces_dir=away)}
    return Study(names, other, study.seed, test, *[[None] * len(test)] * 3, **kept)


def from_elsewhere(study: Study, other: Study) -> Study:
    """The reverse of `transfer`: the study's test questions, scored by probes fitted on the other ones.

    A fifth of the other questions stops and calibrates the probe. A model whose other trace has no hidden
    states, and no score of such a probe on record, comes back without P(IK).
    """
    tests = []
    for name, trace in zip(study.models, study.test):
        kept = trace.column(replay.FROM.format(other.benchmark))
        away = other.test[other.models.index(name)] if name in other.models else None
        if kept is None and trace.hidden is not None and away is not None and away.hidden is not None:
            check = set(spread(away.question_id, len(away) // 5))
            learn = away.select(q for q in away.question_id if q not in check)
            probe = PIK.fit(learn, away.select(q for q in away.question_id if q in check), seed=study.seed)
            kept = probe.probability(trace.hidden)
        trace = trace.without("p_ik")
        tests.append(trace if kept is None else trace.with_column("p_ik", kept))
    return replace(study, test=tests)


def open_study(
    study: Study,
    benchmark: str | None = None,
    limit: int | None = None,
    data_dir: str | Path | None = None,
    judge: str | Judge | None = None,
) -> Study:
    """The same models on open questions (Appendix F), with probes of their own.

    Args:
        data_dir: folder of the open benchmark's files.
        judge: of the answers: "string-match", or a model behind an API; see `cclib.load_study`.
        benchmark: default: "popqa" beside MMLU, "atlas-open" beside all else and where PopQA cannot be had (a
            note says why); in an exported study, the one that was exported.

    Raises:
        NotAtHand: the open questions, or their exported traces, are not there, or no model runs here.
        ValueError: the benchmark's questions have options.
    """
    source = study.source
    if not study.live:
        folder = Path(source.traces_dir) / replay.OPEN
        about = replay.read_about(folder)
        if benchmark not in (None, about["benchmark"]):
            raise replay.NotAtHand(f"{folder} holds traces on {about['benchmark']}, not on {benchmark}")
        found = {"seed": about["seed"], "traces_dir": folder, "judge": judge}
        return load_study(source.names, about["benchmark"], **found)
    wished = "popqa" if study.benchmark == "mmlu" else None
    name, questions, notes = find_benchmark(benchmark, wished, "atlas-open", data_dir)
    if closed := [q.id for q in questions if q.choices]:
        raise ValueError(f"{name} is no benchmark of open questions: question {closed[0]} has options")
    local = [source.names[i] for i in range(len(study.models)) if study.runs(i)]
    if not local:
        raise replay.NotAtHand("open questions need a model to answer them that runs here; none does")
    given = {
        "data_dir": data_dir,
        "limit": limit,
        "seed": study.seed,
        "traces_dir": source.traces_dir,
        "device": source.device,
        "prompt": source.prompt.name,
        "judge": judge,
    }
    found = load_study(local, name, **given)
    return replace(found, notes=[*found.notes, *notes])
