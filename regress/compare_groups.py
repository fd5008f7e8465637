"""Methods that predict age groups side by side: accuracies with intervals, and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress import metrics
from regress.caveats import caveats
from regress.compare import CONFIDENCE
from regress.errors_by_cluster import ErrorTable, align_errors, wrong_group
from regress.inference import bootstrap_ratios, percentile_interval
from regress.naming import display_names
from regress.paired import check_splits, is_incomplete, paired_tests, per_method, per_pair
from regress.predictions import Run


@dataclass(frozen=True)
class GroupComparison:
    """What `compare_groups` found; methods are in the order of their accuracy everywhere.

    Methods with folds missing come after all others.

    Attributes
    ----------
    runs, names : tuple
        The runs, best first, and the name each is shown under.
    groups : tuple of str
        The age groups, youngest first.
    table : pandas.DataFrame
        One row a method: shares from 0 to 1, intervals, counts.
    tests : pandas.DataFrame
        One row a pair: difference in accuracy (`first` minus `second`), its interval, the test.
    by_group : pandas.DataFrame
        One row a method and group: precision, recall, images.
    confusion : tuple of numpy.ndarray
        A matrix a method, int64, shape (groups, groups): rows true, columns predicted.
    unit : str
        What was resampled and permuted: ``subject``, or ``image`` where subjects are unknown.
    notes : tuple of str
        What a reader must know before trusting the numbers.
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    table: pd.DataFrame
    tests: pd.DataFrame
    by_group: pd.DataFrame
    confusion: tuple[np.ndarray, ...]
    unit: str
    notes: tuple[str, ...]
    bootstrap: int
    permutations: int
    seed: int


def compare_groups(
    runs: Sequence[Run],
    *,
    bootstrap: int = 5000,
    seed: int = 0,
    allow_different_splits: bool = False,
) -> GroupComparison:
    """Compare runs that predict the same age groups; see `regress.compare.compare`.

    Intervals are of a bootstrap over subjects, and tests sign-flip permutations over subjects of
    the number of wrong images, adjusted by Holm's procedure over all pairs.

    Raises
    ------
    FeatxError
        As `regress.compare.compare`, and if the runs' groups differ.
    """
    names = display_names(runs)
    check_splits(runs, names, allow_different_splits)
    for run in runs:
        if run.groups != runs[0].groups:
            raise FeatxError(
                f"{runs[0].folder} predicts {_told(runs[0])} and {run.folder} {_told(run)}; give "
                "--groups, groups that hold those of both"
            )
        if not len(run.predictions):
            raise FeatxError(f"{run.folder} has no predictions; run it with --resume, or leave it")
    groups = runs[0].groups
    scores = [(is_incomplete(run), -metrics.accuracy(*_columns(run.predictions))) for run in runs]
    order = sorted(range(len(runs)), key=lambda i: scores[i])
    ranked, names = tuple(runs[i] for i in order), tuple(names[i] for i in order)
    wrong = align_errors(ranked, names, "age_group", wrong_group)
    far = align_errors(ranked, names, "age_group", lambda table: _far(table, groups))
    pairs = [(i, j) for i in range(len(ranked)) for j in range(i + 1, len(ranked))]
    permutations = max(9_999, 200 * len(pairs))
    differences = per_pair(wrong, pairs)
    columns = [per_method(wrong), per_method(far), differences]
    sums, counts = (np.hstack([block[k] for block in columns]) for k in (0, 1))
    if len(sums) > 1:
        low, high = percentile_interval(bootstrap_ratios(sums, counts, bootstrap, seed), CONFIDENCE)
    else:
        low, high = np.full((2, sums.shape[1]), np.nan)
    n = len(ranked)
    table = pd.DataFrame(
        [
            _row(rank, run, name, wrong, 1 - high[[rank, n + rank]], 1 - low[[rank, n + rank]])
            for rank, (run, name) in enumerate(zip(ranked, names, strict=True))
        ]
    )
    tests = paired_tests(wrong, pairs, differences, low[2 * n :], high[2 * n :], permutations, seed)
    # fewer wrong images are a higher accuracy
    tests["difference"] = -tests["difference"]
    tests["low"], tests["high"] = -tests["high"], -tests["low"]
    return GroupComparison(
        ranked,
        names,
        groups,
        table,
        tests,
        _by_group(ranked, names, groups),
        tuple(metrics.confusion(*_columns(run.predictions), groups) for run in ranked),
        wrong.unit,
        tuple(caveats(ranked, names, wrong)) + tuple(_left_out(ranked, names)),
        bootstrap,
        permutations,
        seed,
    )


def _told(run: Run) -> str:
    return f"the groups {', '.join(run.groups)}" if run.groups else "ages"


def _columns(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table["age_group"].to_numpy(str), table["predicted_group"].to_numpy(str)


def _far(table: pd.DataFrame, groups: Sequence[str]) -> np.ndarray:
    """Return 1 for each prediction that is neither right nor next to right, float64 (n,)."""
    place = {group: k for k, group in enumerate(groups)}
    true, guess = (
        column.map(place).to_numpy() for column in (table["age_group"], table["predicted_group"])
    )
    return (np.abs(true - guess) > 1).astype(float)


def _row(
    rank: int, run: Run, name: str, errors: ErrorTable, low: np.ndarray, high: np.ndarray
) -> dict[str, Any]:
    true, guess = _columns(run.predictions)
    folds = run.predictions["fold"].to_numpy(str)

    def right(rows: np.ndarray) -> float:
        return metrics.accuracy(true[rows], guess[rows])

    def near(rows: np.ndarray) -> float:
        return metrics.one_off(true[rows], guess[rows], run.groups)

    told = run.info.get("folds", {})
    accuracy_folds = metrics.over_folds(right, folds, len(true))
    one_off_folds = metrics.over_folds(near, folds, len(true))
    everyone = np.arange(len(true))
    return {
        "rank": rank + 1,
        "method": name,
        "accuracy": right(everyone),
        "accuracy_low": low[0],
        "accuracy_high": high[0],
        "accuracy_mean_of_folds": accuracy_folds[0],
        "accuracy_sd_of_folds": accuracy_folds[1],
        "one_off": near(everyone),
        "one_off_low": low[1],
        "one_off_high": high[1],
        "one_off_mean_of_folds": one_off_folds[0],
        "one_off_sd_of_folds": one_off_folds[1],
        "n_images": len(true),
        "n_total": int(run.info.get("counts", {}).get("total", len(true))),
        "n_subjects": errors.n_subjects(rank),
        "folds_done": int(told.get("done", len(np.unique(folds)))),
        "folds_planned": int(told.get("planned", len(np.unique(folds)))),
        "seconds": float(run.info.get("seconds") or np.nan),
    }


def _by_group(runs: Sequence[Run], names: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    rows = []
    for run, name in zip(runs, names, strict=True):
        scores = metrics.per_group(*_columns(run.predictions), groups)
        rows += [
            {
                "method": name,
                "age_group": group,
                "precision": scores.precision[k],
                "recall": scores.recall[k],
                "n_images": int(scores.support[k]),
            }
            for k, group in enumerate(groups)
        ]
    return pd.DataFrame(rows)


def _left_out(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """Return a sentence for each run whose images were partly in none of the groups asked for."""
    return [
        f"{name}: {run.info['outside_groups']:,} images whose true age or group is in none of the "
        "groups are left out."
        for run, name in zip(runs, names, strict=True)
        if run.info.get("outside_groups")
    ]
