"""A softmax head on fixed features: age as the expected value of class probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import FeatxError, unknown
from regress.regressors.inner_selection import inner_folds
from regress.regressors.multinomial import MultinomialProblem, principal_axes

#: Penalties tried where none are given, strongest first; they suit features of unit mean square.
DEFAULT_ALPHAS: tuple[float, ...] = tuple(float(f"{10**e:.3g}") for e in np.arange(0, -7.1, -0.5))
#: The inner search leaves the penalty path after this many weaker penalties without a gain.
PATIENCE = 2
#: The gradient at which the inner search goes on to the next penalty.
COARSE = 1e-3
SCALINGS = ("l2", "standard", "none")
CLASSES = ("observed", "range")


class SoftmaxRegressor(RegressorMixin, BaseEstimator):
    r"""Multinomial logistic regression whose prediction is the expected age.

    Minimises, over weights ``W`` (K, p) and unpenalised intercepts ``b`` (K,),

    .. math:: -\frac1n \sum_i \sum_k t_{ik} \log p_{ik} + \frac\alpha2 \lVert W\rVert_F^2,
              \qquad p_i = \mathrm{softmax}(W x_i + b)

    and predicts :math:`\sum_k a_k p_{ik}` over the class ages :math:`a_k` (Rothe et al. 2015, DEX;
    equation 1 of the cascaded fine-tuning paper, with true ages where that writes indices). The
    targets ``t`` are one-hot, or with ``label_sd`` a normal density of that many years about the
    true age, normalised over the classes (label distribution learning, Geng et al. 2013).
    In scikit-learn's terms ``alpha = 1 / (C n)``.

    Parameters
    ----------
    alphas : float, sequence of float, or None
        Penalties. One is used as it is; of several, the one with the least mean absolute error of
        the expected age over group-exclusive inner folds. None: `DEFAULT_ALPHAS`. The search goes
        from the strongest to weaker ones and stops after two without a gain.
    label_sd : float
        Standard deviation of the targets in years; 0 is one-hot.
    classes : {"observed", "range"}
        Class ages: those that occur in training, or every whole year from their least to their
        greatest. A class that no target touches has probability 0.
    scaling : {"l2", "standard", "none"}
        "l2": rows brought to unit length. "standard": units brought to unit variance. Both then
        divide by one number that makes the mean square length of the centred training rows 1, so
        that penalties mean the same on every layer. All statistics are of training rows alone, in
        inner folds of theirs.
    inner_folds : int
        Inner folds for the choice of the penalty.
    tol : float
        Stop when no entry of the gradient, in coordinates where the problem is well conditioned,
        exceeds this.
    max_iter : int
        Most L-BFGS iterations for one penalty.

    Attributes
    ----------
    classes_ : ndarray of shape (K,), float64
        Class ages in years, ascending.
    coef_ : ndarray of shape (K, p), float64
        Weights on the row-scaled features (see `logits`).
    intercept_ : ndarray of shape (K,), float64
        Intercepts; -inf for a class that no target touches.
    alpha_ : float
        The penalty used.
    report_ : dict
        JSON-able account of the choice and the fit.

    Notes
    -----
    The optimum lies in the span of the rows, so that a layer of p > n units is first rotated to n
    coordinates, exactly. There principal axes and the class shares give a diagonal approximation
    of the Hessian; L-BFGS runs in coordinates that make it the identity, which takes some 10 to 40
    iterations a penalty instead of hundreds.
    """

    def __init__(
        self,
        alphas: float | Sequence[float] | None = None,
        *,
        label_sd: float = 0.0,
        classes: str = "observed",
        scaling: str = "l2",
        inner_folds: int = 5,
        tol: float = 1e-5,
        max_iter: int = 1000,
    ) -> None:
        self.alphas = alphas
        self.label_sd = label_sd
        self.classes = classes
        self.scaling = scaling
        self.inner_folds = inner_folds
        self.tol = tol
        self.max_iter = max_iter

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: Sequence | np.ndarray | None = None
    ) -> SoftmaxRegressor:
        """Choose the penalty over inner folds and train on all rows.

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
            If a parameter is out of range, or the penalty is to be chosen with a single group.
        """
        grid = self._grid()
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)
        rows = normalize(X) if self.scaling == "l2" else X
        lift = None
        if self.scaling != "standard" and X.shape[1] > len(X):
            # Shifts and one common factor commute with a rotation: one serves every inner fold.
            lift = principal_axes(rows)
            rows = rows @ lift
        self.report_: dict[str, Any] = {"alphas": grid, "inner_mae": [], "warnings": []}
        self.alpha_ = grid[0] if len(grid) == 1 else self._choose(rows, y, groups, grid)

        self.classes_ = self._class_ages(y)
        problem = self._problem(rows, y, self.classes_)
        path = [a for a in grid if a > self.alpha_]
        for alpha in path:  # warm starts only
            problem.solve(alpha, COARSE, self.max_iter)
        fit = problem.solve(self.alpha_, self.tol, self.max_iter)
        weights, self.intercept_ = problem.raw_weights()
        self.coef_ = np.ascontiguousarray((weights if lift is None else lift @ weights).T)
        self.n_iter_ = fit.iterations
        if not fit.converged:
            self.report_["warnings"].append(
                f"not converged after {fit.iterations} iterations: greatest gradient entry "
                f"{fit.gradient:.1e}, asked for {self.tol:g}; raise max_iter"
            )
        self.report_ |= {
            "alpha": self.alpha_,
            "label_sd": float(self.label_sd),
            "scaling": self.scaling,
            "n_images": len(y),
            "n_classes": len(self.classes_),
            "loss": fit.loss,
            "gradient": fit.gradient,
            "iterations": fit.iterations,
            "converged": fit.converged,
        }
        return self

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Return the logits, shape (n, K); with "l2" scaling rows are brought to length 1 first."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        rows = normalize(X) if self.scaling == "l2" else X
        return rows @ self.coef_.T + self.intercept_

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the class probabilities, shape (n, K), in the order of `classes_`."""
        return softmax(self.logits(X), axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the expected ages in years, shape (n,)."""
        return self.predict_proba(X) @ self.classes_

    def _grid(self) -> list[float]:
        if self.classes not in CLASSES:
            raise unknown("classes", self.classes, CLASSES)
        if self.scaling not in SCALINGS:
            raise unknown("scaling", self.scaling, SCALINGS)
        if not 0 <= self.label_sd < math.inf:
            raise FeatxError(f"label_sd is {self.label_sd}: give years, 0 or more")
        given = DEFAULT_ALPHAS if self.alphas is None else np.atleast_1d(self.alphas)
        grid = sorted({float(a) for a in given}, reverse=True)
        if not grid or not all(0 < a < math.inf for a in grid):
            raise FeatxError(f"alphas are {self.alphas}: give one or more numbers above 0")
        return grid

    def _class_ages(self, y: np.ndarray) -> np.ndarray:
        if self.classes == "range":
            return np.arange(np.floor(y.min()), np.ceil(y.max()) + 1)
        return np.unique(y)

    def _problem(
        self, rows: np.ndarray, y: np.ndarray, classes: np.ndarray, single: bool = False
    ) -> MultinomialProblem:
        return MultinomialProblem(
            rows,
            label_distribution(y, classes, self.label_sd),
            unit_variance=self.scaling == "standard",
            unit_length=self.scaling != "none",
            single=single,
        )

    def _choose(
        self,
        rows: np.ndarray,
        y: np.ndarray,
        groups: Sequence | np.ndarray | None,
        grid: list[float],
    ) -> float:
        folds = inner_folds(groups, len(y), self.inner_folds)
        classes = [self._class_ages(y[train]) for train, _ in folds]
        problems = [
            self._problem(rows[train], y[train], ages, single=True)
            for (train, _), ages in zip(folds, classes, strict=True)
        ]
        tests = [p.project(rows[test]) for p, (_, test) in zip(problems, folds, strict=True)]
        maes: list[float] = []
        iterations = 0
        for alpha in grid:
            errors = np.empty(len(y))
            for (_, test), problem, Z, ages in zip(folds, problems, tests, classes, strict=True):
                iterations += problem.solve(alpha, COARSE, self.max_iter).iterations
                errors[test] = np.abs(problem.probabilities(Z) @ ages - y[test])
            maes.append(float(errors.mean()))
            if len(maes) - 1 - int(np.argmin(maes)) >= PATIENCE:
                break
        best = int(np.argmin(maes))
        edge = {0: "strongest", len(grid) - 1: "weakest"}.get(best)
        if edge:
            self.report_["warnings"].append(
                f"the chosen alpha {grid[best]:g} is the {edge} of the grid: extend it"
            )
        self.report_ |= {
            "inner_mae": maes,
            "best_inner_mae": maes[best],
            "inner_folds": len(folds),
            "inner_iterations": iterations,
            "grid_edge": edge,
        }
        return grid[best]


def label_distribution(y: np.ndarray, classes: np.ndarray, sd: float) -> np.ndarray:
    """Return the targets of some ages over the class ages, shape (n, K), rows summing to 1.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Ages in years.
    classes : ndarray of shape (K,)
        Class ages in years, ascending.
    sd : float
        Standard deviation in years of a normal density about each age, sampled at the class ages
        and normalised over them (Geng, Yin, Zhou 2013). 0 puts all on the nearest class.
    """
    distance = y[:, None] - classes[None, :]
    if sd == 0:
        return np.eye(len(classes))[np.abs(distance).argmin(axis=1)]
    return softmax(-0.5 * (distance / sd) ** 2, axis=1)
