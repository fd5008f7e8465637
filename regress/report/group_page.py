"""The report on age groups or genders: one self-contained page, tables and figures as files."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from featx import __version__
from featx.atomic import write_text
from regress.compare_groups import GroupComparison
from regress.confidence import confidence_table, expected_calibration_error
from regress.report import group_tables
from regress.report.calibration_figures import confidence_figure
from regress.report.figure_data import confusion_cells
from regress.report.figure_style import INK, SERIES, style
from regress.report.formats import percent
from regress.report.gender_histogram import has_histogram, histogram_figure, histogram_rows
from regress.report.inline_svg import inline_svg, save
from regress.report.marks import mark
from regress.report.page import environment
from regress.report.passport import commands, passport

_INCHES = 3.7
_CELL = "true {true}, predicted {predicted}: {n_images} images, {percent:1} % of the true"
_HEADINGS = {"age group": "Age groups", "gender": "Gender"}


def write_group_report(comparison: GroupComparison, folder: Path, title: str | None = None) -> Path:
    """Write the report into a folder, each file atomically; an earlier report is replaced.

    Parameters
    ----------
    comparison : GroupComparison
        From `regress.compare_groups.compare_groups`.
    folder : Path
        Gets ``report.html``, ``table.csv``, ``table.md``, ``tests.csv``, ``by_group.csv``,
        ``confusion.csv`` and ``figures/confusion_N.png`` and ``.svg``, N the rank of the method; of
        methods with probabilities ``confidence.csv`` and ``figures/confidence_N``, and of genders
        ``histogram.csv`` and ``figures/gender_histogram_N`` too.
    title : str, optional
        The page's title.

    Returns
    -------
    Path
        The page.
    """
    group_tables.write_group_tables(comparison, folder)
    panels, histograms = [], []
    for k, (name, run) in enumerate(zip(comparison.names, comparison.runs, strict=True)):
        save(confusion_figure(comparison, k), folder / "figures" / f"confusion_{k + 1}")
        told = f"Confusion matrix of {name}; confusion.csv has the numbers."
        svg = inline_svg(confusion_figure(comparison, k), f"confusion-{k}", told)
        data = confusion_cells(comparison, k)
        panels.append({"name": name, "svg": svg, "data": data})
        if has_histogram(run):
            save(histogram_figure(comparison, k), folder / "figures" / f"gender_histogram_{k + 1}")
            told = f"Histogram of the probabilities of {name}; histogram.csv has the numbers."
            svg = inline_svg(histogram_figure(comparison, k), f"histogram-{k}", told)
            data = pd.DataFrame(histogram_rows(run))
            histograms.append({"name": name, "svg": svg, "data": data})
    reliability = _reliability(comparison, folder)
    conditions = passport(comparison.runs)
    page = folder / "report.html"
    html = (
        environment()
        .get_template("groups.html.j2")
        .render(
            title=title or f"{_HEADINGS[comparison.task.label]}: methods compared",
            comparison=comparison,
            facts=[
                (_HEADINGS[comparison.task.label], ", ".join(comparison.groups)),
                *(fact for fact in conditions.shared if fact[0] in ("Protocol", "Folds", "Seed")),
            ],
            ranking=group_tables.group_ranking(comparison),
            versus=group_tables.group_versus_best(comparison),
            by_group=group_tables.group_by_group(comparison),
            passport=conditions,
            panels=panels,
            histograms=histograms,
            reliability=reliability,
            commands=commands(comparison, folder),
            records=[
                (name, json.dumps(run.info, indent=2, ensure_ascii=False))
                for name, run in zip(comparison.names, comparison.runs, strict=True)
            ],
            date=datetime.datetime.now().astimezone().date().isoformat(),
            version=__version__,
        )
    )
    write_text(page, html)
    return page


def _reliability(comparison: GroupComparison, folder: Path) -> list[dict[str, Any]]:
    """Write the reliability diagrams and return them for the page, with their calibration error."""
    bins = confidence_table(comparison)
    panels = []
    for k, name in enumerate(comparison.names):
        own = bins[bins["method"] == name] if len(bins) else bins
        if own.empty:
            continue
        save(confidence_figure(own), folder / "figures" / f"confidence_{k + 1}")
        error = percent(expected_calibration_error(own))
        told = (
            f"Reliability diagram of {name}: expected calibration error {error}; confidence.csv "
            "has the numbers."
        )
        svg = inline_svg(confidence_figure(own), f"confidence-{k}", told)
        panels.append({"name": name, "svg": svg, "error": error, "number": k + 1, "data": own})
    return panels


def confusion_figure(comparison: GroupComparison, method: int) -> Figure:
    """Draw a method's confusion matrix: counts, shaded by their share of the true class."""
    matrix, groups = comparison.confusion[method], comparison.groups
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    with style():
        figure = Figure((_INCHES, _INCHES))
        axes = figure.subplots()
        axes.grid(False)
        for (row, column), share in np.ndenumerate(shares):
            square = (column - 0.5, row - 0.5)
            cell = Rectangle(square, 1, 1, facecolor=SERIES[0], alpha=0.6 * share, linewidth=0)
            axes.add_patch(cell)
            mark(cell, row * len(groups) + column, _CELL)
            axes.text(
                column, row, f"{matrix[row, column]:,}", ha="center", va="center",
                fontsize=7, color=INK,
            )  # fmt: skip
        axes.set(xlim=(-0.5, len(groups) - 0.5), ylim=(len(groups) - 0.5, -0.5))
        axes.set_xticks(range(len(groups)), groups, rotation=45, ha="right")
        axes.set_yticks(range(len(groups)), groups)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
    return figure
