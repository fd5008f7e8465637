"""The mean absolute error of each method on the images of each gender, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from regress.predictions import GENDERS
from regress.report.figure_style import SERIES, label_rows, style
from regress.report.marks import mark

_MARKERS = ("o", "s")
_SAID = "{method}, {gender}: {mae:2} years ({mae_low:2} to {mae_high:2}), {n_images} images"


def gender_figure(table: pd.DataFrame, names: Sequence[str], width: float = 7.2) -> Figure:
    """Draw a point with its interval for each method and gender.

    Parameters
    ----------
    table : pandas.DataFrame
        From `regress.by_gender.errors_by_gender`.
    names : sequence of str
        The methods, best first.
    width : float
        Inches.
    """
    narrow = width < 5
    rows = np.arange(len(names))[::-1]
    with style():
        figure = Figure(figsize=(width, 1.0 + (0.58 if narrow else 0.4) * len(names)))
        axes = figure.subplots()
        for k, gender in enumerate(GENDERS):
            y = dict(zip(names, rows + (0.12, -0.12)[k] * (1.0 if narrow else 1.2), strict=True))
            axes.plot([], [], _MARKERS[k], ms=5, mew=0, color=SERIES[k], label=gender)
            for row, own in zip(table.index, table.to_dict("records"), strict=True):
                if own["gender"] != gender:
                    continue
                at = y[own["method"]]
                axes.hlines(at, own["mae_low"], own["mae_high"], color=SERIES[k], lw=1.3)
                (point,) = axes.plot(own["mae"], at, _MARKERS[k], ms=5, mew=0, color=SERIES[k])
                mark(point, row, _SAID)
        label_rows(axes, rows, names, narrow)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("mean absolute error (years)")
        figure.legend(loc="outside upper left", ncols=2, handletextpad=0.3)
    return figure
