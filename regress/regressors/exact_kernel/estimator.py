"""The scikit-learn estimator over kernels × λ."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from featx.errors import FeatxError
from featx.memory import free_memory
from regress.regressors.exact_kernel.kernels import Rows, blocks
from regress.regressors.exact_kernel.memory import SHARE, required_bytes
from regress.regressors.exact_kernel.selection import DEGREES, Grid
from regress.regressors.exact_kernel.solver import Layout, left_out_residuals, nested_errors


class InputError(FeatxError, ValueError):
    """Bad rows, targets or groups; a `ValueError` too, as scikit-learn's contract wants."""


class ExactKernelRegressor(RegressorMixin, BaseEstimator):
    """Kernel ridge regression, its kernel and λ chosen by exact leave-one-group-out.

    Leaving a group out costs no refit: one eigendecomposition a kernel gives every left-out
    residual at every λ, the unpenalised intercept refitted each time. `cross_val_predict_groups`
    does the same for the whole nested leave-one-group-out. ``docs/exact-kernel.md`` has the
    algebra.

    Parameters
    ----------
    kernels : sequence of {"linear", "rbf", "poly"}
        Kernels to choose among: x·z, exp(−γ‖x − z‖²) and ((1 + x·z) / 2)^degree.
    alphas : sequence of float, optional
        λ, each positive. None: 1e-6 to 10, two a decade.
    gammas : sequence of float, optional
        γ of ``rbf``; on unit-norm rows squared distances lie in [0, 4]. None: 1/8 to 64 in
        steps of √2.
    degrees : sequence of int
        Degrees of ``poly``.
    max_memory : float, optional
        Bytes of working memory that may be taken, X not counted. None: 80 % of what is available
        to the process. The rule is `required_bytes`: 32 bytes × images², which lets 20,000
        images fit in 24 GiB, or 24 bytes × images × units where ``linear`` is the only kernel
        and there are fewer units than images.
    normalize : bool
        Scale each row to unit Euclidean length. No statistic is learned from other rows, so
        nothing can leak.

    Attributes
    ----------
    kernel_ : str
        The chosen kernel, for example ``rbf(gamma=0.5)``.
    alpha_ : float
        The chosen λ.
    inner_mae_ : float
        Mean absolute error, in years, over all images, each predicted without its group, of the
        chosen candidate: what it was chosen by, hence no estimate of the error on new people.
    grid_ : pandas.DataFrame
        A row a candidate: kernel, name, gamma, degree, alpha, inner_mae.
    intercept_ : float
        Years.
    coef_ : ndarray of shape (units,)
        For the linear kernel, on rows as normalised.
    dual_coef_ : ndarray of shape (n,)
        For the other kernels, with `X_fit_` the training rows.
    report_ : dict
        JSON-able: chosen, inner MAE, form (primal or dual), grid edges, candidates.

    Notes
    -----
    Of tied candidates the most regularised (largest λ) wins. Everything is float64; float32 rows
    are converted block by block. Results do not depend on a seed; BLAS threads are the caller's.
    """

    def __init__(
        self,
        kernels: Sequence[str] = ("linear", "rbf", "poly"),
        alphas: Iterable[float] | None = None,
        gammas: Iterable[float] | None = None,
        degrees: Iterable[int] = DEGREES,
        max_memory: float | None = None,
        normalize: bool = True,
    ) -> None:
        """Store the parameters; nothing is checked before `fit`."""
        self.kernels = kernels
        self.alphas = alphas
        self.gammas = gammas
        self.degrees = degrees
        self.max_memory = max_memory
        self.normalize = normalize

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: Sequence[Hashable] | None = None
    ) -> ExactKernelRegressor:
        """Choose kernel and λ by leave-one-group-out MAE, then fit on all rows.

        Parameters
        ----------
        X : array-like of shape (n, units), float32 or float64
        y : array-like of shape (n,)
            Ages in years.
        groups : array-like of shape (n,), optional
            Whose rows leave together (subjects). None: every row is its own group.

        Raises
        ------
        FeatxError
            For NaN or infinite values, fewer than two groups, a bad grid, or too little memory.
        """
        X, y = self._checked(X, y)
        codes = _codes(groups, len(X), least=2)[0]
        grid = self._grid()
        self._check_memory(X, grid)
        rows, layout = Rows(X, self.normalize), Layout(codes)
        mean = y.mean()
        centred = (y - mean)[layout.order]

        errors = np.full(len(grid.candidates), np.inf)
        best, dual = -1, np.empty(0)
        for k, (_, spectrum) in enumerate(grid.spectra(rows, layout.order)):
            for i, alpha in enumerate(grid.alphas, start=k * len(grid.alphas)):
                try:
                    residuals = left_out_residuals(spectrum, centred, layout, alpha)
                except np.linalg.LinAlgError:
                    continue
                errors[i] = np.abs(residuals).mean()
            if np.isfinite(errors).any():
                chosen = grid.choose(errors, float(y.std()))
                if chosen != best and chosen // len(grid.alphas) == k:
                    dual = spectrum.dual_coefficients(centred, grid.candidates[chosen][1])
                best = chosen
        best = grid.choose(errors, float(y.std()))
        self._keep(grid, best, errors, rows, y)
        weights = np.empty_like(dual)
        weights[layout.order] = dual
        self._refit(grid, best, rows, weights, mean)
        return self

    def cross_val_predict_groups(
        self, X: np.ndarray, y: np.ndarray, groups: Sequence[Hashable]
    ) -> tuple[np.ndarray, dict[Hashable, dict[str, Any]]]:
        """Predict each group by the model chosen and fitted on the others: exact nesting.

        Equal, up to rounding, to `fit` on all groups but one, with those as its groups, and
        `predict` on the one, for each group; in the time of a few fits. Leaves the estimator
        unfitted.

        Parameters
        ----------
        X, y, groups
            As for `fit`.

        Returns
        -------
        predictions : ndarray of shape (n,), float64
            Years.
        details : dict
            For each group ``kernel``, ``alpha``, ``inner_mae`` (years, over the other groups),
            ``form`` and ``edges`` of its fold's choice.

        Raises
        ------
        FeatxError
            As `fit`, and for fewer than three groups.
        """
        X, y = self._checked(X, y)
        codes, labels = _codes(groups, len(X), least=3)
        grid = self._grid()
        self._check_memory(X, grid)
        rows, layout = Rows(X, self.normalize), Layout(codes)
        centred = (y - y.mean())[layout.order]

        # By candidate: residuals at the outer level, and the inner MAE within each outer fold.
        outer = np.full((len(grid.candidates), len(X)), np.nan)
        inner = np.full((len(grid.candidates), len(layout.sizes)), np.inf)
        for k, (_, spectrum) in enumerate(grid.spectra(rows, layout.order)):
            for i, alpha in enumerate(grid.alphas, start=k * len(grid.alphas)):
                try:
                    outer[i], sums = nested_errors(spectrum, centred, layout, alpha)
                except np.linalg.LinAlgError:
                    continue
                inner[i] = sums / (len(X) - layout.sizes)

        residuals = np.empty(len(X))
        details: dict[Hashable, dict[str, Any]] = {}
        stops = np.cumsum(layout.sizes)
        for place, stop in enumerate(stops):
            members = layout.order[stop - layout.sizes[place] : stop]
            others = np.delete(y, members)
            best = grid.choose(inner[:, place], float(others.std()))
            residuals[members] = outer[best, stop - layout.sizes[place] : stop]
            kernel, alpha = grid.candidates[best]
            details[labels[layout.groups[place]]] = {
                "kernel": str(kernel),
                "alpha": alpha,
                "inner_mae": float(inner[best, place]),
                "form": "primal" if grid.primal(kernel, rows) else "dual",
                "edges": grid.edges(best, inner[:, place]),
            }
        return y - residuals, {label: details[label] for label in labels}

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return ages in years, shape (n,), float64.

        Raises
        ------
        FeatxError
            For NaN or infinite values or another number of units.
        """
        check_is_fitted(self)
        rows = Rows(self._checked_rows(X, reset=False), self.normalize)
        if hasattr(self, "coef_"):
            return rows.against(self.coef_) + self.intercept_
        fitted = Rows(self.X_fit_, self.normalize)
        return rows.kernel_sum(self._kernel, fitted, self.dual_coef_) + self.intercept_

    def _keep(self, grid: Grid, best: int, errors: np.ndarray, rows: Rows, y: np.ndarray) -> None:
        kernel, self.alpha_ = grid.candidates[best]
        self._kernel = kernel
        self.kernel_ = str(kernel)
        self.inner_mae_ = float(errors[best])
        table = grid.table(errors)
        self.grid_ = pd.DataFrame(table)
        self.report_ = {
            "kernel": self.kernel_,
            "alpha": self.alpha_,
            "inner_mae": self.inner_mae_,
            "form": "primal" if grid.primal(kernel, rows) else "dual",
            "edges": grid.edges(best, errors),
            "images": len(rows),
            "units": rows.units,
            "candidates": table,
        }

    def _refit(self, grid: Grid, best: int, rows: Rows, weights: np.ndarray, mean: float) -> None:
        """Set the coefficients; ``(K + λI) a + 1 b = y`` and ``1ᵀa = 0`` give b by averaging."""
        for name in ("coef_", "dual_coef_", "X_fit_"):
            self.__dict__.pop(name, None)
        kernel = grid.candidates[best][0]
        if kernel.name == "linear":
            self.coef_ = rows.combine(weights)
            fitted = rows.against(self.coef_)
        else:
            self.dual_coef_, self.X_fit_ = weights, rows.values
            fitted = rows.kernel_sum(kernel, rows, weights)
        self.intercept_ = float(mean - fitted.mean())

    def _grid(self) -> Grid:
        return Grid(self.kernels, self.alphas, self.gammas, self.degrees)

    def _checked(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        if y is None:
            raise InputError("requires y to be passed, but the target y is None")
        X = self._checked_rows(X, reset=True)
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

    def _checked_rows(self, X: Any, reset: bool) -> np.ndarray:
        try:
            X = validate_data(
                self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False
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

    def _check_memory(self, X: np.ndarray, grid: Grid) -> None:
        linear_only = all(kernel.name == "linear" for kernel in grid.kernels)
        needed = required_bytes(X.shape[0], X.shape[1], linear_only=linear_only)
        allowed = SHARE * free_memory() if self.max_memory is None else self.max_memory
        if needed > allowed:
            raise FeatxError(
                f"exact-kernel needs {needed:,} bytes for {X.shape[0]:,} images of "
                f"{X.shape[1]:,} units and may take {int(allowed):,}: use fewer images"
                + ("" if linear_only else ", kernels=('linear',) with fewer units than images")
                + " or a machine with more memory, or raise max_memory"
            )


def _codes(
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
