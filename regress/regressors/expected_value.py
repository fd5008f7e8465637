"""A network's own age estimate: the expected value of its class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import FeatxError

#: Class values above this are numbers of classes (ImageNet's thousand), not ages.
OLDEST = 130


class ExpectedValueRegressor(RegressorMixin, BaseEstimator):
    """Age as Σ a·p(a) over a layer of class probabilities, just as the network gives them.

    Nothing is fitted: it stands beside regressors under the same protocol, to show what a
    fine-tuned network's head makes of people whom neither it nor they have seen. The formula is
    that of Rothe, Timofte and Van Gool (2018), DEX.

    Parameters
    ----------
    unit_ages : sequence of float, optional
        The age (years) that each unit's probability is of; 0, 1, 2, … by default.

    Attributes
    ----------
    classes_ : ndarray of shape (units,), float64
        The ages.
    """

    def __init__(self, unit_ages: Sequence[float] | None = None) -> None:
        self.unit_ages = unit_ages

    def __sklearn_tags__(self) -> Any:
        """Say that the score depends on the network alone."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, groups: Any = None) -> Self:
        """Take note of the ages.

        Raises
        ------
        FeatxError
            If there is not an age for every unit.
        """
        units = validate_data(self, X, y, y_numeric=True)[0].shape[1]
        ages = np.arange(units) if self.unit_ages is None else self.unit_ages
        self.classes_ = np.asarray(ages, float)
        if self.classes_.shape != (units,):
            raise FeatxError(f"expected-value: {units} units, but {len(self.classes_)} ages")
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the expected ages, in years: float64, shape (n,)."""
        return np.asarray(self.predict_proba(X) @ self.classes_)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities as they were given: float64, shape (n, units)."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float64))


def are_ages(classes: Sequence[float | str]) -> bool:
    """Tell whether the classes of a layer are ages in years."""
    return bool(classes) and all(
        not isinstance(value, str) and 0 <= value <= OLDEST for value in classes
    )
