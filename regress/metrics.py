"""How wrong predicted ages, age groups and genders are.

The first functions take true and predicted ages in years, shape (n,); those from `accuracy` on
take true and predicted groups, shape (n,), and, where neighbours count, the groups in order.
All raise `FeatxError` for empty, misshapen or non-finite input.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from featx.errors import FeatxError, unknown


def mae(age: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean absolute error in years."""
    true, guess = _ages(age, predicted)
    return float(np.mean(np.abs(guess - true)))


def median_ae(age: ArrayLike, predicted: ArrayLike) -> float:
    """Return the median absolute error in years."""
    true, guess = _ages(age, predicted)
    return float(np.median(np.abs(guess - true)))


def quartiles(age: ArrayLike, predicted: ArrayLike) -> tuple[float, float]:
    """Return the lower and upper quartile of the absolute errors in years.

    Linear interpolation between order statistics (type 7 of Hyndman and Fan 1996), over images;
    the cascaded fine-tuning paper's quartiles are of its folds' errors, see `fold_maes`.
    """
    true, guess = _ages(age, predicted)
    lower, upper = np.percentile(np.abs(guess - true), [25, 75])
    return float(lower), float(upper)


def rmse(age: ArrayLike, predicted: ArrayLike) -> float:
    """Return the root of the mean squared error, in years."""
    true, guess = _ages(age, predicted)
    return float(np.sqrt(np.mean(np.square(guess - true))))


