"""The book's figures, in one style: readable in grey print and for the colour-blind.

Every function draws numbers that are already computed and returns the figure. Titles are the
caller's: they state the finding. Series differ by marker or hatch as well as by colour.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from textwrap import shorten
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from cclib.policies.walks import Walk, digits

# Okabe and Ito's colours, ordered so that neighbours differ in lightness too
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
HATCHES = ["", "///", "...", "xx", "\\\\\\", "++", "oo"]
RIGHT, WRONG = COLOURS[0], COLOURS[1]

STYLE = {
    "figure.figsize": (7.2, 3.8),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # a name with dollar signs is a name
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the book's style; matplotlib's settings are left as they were."""

    @wraps(draw)
    def styled(*arguments: Any, **options: Any) -> Figure:
        theme = sns.plotting_context("notebook") | sns.axes_style("ticks") | STYLE
        # not rc_context: it would take back that a notebook shows figures, which the first one turns on
        before = {key: plt.rcParams[key] for key in theme}
        plt.rcParams.update(theme)
        try:
            figure = draw(*arguments, **options)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing")  # a stranger's name may have such
                figure.draw_without_rendering()  # ticks take their style when they are first drawn
            return figure
        finally:
            plt.rcParams.update(before)

    return styled


def _axes(title: str, width: float = 7.2, height: float = 3.8, columns: int = 1) -> tuple[Figure, np.ndarray]:
    figure, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False)
    if columns == 1:
        axes[0, 0].set_title(title)
    else:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure, axes[0]


def _series(i: int, name: str) -> dict[str, str]:
    """What tells the i-th series from the others."""
    return {"color": COLOURS[i], "marker": MARKERS[i], "label": name}


LONG = 30  # characters: a longer name stands above its row and leaves the width to the numbers


def _are_long(names: Sequence[object]) -> bool:
    return max((len(str(name)) for name in names), default=0) > LONG


def _tall(names: Sequence[object]) -> float:
    """Inches that named rows take."""
    return (0.5 if _are_long(names) else 0.33) * len(names)


def _rows(ax: plt.Axes, names: Sequence[object]) -> np.ndarray:
    """(n,) heights of named rows, top to bottom."""
    y = np.arange(len(names))
    if not _are_long(names):
        ax.set_yticks(y, [str(name) for name in names])
        ax.invert_yaxis()
        return y
    for height, name in zip(y, names):
        ax.text(0.01, height - 0.26, str(name), transform=ax.get_yaxis_transform(), fontsize=10)
    ax.set(yticks=[], ylim=(len(names) - 0.6, -0.8))
    return y


@styled
def walk(walk: Walk, title: str) -> Figure:
    """One question's way through the stages (Figure 1 of the paper)."""
    steps = walk.steps
    figure, axes = _axes(title, height=1.0 + 1.15 * len(steps))
    ax = axes[0]
    for i, step in enumerate(steps):
        y = len(steps) - 1 - i
        box = {"boxstyle": "round", "fc": "#e8f0f8" if step.answers else "white", "ec": COLOURS[6]}
        name = "\n".join(re.findall(r".{1,15}(?:-|$)|.{1,16}", step.model))  # clear of the bars
        ax.text(0.0, y, name, va="center", fontsize=10, bbox=box)
        _gauge(ax, 0.27, y, "P(IK)", step.p_ik, None if step.last else step.theta_ik)
        _gauge(ax, 0.50, y, "P(T)", step.p_t, None if step.last else step.theta_t)
        said = shorten(walk.said(step), 30, placeholder=" ...")
        ax.text(0.74, y + 0.13, f"“{said}”", va="center", fontsize=9)
        ax.text(0.74, y - 0.17, step.decision, va="center", fontsize=9, weight="bold")
        if not step.answers:
            arrow = {"arrowstyle": "-|>", "lw": 1.5, "color": COLOURS[6]}  # the theme's edges are white
            ax.annotate("", (0.06, y - 0.83), (0.06, y - 0.17), arrowprops=arrow)
    ax.set(xlim=(-0.03, 1.12), ylim=(-0.6, len(steps) - 0.4))
    ax.axis("off")
    return figure


def _gauge(ax: plt.Axes, x: float, y: float, name: str, value: float | None, threshold: float | None) -> None:
    """A bar from 0 to 1 with the value filled and the threshold marked."""
    read = f"{name} not used" if value is None else f"{name} = {digits(value, threshold)}"
    ax.text(x, y + 0.24, read, fontsize=9)
    if value is None:
        return
    width = 0.18
    ax.add_patch(plt.Rectangle((x, y - 0.12), width, 0.22, fc="none", ec="#666666"))
    ax.add_patch(plt.Rectangle((x, y - 0.12), width * value, 0.22, fc=COLOURS[4], ec="none"))
    if threshold is not None:
        ax.plot([x + width * threshold] * 2, [y - 0.2, y + 0.18], color=COLOURS[5], lw=2)


