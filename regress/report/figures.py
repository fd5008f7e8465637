"""The comparison's figures: box plots, scatter, error by age, cumulative score.

Each function returns a `matplotlib.figure.Figure` of its own (no pyplot, no global state), made
for a given width in inches so that its text is legible there: about 7 for a page, 3.6 for a phone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regress.compare import CS_YEARS, Comparison
from regress.report.figure_data import (
    MANY_DOTS,
    MANY_POINTS,
    YEARS,
    age_errors,
    age_limits,
    scatter_points,
    shares_within,
    subject_errors,
)
from regress.report.figure_style import (
    INK,
    MUTED,
    RULE,
    SERIES,
    UNSEEN,
    label_rows,
    legend,
    line_look,
    shorten,
    style,
)
from regress.report.formats import decade
from regress.report.marks import mark

_MARKERS = ("o", "s", "^", "D", "v", "P")


def figure_functions() -> dict[str, Callable[[Comparison, float], Figure]]:
    """Return the figures by file name."""
    return {
        "errors_by_subject": box_plots,
        "predicted_against_true": scatter,
        "error_by_age": error_by_age,
        "cumulative_score": cumulative_score,
    }


def box_plots(comparison: Comparison, width: float = 7.2) -> Figure:
    """Draw the mean absolute errors of the subjects, a box a method (the paper's Figures 10–12).

    Boxes span the quartiles, whiskers reach 1.5 interquartile ranges, each dot is a subject, the
    diamond is the mean absolute error over all images.
    """
    narrow = width < 5
    unit = comparison.unit
    names = comparison.names
    own = comparison.by_subject
    values = [own.loc[own["method"] == name, "mae"].to_numpy() for name in names]
    data = subject_errors(comparison)
    rows = np.arange(len(names))[::-1]
    with style():
        step = 0.58 if narrow else 0.38
        figure = Figure(figsize=(width, 0.8 + step * len(names)))
        axes = figure.subplots()
        spread = 0.18 if narrow else 0.26
        for name, row, value in zip(names, rows, values, strict=True):
            if len(value) <= MANY_DOTS:
                jitter = np.random.default_rng(0).uniform(-spread, spread, len(value))
                (dots,) = axes.plot(
                    value, row + jitter, ".", ms=4, mew=0, color=SERIES[0], alpha=0.45
                )
                first = data.index[(data["method"] == name) & data[unit].notna()][0]
                mark(dots, first, f"{{method}}, {unit} {{{unit}}}: {{mae:2}} years")
        axes.boxplot(
            values,
            positions=rows,
            orientation="horizontal",
            widths=0.42 if narrow else 0.6,
            showfliers=max(map(len, values)) > MANY_DOTS,
            flierprops={"marker": ".", "ms": 2, "mec": MUTED},
            medianprops={"color": INK, "lw": 1.6},
            boxprops={"color": INK, "lw": 0.9},
            whiskerprops={"color": INK, "lw": 0.9},
            capprops={"color": INK, "lw": 0.9},
        )
        (diamonds,) = axes.plot(
            data["mae"][: len(names)], rows, "D", ms=5, mfc=SERIES[1], mec=INK, mew=0.6, zorder=5
        )
        mark(
            diamonds,
            0,
            "{method}: mean absolute error {mae:2} years over {n_images} images; "
            f"{unit}s: median {{median:2}}, quartiles {{lower_quartile:2}} to {{upper_quartile:2}}",
        )
        label_rows(axes, rows, names, narrow)
        axes.set_xlim(left=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"mean absolute error of a {unit} (years)" if unit == "subject"
                        else "absolute error of an image (years)")  # fmt: skip
    return figure


def scatter(comparison: Comparison, width: float = 7.2) -> Figure:
    """Draw predicted against true age, a panel a method, on shared axes with the identity line."""
    columns = min(len(comparison.names), max(1, round(width / 2.3)))
    lines = -(-len(comparison.names) // columns)
    with style():
        figure = Figure(figsize=(width, 0.3 + lines * (width / columns + 0.25)))
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for k, axes in enumerate(grid.flat):
            if k >= len(comparison.names):
                axes.set_visible(False)
                continue
            _scatter_panel(axes, comparison, k, round(13 * width / columns))
            if k + columns >= len(comparison.names):
                axes.tick_params(labelbottom=True)
        figure.supxlabel("true age (years)", fontsize=9)
        figure.supylabel("predicted age (years)", fontsize=9)
    return figure


def has_many_points(comparison: Comparison) -> bool:
    """Tell whether a page's scatter has so many points that they are drawn as one picture."""
    return sum(len(run.predictions) for run in comparison.runs) > MANY_POINTS


def scatter_panel(comparison: Comparison, method: int) -> Figure:
    """Draw one panel of `scatter` as a figure of its own, with the same limits as the others."""
    with style():
        figure = Figure(figsize=(2.4, 2.4))
        axes = figure.subplots()
        _scatter_panel(axes, comparison, method)
        axes.set_xlabel("true age (years)", fontsize=8.5)
        axes.set_ylabel("predicted age", fontsize=8.5)
    return figure


def _scatter_panel(axes: Axes, comparison: Comparison, method: int, letters: int = 0) -> None:
    predictions, shown = scatter_points(comparison, method)
    low, high = age_limits(comparison)
    axes.plot([low, high], [low, high], "-", lw=0.9, color=MUTED, zorder=1)
    (points,) = axes.plot(
        predictions["age"][:shown],
        predictions["predicted_age"][:shown],
        "o",
        ms=2.6 if len(predictions) < 3000 else 1.4,
        mew=0,
        color=SERIES[0],
        alpha=0.4 if len(predictions) < 3000 else 0.15,
        rasterized=has_many_points(comparison),
    )
    mark(points, 0, "{image}: true age {age}, predicted {predicted_age:1}")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    if shown < len(predictions):
        axes.text(
            0.03, 0.97, f"{len(predictions) - shown} outside", transform=axes.transAxes, va="top",
            fontsize=7.5, color=MUTED,
        )  # fmt: skip
    if letters:
        mae = comparison.table["mae"][method]
        title = "\n".join(textwrap.wrap(shorten(comparison.names[method], 2 * letters), letters))
        axes.set_title(f"{title}\nMAE {mae:.2f}", fontsize=8, parse_math=False)


_IN_DECADE = (
    "{method}, {age}: {mae:2} years (95 % CI {mae_low:2} to {mae_high:2}), {n_images} images"
)


def error_by_age(comparison: Comparison, width: float = 7.2) -> Figure:
    """Draw the mean absolute error in each decade of age, and the number of images below."""
    table = age_errors(comparison)
    starts = np.sort(table["age_from"].unique())
    place = {start: k for k, start in enumerate(starts)}
    extra = 0.19 * min(len(comparison.names), 7) / (1 if width < 5 else 2)
    with style():
        figure = Figure(figsize=(width, 3.5 + extra))
        axes, below = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        for rank, name in enumerate(comparison.names):
            own = table[table["method"] == name]
            x = [place[start] for start in own["age_from"]]
            look = line_look(rank)
            if rank < len(_MARKERS):
                look |= {"marker": _MARKERS[rank], "ms": 4}
            else:
                look |= UNSEEN
            (line,) = axes.plot(x, own["mae"], label=f"m{rank}", **look)
            mark(line, own.index[0], _IN_DECADE)
            if rank == 0:
                axes.fill_between(
                    x, own["mae_low"], own["mae_high"], color=SERIES[0], alpha=0.15, lw=0
                )
        most = table.groupby("age_from")["n_images"].idxmax().loc[starts]
        counts = table["n_images"][most].to_numpy(int)
        bars = below.bar(range(len(starts)), counts, color=RULE, width=0.7)
        for bar, row in zip(bars, most, strict=True):
            mark(bar, row, "{age}: {n_images} images")
        below.bar_label(bars, [f"{n:,}" for n in counts], fontsize=7.5, color=MUTED)
        below.set_ylim(0, counts.max() * 1.45)
        below.set_yticks([])
        below.set_ylabel("images")
        below.spines["left"].set_visible(False)
        below.grid(visible=False)
        step = 1 if len(starts) <= (6 if width < 5 else 14) else 2
        below.set_xticks(range(0, len(starts), step), [decade(s) for s in starts[::step]])
        below.set_xlabel("true age (years)")
        axes.set_ylim(bottom=0)
        axes.tick_params(labelbottom=False)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("mean absolute error (years)")
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend(figure, axes, comparison.names, width)
    return figure


def cumulative_score(comparison: Comparison, width: float = 7.2) -> Figure:
    """Draw the share of images whose absolute error is at most k years, for k from 0 to 20."""
    years = np.arange(201) / 10
    extra = 0.19 * min(len(comparison.names), 7) / (1 if width < 5 else 2)
    with style():
        figure = Figure(figsize=(width, 3.2 + extra))
        axes = figure.subplots()
        for rank, run in enumerate(comparison.runs):
            (line,) = axes.plot(
                years,
                shares_within(run, years),
                label=f"m{rank}",
                markevery=np.flatnonzero(np.isin(years, YEARS)).tolist(),
                **line_look(rank),
                **UNSEEN,
            )
            mark(line, rank * len(YEARS), "{method}: {percent:1} % within {years} years")
        axes.axvline(CS_YEARS, color=MUTED, lw=0.8)
        axes.text(CS_YEARS + 0.25, 2, f"CS({CS_YEARS})", color=MUTED, fontsize=8)
        axes.set(xlim=(0, 20), ylim=(0, 100))
        axes.set_xlabel("absolute error at most (years)")
        axes.set_ylabel("images (%)")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        legend(figure, axes, comparison.names, width)
    return figure
