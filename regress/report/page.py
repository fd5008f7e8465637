"""The report: one self-contained HTML page, its tables and its figures as files."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from featx import __version__
from featx.atomic import write_text
from regress.compare import CS_YEARS, SIGNIFICANCE, Comparison
from regress.image_facts import ImageFacts
from regress.report import figure_data, figures, tables
from regress.report.data_files import data_files
from regress.report.figure_data import csv_uri
from regress.report.formats import decade, interval, number, p_value
from regress.report.inline_svg import WIDE, inline_svg, save, two_widths
from regress.report.passport import commands, passport, statuses
from regress.report.sections import Sections, further_sections
from regress.report.statistics import statistics_tables

_SCRIPTS = ("sortable.js", "page.js")


def write_report(
    comparison: Comparison,
    folder: str | Path,
    title: str | None = None,
    *,
    facts: ImageFacts | None = None,
    images: bool | None = None,
) -> Path:
    """Write the report into a folder, each file atomically; an earlier report is replaced.

    Parameters
    ----------
    comparison : Comparison
        From `regress.compare.compare`.
    folder : str or Path
        Made where it is not there. Gets ``report.html``, ``table.md``, the tables as CSV
        (`regress.report.data_files` lists them) and ``figures/*.png`` and ``*.svg``.
    title : str, optional
        The page's title.
    facts, images
        See `regress.report.sections.further_sections`.

    Returns
    -------
    Path
        The page.
    """
    folder = Path(folder)
    tables.write_tables(comparison, folder)
    for name, draw in figures.figure_functions().items():
        save(draw(comparison, WIDE), folder / "figures" / name)
    more = further_sections(comparison, facts, images)
    more.write(folder)
    page = folder / "report.html"
    write_text(page, render(comparison, folder, title, more))
    return page


def render(
    comparison: Comparison, folder: Path, title: str | None = None, more: Sections | None = None
) -> str:
    """Return the page as HTML."""
    more = more or further_sections(comparison)
    conditions = passport(comparison.runs)
    header, rows = tables.ranking(comparison)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title or "Age estimation: methods compared",
            comparison=comparison,
            headline=headline(comparison),
            facts=_facts(comparison),
            ranking={"header": header, "rows": rows, "bars": _bars(comparison)},
            versus=tables.versus_best(comparison),
            distinct=_distinct(comparison),
            matrix=_matrix(comparison),
            significance=SIGNIFICANCE,
            cs_years=CS_YEARS,
            any_incomplete=any(tables.INCOMPLETE in row[1] for row in rows),
            incomplete=tables.INCOMPLETE,
            passport=conditions,
            figures=_figures(comparison),
            panels=_panels(comparison),
            many_points=figures.has_many_points(comparison),
            by_age=_by_age(comparison),
            statistics=statistics_tables(comparison),
            more=more.page,
            files=data_files(comparison.unit, more.tables),
            commands=commands(comparison, folder, more.flags),
            records=[
                (name, json.dumps(run.info, indent=2, ensure_ascii=False))
                for name, run in zip(comparison.names, comparison.runs, strict=True)
            ],
            date=datetime.datetime.now().astimezone().date().isoformat(),
            version=__version__,
        )
    )


def environment() -> jinja2.Environment:
    """Return what reads and fills in the page's templates."""
    folder = Path(__file__).parent
    script = "".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["breakable"] = breakable
    found.filters["csv_uri"] = csv_uri
    # no script but this one runs, not even one in a name that got through unescaped
    ours = Markup(script)  # nosec B704
    found.globals.update(script=ours, script_hash=f"sha256-{digest}")
    return found


def breakable(name: str) -> Markup:
    """Escape a name and let lines break after its punctuation."""
    return Markup("<wbr>").join(re.split(r"(?<=[:,=/_.-])", name))


def headline(comparison: Comparison) -> dict[str, Any]:
    """Return the parts of the opening sentence: the best method, and whether it stands apart."""
    best = comparison.table.iloc[0]
    told: dict[str, Any] = {
        "best": best["method"],
        "mae": number(best["mae"]),
        "ci": interval(best["mae_low"], best["mae_high"]),
        "next": None,
    }
    if len(comparison.names) > 1:
        tests = comparison.versus_best()
        row = tests.iloc[0]
        apart = int((tests["p_holm"] < SIGNIFICANCE).sum())
        told |= {
            "next": row["second"],
            "tested": bool(np.isfinite(row["p_holm"])),
            "distinct": bool(row["p_holm"] < SIGNIFICANCE),
            "difference": number(-row["difference"]),
            "difference_ci": interval(-row["high"], -row["low"]),
            "p": p_value(row["p_holm"]),
            "apart": apart,
            "others": len(tests),
        }
    return told


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """The passport in one line, above the numbers: label and value, of what all runs share."""
    shared = dict(passport(comparison.runs).shared)
    wanted = ("Data set", "Backbone", "Protocol", "Folds", "Split hash", "Seed")
    facts = [(label, shared[label]) for label in wanted if shared.get(label, "not") != "not"]
    table = comparison.table
    totals = _span(table["n_total"])
    images = f"{_span(table['n_images'])} of {totals}"
    subjects = _span(table["n_subjects"]) if table["n_subjects"].max() else "unknown"
    facts[1:1] = [("Images evaluated", images), ("Subjects", subjects)]
    dropped = {statuses(run) for run in comparison.runs}
    if len(dropped) == 1 and dropped != {""}:
        facts.insert(2, ("Rows by status", dropped.pop()))
    return facts


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _bars(comparison: Comparison) -> list[dict[str, float] | None]:
    """Place each interval on a common scale of 0 to 100, for the whiskers in the ranking."""
    table = comparison.table
    low, high = table["mae_low"].fillna(table["mae"]), table["mae_high"].fillna(table["mae"])
    start, span = low.min(), max(float(high.max() - low.min()), 1e-9)
    return [
        {key: round(100 * float(value - start) / span, 2) for key, value in zip(
            ("low", "mae", "high"), values, strict=True)}
        for values in zip(low, table["mae"], high, strict=True)
    ]  # fmt: skip


def _distinct(comparison: Comparison) -> list[bool]:
    return [bool(p < SIGNIFICANCE) for p in comparison.versus_best()["p_holm"]]


def _matrix(comparison: Comparison) -> list[list[dict[str, Any] | None]]:
    """Cells of the matrix of differences, row minus column; None on the diagonal."""
    n = len(comparison.names)
    place = {name: k for k, name in enumerate(comparison.names)}
    cells: list[list[dict[str, Any] | None]] = [[None] * n for _ in range(n)]
    for row in comparison.tests.to_dict("records"):
        i, j = place[row["first"]], place[row["second"]]
        distinct = bool(row["p_holm"] < SIGNIFICANCE)
        for a, b, sign in ((i, j, 1), (j, i, -1)):
            difference = sign * row["difference"]
            cells[a][b] = {
                "text": tables.signed(difference),
                "title": f"Holm-adjusted p {p_value(row['p_holm'])}, {row['n_images']} images",
                "kind": ("better" if difference < 0 else "worse") if distinct else "",
            }
    return cells


def _figures(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Each figure as inline SVG in two widths, the page shows the one that fits, and its data."""
    told = {
        "errors_by_subject": f"Box plots of the errors of {len(comparison.names)} methods over "
        f"{comparison.unit}s. Lowest mean absolute error {comparison.table['mae'].min():.2f} "
        f"years, highest {comparison.table['mae'].max():.2f} years.",
        "error_by_age": "Mean absolute error in each decade of true age, a line a method, with "
        "the number of images in each decade. The table below has the numbers.",
        "cumulative_score": "Share of images whose absolute error is at most k years, for k from "
        f"0 to 20, a line a method. Best at {CS_YEARS} years: "
        f"{100 * comparison.table[f'cs{CS_YEARS}'].max():.0f} %.",
    }
    data = {
        "errors_by_subject": figure_data.subject_errors,
        "error_by_age": figure_data.age_errors,
        "cumulative_score": figure_data.cumulative_scores,
    }
    draw = figures.figure_functions()
    return {
        name: two_widths(partial(draw[name], comparison), name, text)
        | {"data": data[name](comparison)}
        for name, text in told.items()
    }


def _panels(comparison: Comparison) -> list[dict[str, Any]]:
    panels = []
    for k, name in enumerate(comparison.names):
        row = comparison.table.iloc[k]
        text = (
            f"Predicted against true age, {name}: {row['n_images']} images, mean absolute error "
            f"{row['mae']:.2f} years, R² {row['r2_pooled']:.2f}."
        )
        svg = inline_svg(figures.scatter_panel(comparison, k), f"panel-{k}", text)
        data = figure_data.scatter_points(comparison, k)[0]
        panels.append({"name": name, "mae": number(row["mae"]), "svg": svg, "data": data})
    return panels


def _by_age(comparison: Comparison) -> dict[str, Any]:
    table = comparison.by_age
    starts = sorted(table["age_from"].unique())
    images = table.groupby("age_from")["n_images"].max()
    rows = []
    for name in comparison.names:
        own = table[table["method"] == name].set_index("age_from")["mae"]
        rows.append((name, [number(float(own.get(start, np.nan)), 1) for start in starts]))
    return {
        "decades": [(decade(start), f"{images[start]:,}") for start in starts],
        "rows": rows,
    }
