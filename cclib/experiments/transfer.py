"""How far P(IK) carries: to other questions, other seeds, other layers, fewer training questions.

An exported study holds the results of these too (`export_robustness`), because a reader without hidden
states cannot work them out anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cclib.benchmarks import load_benchmark
from cclib.cascades import check_stages
from cclib.confidence.p_ik import PIK
from cclib.names import expand_family, runs_here, slug
from cclib.questions import Question, spread
from cclib.recording import collect
from cclib.study import EXPORT_FILE, Study, load_study
from cclib.traces import read_trace

# the questions that a probe of this benchmark is tried on unchanged (the paper: MMLU to GPQA)
ELSEWHERE = {"atlas": "atlas-ood", "mmlu": "gpqa"}


def transfer(
    study: Study,
    models: str | Sequence[str],
    benchmark: str | None = None,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    traces_dir: str | Path = "traces",
    device: str | None = None,
) -> Study:
    """The same models and probes, unchanged, on all questions of another benchmark (Section 4.2).

    Args:
        models: as given to `load_study`; outside traces do not reach to other questions and are left out.
        benchmark: default: "atlas-ood" after Atlas, "gpqa" after MMLU, "atlas" after all else and where
            that cannot be had (a note says why); in an exported study, the one that was exported.

    Raises:
        FileNotFoundError: the other benchmark, or its exported traces, are not there.
    """
    folder = Path(traces_dir)
    if (folder / EXPORT_FILE).exists():
        return _read_transfer(study, folder, benchmark)
    other, questions, notes = find_benchmark(benchmark, ELSEWHERE.get(study.benchmark), "atlas", data_dir)
    questions = spread(questions, limit or 10**9)
    names, test, probes = [], [], []
    for name, probe in zip(expand_family(models), study.probes):
        if not runs_here(name):  # recorded elsewhere, or paid by the question
            continue
        trace = collect(name, questions, store=folder, layer=probe and probe.layer, device=device)
        names.append(slug(name))
        test.append(probe.score(trace) if probe else trace)
        probes.append(probe)
    empty = [None] * len(test)
    return Study(names, other, study.seed, check_stages(test), empty, empty, probes, questions, notes)


def or_none(made: Callable[..., Study], *arguments: object, **options: object) -> Study | None:
    """What `transfer` or `open_study` returns, or None where its questions or traces are not at hand."""
    try:
        return made(*arguments, **options)
    except FileNotFoundError:
        return None


def find_benchmark(
    asked: str | None, wished: str | None, at_hand: str, data_dir: str | Path | None = None
) -> tuple[str, list[Question], list[str]]:
    """The benchmark that was asked for; or else the wished one, or what is at hand where that fails."""
    if asked:
        return asked, load_benchmark(asked, data_dir=data_dir), []
    try:
        name = wished or at_hand
        return name, load_benchmark(name, data_dir=data_dir), []
    except (FileNotFoundError, PermissionError) as error:
        note = f"{at_hand} stands in for {name}, which is not at hand: {error}"
        return at_hand, load_benchmark(at_hand), [note]


def _read_transfer(study: Study, folder: Path, benchmark: str | None) -> Study:
    found = sorted(p.parent.name.removeprefix("on-") for p in folder.glob(f"on-*/{EXPORT_FILE}"))
    other = benchmark or (found[0] if found else None)
    if other not in found:
        raise FileNotFoundError(
            f"{folder} holds no traces of these models on {other or 'another benchmark'} "
            f"(it has: {', '.join(found) or 'none'}); run the models, and export with export_robustness"
        )
    names = [m for m in study.models if (folder / f"on-{other}" / m).exists()]
    test = [read_trace(folder / f"on-{other}" / m) for m in names]
    empty = [None] * len(test)
    return Study(names, other, study.seed, check_stages(test), empty, empty, empty, notes=list(study.notes))


def from_elsewhere(study: Study, other: Study) -> Study:
    """The reverse of `transfer`: the study's test questions, scored by probes fitted on the other ones.

    A fifth of the other questions stops and calibrates the probe. A model whose other trace has no hidden
    states, and no score of such a probe on record, comes back without P(IK).
    """
    tests = []
    for name, trace in zip(study.models, study.test):
        kept = trace.column(f"p_ik_from_{other.benchmark}")
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
    models: str | Sequence[str],
    benchmark: str | None = None,
    limit: int | None = None,
    traces_dir: str | Path = "traces",
    device: str | None = None,
) -> Study:
    """The same models on open questions (Appendix F), with probes of their own.

    Args:
        benchmark: default: "popqa" beside MMLU, "atlas-open" beside all else and where PopQA cannot be had.
    """
    folder = Path(traces_dir)
    if (folder / EXPORT_FILE).exists():
        about = json.loads((folder / "open" / EXPORT_FILE).read_text())
        return load_study(models, about["benchmark"], seed=about["seed"], traces_dir=folder / "open")
    wished = "popqa" if study.benchmark == "mmlu" else None
    name, _, notes = find_benchmark(benchmark, wished, "atlas-open")
    local = [m for m in expand_family(models) if runs_here(m)]
    if not local:
        raise FileNotFoundError("open questions need a model to answer them that runs here; none does")
    found = load_study(local, name, limit=limit, seed=study.seed, traces_dir=folder, device=device)
    return replace(found, notes=[*found.notes, *notes])
