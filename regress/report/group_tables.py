"""A comparison of age groups or genders as tables: for the terminal, as CSV and as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from featx.atomic import write_text, writing
from regress.compare_groups import GroupComparison
from regress.confidence import confidence_table
from regress.report.formats import (
    NOTHING,
    duration,
    interval,
    number,
    of_total,
    p_value,
    percent,
)
from regress.report.gender_histogram import has_histogram, histogram_table
from regress.report.tables import INCOMPLETE, aligned, markdown_table

Table = tuple[list[str], list[list[str]]]


def write_group_tables(comparison: GroupComparison, folder: Path) -> None:
    """Write table.csv, table.md, tests.csv, by_group.csv and confusion.csv.

    Of methods with probabilities confidence.csv, and of genders histogram.csv too.
    """
    files = {
        "table": comparison.table,
        "tests": comparison.tests,
        "by_group": comparison.by_group,
        "confusion": confusion_table(comparison),
    }
    if any(map(has_histogram, comparison.runs)):
        files["histogram"] = histogram_table(comparison)
    confidence = confidence_table(comparison)
    if len(confidence):
        files["confidence"] = confidence
    for name in {"histogram", "confidence"} - set(files):  # of an earlier report
        (folder / f"{name}.csv").unlink(missing_ok=True)
    for name, table in files.items():
        with writing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    write_text(folder / "table.md", markdown_groups(comparison))


def confusion_table(comparison: GroupComparison) -> pd.DataFrame:
    """Return a row a method and true class, a column a predicted class, with numbers of images."""
    frames = [
        pd.DataFrame(matrix, columns=list(comparison.groups)).assign(
            method=name, true=list(comparison.groups)
        )
        for name, matrix in zip(comparison.names, comparison.confusion, strict=True)
    ]
    return pd.concat(frames, ignore_index=True)[["method", "true", *comparison.groups]]


def _between(low: float, high: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return NOTHING
    return f"{number(100 * low, 1)} to {number(100 * high, 1)} %"


def _spread(mean: float, sd: float) -> str:
    return f"{number(100 * mean, 1)} ± {number(100 * sd, 1)} %"


#: Columns of the ranking: heading, the columns of the table it needs, how they are written.
#: A heading whose columns the table lacks is left out.
_MEASURES: tuple[tuple[str, tuple[str, ...], Callable[..., str]], ...] = (
    ("accuracy", ("accuracy",), percent),
    ("95 % CI", ("accuracy_low", "accuracy_high"), _between),
    ("accuracy over folds", ("accuracy_mean_of_folds", "accuracy_sd_of_folds"), _spread),
    ("1-off", ("one_off",), percent),
    ("1-off 95 % CI", ("one_off_low", "one_off_high"), _between),
    ("1-off over folds", ("one_off_mean_of_folds", "one_off_sd_of_folds"), _spread),
    ("AABD", ("aabd",), partial(number, digits=3)),
    ("AABD 95 % CI", ("aabd_low", "aabd_high"), partial(interval, digits=3)),
    ("MAE", ("expected_mae",), number),
    ("MAE 95 % CI", ("expected_mae_low", "expected_mae_high"), interval),
    ("ages", ("n_ages",), "{:,}".format),
    ("exact by age", ("expected_exact",), percent),
    ("1-off by age", ("expected_one_off",), percent),
)
_NOT_ON_A_TERMINAL = (
    *("1-off 95 % CI", "AABD 95 % CI", "MAE 95 % CI", "ages", "exact by age", "1-off by age"),
    "time",
)


def group_ranking(comparison: GroupComparison) -> Table:
    """Return the header and the rows of the ranking, rounded for reading."""
    measures = [one for one in _MEASURES if set(one[1]) <= set(comparison.table)]
    header = ["#", "method", *(one[0] for one in measures), "images", "subjects", "folds", "time"]
    rows = []
    for row in comparison.table.to_dict("records"):
        mark = f" {INCOMPLETE}" if row["folds_done"] < row["folds_planned"] else ""
        rows.append(
            [
                str(row["rank"]),
                f"{row['method']}{mark}",
                *(write(*(row[column] for column in columns)) for _, columns, write in measures),
                of_total(row["n_images"], row["n_total"]),
                f"{row['n_subjects']:,}",
                of_total(row["folds_done"], row["folds_planned"]),
                duration(row["seconds"]),
            ]
        )
    return header, rows


def group_versus_best(comparison: GroupComparison) -> Table:
    """Return the header and the rows of the paired tests against the best method."""
    unit = comparison.unit
    tests = comparison.tests[comparison.tests["first"] == comparison.names[0]]
    header = ["#", "method", "behind the best by", "95 % CI", "p", "p (Holm)", "images", f"{unit}s"]
    rows = [
        [
            str(rank),
            row["second"],
            percent(row["difference"]),
            _between(row["low"], row["high"]),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            f"{row['n_images']:,}",
            f"{row[f'n_{unit}s']:,}",
        ]
        for rank, row in enumerate(tests.to_dict("records"), start=2)
    ]
    return header, rows


def group_by_group(comparison: GroupComparison) -> Table:
    """Return precision and recall of each method in each class, and its images."""
    task = comparison.task
    rows = [
        [
            row["method"],
            row[task.truth],
            percent(row["precision"]),
            percent(row["recall"]),
            f"{row['n_images']:,}",
        ]
        for row in comparison.by_group.to_dict("records")
    ]
    return ["method", task.label, "precision", "recall", "images"], rows


def terminal_groups(comparison: GroupComparison) -> str:
    """Return the ranking as aligned text, followed by the notes."""
    header, rows = group_ranking(comparison)
    keep = [header.index(name) for name in header if name not in _NOT_ON_A_TERMINAL]
    lines = aligned([[row[k] for k in keep] for row in [header, *rows]])
    return "\n".join([*lines, *(f"note: {note}" for note in comparison.notes)])


def markdown_groups(comparison: GroupComparison) -> str:
    """Return all tables and the notes as GitHub Markdown."""
    parts = [markdown_table(*group_ranking(comparison))]
    if len(comparison.tests):
        parts.append(markdown_table(*group_versus_best(comparison)))
    parts.append(markdown_table(*group_by_group(comparison)))
    for name, matrix in zip(comparison.names, comparison.confusion, strict=True):
        rows = [
            [group, *(f"{count:,}" for count in counts)]
            for group, counts in zip(comparison.groups, matrix, strict=True)
        ]
        parts += [
            f"Confusion of {name}: rows true, columns predicted.",
            markdown_table(["true", *comparison.groups], rows),
        ]
    parts += [f"Note: {note}" for note in comparison.notes]
    return "\n\n".join(parts) + "\n"
