"""What ending passes at the probe's layer saves, and whether answers stay the same.

python speed/early_exit.py                                                   # Atlas
python speed/early_exit.py --model small.gguf --data-dir mmlu --questions 300 --train 600
"""

import time

import numpy as np
import typer

import cclib
from cclib.confidence.p_t import answer_questions
from cclib.experiments.early_exit import answer_leaving
from cclib.questions import spread


def main(
    model: str = "atlas-s",
    data_dir: str | None = None,
    questions: int = 1430,
    train: int = 3000,
    pik: float = 0.5,
    store: str = "traces",
) -> None:
    """Fit the probe, then run the test questions whole and with early exit, turn by turn."""
    loaded = cclib.load_model(model)
    bench = cclib.load_benchmark("mmlu" if data_dir else "atlas", data_dir=data_dir)
    parts = cclib.split(bench)
    learn, check = spread(parts.train, train), spread(parts.validation, train // 3)
    asked = spread(parts.test, questions)
    whole = cclib.collect(loaded, [*learn, *check], store=store)
    probe = cclib.PIK.fit(whole.select(q.id for q in learn), whole.select(q.id for q in check))
    seconds, rows, early, saved = np.zeros(2), {}, [], []
    for part in np.array_split(np.arange(len(asked)), 4):  # in turns, so that a slow spell hits both
        mine = [asked[i] for i in part]
        began = time.perf_counter()
        for batch in answer_questions(loaded, mine, probe.layer):
            rows |= {r["question_id"]: r for r in batch}
        middle = time.perf_counter()
        found, share = answer_leaving(loaded, mine, probe, pik)
        seconds += [middle - began, time.perf_counter() - middle]
        early += found
        saved.append(share)
    stayed = [i for i, r in enumerate(early) if r["prediction"] is not None]
    same = np.mean([rows[asked[i].id]["prediction"] == early[i]["prediction"] for i in stayed])
    typer.echo(
        f"{loaded.slug}, probe at layer {probe.layer} of {loaded.n_layers}, P(IK) >= {pik}: "
        f"{len(stayed)} of {len(asked)} questions stay, {np.mean(saved):.1%} of tokens x layers not run, "
        f"{1 - seconds[1] / seconds[0]:.1%} less time, answers that are needed unchanged: {same:.1%}"
    )


if __name__ == "__main__":
    typer.run(main)
