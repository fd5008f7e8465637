"""The mean absolute error of each method on the images of each gender, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from regress.predictions import GENDERS
from regress.report.figures import SERIES, label_rows, style

_MARKERS = ("o", "s")


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
            own = table[table["gender"] == gender].set_index("method").reindex(list(names))
            y = rows + (0.12, -0.12)[k] * (1.0 if narrow else 1.2)
            mae = own["mae"].to_numpy(float)
            axes.plot(mae, y, _MARKERS[k], ms=5, mew=0, color=SERIES[k], label=gender)
            limits = own[["mae_low", "mae_high"]].to_numpy(float)
            axes.hlines(y, limits[:, 0], limits[:, 1], color=SERIES[k], lw=1.3)
        label_rows(axes, rows, names, narrow)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("mean absolute error (years)")
        figure.legend(loc="outside upper left", ncols=2, handletextpad=0.3)
    return figure
