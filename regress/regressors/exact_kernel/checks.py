"""What is checked of rows, ages and groups before anything is computed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import column_or_1d, validate_data

from featx.errors import FeatxError
from regress.regressors.exact_kernel.kernels import blocks


class InputError(FeatxError, ValueError):
    """Bad rows, targets or groups; a `ValueError` too, as scikit-learn's contract wants."""


def checked(estimator: BaseEstimator, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of a fit as arrays, y float64; X's width is noted in the estimator.

    Raises
    ------
    InputError
        For NaN, infinite values or shapes that do not go together.
    """
    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    X = checked_rows(estimator, X, reset=True)
    try:
        y = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y is not all numbers: {error}") from error
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if y.shape != (len(X),):
        raise InputError(f"y has shape {y.shape} for {len(X)} rows of X; give an age a row")
    bad = np.flatnonzero(~np.isfinite(y))
    if len(bad):
        raise InputError(
            f"y holds NaN or infinite values in {len(bad)} rows, the first row {bad[0]}; "
            "leave those images out"
        )
    return X, y


def checked_rows(estimator: BaseEstimator, X: Any, reset: bool) -> np.ndarray:
    """Return X as a finite array, float32 or float64, of the width that the fit saw."""
    try:
        X = validate_data(
            estimator, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    for rows in blocks(*X.shape):
        finite = np.isfinite(X[rows])
        if not finite.all():
            row, unit = np.argwhere(~finite)[0]
            raise InputError(
                f"X holds NaN or infinite values, the first in row {rows.start + row}, unit "
                f"{unit}; leave those images out or extract the layer again"
            )
    return X


def number_groups(
    groups: Sequence[Hashable] | None, n: int, least: int
) -> tuple[np.ndarray, list[Hashable]]:
    """Number the groups; return the number of each row, and the labels in sorted order."""
    if groups is None:
        groups = range(n)
    labelled = pd.Series(list(groups), dtype=object)
    if len(labelled) != n:
        raise InputError(f"groups has {len(labelled)} entries for {n} rows of X; give one a row")
    if labelled.isna().any():
        row = int(np.flatnonzero(labelled.isna())[0])
        raise InputError(f"the group of row {row} is missing; give every row its subject")
    codes, labels = pd.factorize(labelled)
    if len(labels) < least:
        why = "nested leave-one-group-out" if least == 3 else "leave-one-group-out"
        raise InputError(
            f"{why} needs at least {least} groups (subjects), not {len(labels)}"
            + (": n_samples=1, 1 sample" if n == 1 else "")
        )
    return codes, list(labels)
