"""A run's numbers as the papers' tables name them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from regress import metrics
from regress.predictions import Run


def measures(run: Run) -> dict[str, float]:
    """Return every measure of `experiments.experiment_file.Measure` that a run has.

    Errors are in years, shares from 0 to 1. ``…_of_folds`` are over the values of the folds, each
    fold counting once; the others are over all images. Standard deviations are those of a sample
    (n − 1), NaN for a single fold.

    Parameters
    ----------
    run : Run
        Of ages or of age groups.
    """
    table = run.predictions
    if run.info.get("task", "age") == "age-group":
        return _of_groups(table, run.info["groups"])
    age, predicted, folds = table["age"], table["predicted_age"], table["fold"]
    errors = np.array(list(metrics.fold_maes(age, predicted, folds).values()))
    return {
        "mae": metrics.mae(age, predicted),
        "mae_mean_of_folds": float(errors.mean()),
        "mae_median_of_folds": float(np.median(errors)),
        "mae_upper_quartile_of_folds": float(np.quantile(errors, 0.75)),
        "mae_lower_quartile_of_folds": float(np.quantile(errors, 0.25)),
        "r2": metrics.r2(age, predicted),
        "r2_mean_of_folds": metrics.r2_fold_mean(age, predicted, folds).value,
    }


def _of_groups(table: pd.DataFrame, groups: list[str]) -> dict[str, float]:
    def accuracy(rows: pd.DataFrame) -> float:
        return metrics.accuracy(rows["age_group"], rows["predicted_group"])

    def one_off(rows: pd.DataFrame) -> float:
        return metrics.one_off(rows["age_group"], rows["predicted_group"], groups)

    found = {}
    for name, share in (("accuracy", accuracy), ("one_off", one_off)):
        shares = np.array([share(rows) for _, rows in table.groupby("fold")])
        found[name] = share(table)
        found[f"{name}_mean_of_folds"] = float(shares.mean())
        found[f"{name}_sd_of_folds"] = float(shares.std(ddof=1)) if len(shares) > 1 else np.nan
    return found
