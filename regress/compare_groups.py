"""Methods that predict age groups or genders side by side: accuracies, intervals, paired tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress import metrics
from regress.caveats import caveats
from regress.compare import CONFIDENCE
from regress.errors_by_cluster import ErrorTable, align_errors
from regress.expected_age import expected_ages, gapped_accuracy, has_expected_ages
from regress.grouping import have_gaps
from regress.inference import ratio_limits
from regress.naming import display_names
from regress.paired import (
    check_splits,
    check_task,
    is_incomplete,
    paired_tests,
    per_method,
    per_pair,
)
from regress.predictions import TASKS, Run, Task

#: The measures that are shares of images, and by how many groups one of them may be off.
_TOLERANCE = {"accuracy": 0, "one_off": 1}


@dataclass(frozen=True)
class GroupComparison:
    """What `compare_groups` found; methods are in the order of their accuracy everywhere.

    Methods with folds missing come after all others.

    Attributes
    ----------
    runs, names : tuple
        The runs, best first, and the name each is shown under.
    groups : tuple of str
        The classes; age groups youngest first.
    table : pandas.DataFrame
        One row a method: shares from 0 to 1, AABD in groups, errors of expected ages in years,
        intervals, counts. Of genders, which have no order, there is the accuracy only; what needs
        ages is there where any run has it.
    tests : pandas.DataFrame
        One row a pair: difference in accuracy (`first` minus `second`), its interval, the test.
    by_group : pandas.DataFrame
        One row a method and class: precision, recall, images.
    confusion : tuple of numpy.ndarray
        A matrix a method, int64, shape (groups, groups): rows true, columns predicted.
    unit : str
        What was resampled and permuted: ``subject``, or ``image`` where subjects are unknown.
    notes : tuple of str
        What a reader must know before trusting the numbers.
    wrong : ErrorTable
        Which images each method is wrong about: 1 where it is, else 0.
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
    wrong: ErrorTable

    @property
    def task(self) -> Task:
        """What is predicted."""
        return TASKS[self.runs[0].task]


def compare_groups(
    runs: Sequence[Run],
    *,
    bootstrap: int = 5000,
    seed: int = 0,
    allow_different_splits: bool = False,
) -> GroupComparison:
    """Compare runs that predict the same age groups, or gender; see `regress.compare.compare`.

    Intervals are of a bootstrap over subjects, and tests sign-flip permutations over subjects of
    the number of wrong images, adjusted by Holm's procedure over all pairs.

    Raises
    ------
    FeatxError
        As `regress.compare.compare`, and if the runs' tasks or groups differ, or they are of ages.
    """
    if not check_task(runs).classes:
        raise FeatxError(f"{runs[0].folder} predicts ages; give --groups to read them as groups")
    names = display_names(runs)
    check_splits(runs, names, allow_different_splits)
    for run in runs:
        if not len(run.predictions):
            raise FeatxError(f"{run.folder} has no predictions; run it with --resume, or leave it")
    groups = runs[0].groups
    scores = [(is_incomplete(run), -metrics.accuracy(*_columns(run))) for run in runs]
    order = sorted(range(len(runs)), key=lambda i: scores[i])
    ranked, names = tuple(runs[i] for i in order), tuple(names[i] for i in order)
    ages = [expected_ages(run).to_numpy() if has_expected_ages(run) else None for run in ranked]
    losses = _losses(ranked, names, ages)
    wrong = losses["accuracy"]
    pairs = [(i, j) for i in range(len(ranked)) for j in range(i + 1, len(ranked))]
    permutations = max(9_999, 200 * len(pairs))
    differences = per_pair(wrong, pairs)
    columns = [*(per_method(loss) for loss in losses.values()), differences]
    sums, counts = (np.hstack([block[k] for block in columns]) for k in (0, 1))
    low, high = ratio_limits(sums, counts, bootstrap, seed, CONFIDENCE)
    lows, highs = (
        np.split(limits, len(ranked) * np.arange(1, len(losses) + 1)) for limits in (low, high)
    )
    intervals = dict(zip(losses, np.stack([lows[:-1], highs[:-1]], axis=2), strict=True))
    any_gapped = any(own is not None for own in ages) and have_gaps(groups)
    table = pd.DataFrame(
        [
            {
                "rank": rank + 1,
                "method": name,
                **_scores(rank, run, losses, intervals),
                **(_gapped(run, ages[rank]) if any_gapped else {}),
                **_counts(run, losses["accuracy"].n_subjects(rank)),
            }
            for rank, (run, name) in enumerate(zip(ranked, names, strict=True))
        ]
    )
    tests = paired_tests(wrong, pairs, differences, lows[-1], highs[-1], permutations, seed)
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
        tuple(metrics.confusion(*_columns(run), groups) for run in ranked),
        wrong.unit,
        tuple(caveats(ranked, names, wrong)) + tuple(_left_out(ranked, names)),
        bootstrap,
        permutations,
        seed,
        wrong,
    )


