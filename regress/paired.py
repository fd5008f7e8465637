"""What every comparison of methods shares: one split, sums within subjects, paired tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress.errors_by_cluster import ErrorTable
from regress.inference import holm, sign_flip_test
from regress.predictions import TASKS, Run, Task


def check_task(runs: Sequence[Run]) -> Task:
    """Return the task that all runs have.

    Raises
    ------
    FeatxError
        If there is no run, or the runs differ in task or in groups.
    """
    if not runs:
        raise FeatxError("there is nothing to compare; give at least one folder of `featx regress`")
    first = runs[0]
    for run in runs:
        if (run.task, run.groups) != (first.task, first.groups):
            remedy = (
                "compare them apart"
                if "gender" in (run.task, first.task)
                else "give --groups, groups that hold those of both"
            )
            both = f"{first.folder} predicts {_told(first)} and {run.folder} {_told(run)}"
            raise FeatxError(f"{both}; {remedy}")
    return TASKS[first.task]


def _told(run: Run) -> str:
    return {
        "age": "ages",
        "age-group": f"the groups {', '.join(run.groups)}",
        "gender": f"gender ({', '.join(run.groups)})",
    }[run.task]


def check_splits(runs: Sequence[Run], names: Sequence[str], allowed: bool) -> None:
    """Raise a FeatxError where runs were evaluated on different splits, unless `allowed`."""
    first = runs[0].info.get("split_hash")
    for run, name in zip(runs, names, strict=True):
        if run.info.get("split_hash") != first and not allowed:
            told = [
                f"{n} ({r.info.get('protocol')}, {r.folder})"
                for r, n in ((runs[0], names[0]), (run, name))
            ]
            raise FeatxError(
                f"{told[0]} and {told[1]} were evaluated on different splits, so their errors do "
                "not compare; give runs of one split, or --allow-different-splits"
            )


def is_incomplete(run: Run) -> bool:
    """Tell whether folds of a run are missing."""
    return bool(run.info.get("folds", {}).get("missing"))


def per_method(errors: ErrorTable) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of errors and numbers of images, each of shape (clusters, methods)."""
    return errors.total(errors.error), errors.total(errors.present.astype(float))


def per_pair(errors: ErrorTable, pairs: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of differences and numbers of images in common, each (clusters, pairs)."""
    sums = np.zeros((len(errors.clusters), len(pairs)))
    counts = np.zeros_like(sums)
    for k, (i, j) in enumerate(pairs):
        both = errors.present[:, i] & errors.present[:, j]
        change = np.where(both, errors.error[:, i] - errors.error[:, j], 0.0)
        sums[:, k] = errors.total(change)
        counts[:, k] = errors.total(both.astype(float))
    return sums, counts


def paired_tests(
    errors: ErrorTable,
    pairs: Sequence[tuple[int, int]],
    differences: tuple[np.ndarray, np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Return a row a pair: difference of mean errors, its interval, p-values, counts.

    Parameters
    ----------
    errors : ErrorTable
        Of all methods.
    pairs : sequence of (int, int)
        Methods by number.
    differences : tuple of numpy.ndarray
        From `per_pair`.
    low, high : numpy.ndarray, shape (pairs,)
        Limits of the intervals.
    permutations, seed : int
        Of the sign-flip tests.
    """
    sums, counts = differences
    n = counts.sum(axis=0)
    units = (counts > 0).sum(axis=0)
    p = np.where(units > 1, sign_flip_test(sums, permutations, seed), np.nan)
    return pd.DataFrame(
        {
            "first": np.array([errors.names[i] for i, _ in pairs], dtype=object),
            "second": np.array([errors.names[j] for _, j in pairs], dtype=object),
            "difference": np.divide(sums.sum(axis=0), n, out=np.full(len(n), np.nan), where=n > 0),
            "low": low,
            "high": high,
            "p": p,
            "p_holm": holm(p),
            "n_images": n.astype(int),
            f"n_{errors.unit}s": units,
        }
    )
