"""How sure a method is of the gender it predicts: the histogram of its probabilities of female."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regress.compare_groups import GroupComparison
from regress.predictions import GENDERS, Run
from regress.probabilities import has_probabilities, read_probabilities
from regress.report.figure_style import MUTED, SERIES, UNSEEN, style
from regress.report.marks import mark

FEMALE = GENDERS[0]
_EDGES = np.linspace(0, 1, 21)
_INCHES = (3.7, 2.7)
_BIN = "true {true}, probability {probability_from:2} to {probability_below:2}: {n_images} images"


def has_histogram(run: Run) -> bool:
    """Tell whether a run predicts gender with probabilities."""
    return run.task == "gender" and FEMALE in run.groups and has_probabilities(run)


def histogram(run: Run) -> dict[str, np.ndarray]:
    """Count images by their predicted probability of female, in twenty equal bins from 0 to 1.

    Parameters
    ----------
    run : Run
        For which `has_histogram` holds.

    Returns
    -------
    dict of str to numpy.ndarray
        Of each true gender int64 counts, shape (20,); a bin holds its lower end, the last both.
    """
    given = read_probabilities(run)
    female = given.values[:, given.classes.tolist().index(FEMALE)].clip(0, 1)
    true = run.predictions[run.columns[0]].to_numpy(str)
    return {name: np.histogram(female[true == name], _EDGES)[0] for name in run.groups}


def histogram_table(comparison: GroupComparison) -> pd.DataFrame:
    """Return a row a method, true gender and bin: its ends, and its number of images."""
    rows = [
        {"method": name, **row}
        for name, run in zip(comparison.names, comparison.runs, strict=True)
        if has_histogram(run)
        for row in histogram_rows(run)
    ]
    return pd.DataFrame(rows)


def histogram_rows(run: Run) -> list[dict[str, str | float | int]]:
    """Return a row a true gender and bin of one run."""
    return [
        {
            "true": gender,
            "probability_from": float(_EDGES[k].round(2)),
            "probability_below": float(_EDGES[k + 1].round(2)),
            "n_images": int(n),
        }
        for gender, counts in histogram(run).items()
        for k, n in enumerate(counts)
    ]


def histogram_figure(comparison: GroupComparison, method: int) -> Figure:
    """Draw a method's histogram, an outline a true gender.

    It is Figure 11 of Abdolrashidi et al. (2020), "Age and gender prediction from face images using
    attentional convolutional network".
    """
    with style():
        figure = Figure(_INCHES)
        axes = figure.subplots()
        looks = zip(SERIES, ("-", "--"), strict=False)
        for g, ((gender, counts), (colour, dashes)) in enumerate(
            zip(histogram(comparison.runs[method]).items(), looks, strict=False)
        ):
            axes.stairs(counts, _EDGES, fill=True, color=colour, alpha=0.2)
            axes.stairs(counts, _EDGES, color=colour, ls=dashes, lw=1.4, label=f"true {gender}")
            (middles,) = axes.plot((_EDGES[1:] + _EDGES[:-1]) / 2, counts, ls="", **UNSEEN)
            mark(middles, g * len(counts), _BIN)
        axes.axvline(0.5, color=MUTED, lw=0.8)
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel("predicted probability of female")
        axes.set_ylabel("images")
        figure.legend(loc="outside upper left", ncols=2)
    return figure
