"""Figures draw what they are given; titles and axes are there to be read."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
from cclib.display import plots  # noqa: E402
from cclib.policies.walks import Step, Walk  # noqa: E402
from cclib.questions import Question  # noqa: E402

NUMBERS = pd.DataFrame({"value": [0.5, 0.7], "low": [0.4, 0.6], "high": [0.6, 0.8]}, index=["a", "b"])
QUESTION = Question("q", "s", "Which?", ("$x_1$ <b>", "France"), 1)
STEPS = Walk(QUESTION, [Step("s", 0.95, 0.3, 0, 0.9, 0.5), Step("l", 0.6, None, 1, 0.9, 0.5, last=True)])
X = np.linspace(0, 1, 5)
BINS = pd.DataFrame({"confidence": X, "accuracy": X, "count": 10})
DRAWN = {
    "walk": lambda: plots.walk(STEPS, "T"),
    "histogram": lambda: plots.confidence_histogram(X, X > 0.5, "P(T)", "T"),
    "reliability": lambda: plots.reliability({"s": BINS}, "T"),
    "counts": lambda: plots.stage_counts(NUMBERS, "T"),
    "frontier": lambda: plots.frontier({"c": (X, X)}, {"s": (0.1, 0.5)}, "T", bands={"c": (X, X, X)}),
    "roc": lambda: plots.roc({"s": (X, X)}, "T"),
    "lines": lambda: plots.lines(NUMBERS, "T", "x", "y", marks={"here": 0}),
    "intervals": lambda: plots.intervals(NUMBERS, "T", "x", reference=0.5),
    "beside": lambda: plots.beside(NUMBERS, ["low", "high"], "T", "x"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_has_its_title_and_can_be_written(name, tmp_path):
    figure = DRAWN[name]()
    assert figure.axes[0].get_title("left") == "T"
    figure.savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size > 1000
    matplotlib.pyplot.close(figure)


def test_a_figure_leaves_matplotlibs_settings_as_they_were():
    before = dict(matplotlib.rcParams)
    matplotlib.pyplot.close(plots.lines(NUMBERS, "T", "x", "y"))
    assert dict(matplotlib.rcParams) == before


def test_the_surface_shows_both_thresholds():
    panels = {"accuracy": np.outer(X, X), "compute": np.outer(X, 1 - X)}
    figure = plots.surface(X, X, panels, "T", mark=(0.5, 0.5))
    assert [ax.get_title("left") for ax in figure.axes[:2]] == list(panels)
    assert figure.axes[0].get_xlabel() == "threshold on P(IK)"
    matplotlib.pyplot.close(figure)


def test_series_differ_without_colour():
    assert len(set(plots.MARKERS)) == len(set(plots.HATCHES)) == len(set(plots.COLOURS)) == 7
