"""Sentences that an edition's numbers make: what the prose says is computed here, not typed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cclib import cost, stats
from cclib.cascade import Cascade
from cclib.names import verbatim
from cclib.study import Study


def chains_of(results: Mapping[str, Cascade]) -> dict[str, Cascade]:
    """Those of the results that are chains of two or more models."""
    return {name: r for name, r in results.items() if len(r.stages) > 1}


def verdicts(results: Mapping[str, Cascade]) -> str:
    """One line a chain: accuracy against its last model, and compute by both accountings (Markdown)."""
    lines = []
    for name, result in chains_of(results).items():
        moved, low, high = _points(result)
        kept = (
            "loses accuracy"
            if high < 0
            else "gains accuracy"
            if low > 0
            else "keeps its last model's accuracy"
        )
        lines.append(
            f"- **{name}** {kept}: {result.accuracy:.1%}, {moved:+.2f} "
            f"points (95 % interval {low:+.2f} to {high:+.2f}). {_saving(result)}"
        )
    return "\n".join(lines) or "- One model makes no chain: name two or more in `models`."


def at_a_glance(study: Study, results: Mapping[str, Cascade]) -> str:
    """The chains in one small table, for a front page, and a warning about models near chance (Markdown)."""
    lines = [
        "| chain | accuracy | against its last model, points (95 %) "
        "| compute saved, paper's count | every pass |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, result in chains_of(results).items():
        moved, low, high = _points(result)
        saved = (cost.reduced(result, accounting) for accounting in cost.ACCOUNTINGS)
        cells = [
            name,
            f"{result.accuracy:.1%}",
            f"{moved:+.2f} ({low:+.2f} to {high:+.2f})",
            *("not known" if np.isnan(share) else f"{share:.1%}" for share in saved),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *near_chance(study)])


def near_chance(study: Study) -> list[str]:
    """A line for every model whose accuracy may be that of guessing among options (Markdown)."""
    if study.test[0].column("response") is not None:
        return []  # open questions: there is nothing to guess among
    probs = study.test[0].option_probs
    guess = 0.25 if probs is None else float((1 / np.isfinite(probs).sum(axis=1)).mean())
    return [
        f"- **{name} is near chance**: {trace.correct.mean():.1%} where guessing gives {guess:.0%}. "
        "A stage that knows little has little to keep."
        for name, trace in zip(study.models, study.test)
        if stats.accuracy_interval(trace.correct)[0] < guess + 0.05
    ]


def _points(result: Cascade) -> tuple[float, float, float]:
    """Accuracy above the last model's, and the ends of its 95 % interval, in points."""
    last = result.stages[-1].correct
    low, high = stats.paired_difference_interval(result.correct, last)
    return 100 * (result.accuracy - last.mean()), 100 * low, 100 * high


def _saving(result: Cascade) -> str:
    paid, made = cost.reduced(result), cost.reduced(result, "every-pass")
    if np.isnan(paid):
        return "Its compute is not known: " + "; ".join(cost.compute(result).missing) + "."
    return f"Compute {_moves(paid)} as the paper counts, and {_moves(made)} when every pass made is counted."


def _moves(saved: float) -> str:
    return f"falls by {saved:.1%}" if saved >= 0 else f"*rises* by {-saved:.1%}"


def cautions(study: Study, results: Mapping[str, Cascade]) -> str:
    """What a reader must know before believing the tables (Markdown)."""
    found = [*(f"- {verbatim(note)}" for note in study.notes), *near_chance(study)]
    for name, result in chains_of(results).items():
        if result.stage_counts[0] == 0:
            found.append(
                f"- In **{name}** the first stage keeps nothing: no question passes its thresholds. "
                "The cascade answers as the stages after it do, and pays for its passes on top."
            )
    if not found:
        found = ["- No model is near chance and no stage is idle: only the intervals limit these figures."]
    return "\n".join(found)
