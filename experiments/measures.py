"""A run's numbers as the papers' tables name them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from regress import metrics
from regress.expected_age import expected_ages, gapped_accuracy, has_expected_ages
from regress.grouping import have_gaps
from regress.predictions import TASKS, Run


def measures(run: Run) -> dict[str, float]:
    """Return every measure of `experiments.experiment_file.Measure` that a run has.

    Errors are in years, shares from 0 to 1. ``…_of_folds`` are over the values of the folds, each
    fold counting once; the others are over all images. ``images`` were tested, and ``seconds`` is
    what their folds took, training and testing.

    Parameters
    ----------
    run : Run
        Of ages or of age groups.
    """
    cost = {"images": float(len(run.predictions)), "seconds": float(run.info.get("seconds") or 0)}
    return {**(_of_classes(run) if run.groups else _of_ages(run)), **cost}


def _of_ages(run: Run) -> dict[str, float]:
    table = run.predictions
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


def _of_classes(run: Run) -> dict[str, float]:
    table, groups = run.predictions, run.groups
    true, guess = (table[name].to_numpy(str) for name in run.columns)
    shares: dict[str, Callable[[np.ndarray], float]] = {
        "accuracy": lambda rows: metrics.accuracy(true[rows], guess[rows])
    }
    found: dict[str, float] = {}
    if TASKS[run.task].ordered:
        shares["one_off"] = lambda rows: metrics.one_off(true[rows], guess[rows], groups)
        found["aabd"] = metrics.aabd(true, guess, groups)
    for name, share in shares.items():
        mean, sd = metrics.over_folds(share, table["fold"], len(table))
        found |= {
            name: share(np.arange(len(table))),
            f"{name}_mean_of_folds": mean,
            f"{name}_sd_of_folds": sd,
        }
    if not has_expected_ages(run):
        return found
    ages = expected_ages(run)
    if table["age"].notna().all():
        found["mae_expected_value"] = metrics.mae(table["age"], ages)
    if have_gaps(groups):
        exact, near = gapped_accuracy(ages, true, groups)
        found |= {"expected_exact": exact, "expected_one_off": near}
    return found