@styled
def confidence_histogram(confidence: np.ndarray, correct: np.ndarray, name: str, title: str) -> Figure:
    """Where right and wrong answers lie on a confidence; both (n,)."""
    figure, (ax,) = _axes(title)
    bins = np.linspace(0, 1, 21)
    parts = [confidence[correct], confidence[~correct]]
    _, _, bars = ax.hist(
        parts, bins=bins, stacked=True, color=[RIGHT, WRONG], label=["right", "wrong"], ec="white"
    )
    for patch in bars[1]:
        patch.set_hatch("///")
    ax.set(xlabel=name, ylabel="questions")
    ax.legend(title="answer is")
    return figure


@styled
def reliability(curves: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Reliability diagram; each curve has columns confidence, accuracy and count, a row a bin."""
    figure, (ax,) = _axes(title, width=7.2, height=4.4)
    ax.set_box_aspect(1)
    ax.plot([0, 1], [0, 1], color="#888888", lw=1, ls="--", label="perfectly calibrated")
    for i, (name, bins) in enumerate(curves.items()):
        ax.plot(bins["confidence"], bins["accuracy"], color=COLOURS[i], lw=1)
        size = 20 + 220 * bins["count"] / bins["count"].sum()
        ax.scatter(bins["confidence"], bins["accuracy"], s=size, **_series(i, name))
    ax.set(
        xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="stated confidence", ylabel="share of right answers"
    )
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)  # beside the axes, where it hides nothing
    return figure


@styled
def stage_counts(counts: pd.DataFrame, title: str, unit: str = "questions answered") -> Figure:
    """Stacked bars: one row a chain, one column a model; missing stages are zero."""
    figure, (ax,) = _axes(title, height=1.4 + 0.45 * len(counts))
    left = np.zeros(len(counts))
    for i, model in enumerate(counts.columns):
        values = counts[model].fillna(0).to_numpy(float)
        ax.barh(counts.index, values, left=left, color=COLOURS[i], hatch=HATCHES[i], ec="white", label=model)
        left += values
    ax.invert_yaxis()
    ax.set(xlabel=unit)
    ax.legend(ncols=len(counts.columns), loc="lower left", bbox_to_anchor=(0, -0.5 - 0.6 / len(counts)))
    return figure


@styled
def frontier(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    points: Mapping[str, tuple[float, float]],
    title: str,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None,
    spent: str = "compute",
) -> Figure:
    """Cost against accuracy: curves of cascades (x, y), points of single models, bands (x, low, high)."""
    figure, (ax,) = _axes(title, height=4.6)
    for i, (name, (x, y)) in enumerate(curves.items()):
        ax.plot(x, y, ms=4, markevery=max(1, len(x) // 12), lw=1.5, **_series(i, name))
        if bands and name in bands:
            bx, low, high = bands[name]
            ax.fill_between(bx, low, high, color=COLOURS[i], alpha=0.15, lw=0)
    for name, (x, y) in points.items():
        ax.scatter([x], [y], color=COLOURS[6], marker="*", s=90, zorder=3)
        beside = (6, 6) if x > 0.8 else (6, -11)  # away from the curves that end there
        ax.annotate(name, (x, y), xytext=beside, textcoords="offset points", fontsize=9)
    ax.axvline(1, color="#888888", lw=0.8, ls=":")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlabel=f"{spent}, as a share of the last model alone", ylabel="accuracy")
    figure.legend(loc="outside lower center", ncols=min(3, len(curves)), fontsize=9)
    return figure


@styled
def surface(
    pt: np.ndarray, pik: np.ndarray, panels: Mapping[str, np.ndarray], title: str, mark: tuple | None = None
) -> Figure:
    """Maps over both thresholds: pt (a,), pik (b,), each panel (a, b) as a share of one."""
    figure, axes = _axes(title, width=4.0 * len(panels), height=3.9, columns=len(panels))
    for ax, (name, values) in zip(axes, panels.items()):
        mesh = ax.pcolormesh(pik, pt, values, cmap="cividis", shading="nearest", rasterized=True)
        lines = ax.contour(pik, pt, values, levels=6, colors="white", linewidths=0.6)
        ax.clabel(lines, fmt=lambda v: f"{v:.0%}", fontsize=7)
        figure.colorbar(mesh, ax=ax, format=PercentFormatter(1, decimals=0))
        if mark is not None:
            ax.plot(mark[1], mark[0], "*", color="white", mec="black", ms=13)
        ax.set(xlabel="threshold on P(IK)", ylabel="threshold on P(T)")
        ax.set_title(name, fontsize=10)
    return figure


@styled
def roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """ROC curves (false positive rate, true positive rate)."""
    figure, (ax,) = _axes(title, width=5.2, height=4.4)
    ax.plot([0, 1], [0, 1], color="#888888", lw=1, ls="--", label="chance")
    for i, (name, (x, y)) in enumerate(curves.items()):
        ax.plot(x, y, ms=4, markevery=max(1, len(x) // 10), **_series(i, name))
    ax.set(xlabel="wrong answers that are kept", ylabel="right answers that are kept")
    ax.legend(loc="lower right")
    return figure


@styled
def lines(
    table: pd.DataFrame,
    title: str,
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
    percent: bool = False,
) -> Figure:
    """One line a column over the index; `marks` are named vertical lines."""
    figure, (ax,) = _axes(title)
    for i, column in enumerate(table.columns):
        ax.plot(table.index, table[column], ms=4, **_series(i, column))
    for name, x in (marks or {}).items():
        ax.axvline(x, color="#888888", lw=1, ls=":")
        ax.text(x, ax.get_ylim()[1], f" {name}", fontsize=8, va="top", rotation=90)
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if table.index.dtype.kind in "iu":  # counts
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return figure


@styled
def intervals(table: pd.DataFrame, title: str, xlabel: str, reference: float | None = None) -> Figure:
    """Estimates with their 95 % intervals: columns value, low, high; one row a name, top to bottom."""
    figure, (ax,) = _axes(title, height=1.3 + _tall(table.index))
    y = _rows(ax, table.index)
    error = np.abs(table[["low", "high"]].to_numpy(float).T - table["value"].to_numpy(float))
    ax.errorbar(table["value"], y, xerr=error, fmt="o", color=COLOURS[0], capsize=3)
    if reference is not None:
        ax.axvline(reference, color="#888888", lw=1, ls="--")
    ax.set(xlabel=xlabel)
    return figure


@styled
def beside(table: pd.DataFrame, columns: Sequence[str], title: str, xlabel: str) -> Figure:
    """Two values a row joined by a line: the paper's and this edition's."""
    figure, (ax,) = _axes(title, height=1.3 + _tall(table.index))
    _joined(ax, _rows(ax, table.index), table, columns)
    ax.set(xlabel=xlabel)
    figure.legend(loc="outside lower center", ncols=len(columns), fontsize=9)  # on no row
    return figure


def _joined(ax: plt.Axes, y: np.ndarray, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Two values a row at the (n,) heights y, joined by a line."""
    ax.hlines(y, table[columns[0]], table[columns[1]], color="#999999", lw=1)
    for i, column in enumerate(columns):
        ax.scatter(table[column], y, s=45, zorder=3, **_series(i, column))


@styled
def beside_by_unit(table: pd.DataFrame, columns: Sequence[str], title: str, units: Sequence[str]) -> Figure:
    """Two values a row joined by a line, the rows of each unit on an axis of their own."""
    parts = dict(list(table.groupby(np.asarray(units), sort=False)))
    heights = [_tall(table.index) * len(part) / len(table) + 0.6 for part in parts.values()]
    figure, axes = plt.subplots(
        len(parts), figsize=(7.2, 0.9 + sum(heights)), height_ratios=heights, squeeze=False
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    for ax, (unit, part) in zip(axes[:, 0], parts.items()):
        _joined(ax, _rows(ax, part.index), part, columns)
        ax.axvline(0, color="#888888", lw=1, ls="--")
        ax.set(xlabel=unit)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(columns), fontsize=9)
    return figure


@styled
def prices(cost: pd.Series, quality: pd.Series, title: str) -> Figure:
    """Quality over extra cost, a point a method; both are indexed by the method's name."""
    figure, (ax,) = _axes(title, height=4.4)
    ax.scatter(cost, quality, color=COLOURS[0], s=35, zorder=3)
    apart: list[tuple[float, float]] = []
    for name, x, y in zip(cost.index, cost, quality):
        near = [a for a in apart if abs(a[0] - x) < 0.12 * (cost.max() or 1) and abs(a[1] - y) < 0.02]
        if not near:  # points on top of each other share the first one's name
            ax.annotate(name, (x, y), xytext=(3, 5), textcoords="offset points", fontsize=8)
            apart.append((x, y))
    ax.axhline(0.5, color="#888888", lw=1, ls="--")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlim=(None, max(0.01, 1.35 * cost.max())), xlabel="extra cost, as a share of the answering pass")
    ax.set_ylabel("AUROC for right answers")
    return figure


@styled
def drops(
    choices: Mapping[str, pd.DataFrame], known: tuple[float, float], max_drop: float, title: str
) -> Figure:
    """Saved compute over accuracy lost, a point a choice of thresholds; larger where it was made more often.

    Args:
        choices: for each way of choosing, columns drop and reduced, a row a draw, both shares of one.
        known: drop and reduced of the choice that knows the truth.
        max_drop: what may be lost, drawn as a line.
    """
    figure, (ax,) = _axes(title, height=4.4)
    for i, (name, rows) in enumerate(choices.items()):
        often = rows.groupby(["drop", "reduced"]).size().reset_index(name="count")
        size = 14 + 400 * often["count"] / len(rows)
        ax.scatter(100 * often["drop"], often["reduced"], s=size, alpha=0.6, **_series(i, name))
    ax.scatter([100 * known[0]], [known[1]], color=COLOURS[6], marker="*", s=140, label="knowing the truth")
    ax.axvline(100 * max_drop, color="#888888", lw=1, ls="--", label="may be lost")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlabel="true loss of accuracy against the last model (points)", ylabel="compute saved")
    legend = ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    for handle in legend.legend_handles[:-1]:
        handle.set_sizes([60])
    return figure
