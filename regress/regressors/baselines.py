"""Baselines from scikit-learn: the mean age, ridge, support vectors, partial least squares.

Their hyper-parameters are chosen by mean absolute error over group-exclusive inner folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    OneToOneFeatureMixin,
    RegressorMixin,
    TransformerMixin,
    clone,
)
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import SVR
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import unknown
from regress.regressors.inner_selection import inner_folds
from regress.regressors.multinomial import principal_axes


class GroupSelected(RegressorMixin, BaseEstimator):
    """A scikit-learn regressor whose hyper-parameters are chosen with subjects kept whole.

    Rows are first brought to unit length, which learns nothing from data. Where there are more
    units than images, they are then rotated into the span of the training rows, with one more
    coordinate for the length outside of it: inner products with, and distances to, training rows
    stay as they are, so that every regressor that rests on these predicts the same, sooner.

    Parameters
    ----------
    estimator : estimator
        Must give the same predictions when the features are rotated.
    grid : mapping of str to sequence, or None
        Candidates, as for `sklearn.model_selection.GridSearchCV`. One combination or none: there
        is nothing to choose, and no inner folds are made.
    inner_folds : int
        Inner folds for the choice.

    Attributes
    ----------
    estimator_ : estimator
        Trained on all rows with the parameters chosen.
    report_ : dict
        JSON-able: ``parameters``, ``inner_mae`` (years), ``candidates``, ``grid_edge``.
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        grid: Mapping[str, Sequence] | None = None,
        *,
        inner_folds: int = 5,
    ) -> None:
        self.estimator = estimator
        self.grid = grid
        self.inner_folds = inner_folds

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: Sequence | np.ndarray | None = None
    ) -> GroupSelected:
        """Choose the hyper-parameters over inner folds and train on all rows.

        Parameters
        ----------
        X : array-like of shape (n, p)
            Features of the training images.
        y : array-like of shape (n,)
            Ages in years.
        groups : array-like of shape (n,), optional
            Subjects, kept whole in inner folds. None: each image is a group of its own.

        Raises
        ------
        FeatxError
            If there is something to choose and only one group to choose it by.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        rows = normalize(X)
        self.axes_ = principal_axes(rows) if X.shape[1] > len(X) else None
        rows = self._rotate(rows)
        candidates = list(ParameterGrid(dict(self.grid or {})))
        self.report_: dict[str, Any] = {"n_images": len(y), "warnings": []}
        if len(candidates) == 1:
            self.estimator_ = clone(self.estimator).set_params(**candidates[0]).fit(rows, y)
            self.report_["parameters"] = candidates[0]
            return self
        folds = inner_folds(groups, len(y), self.inner_folds)
        search = GridSearchCV(
            self.estimator,
            dict(self.grid or {}),
            scoring="neg_mean_absolute_error",
            cv=folds,
            error_score="raise",
        ).fit(rows, y)
        self.estimator_ = search.best_estimator_
        self.report_ |= self._account(search, len(folds))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the ages in years, shape (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.ravel(self.estimator_.predict(self._rotate(normalize(X))))

    def _rotate(self, rows: np.ndarray) -> np.ndarray:
        if self.axes_ is None:
            return rows
        inside = rows @ self.axes_
        outside = np.square(rows).sum(axis=1) - np.square(inside).sum(axis=1)
        return np.column_stack([inside, np.sqrt(outside.clip(0))])

    def _account(self, search: GridSearchCV, n_folds: int) -> dict[str, Any]:
        chosen = {name: _plain(value) for name, value in search.best_params_.items()}
        edge = {
            name: "least" if value == min(self.grid[name]) else "greatest"
            for name, value in chosen.items()
            if self.grid and len(self.grid[name]) > 1
            if value in (min(self.grid[name]), max(self.grid[name]))
        }
        return {
            "parameters": chosen,
            "inner_mae": float(-search.best_score_),
            "inner_folds": n_folds,
            "candidates": [
                {**{k: _plain(v) for k, v in p.items()}, "mae": float(-score)}
                for p, score in zip(
                    search.cv_results_["params"],
                    search.cv_results_["mean_test_score"],
                    strict=True,
                )
            ],
            "grid_edge": edge,
            "warnings": [
                f"the chosen {name} {chosen[name]:g} is the {side} of its grid: extend it"
                for name, side in edge.items()
            ],
        }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


class UnitMeanSquare(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Centre, and divide by one number that makes the mean square length of training rows 1.

    Unlike `sklearn.preprocessing.StandardScaler` it commutes with rotations, leaves units their
    relative weight, and gives penalties and kernel widths the same meaning on every layer.
    """

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> UnitMeanSquare:
        """Learn the mean and the length from training rows of shape (n, p)."""
        X = validate_data(self, X, dtype=np.float64)
        self.mean_ = X.mean(axis=0)
        self.length_ = float(np.sqrt(np.square(X - self.mean_).sum(axis=1).mean())) or 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the rows, shape (n, p), centred and scaled."""
        check_is_fitted(self)
        return (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.length_


class CappedPLSRegression(PLSRegression):
    """`sklearn.cross_decomposition.PLSRegression` with no more components than data can bear."""

    n_components: int

    def fit(self, X: np.ndarray, y: np.ndarray) -> CappedPLSRegression:
        """Fit with at most min(n - 1, p) components, for `X` of shape (n, p)."""
        asked = self.n_components
        self.n_components = max(1, min(asked, len(X) - 1, np.shape(X)[1]))
        try:
            super().fit(X, y)
        finally:
            self.n_components = asked
        return self


def mean(inner_folds: int = 5) -> GroupSelected:
    """Return the regressor that answers the mean training age."""
    return GroupSelected(DummyRegressor(strategy="mean"), inner_folds=inner_folds)


def ridge(inner_folds: int = 5) -> GroupSelected:
    """Return ridge regression; the penalty is on the sum of squared errors in years."""
    grid = {"ridge__alpha": [float(f"{10**e:.3g}") for e in np.arange(-2, 3.1, 0.5)]}
    return GroupSelected(make_pipeline(UnitMeanSquare(), Ridge()), grid, inner_folds=inner_folds)


def svr(inner_folds: int = 5) -> GroupSelected:
    """Return support vector regression, RBF kernel; rows are some sqrt(2) apart on average."""
    grid = {"svr__C": [10.0, 30.0, 100.0], "svr__gamma": [0.1, 0.3, 1.0, 3.0]}
    model = make_pipeline(UnitMeanSquare(), SVR(epsilon=0.5, cache_size=500))
    return GroupSelected(model, grid, inner_folds=inner_folds)


def pls(inner_folds: int = 5) -> GroupSelected:
    """Return partial least squares regression on unscaled units."""
    grid = {"cappedplsregression__n_components": [1, 2, 3, 4, 6, 8, 12, 16, 24]}
    model = make_pipeline(UnitMeanSquare(), CappedPLSRegression(scale=False))
    return GroupSelected(model, grid, inner_folds=inner_folds)


#: Name on the command line to the function that makes the regressor.
BASELINES: dict[str, Callable[[int], GroupSelected]] = {
    "mean": mean,
    "ridge": ridge,
    "svr": svr,
    "pls": pls,
}


def baseline(name: str, inner_folds: int = 5) -> GroupSelected:
    """Return the baseline of a name.

    Raises
    ------
    FeatxError
        If there is none of that name.
    """
    if name not in BASELINES:
        raise unknown("baseline", name, BASELINES)
    return BASELINES[name](inner_folds)
