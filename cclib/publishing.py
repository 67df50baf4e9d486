"""An edition that replays without its models: everything its chapters read, worked out once and exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cclib import outside, robustness
from cclib.benchmarks import load_benchmark
from cclib.models import expand_family, runs_here, slug
from cclib.study import export_study, load_study
from cclib.traces import read_trace


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
    questions = load_benchmark(benchmark, data_dir)
    given = {"limit": elsewhere, "traces_dir": traces_dir, "device": device}
    recorded = [read_trace(Path(traces_dir) / slug(n)) for n in expand_family(models) if runs_here(n)]
    known = {q.id for q in questions}
    whole = [t.select(q for q in t.question_id if q in known) for t in recorded]
    folder = robustness.export_robustness(
        study,
        folder,
        robustness.if_at_hand(robustness.transfer, study, models, **given),
        robustness.by_layer(study, models, traces_dir, device, questions),
        robustness.by_size(study, models, traces_dir, questions),
        whole,
    )
    if opened := robustness.if_at_hand(robustness.open_study, study, models, **given):
        export_study(opened, folder / "open")
    served = outside.with_gpt4(study, pt, pik, data_dir, traces_dir)
    if served is not None:
        outside.write_figures(served, folder / "gpt-4.csv", pt, pik)
    return folder
