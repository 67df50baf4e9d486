"""The split drawn anew: other test questions, and other questions to fit and calibrate the probes on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from cclib.cascades import cascade
from cclib.confidence.p_ik import PIK
from cclib.experiments.results import in_brief, to_frame
from cclib.study import Study
from cclib.traces import Trace


def over_splits(study: Study, pt: float, pik: float | None, n: int = 5) -> pd.DataFrame:
    """The longest chain on test parts drawn anew from all recorded questions, the study's own first.

    As many questions of each subject are drawn as the study's own test part has. Where hidden states are on
    record, the probes are fitted on the new training part; else the rule is P(T) alone, on the own part too.
    Empty where a stage was asked the test questions only.
    """
    kinds, members = ("train", "validation", "test"), study.chains()[-1] if study.chains() else ()
    parts = [[study.part(i, kind) for kind in kinds] for i in members]
    if not members or any(t is None for stage in parts for t in stage):
        return pd.DataFrame()
    if any(
        not np.array_equal(t.question_id, first.question_id) for s in parts for t, first in zip(s, parts[0])
    ):
        return pd.DataFrame()
    probed = all(t.hidden is not None for stage in parts[:-1] for t in stage[:2])
    used = study.threshold(pik) if probed else None
    pools = [Trace(_stacked([t.table for t in stage]), stage[2].provenance) for stage in parts]
    subject = pd.Series(pools[0].column("subject"))
    wanted = pd.Series(parts[0][2].column("subject")).value_counts()
    rows = {}
    for seed in range(n):
        stages = [stage[2] for stage in parts]  # the study's own, scored by its own probes
        if seed:
            part = _drawn_parts(subject, wanted, np.random.default_rng(study.seed + seed))
            drawn = [[pool.select(pool.question_id[part == k]) for k in range(3)] for pool in pools]
            stages = [test for _, _, test in drawn]
            if used is not None:
                fits = (PIK.fit(train, validation, seed=study.seed) for train, validation, _ in drawn[:-1])
                stages = [*(probe.score(test) for probe, test in zip(fits, stages)), stages[-1]]
        row = in_brief(cascade(stages, pt, used))
        rows[f"split {study.seed + seed}", "P(T) alone" if used is None else "P(T) and P(IK)"] = row
    return to_frame(rows, ["seed of the split", "rule"])


def _stacked(tables: list[pa.Table]) -> pa.Table:
    """Rows of all parts, with the columns that every part has."""
    common = [name for name in tables[0].column_names if all(name in t.column_names for t in tables)]
    return pa.concat_tables([t.select(common) for t in tables], promote_options="permissive")


def _drawn_parts(subject: pd.Series, wanted: pd.Series, rng: np.random.Generator) -> np.ndarray:
    """(n,) 0, 1 or 2 for train, validation and test; the last two have as many of each subject as wanted."""
    part = np.zeros(len(subject), int)
    for name, rows in subject.groupby(subject, sort=True).groups.items():
        order, k = rng.permutation(np.asarray(rows)), int(wanted.get(name, 0))
        part[order[:k]], part[order[k : 2 * k]] = 2, 1
    return part
