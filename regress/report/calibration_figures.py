"""Pictures of calibration: of distributions of age, and of the probabilities of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from regress.calibration import PIT_EDGES, Calibration
from regress.confidence import EDGES
from regress.report.figure_style import MUTED, RULE, SERIES, UNSEEN, legend, line_look, style
from regress.report.marks import mark

_INCHES = (3.7, 3.6)
_COVERED = "{method}: {coverage:2} of the true ages in intervals of {nominal:2}"
_IN_BIN = "{method}: {share:2} of the true ages at {pit_from:1} to {pit_below:1}"
_RIGHT = "probability {confidence:2}: {accuracy:2} right ({low:2} to {high:2}), {n_images} images"


def calibration_data(calibration: Calibration) -> pd.DataFrame:
    """Return what `calibration_figure` shows: the rows of the coverage, then those of the bins."""
    return pd.concat([calibration.coverage, calibration.pit], ignore_index=True)


def calibration_figure(
    calibration: Calibration, names: Sequence[str], width: float = 7.2
) -> Figure:
    """Draw observed against nominal coverage, and the histogram of the transforms beside it.

    Parameters
    ----------
    calibration : Calibration
        Of some of the methods.
    names : sequence of str
        All methods of the page, best first: each keeps its look.
    width : float
        Inches; below 5 the two stand one above the other.
    """
    narrow = width < 5
    shown = calibration.scores["method"].tolist()
    extra = 0.19 * min(len(shown), 7) / (1 if narrow else 2)
    with style():
        figure = Figure(figsize=(width, (6.4 if narrow else 3.5) + extra))
        axes, beside = figure.subplots(*((2, 1) if narrow else (1, 2)))
        axes.plot((0, 100), (0, 100), color=MUTED, lw=0.9, zorder=1)
        beside.axhline(10, color=MUTED, lw=0.9, zorder=1)
        for place, name in enumerate(shown):
            look = line_look(list(names).index(name))
            own = calibration.coverage[calibration.coverage["method"] == name]
            x = 100 * own["nominal"].to_numpy()
            if place == 0:
                low, high = (100 * own[end].to_numpy() for end in ("low", "high"))
                axes.fill_between(x, low, high, color=look["color"], alpha=0.15, lw=0)
            observed = 100 * own["coverage"].to_numpy()
            (line,) = axes.plot(x, observed, label=f"m{place}", **(UNSEEN | look))
            mark(line, own.index[0], _COVERED)
            bins = calibration.pit[calibration.pit["method"] == name]
            binned = 100 * bins["share"].to_numpy()
            beside.stairs(binned, PIT_EDGES, baseline=None, **look)
            middles = (PIT_EDGES[:-1] + PIT_EDGES[1:]) / 2
            (points,) = beside.plot(middles, binned, ls="none", **UNSEEN)
            mark(points, len(calibration.coverage) + bins.index[0], _IN_BIN)
        axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", anchor="W")
        axes.set_xlabel("nominal coverage (%)")
        axes.set_ylabel("observed coverage (%)")
        beside.set(xlim=(0, 1))
        beside.set_ylim(bottom=0)
        beside.set_xlabel("predicted probability below the true age (PIT)")
        beside.set_ylabel("images (%)")
        legend(figure, axes, shown, width)
    return figure


def confidence_figure(bins: pd.DataFrame) -> Figure:
    """Draw how often a method's predictions are right by their probability, and how many there are.

    Parameters
    ----------
    bins : pandas.DataFrame
        A method's rows of `regress.confidence.confidence_table`.
    """
    with style():
        figure = Figure(_INCHES)
        axes, below = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        axes.plot((0, 1), (0, 100), color=MUTED, lw=0.9, zorder=1)
        x = bins["confidence"].to_numpy(float)
        axes.vlines(x, 100 * bins["low"], 100 * bins["high"], color=SERIES[0], lw=1.2)
        right = 100 * bins["accuracy"].to_numpy(float)
        (line,) = axes.plot(x, right, "o-", ms=4.5, lw=1.4, color=SERIES[0])
        mark(line, 0, _RIGHT)
        axes.set(xlim=(0, 1), ylim=(0, 100))
        axes.tick_params(labelbottom=False)
        axes.set_ylabel("right (%)")
        starts = bins["probability_from"].to_numpy(float)
        bars = below.bar(
            starts, bins["n_images"], width=0.92 * np.diff(EDGES)[0], align="edge", color=RULE
        )
        for row, bar in enumerate(bars):
            mark(bar, row, _RIGHT)
        below.bar_label(bars, [f"{n:,}" for n in bins["n_images"]], fontsize=6, color=MUTED)
        below.set_ylim(0, bins["n_images"].max() * 1.6)
        below.set_yticks([])
        below.set_ylabel("images")
        below.grid(visible=False)
        below.set_xlabel("probability of the predicted class")
    return figure
