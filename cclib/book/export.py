"""An edition that replays without its models: everything its chapters read, worked out once and exported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cclib import replay
from cclib.experiments import commercial_api, precision, probe_scans, prompt_effect, transfer, which_policy
from cclib.experiments.probe_scans import reseeded
from cclib.experiments.transfer import from_elsewhere
from cclib.policies.evidence import read_by, with_p_ik
from cclib.study import Study, export_study, load_study


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
    prompt: str = "auto",
    elsewhere: int | None = None,
    other_benchmark: str | None = None,
    other_data_dir: str | Path | None = None,
    open_benchmark: str | None = None,
    open_data_dir: str | Path | None = None,
    judge: str | None = None,
    prompts: Sequence[str] = (),
) -> Path:
    """Export a study with all that its chapters show: no question texts, no hidden states.

    What is not in `traces_dir` yet is recorded first. The last model gets a probe too, so that a cascade
    can go on after it; beside MMLU, the figures with GPT-4's recorded answers go along. Figures of rounding
    that the folder holds already stay: they ask every model three times.

    Args:
        folder: where the export is written; `traces` of an edition's file names it.
        pt, pik: thresholds of the figures with GPT-4.
        elsewhere: this many questions of the benchmark that the probes are taken to, and open ones.
        other_benchmark, other_data_dir: the benchmark that the probes are taken to; see `transfer`.
        open_benchmark, open_data_dir, judge: the open questions, and who judges; see `open_study`.
        prompts: that the models are asked with too, on some of the questions; see `prompt_effect.by_prompt`.
    """
    study = load_study(
        models, benchmark, data_dir, limit, layer, seed, traces_dir, device, probe_last=True, prompt=prompt
    )
    study = with_p_ik_by_train(study)  # once: the figures with GPT-4 read it too
    whole = [study.whole(i) for i in range(len(study.models)) if study.runs(i)]
    away = transfer.or_none(transfer.transfer, study, other_benchmark, elsewhere, other_data_dir)
    folder = export_study(with_other_probes(study, away), folder, whole)
    if away is not None:
        export_study(away, replay.on(folder, away.benchmark))
    opened = transfer.or_none(transfer.open_study, study, open_benchmark, elsewhere, open_data_dir, judge)
    if opened is not None:
        export_study(opened, folder / replay.OPEN)
    about = json.dumps({"benchmark": study.benchmark, "seed": study.seed})
    scans = {replay.LAYERS: probe_scans.by_layer(study), replay.SIZES: probe_scans.by_size(study)}
    for file, tables in scans.items():
        for name, table in tables.items():
            replay.write_figures(table, folder / name / file, about)
    missing = any(not (folder / name / precision.FILE).exists() for name in study.models)
    tables, where = precision.by_precision(study, pt) if missing else (pd.DataFrame(), {})
    for name, device in where.items():
        at = json.dumps({"pt": pt, "device": device})
        replay.write_figures(tables.loc[name], folder / name / precision.FILE, at)
    write_gpt4(study, folder, pt, pik)
    if prompts:
        asked, _ = prompt_effect.by_prompt(study, prompts)
        prompt_effect.write(folder, prompt_effect.tables_of(asked, pt, pik), about)
    return folder


def write_gpt4(study: Study, folder: Path, pt: float, pik: float | None) -> None:
    """The figures with GPT-4's recorded answers, where these are at hand."""
    for file, made in (
        (replay.GPT4, commercial_api.with_gpt4),
        (replay.GPT4_CHAIN, commercial_api.before_gpt4),
    ):
        if (table := made(study, pt, pik)) is not None:
            replay.write_figures(table, folder / file, f"pt, pik: {json.dumps([pt, pik])}")
    if (table := which_policy.before_gpt4(study)) is not None:
        about = f"of so many questions: {json.dumps([len(study)])}"
        replay.write_figures(table, folder / replay.GPT4_POLICY, about)


def with_p_ik_by_train(study: Study) -> Study:
    """The study with P(IK) of probes that saw training questions alone: a column that policies read."""
    parts = {part: list(getattr(study, part)) for part in replay.PARTS}
    train, validation, test = (parts[part] for part in ("train", "validation", "test"))
    for i in range(len(study.models)):
        try:
            train[i], validation[i], probe = with_p_ik(study, train[i], validation[i])
        except ValueError:
            continue  # no hidden states, or too few of them to fit a probe to
        if probe is not None:
            test[i] = read_by(probe, test[i])
    return replace(study, **parts)


def with_other_probes(study: Study, away: Study | None) -> Study:
    """The study with P(IK) of probes from other seeds, and from the questions of `away`, as more columns."""
    others = {replay.SEEDED.format(s): other for s, other in enumerate(reseeded(study)[1:], 1)}
    if away is not None:
        others[replay.FROM.format(away.benchmark)] = from_elsewhere(study, away)
    tests = list(study.test)
    for column, other in others.items():
        for i, trace in enumerate(other.test):
            if trace.p_ik is not None:
                tests[i] = tests[i].with_column(column, trace.p_ik)
    return replace(study, test=tests)
