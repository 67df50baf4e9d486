"""The front page: the idea as a drawing, and what all editions found in a figure and three sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import shorten, wrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from cclib import cost
from cclib.cascades import Cascade, sweep
from cclib.display.plots import COLOURS, MARKERS, styled
from cclib.display.verdicts import MARGIN, of_chain, tally
from cclib.display.verdicts import points as points_of
from cclib.experiments.results import above_mixing
from cclib.experiments.routing.frontier import hull
from cclib.policies.walks import Step, Walk, digits
from cclib.study import Study, chains_of

WIDTH, ROW = 460, 96  # of the drawing and of a stage in it, in units of about a pixel


def drawing(walk: Walk) -> str:
    """One question's way through the stages (Figure 1 of the paper) as SVG to stand in a page.

    It takes the page's own colours, so that it is drawn in light and in dark.
    """
    asked = walk.question.text if walk.question else "a question of the test part"
    lines = wrap(asked, 58, max_lines=2, placeholder=" ...")
    top = 22 + 17 * len(lines)
    parts = [_text(8, 17 * i, line, "asked") for i, line in enumerate(lines, 1)]
    for i, step in enumerate(walk.steps):
        y = top + ROW * i
        parts.append(_arrow(70, y - (14 if i == 0 else ROW - 62), y))
        parts += _stage(walk, step, y)
    height = top + ROW * len(walk.steps) - ROW + 70
    said = (
        f"A question goes down {len(walk.steps)} stages: "
        + "; ".join(f"{s.model} {_decision(walk, s)}" for s in walk.steps)
        + "."
    )
    return (
        f'<svg class="walk" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(said)}">'
        + "".join(parts)
        + "</svg>"
    ).replace("`", "&#96;")  # a fence of Markdown is around it


def _stage(walk: Walk, step: Step, y: int) -> list[str]:
    kind = "keeps" if step.answers else "passes"
    return [
        f'<rect class="{kind}" x="4" y="{y}" width="132" height="62" rx="9"/>',
        _text(70, y + 36, step.model, "model", "middle"),
        *_gauge(154, y + 12, "P(IK)", step.p_ik, None if step.last else step.theta_ik),
        *_gauge(314, y + 12, "P(T)", step.p_t, None if step.last else step.theta_t),
        _text(154, y + 56, _decision(walk, step), kind),
    ]


def _decision(walk: Walk, step: Step) -> str:
    if not step.answers:
        return f"escalates: {' and '.join(step.low)} under the threshold"
    why = "always, being last" if step.last else "sure enough"
    return f"answers “{shorten(walk.said(step), 24, placeholder=' ...')}”: {why}"


def _gauge(x: int, y: int, name: str, value: float | None, threshold: float | None) -> list[str]:
    """A bar from 0 to 1 with the value filled and the threshold marked."""
    if value is None:
        return [_text(x, y, f"{name} is not used", "reading")]
    wide = 130
    mark = (
        "" if threshold is None else f'<path class="threshold" d="M{x + wide * threshold:.0f} {y + 3}v20"/>'
    )
    return [
        _text(x, y, f"{name} = {digits(value, threshold)}", "reading"),
        f'<rect class="gauge" x="{x}" y="{y + 7}" width="{wide}" height="12"/>',
        f'<rect class="value" x="{x}" y="{y + 7}" width="{wide * value:.0f}" height="12"/>',
        mark,
    ]


def _arrow(x: int, y: int, end: int) -> str:
    return f'<path class="arrow" d="M{x} {y}V{end - 2}m-5 -7l5 7l5 -7"/>'


def _text(x: int, y: int, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


@styled
def trade_off(studies: Mapping[str, Study], pt: float, pik: float) -> Figure:
    """Accuracy over compute, every pass counted, a panel a study: its chains, its models, and random mixing.

    A curve moves one chain's threshold on P(T); its mark is the chain at both thresholds given.
    """
    figure, axes = plt.subplots(1, len(studies), figsize=(5.0 * len(studies), 3.7), squeeze=False)
    for ax, (title, study) in zip(axes[0], studies.items()):
        sizes = np.array(cost.stage_sizes(study.test))
        alone = sizes / sizes[-1], np.array([trace.correct.mean() for trace in study.test])
        ax.plot(*hull(*alone), color="#888888", ls="--", lw=1.2, label="random mixing of two models")
        for i, (members, result) in enumerate(zip(study.chains(), _chains(study, pt, pik).values())):
            swept = sweep(study.chain(members), np.linspace(0, 1, 101))
            passes = swept.stage_counts[:, 0, ::-1].cumsum(-1)[:, ::-1] / len(study)
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            ax.plot(passes @ sizes[list(members)] / sizes[-1], swept.accuracy[:, 0], lw=1.2, color=colour)
            last = cost.stage_compute(sizes[-1], len(study))
            at = cost.compute(result, "every-pass").total / last
            name = study.chain_name(members)
            ax.plot(at, result.accuracy, marker, color=colour, ms=7, mec="white", label=name)
        ax.plot(*alone, "*", color="black", ms=9, ls="none", label="one model alone")
        ax.axvline(1, color="#888888", lw=0.8, ls=":")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_locator(MultipleLocator(0.05))
        ax.set(xlabel="compute, % of the last model alone", ylabel="accuracy")
        ax.set_title(f"{title}:\n{_above(study, pt, pik)}")
        ax.legend(fontsize=8, loc="lower right")
    return figure


def _chains(study: Study, pt: float, pik: float) -> dict[str, Cascade]:
    return chains_of(study.run_chains(pt, pik))


def _above(study: Study, pt: float, pik: float, points: bool = False) -> str:
    """How many chains are shown to beat random mixing, and by how much: "3 of 4 chains shown to beat it".

    Chains that cost as much as their last model alone, or more, are counted apart: it is the better buy.
    """
    models = dict(zip(study.models, study.test))
    every = [above_mixing(result, models) for result in _chains(study, pt, pik).values()]
    found = [mixing for mixing in every if mixing]
    fair = [mixing for mixing in found if not mixing.dearer]
    ahead = [mixing.points for mixing in fair if mixing.interval[0] > 0]
    below, dearer = sum(mixing.interval[1] < 0 for mixing in fair), len(found) - len(fair)
    of = f"of {len(found)} chains" if len(found) > 1 else "of its one chain"
    said = [f"{len(ahead)} {of} shown to beat {'it' if points else 'random mixing'}"] if fair else []
    if points and ahead:
        said[0] += f" ({_range(ahead, '{:+.2f}')} points)"
    if below:
        said.append(f"{below} shown to be below it")
    if dearer:
        who = "its one chain" if len(found) == 1 else f"{dearer} {of if not fair else ''}".strip()
        said.append(f"{who} cost{'s' * (dearer == 1)} no less than the last model alone")
    return ", ".join(said) or "compute is not known"


def sentences(studies: Mapping[str, Study], pt: float, pik: float) -> str:
    """What all editions found, in three sentences: accuracy, compute, random mixing (Markdown)."""
    accuracy, compute, mixing = [], [], []
    for title, study in studies.items():
        results = list(_chains(study, pt, pik).values())
        judged = [of_chain(result) for result in results]
        moved = _range([verdict.difference for verdict in judged], "{:+.2f}")
        accuracy.append(f"on {title} {tally(judged)} ({moved} points)")
        paid, made = (
            _range([cost.reduced(result, accounting) for result in results], "{:.0%}")
            for accounting in cost.ACCOUNTINGS
        )
        compute.append(f"on {title} {paid} as the paper counts, {made} with every pass counted")
        mixing.append(f"on {title} {_above(study, pt, pik, points=True)}")
    margin = points_of(100 * MARGIN)
    return "\n".join(
        [
            "- **Accuracy**, a chain against its last model alone, {term}`equivalent <equivalence>` within "
            f"{margin}: {'; '.join(accuracy)}.",
            f"- **Compute** saved by a chain: {'; '.join(compute)}.",
            "- **Against {term}`random mixing`** of two models that costs as much: "
            + "; ".join(mixing)
            + ".",
        ]
    )


def _range(values: Sequence[float], pattern: str) -> str:
    """The estimates of several chains from the least to the most, so that it does not look an interval."""
    known = [v for v in values if not np.isnan(v)]
    if not known:
        return "not known"
    ends = [pattern.format(v) for v in (min(known), max(known))]
    return ends[0] if ends[0] == ends[1] else f"estimates from {ends[0]} to {ends[1]}"
