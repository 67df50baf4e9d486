"""How far P(IK) carries: to other questions, other seeds, other layers, fewer training questions.

An exported study holds the results of these too (`export_robustness`), because a reader without hidden
states cannot work them out anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cclib import stats
from cclib.benchmarks import Question, load_benchmark
from cclib.cascade import check_stages
from cclib.models import LanguageModel, expand_family, load_model, runs_here, slug
from cclib.pik import PIK
from cclib.recording import collect
from cclib.study import EXPORT_FILE, Study, export_study, load_study, spread
from cclib.traces import Trace, read_trace

SEEDS = 5
LAYER_QUESTIONS = 1000  # per part, for the scan over layers
SIZES = (125, 250, 500, 1000, 2000, 4000, 8000)  # training questions, for the scan over sizes
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


def if_at_hand(made: Callable[..., Study], *arguments: object, **options: object) -> Study | None:
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


def reseeded(study: Study, n: int = SEEDS) -> list[Study]:
    """The study with probes fitted from n seeds, the study's own first; fewer where they are not to be had.

    The split stays, so what differs is the probe's initial weights and the order of its batches.
    """
    studies = [study]
    for s in range(1, n):
        tests = []
        for i, trace in enumerate(study.test):
            kept = trace.column(f"p_ik_seed_{s}")
            if kept is not None:
                tests.append(trace.with_column("p_ik", kept))
            elif study.probes[i] is not None and trace.hidden is not None:
                probe = PIK.fit(study.train[i], study.validation[i], seed=study.seed + s)
                tests.append(probe.score(trace))
            elif trace.p_ik is not None:
                return studies
            else:
                tests.append(trace)
        studies.append(replace(study, test=tests))
    return studies


def by_layer(
    study: Study,
    models: str | Sequence[str],
    traces_dir: str | Path = "traces",
    device: str | None = None,
    questions: Sequence | None = None,
) -> dict[str, pd.DataFrame]:
    """Accuracy, F1 and AUROC of a probe at every layer, for each model that has a probe (Appendix H).

    Read once a question, all layers in one pass; at most 1,000 questions a part. The result is kept as
    `layers.csv` beside the model's trace.

    Args:
        questions: all questions of the benchmark; needed where nothing is kept yet.
    """
    tables = {}
    for i, name in enumerate(expand_family(models)):
        if study.test[i].p_ik is None:
            continue
        path = Path(traces_dir) / slug(name) / "layers.csv"
        about = f"seed {study.seed}, {len(study)} test questions, {study.benchmark}"
        table = pd.read_csv(path, comment="#", index_col="layer") if path.exists() else None
        if table is None or (study.questions is not None and not path.read_text().startswith(f"# {about}\n")):
            if questions is None or study.train[i] is None or study.train[i].hidden is None:
                continue
            dtype = study.train[i].provenance.get("dtype", "auto")  # as its trace was recorded
            loaded = load_model(name, device=device, dtype=dtype)
            table = _scan(loaded, study, i, {q.id: q for q in questions})
            path.write_text(f"# {about}\n{table.to_csv()}")
        tables[study.models[i]] = table
    return tables


def by_size(
    study: Study,
    models: str | Sequence[str],
    traces_dir: str | Path = "traces",
    questions: Sequence | None = None,
) -> dict[str, pd.DataFrame]:
    """AUROC, with its interval, of probes fitted on ever more training questions, up to all on record.

    Validation and test parts stay. An exported study has the tables as `sizes.csv`.

    Args:
        questions: all questions of the benchmark; needed where the study is no export.
    """
    tables = {}
    for i, name in enumerate(expand_family(models)):
        folder, test, validation = Path(traces_dir) / slug(name), study.test[i], study.validation[i]
        if study.questions is None and (folder / "sizes.csv").exists():
            kept = pd.read_csv(folder / "sizes.csv", comment="#", index_col="training questions")
            tables[study.models[i]] = kept
        elif questions and study.probes[i] is not None and validation is not None:
            whole = read_trace(folder)
            known = set(whole.question_id) - set(test.question_id) - set(validation.question_id)
            pool = [q.id for q in questions if q.id in known]
            rows = {}
            for n in [*(size for size in SIZES if size < len(pool)), len(pool)]:
                probe = PIK.fit(whole.select(spread(pool, n)), validation, study.seed)
                score = probe.probability(test.hidden)
                low, high = stats.bootstrap(stats.auroc, test.correct, score, n=400)
                rows[n] = {"AUROC": stats.auroc(test.correct, score), "low": low, "high": high}
            table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("training questions")
            tables[study.models[i]] = table
    return tables


def _scan(model: LanguageModel, study: Study, i: int, questions: dict) -> pd.DataFrame:
    from cclib.estimators.layers import at_layer, hidden_states

    parts = []
    for trace in (study.train[i], study.validation[i], study.test[i]):
        trace = trace.select(spread(trace.question_id, LAYER_QUESTIONS))
        parts.append((trace, hidden_states(model, [questions[q] for q in trace.question_id])))
    rows = {}
    for at in range(1, model.n_layers + 1):
        train, validation, test = (at_layer(trace, states[:, at - 1], at) for trace, states in parts)
        p_ik = PIK.fit(train, validation, seed=study.seed).probability(test.hidden)
        scores = stats.binary_scores(test.correct, p_ik)
        rows[at] = {
            "accuracy": scores["accuracy"],
            "F1": scores["f1"],
            "AUROC": stats.auroc(test.correct, p_ik),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def export_robustness(
    study: Study,
    folder: str | Path,
    transferred: Study | None = None,
    layers: dict | None = None,
    sizes: dict | None = None,
    whole: Sequence[Trace] = (),
) -> Path:
    """Export a study with its probes of other seeds and of other questions, its traces on those, its scans.

    Args:
        whole: traces of all that was recorded of some models; see `export_study`.
    """
    tests = list(study.test)
    for s, other in enumerate(reseeded(study)[1:], 1):
        for i, trace in enumerate(other.test):
            if trace.p_ik is not None:
                tests[i] = tests[i].with_column(f"p_ik_seed_{s}", trace.p_ik)
    if transferred is not None:
        for i, trace in enumerate(from_elsewhere(study, transferred).test):
            if trace.p_ik is not None:
                tests[i] = tests[i].with_column(f"p_ik_from_{transferred.benchmark}", trace.p_ik)
    folder = export_study(replace(study, test=tests), folder, whole)
    if transferred is not None:
        export_study(transferred, folder / f"on-{transferred.benchmark}")
    about = json.dumps({"benchmark": study.benchmark, "seed": study.seed})
    for file, scanned in (("layers.csv", layers), ("sizes.csv", sizes)):
        for name, table in (scanned or {}).items():
            (folder / name / file).write_text(f"# {about}\n{table.to_csv()}")
    return folder


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
