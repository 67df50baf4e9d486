"""Probes fitted anew: from other seeds, at every layer, on fewer training questions (Appendix H)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cclib import replay, stats
from cclib.confidence.p_ik import PIK
from cclib.models.local import LanguageModel
from cclib.questions import Question, spread
from cclib.study import Study
from cclib.traces import Trace

SEEDS = 5
LAYER_QUESTIONS = 1000  # per part, for what a probe at each layer is worth
SIZES = (125, 250, 500, 1000, 2000, 4000, 8000)  # training questions, for the scan over sizes


def reseeded(study: Study, n: int = SEEDS) -> list[Study]:
    """The study with probes fitted from n seeds, the study's own first; fewer where they are not to be had.

    The split stays, so what differs is the probe's initial weights and the order of its batches.
    """
    studies = [study]
    for s in range(1, n):
        tests = []
        for i, trace in enumerate(study.test):
            kept = trace.column(replay.SEEDED.format(s))
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


def by_layer(study: Study) -> dict[str, pd.DataFrame]:
    """Accuracy, F1 and AUROC of a probe at every layer, for each model that has a probe (Appendix H).

    Of at most 1,000 questions a part. An exported study has the tables as `layers.csv`, without intervals:
    these follow from the AUROC and the questions of either kind.
    """
    tables = {}
    for stage, name in enumerate(study.models):
        if study.test[stage].p_ik is None:
            continue
        if not study.live:
            tables[name], _ = replay.read_figures(study.folder(stage) / replay.LAYERS)
        elif study.runs(stage) and study.train[stage] is not None:
            tables[name] = scan(study, stage)[["accuracy", "F1", "AUROC"]]
    for name, table in tables.items():
        if table is not None:
            right = np.array(spread(study.test[study.models.index(name)].correct, LAYER_QUESTIONS))
            ends = [stats.auroc_interval_from_counts(a, right.sum(), (~right).sum()) for a in table["AUROC"]]
            tables[name] = table.assign(**{"AUROC interval": ends})
    return {name: table for name, table in tables.items() if table is not None}


def by_size(study: Study) -> dict[str, pd.DataFrame]:
    """AUROC, with its interval, of probes fitted on ever more training questions, up to all on record.

    Validation and test parts stay. An exported study has the tables as `sizes.csv`.
    """
    tables = {}
    for stage, name in enumerate(study.models):
        test, validation = study.test[stage], study.validation[stage]
        if not study.live:
            tables[name], _ = replay.read_figures(study.folder(stage) / replay.SIZES)
        elif study.probes[stage] is not None and validation is not None:
            whole = study.whole(stage)
            known = set(whole.question_id) - set(test.question_id) - set(validation.question_id)
            pool = [i for i in study.all_questions if i in known]
            rows = {}
            for n in [*(size for size in SIZES if size < len(pool)), len(pool)]:
                probe = PIK.fit(whole.select(spread(pool, n)), validation, study.seed)
                score = probe.probability(test.hidden)
                low, high = stats.auroc_interval(test.correct, score)
                rows[n] = {"AUROC": stats.auroc(test.correct, score), "low": low, "high": high}
            tables[name] = pd.DataFrame.from_dict(rows, orient="index").rename_axis("training questions")
    return {name: table for name, table in tables.items() if table is not None}


def scan(study: Study, stage: int) -> pd.DataFrame:
    """A probe at every layer of a model that runs here, a row a layer; read once, and kept with its trace.

    Returns:
        (l, 5) columns test (n,) and validation (v,), the P(IK) of a probe fitted on all of the training
        part; accuracy, F1 and AUROC of one that had 1,000 questions a part at most.
    """

    def read() -> pd.DataFrame:
        model, rows = study.model(stage), {}
        traces = (study.train[stage], study.validation[stage], study.test[stage])
        states = [hidden_states(model, study.questions_of(t)) for t in traces]
        for layer in range(1, model.n_layers + 1):
            whole = [at_layer(t, s[:, layer - 1], layer) for t, s in zip(traces, states)]
            train, validation, test = (t.select(spread(t.question_id, LAYER_QUESTIONS)) for t in whole)
            p_ik = PIK.fit(train, validation, seed=study.seed).probability(test.hidden)
            scores = stats.binary_scores(test.correct, p_ik)
            probe = PIK.fit(whole[0], whole[1], seed=study.seed)
            rows[layer] = {
                "test": probe.probability(whole[2].hidden),
                "validation": probe.probability(whole[1].hidden),
                "accuracy": scores["accuracy"],
                "F1": scores["f1"],
                "AUROC": stats.auroc(test.correct, p_ik),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")

    made_of = [study.train[stage].key, study.seed, LAYER_QUESTIONS, PIK.protocol()]
    return study.kept(stage, "layers", made_of, read)


def hidden_states(model: LanguageModel, questions: Sequence[Question]) -> np.ndarray:
    """(n, l, d) float16 states of all l layers at each prompt's last position."""
    from cclib.confidence.forward import encode_questions
    from cclib.confidence.reading import read_prompts

    states = np.zeros((len(questions), model.n_layers, model.d_model), np.float16)
    for reading in read_prompts(model, encode_questions(model, questions), range(1, model.n_layers + 1)):
        states[reading.index] = reading.hidden
    return states


def at_layer(trace: Trace, states: np.ndarray, layer: int) -> Trace:
    """The trace with (n, d) states of another layer in place of its own."""
    bare = trace.without("hidden").with_column("hidden", list(states))
    return Trace(bare.table, trace.provenance | {"hidden_layer": layer})
