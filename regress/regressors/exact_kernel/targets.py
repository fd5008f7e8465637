"""What the ridge is solved for: ages as columns of numbers, and ages again from what it predicts.

``age`` is the age itself, one column. ``ordinal`` has a column for each whole year k, 1 for people
older than k: ridge regression on it estimates P(age > k | x), and counting the years whose estimate
is above a half gives the median age, which errs least in absolute terms, as the mean in squares.
This is ordinal regression by binary classifications: L. Li, H.-T. Lin, Ordinal regression by
extended binary classification, NIPS 2006; of ages, K.-Y. Chang, C.-S. Chen, Y.-P. Hung, Ordinal
hyperplanes ranker with cost sensitivities for age estimation, CVPR 2011.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.errors import FeatxError, unknown

NAMES = ("age", "ordinal")

#: Years that ``ordinal`` tells apart begin at 0 and end here; ages beyond are taken for the end.
#: Fixed, for the span of the ages at hand would be a statistic of the people left out.
OLDEST = 120

#: What a column of ``ordinal`` must exceed: a half, and what rounding may add to a tie.
MAJORITY = 0.5 + 1e-6


class Targets:
    """The columns of some people's ages.

    Parameters
    ----------
    ages : ndarray of shape (n,), float64
        Years.
    names : sequence of {"age", "ordinal"}
        Which targets there are, each once.

    Attributes
    ----------
    values : ndarray of shape (n, columns), float64
        Less their means over the n rows.
    means : ndarray of shape (columns,)
    columns : dict
        The slice of columns of each target.
    youngest : float
        The youngest whole age: what ``ordinal`` counts on from. Columns of years below it or above
        the oldest would be the same for everybody, and are left out.
    """

    def __init__(self, ages: np.ndarray, names: Sequence[str]) -> None:
        """Lay the columns out; see the class."""
        self.ages = ages
        whole = np.clip(np.rint(ages), 0, OLDEST)
        self.youngest = float(whole.min())
        older = whole[:, None] > np.arange(self.youngest, whole.max())
        parts = {name: ages[:, None] if name == "age" else older for name in names}
        self.columns: dict[str, slice] = {}
        start = 0
        for name, part in parts.items():
            self.columns[name] = slice(start, start + part.shape[1])
            start += part.shape[1]
        values = np.concatenate(list(parts.values()), axis=1, dtype=np.float64)
        self.means = values.mean(axis=0)
        self.values = values - self.means

    def of(self, name: str) -> np.ndarray:
        """Return the columns of one target, shape (n, its columns)."""
        return self.values[:, self.columns[name]]

    def predicted(self, residuals: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return ages from residuals, which are overwritten.

        Parameters
        ----------
        residuals : ndarray of shape (..., columns)
            By how much `values` exceed what was predicted.
        values : ndarray, broadcast to the residuals
            Some of the rows of the attribute of that name.

        Returns
        -------
        ndarray of shape (targets, ...)
            Years.
        """
        fitted = np.subtract(values, residuals, out=residuals)
        years = np.empty((len(self.columns), *fitted.shape[:-1]))
        for place, (name, columns) in enumerate(self.columns.items()):
            years[place] = decode(name, fitted[..., columns], self.means[columns], self.youngest)
        return years


def listed(names: Sequence[str]) -> list[str]:
    """Return the names of targets in order, each once.

    Raises
    ------
    FeatxError
        For an unknown name, or none.
    """
    found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in found:
        if name not in NAMES:
            raise unknown("target", str(name), NAMES)
    if not found:
        raise FeatxError(f"no target to choose from; give targets among {', '.join(NAMES)}")
    return found


def decode(name: str, values: np.ndarray, offset: np.ndarray, youngest: float) -> np.ndarray:
    """Return the ages that predicted columns stand for.

    Parameters
    ----------
    name : {"age", "ordinal"}
    values : ndarray of shape (..., columns)
        Predictions of the target's columns, less `offset`.
    offset : ndarray of shape (columns,)
    youngest : float
        As `Targets` has it.
    """
    if name == "age":
        return values[..., 0] + offset[0]
    return youngest + np.count_nonzero(values > MAJORITY - offset, axis=-1)
