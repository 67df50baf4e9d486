"""Probes fitted anew: from other seeds, at every layer, on fewer training questions (Appendix H)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import stats
from cclib.confidence.p_ik import PIK
from cclib.experiments.estimators.estimate import Estimate, probe_extra
from cclib.models.load import load_model
from cclib.models.local import LanguageModel
from cclib.names import expand_family, slug
from cclib.questions import Question, spread
from cclib.study import Study
from cclib.traces import Trace, read_trace

SEEDS = 5


LAYER_QUESTIONS = 1000  # per part, for the scan over layers


SIZES = (125, 250, 500, 1000, 2000, 4000, 8000)  # training questions, for the scan over sizes


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
    from cclib.experiments.probe_scans import at_layer, hidden_states

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


SOURCE, NEEDS = "Kadavath et al.", "hidden states; labelled training questions"


def probe_layers(
    model: LanguageModel, parts: Sequence[tuple[Trace, Sequence[Question]]], seed: int = 0
) -> list[Estimate]:
    """A probe on the hidden states of every layer.

    Args:
        parts: the training, validation and test parts: the model's trace and its questions, row by row.
    """
    states = [hidden_states(model, questions) for _, questions in parts]
    made = []
    for at in range(1, model.n_layers + 1):
        train, validation, test = (at_layer(t, s[:, at - 1], at) for (t, _), s in zip(parts, states))
        probe = PIK.fit(train, validation, seed=seed)
        made.append(
            Estimate(
                f"P(IK) by probe, layer {at} of {model.n_layers}",
                SOURCE,
                NEEDS,
                probe.probability(test.hidden),
                probe.probability(validation.hidden),
                extra=probe_extra(test),
                depth=at / model.n_layers,
            )
        )
    return made


def hidden_states(model: LanguageModel, questions: Sequence[Question]) -> np.ndarray:
    """(n, l, d) float16 states of all l layers at each prompt's last position."""
    from cclib.confidence.forward import encode_questions, read_packs

    states = np.zeros((len(questions), model.n_layers, model.d_model), np.float16)
    for reading in read_packs(model, encode_questions(model, questions), range(1, model.n_layers + 1)):
        states[reading.index] = reading.hidden
    return states


def at_layer(trace: Trace, states: np.ndarray, layer: int) -> Trace:
    """The trace with (n, d) states of another layer in place of its own."""
    bare = trace.without("hidden").with_column("hidden", list(states))
    return Trace(bare.table, trace.provenance | {"hidden_layer": layer})
