"""The numbers that the figures show, a row a mark: what the page offers as CSV under each."""

from __future__ import annotations

from urllib.parse import quote

import numpy as np
import pandas as pd

from regress.compare import Comparison
from regress.compare_groups import GroupComparison
from regress.predictions import Run
from regress.report.formats import decade

#: Above this the dots of a method's subjects are left out of the box plots.
MANY_DOTS = 1000
#: Above this the points of the scatter are one picture, not one shape each.
MANY_POINTS = 12_000
#: The errors whose cumulative scores are told, in years.
YEARS = np.arange(0, 20.5, 0.5)


def csv_uri(table: pd.DataFrame) -> str:
    """Return a table as the address of a CSV file that is in the address itself."""
    text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
    return "data:text/csv;charset=utf-8," + quote(text, safe="!$()*,-./:;=?@_~")


def subject_errors(comparison: Comparison) -> pd.DataFrame:
    """Return what the box plots show: a row a method, then a row a method and subject.

    Returns
    -------
    pandas.DataFrame
        ``method``, ``subject`` (or ``image`` where subjects are unknown; missing in a method's own
        row), ``n_images``, ``mae`` in years, and in a method's own row the quartiles of its
        subjects' errors. Subjects of methods with more than `MANY_DOTS` are left out.
    """
    unit = comparison.unit
    quartiles = ("lower_quartile", "median", "upper_quartile")
    whole = comparison.table[["method", "n_images", "mae"]].copy()
    whole.insert(1, unit, None)
    for name in quartiles:
        whole[name] = comparison.table[f"{name}_{unit}_mae"]
    own = comparison.by_subject[["method", unit, "n_images", "mae"]]
    few = own.groupby("method")["mae"].transform("size") <= MANY_DOTS
    rows = [*whole.to_dict("records"), *own[few].to_dict("records")]
    return pd.DataFrame(rows, columns=list(whole))


def age_errors(comparison: Comparison) -> pd.DataFrame:
    """Return the errors by decade of age, with a column ``age`` that says the decade."""
    table = comparison.by_age.copy()
    table.insert(1, "age", [decade(int(start)) for start in table["age_from"]])
    return table


def shares_within(run: Run, years: np.ndarray) -> np.ndarray:
    """Return the percentages of a run's images whose absolute error is at most so many years."""
    table = run.predictions
    errors = np.sort(np.abs((table["predicted_age"] - table["age"]).to_numpy(float)))
    return 100 * np.searchsorted(errors, years, side="right") / len(errors)


def cumulative_scores(comparison: Comparison) -> pd.DataFrame:
    """Return a row a method and error of `YEARS`: the percentage of images within it."""
    parts = [
        pd.DataFrame({"method": name, "years": YEARS, "percent": shares_within(run, YEARS)})
        for name, run in zip(comparison.names, comparison.runs, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def scatter_points(comparison: Comparison, method: int) -> tuple[pd.DataFrame, int]:
    """Return a method's images with their ages, and how many of them the scatter shows.

    Those that lie outside of `age_limits` come last.
    """
    table = comparison.runs[method].predictions[["image", "age", "predicted_age"]]
    inside = table["predicted_age"].between(*age_limits(comparison))
    return pd.concat([table[inside], table[~inside]], ignore_index=True), int(inside.sum())


def age_limits(comparison: Comparison) -> tuple[float, float]:
    """Return limits that hold every true age and all but wild predictions, in years."""
    ages = np.concatenate([run.predictions["age"].to_numpy(float) for run in comparison.runs])
    predicted = np.concatenate(
        [run.predictions["predicted_age"].to_numpy(float) for run in comparison.runs]
    )
    room = 0.15 * max(float(np.ptp(ages)), 1.0)
    low = max(ages.min() - room, min(ages.min(), float(np.percentile(predicted, 0.1))))
    high = min(ages.max() + room, max(ages.max(), float(np.percentile(predicted, 99.9))))
    margin = 0.03 * max(high - low, 1.0)
    return float(low - margin), float(high + margin)


def confusion_cells(comparison: GroupComparison, method: int) -> pd.DataFrame:
    """Return a row a true and predicted class: images, and their percentage of the true class."""
    matrix, groups = comparison.confusion[method], comparison.groups
    totals = matrix.sum(axis=1)
    return pd.DataFrame(
        [
            {
                "true": groups[row],
                "predicted": groups[column],
                "n_images": int(n),
                "percent": 100 * n / max(int(totals[row]), 1),
            }
            for (row, column), n in np.ndenumerate(matrix)
        ]
    )
