"""Methods side by side: errors with intervals, a ranking, and paired tests of every pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress import metrics
from regress.caveats import caveats
from regress.errors_by_cluster import ErrorTable, align_errors
from regress.inference import normal_interval, ratio_limits
from regress.naming import display_names
from regress.paired import (
    check_splits,
    check_task,
    is_incomplete,
    paired_tests,
    per_method,
    per_pair,
)
from regress.predictions import Run

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
CS_YEARS = 5
DECADE = 10


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; methods are in the order of their mean absolute error everywhere.

    Methods with folds missing come after all others, for easy folds alone could put them first.

    Attributes
    ----------
    runs : tuple of Run
        The runs, best first.
    names : tuple of str
        The name each is shown under, unique.
    table : pandas.DataFrame
        One row a method: errors in years, intervals, counts.
    tests : pandas.DataFrame
        One row a pair of methods: difference in mean absolute error (`first` minus `second`, so
        negative where `first` is better), its interval, and the paired test.
    by_age, by_subject : pandas.DataFrame
        One row a method and age decade, or a method and subject.
    unit : str
        What was resampled and permuted: ``subject``, or ``image`` where subjects are unknown.
    notes : tuple of str
        What a reader must know before trusting the numbers.
    bootstrap, permutations, seed : int
        Resamples of the bootstrap and of the permutation tests, and the seed of both.
    errors : ErrorTable
        The absolute errors of all methods, image by image.
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    table: pd.DataFrame
    tests: pd.DataFrame
    by_age: pd.DataFrame
    by_subject: pd.DataFrame
    unit: str
    notes: tuple[str, ...]
    bootstrap: int
    permutations: int
    seed: int
    errors: ErrorTable

    def versus_best(self) -> pd.DataFrame:
        """Return the tests of every other method against the first of the ranking, ranked."""
        return self.tests[self.tests["first"] == self.names[0]].reset_index(drop=True)


def compare(
    runs: Sequence[Run],
    *,
    bootstrap: int = 5000,
    seed: int = 0,
    allow_different_splits: bool = False,
) -> Comparison:
    """Compare the predictions of some methods.

    Intervals come from a bootstrap over subjects; tests are sign-flip permutation tests over
    subjects on the images that both methods predicted, adjusted by Holm's procedure over all
    pairs. The number of permutations grows with the number of pairs so that an adjusted p-value
    can always fall well below 0.05.

    Parameters
    ----------
    runs : sequence of Run
        At least one.
    bootstrap : int
        Resamples.
    seed : int
        Seed of the bootstrap and the permutations.
    allow_different_splits : bool
        Compare runs whose splits differ, on the images they have in common.

    Raises
    ------
    FeatxError
        If there is no run, an empty one or one not of ages, the splits differ, an image has two
        predictions in one run, or the runs disagree about an image's true age or subject.
    """
    task = check_task(runs)
    if task.classes:
        raise FeatxError(f"{runs[0].folder} predicts {task.label}s, not ages; see compare_groups")
    if bootstrap < 100:
        raise FeatxError(
            f"--bootstrap {bootstrap} is too few for a 95 % interval; use 1000 or more"
        )
    names = display_names(runs)
    check_splits(runs, names, allow_different_splits)
    scores = [(is_incomplete(run), _mae(run, name)) for run, name in zip(runs, names, strict=True)]
    order = sorted(range(len(runs)), key=lambda i: scores[i])
    ranked = tuple(runs[i] for i in order)
    names = tuple(names[i] for i in order)
    errors = align_errors(ranked, names)

    pairs = [(i, j) for i in range(len(ranked)) for j in range(i + 1, len(ranked))]
    permutations = max(9_999, 200 * len(pairs))
    cells, ages = _age_cells(errors)
    differences = per_pair(errors, pairs)
    columns = [per_method(errors), differences, cells]
    sums, counts = (np.hstack([block[k] for block in columns]) for k in (0, 1))
    low, high = ratio_limits(sums, counts, bootstrap, seed, CONFIDENCE)
    ends = np.cumsum([block[0].shape[1] for block in columns])[:-1]
    lows, highs = np.split(low, ends), np.split(high, ends)

    table = pd.DataFrame(
        [
            _row(rank, run, name, errors, (lows[0][rank], highs[0][rank]))
            for rank, (run, name) in enumerate(zip(ranked, names, strict=True))
        ]
    )
    tests = paired_tests(errors, pairs, differences, lows[1], highs[1], permutations, seed)
    return Comparison(
        ranked,
        names,
        table,
        tests,
        _by_age(errors, ages, cells, lows[2], highs[2]),
        _by_subject(errors),
        errors.unit,
        tuple(caveats(ranked, names, errors)),
        bootstrap,
        permutations,
        seed,
        errors,
    )


def _mae(run: Run, name: str) -> float:
    if not len(run.predictions):
        raise FeatxError(
            f"{name} ({run.folder}) has no predictions; run `featx regress` with --resume, "
            "or leave it out"
        )
    return float(metrics.mae(run.predictions["age"], run.predictions["predicted_age"]))


def _age_cells(errors: ErrorTable) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Sums and counts for each (method, decade), methods slowest, and the decades' lower ends."""
    decade = (errors.truth // DECADE * DECADE).astype(int)
    decades = np.unique(decade)
    blocks = [
        (
            errors.total(np.where(inside[:, None], errors.error, 0.0)),
            errors.total((inside[:, None] & errors.present).astype(float)),
        )
        for inside in (decade == start for start in decades)
    ]
    sums, counts = (
        np.stack([block[k] for block in blocks], axis=2).reshape(len(errors.clusters), -1)
        for k in (0, 1)
    )
    return (sums, counts), decades


def _row(
    rank: int, run: Run, name: str, errors: ErrorTable, interval: tuple[float, float]
) -> dict[str, Any]:
    """One row of the ranking."""
    y = run.predictions["age"].to_numpy(float)
    predicted = run.predictions["predicted_age"].to_numpy(float)
    absolute = np.abs(predicted - y)
    normal = normal_interval(absolute)
    lower, upper = metrics.quartiles(y, predicted)
    folds = run.info.get("folds", {})
    in_clusters = _cluster_means(errors, rank)
    counts = run.info.get("counts", {})
    fold_mean = metrics.r2_fold_mean(y, predicted, run.predictions["fold"])
    return {
        "rank": rank + 1,
        "method": name,
        "layer": run.info.get("layer"),
        "regressor": run.info.get("regressor"),
        "mae": float(metrics.mae(y, predicted)),
        "mae_low": interval[0],
        "mae_high": interval[1],
        "mae_normal_low": normal[0],
        "mae_normal_high": normal[1],
        "median_ae": float(metrics.median_ae(y, predicted)),
        "lower_quartile_ae": float(lower),
        "upper_quartile_ae": float(upper),
        f"median_{errors.unit}_mae": float(np.median(in_clusters)),
        f"lower_quartile_{errors.unit}_mae": float(np.percentile(in_clusters, 25)),
        f"upper_quartile_{errors.unit}_mae": float(np.percentile(in_clusters, 75)),
        "r2_pooled": float(metrics.r2(y, predicted)),
        "r2_fold_mean": fold_mean.value,
        "r2_folds": fold_mean.n_folds,
        f"cs{CS_YEARS}": float(metrics.cs(y, predicted, CS_YEARS)),
        "rmse": float(metrics.rmse(y, predicted)),
        "bias": float(metrics.bias(y, predicted)),
        "n_images": len(y),
        "n_total": int(counts.get("total", len(y))),
        "n_subjects": errors.n_subjects(rank),
        "folds_done": int(folds.get("done", run.predictions["fold"].nunique())),
        "folds_planned": int(folds.get("planned", run.predictions["fold"].nunique())),
        "seconds": float(run.info.get("seconds") or np.nan),
    }


def _cluster_means(errors: ErrorTable, method: int) -> np.ndarray:
    counts = errors.total(errors.present[:, method].astype(float))
    sums = errors.total(errors.error[:, method])
    return sums[counts > 0] / counts[counts > 0]


def _by_age(
    errors: ErrorTable,
    decades: np.ndarray,
    cells: tuple[np.ndarray, np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
) -> pd.DataFrame:
    sums, counts = cells[0].sum(axis=0), cells[1].sum(axis=0)
    rows = [
        {
            "method": name,
            "age_from": int(start),
            "age_below": int(start) + DECADE,
            "n_images": int(counts[cell]),
            "n_clusters": int((cells[1][:, cell] > 0).sum()),
            "mae": sums[cell] / counts[cell],
            "mae_low": low[cell],
            "mae_high": high[cell],
        }
        for m, name in enumerate(errors.names)
        for d, start in enumerate(decades)
        if counts[cell := m * len(decades) + d]
    ]
    table = pd.DataFrame(rows)
    if errors.unit == "image":
        return table.drop(columns="n_clusters")
    return table.rename(columns={"n_clusters": f"n_{errors.unit}s"})


def _by_subject(errors: ErrorTable) -> pd.DataFrame:
    sums = errors.total(errors.error)
    counts = errors.total(errors.present.astype(float)).astype(int)
    rows = [
        {
            "method": name,
            errors.unit: cluster,
            "n_images": counts[c, m],
            "mae": sums[c, m] / counts[c, m],
        }
        for m, name in enumerate(errors.names)
        for c, cluster in enumerate(errors.clusters)
        if counts[c, m]
    ]
    return pd.DataFrame(rows)
