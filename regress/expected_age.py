"""Ages that a run of age groups implies, and how they measure against groups with gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from featx.errors import FeatxError, unknown
from regress.grouping import group_bounds, group_of, nearest_group
from regress.predictions import Run
from regress.probabilities import has_probabilities, read_probabilities


def has_expected_ages(run: Run) -> bool:
    """Tell whether `expected_ages` has anything to go by."""
    if run.task == "gender":
        return False
    return "predicted_age" in run.predictions or has_probabilities(run)


def expected_ages(run: Run) -> pd.Series:
    """Return the age of each image that a run implies, in years.

    Of a run of age groups the expected value Σ m·p(m) of the groups' middles, m = (first + last)/2,
    an open group such as 60-100 as it is given. Of a run of ages, also of one that is read as one
    of groups, the predicted age.

    Parameters
    ----------
    run : Run
        Of ages, or of age groups with class probabilities.

    Returns
    -------
    pandas.Series
        ``expected_age``, float64, one value a row of the run's table in its order; the index is of
        images.

    Raises
    ------
    FeatxError
        If the run is of genders, or of groups without probabilities; as `read_probabilities`.

    References
    ----------
    Rothe, Timofte and Van Gool (2018), DEX, for single years; Kjærran, Bugge and Vennerød (2021),
    AgeNet, section 5.2.4, for "the average of each bin, e.g. 42.5 for the bin (40-45)".
    """
    if run.task == "gender":
        raise FeatxError(f"{run.folder} predicts gender, which has no expected age")
    if "predicted_age" in run.predictions:
        ages = run.predictions["predicted_age"].to_numpy(float)
    else:
        given = read_probabilities(run)
        ages = given.values @ class_years(given.classes)
    return pd.Series(ages, pd.Index(run.predictions["image"]), name="expected_age")


def class_years(classes: np.ndarray) -> np.ndarray:
    """Return each class's age in years, float64 (k,): its own, or the middle of a named group."""
    named = classes.dtype.kind == "U"
    return group_bounds(classes).mean(axis=1) if named else classes.astype(float)


def told_classes(
    probabilities: np.ndarray, classes: np.ndarray, groups: Sequence[str]
) -> np.ndarray:
    """Return which of some groups class probabilities tell.

    Where the classes are the groups, that is the likeliest, the first of equals. A network may
    have been trained to tell other classes than those it is tested on: then it is the group
    nearest to the expected age, as `regress.grouping.nearest_group` has it.

    Parameters
    ----------
    probabilities : numpy.ndarray, shape (n, k)
        Each row sums to 1.
    classes : numpy.ndarray, shape (k,)
        Years, or names.
    groups : sequence of str
        Those asked for, youngest first; of genders only where they are the classes.

    Returns
    -------
    numpy.ndarray of str, shape (n,)
    """
    names = np.array(groups)
    if classes.tolist() == list(groups):
        return names[probabilities.argmax(axis=1)]
    return names[nearest_group(probabilities @ class_years(classes), groups)]


def gapped_accuracy(
    ages: ArrayLike, groups_true: ArrayLike, groups: Sequence[str]
) -> tuple[float, float]:
    """Return the exact and the one-off accuracy of predicted ages against groups with gaps.

    Exact is the share of images whose predicted age lies inside the labelled group, one-off that of
    those inside it or one of the two beside it. An age counts by its completed years: 20.7 lies
    in 15-20, and 21 does not. An age in a gap is in no group, so it is wrong for both, however
    near; no age is moved to the nearest group, as `regress.grouping.into_groups` does.

    Parameters
    ----------
    ages : array-like of shape (n,)
        Predicted ages in years.
    groups_true : array-like of shape (n,)
        The labels, each one of `groups`.
    groups : sequence of str
        First and last ages, as Adience's ``0-2``, ``4-6``, …, ``60-100``; youngest first.

    Raises
    ------
    FeatxError
        If there is nothing to measure, the shapes differ, an age is not finite, or a label is not
        among the groups.

    References
    ----------
    Kjærran, Bugge and Vennerød (2021), AgeNet, section 5.2.4: "we checked if the predicted age was
    within the label interval", and "within the labeled bin or in the adjacent bins".
    """
    years, labels = np.asarray(ages, float), np.asarray(groups_true).astype(str)
    if years.shape != labels.shape or years.ndim != 1 or not len(years):
        raise FeatxError(
            f"predicted ages have shape {years.shape}, groups {labels.shape}: give (n,) twice"
        )
    if not np.isfinite(years).all():
        raise FeatxError(f"{int((~np.isfinite(years)).sum())} predicted ages are not finite")
    true = pd.Index(groups).get_indexer(pd.Index(labels))
    if (true < 0).any():
        raise unknown("group", str(labels[true < 0][0]), groups)
    guess = group_of(years, groups)
    near = (guess >= 0) & (np.abs(guess - true) <= 1)
    return float(np.mean(guess == true)), float(np.mean(near))