def _columns(run: Run) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = run.columns
    return run.predictions[truth].to_numpy(str), run.predictions[guess].to_numpy(str)


def _losses(
    runs: Sequence[Run], names: Sequence[str], ages: Sequence[np.ndarray | None]
) -> dict[str, ErrorTable]:
    """Return what is lost on each image by each measure that there is."""
    (truth, guess), groups = runs[0].columns, runs[0].groups

    def off(table: pd.DataFrame) -> np.ndarray:
        return metrics.group_distance(table[truth], table[guess], groups).astype(float)

    def years_off(table: pd.DataFrame) -> np.ndarray:
        return np.abs(table["expected_age"].to_numpy(float) - table["age"].to_numpy(float))

    distance = align_errors(runs, names, truth, off)
    ordered = TASKS[runs[0].task].ordered
    found = {
        name: dataclasses.replace(distance, error=(distance.error > allowed).astype(float))
        for name, allowed in _TOLERANCE.items()
        if ordered or not allowed
    }
    if ordered:
        found["aabd"] = distance
    with_ages = [
        dataclasses.replace(
            run, predictions=run.predictions.assign(expected_age=np.nan if own is None else own)
        )
        for run, own in zip(runs, ages, strict=True)
    ]
    years = align_errors(with_ages, names, truth, years_off)
    known = years.present & np.isfinite(years.error)
    if known.any():
        error = np.where(known, years.error, 0.0)
        found["expected_mae"] = dataclasses.replace(years, error=error, present=known)
    return found


def _scores(
    rank: int, run: Run, losses: dict[str, ErrorTable], intervals: dict[str, np.ndarray]
) -> dict[str, Any]:
    distance = metrics.group_distance(*_columns(run), run.groups)
    row: dict[str, Any] = {}
    for measure, loss in losses.items():
        low, high = map(float, intervals[measure][rank])
        if measure not in _TOLERANCE:
            errors = loss.error[loss.present[:, rank], rank]
            row[measure] = float(errors.mean()) if len(errors) else float("nan")
            row |= {f"{measure}_low": low, f"{measure}_high": high}
            continue
        allowed = _TOLERANCE[measure]

        def share(rows: np.ndarray, allowed: int = allowed) -> float:
            return float(np.mean(distance[rows] <= allowed))

        mean, sd = metrics.over_folds(share, run.predictions["fold"].to_numpy(str), len(distance))
        row |= {
            measure: share(np.arange(len(distance))),
            f"{measure}_low": 1 - high,
            f"{measure}_high": 1 - low,
            f"{measure}_mean_of_folds": mean,
            f"{measure}_sd_of_folds": sd,
        }
    if "expected_mae" in losses:
        row["n_ages"] = int(losses["expected_mae"].present[:, rank].sum())
    return row


def _gapped(run: Run, ages: np.ndarray | None) -> dict[str, float]:
    shares = (np.nan, np.nan)
    if ages is not None:
        shares = gapped_accuracy(ages, _columns(run)[0], run.groups)
    return dict(zip(("expected_exact", "expected_one_off"), shares, strict=True))


def _counts(run: Run, n_subjects: int) -> dict[str, Any]:
    n = len(run.predictions)
    told = run.info.get("folds", {})
    folds = run.predictions["fold"].nunique()
    return {
        "n_images": n,
        "n_total": int(run.info.get("counts", {}).get("total", n)),
        "n_subjects": n_subjects,
        "folds_done": int(told.get("done", folds)),
        "folds_planned": int(told.get("planned", folds)),
        "seconds": float(run.info.get("seconds") or np.nan),
    }


def _by_group(runs: Sequence[Run], names: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    rows = []
    for run, name in zip(runs, names, strict=True):
        scores = metrics.per_group(*_columns(run), groups)
        rows += [
            {
                "method": name,
                run.columns[0]: group,
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
