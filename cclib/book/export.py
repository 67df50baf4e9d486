"""An edition that replays without its models: everything its chapters read, worked out once and exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cclib import replay
from cclib.experiments import commercial_api, probe_scans, transfer
from cclib.experiments.probe_scans import reseeded
from cclib.experiments.transfer import from_elsewhere
from cclib.study import Study, export_study, load_study
from cclib.traces import Trace, read_trace


def publish(
    models: str | Sequence[str],
    folder: str | Path,
    benchmark: str = "atlas",
    data_dir: str | Path | None = None,
    limit: int | None = None,
    layer: int | None = None,
    seed: int = 0,
    pt: float = 0.9,
    pik: float = 0.5,
    traces_dir: str | Path = "traces",
    device: str | None = None,
    elsewhere: int | None = None,
) -> Path:
    """Export a study with all that its chapters show: no question texts, no hidden states.

    What is not in `traces_dir` yet is recorded first. The last model gets a probe too, so that a cascade
    can go on after it; beside MMLU, the figures with GPT-4's recorded answers go along.

    Args:
        folder: where the export is written; `traces` of an edition's file names it.
        pt, pik: thresholds of the figures with GPT-4.
        elsewhere: this many questions of the benchmark that the probes are taken to, and open ones.
    """
    study = load_study(models, benchmark, data_dir, limit, layer, seed, traces_dir, device, probe_last=True)
    recorded = [read_trace(study.folder(i)) for i in range(len(study.models)) if study.runs(i)]
    whole = [t.select(q for q in t.question_id if q in study.all_questions) for t in recorded]
    folder = export_robustness(
        study,
        folder,
        transfer.or_none(transfer.transfer, study, limit=elsewhere),
        probe_scans.by_layer(study),
        probe_scans.by_size(study),
        whole,
    )
    if opened := transfer.or_none(transfer.open_study, study, limit=elsewhere):
        export_study(opened, folder / replay.OPEN)
    served = commercial_api.with_gpt4(study, pt, pik)
    if served is not None:
        replay.write_figures(served, folder / replay.GPT4, f"pt, pik: {json.dumps([pt, pik])}")
    return folder


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
                tests[i] = tests[i].with_column(replay.SEEDED.format(s), trace.p_ik)
    if transferred is not None:
        for i, trace in enumerate(from_elsewhere(study, transferred).test):
            if trace.p_ik is not None:
                tests[i] = tests[i].with_column(replay.FROM.format(transferred.benchmark), trace.p_ik)
    folder = export_study(replace(study, test=tests), folder, whole)
    if transferred is not None:
        export_study(transferred, replay.on(folder, transferred.benchmark))
    about = json.dumps({"benchmark": study.benchmark, "seed": study.seed})
    for file, scanned in ((replay.LAYERS, layers), (replay.SIZES, sizes)):
        for name, table in (scanned or {}).items():
            replay.write_figures(table, folder / name / file, about)
    return folder