def bias(age: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean of predicted minus true age, in years: above 0 is too old."""
    true, guess = _ages(age, predicted)
    return float(np.mean(guess - true))


def cs(age: ArrayLike, predicted: ArrayLike, k: float = 5) -> float:
    """Return the cumulative score: the share of images with an absolute error of at most k years.

    Geng, Zhou and Smith-Miles (2007), as a share from 0 to 1. Errors are rounded to
    1e-9 years, so that a difference that is k but for floating point counts.
    """
    true, guess = _ages(age, predicted)
    return float(np.mean(np.round(np.abs(guess - true), 9) <= k))


def r2(age: ArrayLike, predicted: ArrayLike) -> float:
    """Return R² pooled over all images: 1 - squared errors / squared distances to the mean age.

    NaN where it is undefined: with one image, or where all true ages are the same.
    """
    true, guess = _ages(age, predicted)
    spread = np.square(true - true.mean()).sum()
    if np.ptp(true) == 0 or spread == 0:  # of equal ages rounding may leave some
        return float("nan")
    return float(1 - np.square(true - guess).sum() / spread)


@dataclass(frozen=True)
class FoldMean:
    """A mean over folds: its value, how many folds it is over, and how many have no value."""

    value: float
    n_folds: int
    n_undefined: int


def r2_fold_mean(age: ArrayLike, predicted: ArrayLike, folds: ArrayLike) -> FoldMean:
    """Return the mean over folds of the R² within each.

    Each fold is measured against the mean of its own test ages, which the regressor does not
    know: under leave-one-person-out, where one person's ages lie close together, this is far
    lower than the pooled `r2`, and often negative. Folds with one image or without spread in
    true age have no R²; they are left out and counted. The value is NaN where no fold has one.

    Parameters
    ----------
    age, predicted : array-like of shape (n,)
        Years.
    folds : array-like of shape (n,)
        The fold in which each image was tested.
    """
    true, guess = _ages(age, predicted)
    scores = np.array([r2(true[rows], guess[rows]) for _, rows in _rows_by_fold(folds, len(true))])
    defined = scores[~np.isnan(scores)]
    value = float(defined.mean()) if len(defined) else float("nan")
    return FoldMean(value, len(defined), len(scores) - len(defined))


def fold_maes(age: ArrayLike, predicted: ArrayLike, folds: ArrayLike) -> dict[str, float]:
    """Return the mean absolute error of each fold in years, by the fold's name, names sorted."""
    true, guess = _ages(age, predicted)
    return {
        name: float(np.abs(guess[rows] - true[rows]).mean())
        for name, rows in _rows_by_fold(folds, len(true))
    }


def accuracy(group: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of images whose group is right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(*_paired(group, predicted)))


def one_off(group: ArrayLike, predicted: ArrayLike, order: Sequence[Hashable]) -> float:
    """Return the share of images whose group is right or next to right.

    The 1-off accuracy of Eidinger, Enbar and Hassner (2014) and Levi and Hassner (2015).

    Parameters
    ----------
    group, predicted : array-like of shape (n,)
        True and predicted groups.
    order : sequence
        Every group once, youngest first.
    """
    return float(np.mean(group_distance(group, predicted, order) <= 1))


def aabd(group: ArrayLike, predicted: ArrayLike, order: Sequence[Hashable]) -> float:
    """Return the average age-bucket absolute difference: how many groups off, on average.

    Abdolrashidi et al. (2020), "Age and gender prediction from face images using attentional
    convolutional network", section III.

    Parameters
    ----------
    group, predicted, order
        As `one_off`.
    """
    return float(np.mean(group_distance(group, predicted, order)))


def group_distance(group: ArrayLike, predicted: ArrayLike, order: Sequence[Hashable]) -> np.ndarray:
    """Return by how many groups each prediction is off, int64 (n,); arguments as `one_off`."""
    true, guess = _places(*_paired(group, predicted), order)
    return np.abs(true - guess)


def confusion(group: ArrayLike, predicted: ArrayLike, order: Sequence[Hashable]) -> np.ndarray:
    """Return image counts, shape (groups, groups), int64: a row a true group, in `order`."""
    from sklearn.metrics import confusion_matrix

    places = _places(*_paired(group, predicted), order)
    return confusion_matrix(*places, labels=np.arange(len(order)))


@dataclass(frozen=True)
class PerGroup:
    """Scores of each group, arrays of shape (groups,) in the order of the groups.

    Precision and recall are NaN where nothing was predicted as, or is of, the group.
    """

    precision: np.ndarray
    recall: np.ndarray
    support: np.ndarray


def per_group(group: ArrayLike, predicted: ArrayLike, order: Sequence[Hashable]) -> PerGroup:
    """Return precision, recall and number of images of each group; arguments as `one_off`."""
    from sklearn.metrics import precision_recall_fscore_support

    true, guess = _places(*_paired(group, predicted), order)
    precision, recall, _, support = precision_recall_fscore_support(
        true, guess, labels=np.arange(len(order)), zero_division=np.nan
    )
    return PerGroup(precision, recall, support)


def over_folds(
    share: Callable[[np.ndarray], float], folds: ArrayLike, n: int
) -> tuple[float, float]:
    """Return the mean and the standard deviation of a measure over folds, each counting once.

    The standard deviation is that of a sample (n - 1 in the denominator), NaN for a single fold;
    Levi and Hassner (2015) and König (2019) report accuracies as mean ± standard deviation over
    Adience's five folds without saying which.

    Parameters
    ----------
    share : callable
        From the rows of a fold, int64 (k,), to the measure.
    folds : array-like of shape (n,)
        The fold in which each image was tested.
    n : int
        Images.
    """
    values = np.array([share(rows) for _, rows in _rows_by_fold(folds, n)])
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _ages(age: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, guess = _paired(age, predicted)
    true, guess = true.astype(np.float64), guess.astype(np.float64)
    for what, values in (("true", true), ("predicted", guess)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise FeatxError(
                f"{len(bad)} of {len(values)} {what} ages are not finite (first: row {bad[0]}); "
                "leave out rows without an age before measuring"
            )
    return true, guess


def _paired(true: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(true), np.asarray(predicted)
    if a.ndim != 1 or a.shape != b.shape:
        raise FeatxError(
            f"true values have shape {a.shape}, predictions {b.shape}: give (n,) twice"
        )
    if not len(a):
        raise FeatxError("no predictions to measure")
    return a, b


def _rows_by_fold(folds: ArrayLike, n: int) -> list[tuple[str, np.ndarray]]:
    labels = np.asarray(folds)
    if labels.shape != (n,):
        raise FeatxError(f"folds have shape {labels.shape} for {n} predictions: give one an image")
    return [(str(name), np.flatnonzero(labels == name)) for name in np.unique(labels)]


def _places(
    true: np.ndarray, guess: np.ndarray, order: Sequence[Hashable]
) -> tuple[np.ndarray, np.ndarray]:
    place = {name: i for i, name in enumerate(order)}
    if len(place) != len(order):
        raise FeatxError(f"the order of groups names one twice: {list(order)}")
    try:
        return (
            np.array([place[name] for name in true.tolist()]),
            np.array([place[name] for name in guess.tolist()]),
        )
    except KeyError as error:
        raise unknown("group", str(error.args[0]), map(str, order)) from None
