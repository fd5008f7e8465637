"""The scikit-learn estimator over targets × kernels × λ."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from featx.memory import free_memory
from regress.regressors.exact_kernel.checks import checked, checked_rows, number_groups
from regress.regressors.exact_kernel.forms import Exact
from regress.regressors.exact_kernel.kernels import Rows
from regress.regressors.exact_kernel.layout import Layout
from regress.regressors.exact_kernel.memory import SHARE, pick_landmarks
from regress.regressors.exact_kernel.nystrom import Nystrom, choose_landmarks
from regress.regressors.exact_kernel.selection import DEGREES, Grid
from regress.regressors.exact_kernel.solver import left_out_residuals, nested_errors
from regress.regressors.exact_kernel.targets import NAMES, Targets, decode


class ExactKernelRegressor(RegressorMixin, BaseEstimator):
    """Kernel ridge regression; target, kernel and λ chosen by exact leave-one-group-out.

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
    landmarks : int, "auto" or None
        Of how many training rows, a fixed random sample, `fit` approximates the kernels (form
        ``nystrom``). "auto": exact where `required_bytes` fits the memory, else as many as fit, at
        most `memory.MOST_LANDMARKS`. None: never; too little memory is an error. With a number
        there is no `cross_val_predict_groups`, which is exact: leaving a person out takes a fit.
    targets : sequence of {"age", "ordinal"}
        What the ridge is solved for, to choose among: the age, which predicts a mean; or whether
        it is above each whole year from 0 to 120, which predicts the median, a whole number of
        years. See `regress.regressors.exact_kernel.targets`.
    length_weight : float
        Weight β with which the lengths that `normalize` takes away count in ``rbf``:
        exp(−γ(‖x/‖x‖ − z/‖z‖‖² + β² log²(‖x‖/‖z‖))), whatever the features' unit. 0: directions
        alone. Without `normalize` it is not used, for rows keep their lengths.

    Attributes
    ----------
    target_ : str
        The chosen target, ``age`` or ``ordinal``.
    kernel_ : str
        The chosen kernel, for example ``rbf(gamma=0.5)``.
    alpha_ : float
        The chosen λ.
    inner_mae_ : float
        Mean absolute error, in years, over all images, each predicted without its group, of the
        chosen candidate: what it was chosen by, hence no estimate of the error on new people.
    grid_ : pandas.DataFrame
        A row a candidate: target, kernel, name, gamma, degree, alpha, inner_mae.
    thresholds_ : ndarray of shape (columns,)
        For ``ordinal``: the years k of its columns, 1 where the age is above k.
    intercept_ : float, or ndarray of shape (columns,)
        Years for ``age``, probabilities for ``ordinal``.
    coef_ : ndarray of shape (units,) or (columns, units)
        For the linear kernel, on rows as normalised.
    dual_coef_ : ndarray of shape (n,) or (n, columns)
        For the other kernels, with `X_fit_` the training rows; in the Nyström form both are of
        the landmarks alone.
    report_ : dict
        JSON-able: chosen, inner MAE, form (primal, dual or nystrom), landmarks (None if exact),
        approximation error (mean share of k(x, x) that the landmarks miss), warnings, grid edges,
        candidates.

    Notes
    -----
    Of tied candidates the most regularised (largest λ) wins. Everything is float64; float32 rows
    are converted block by block. Results do not depend on a seed; BLAS threads are the caller's.
    With ``landmarks="auto"`` they depend on the memory where the exact form does not fit: give a
    number, or `max_memory`, for the same on every machine.
    """

    def __init__(
        self,
        kernels: Sequence[str] = ("linear", "rbf", "poly"),
        alphas: Iterable[float] | None = None,
        gammas: Iterable[float] | None = None,
        degrees: Iterable[int] = DEGREES,
        max_memory: float | None = None,
        normalize: bool = True,
        landmarks: int | str | None = "auto",
        targets: Sequence[str] = NAMES,
        length_weight: float = 1.0,
    ) -> None:
        """Store the parameters; nothing is checked before `fit`."""
        self.kernels = kernels
        self.alphas = alphas
        self.gammas = gammas
        self.degrees = degrees
        self.max_memory = max_memory
        self.normalize = normalize
        self.landmarks = landmarks
        self.targets = targets
        self.length_weight = length_weight

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: Sequence[Hashable] | None = None
    ) -> ExactKernelRegressor:
        """Choose target, kernel and λ by leave-one-group-out MAE, then fit on all rows.

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
        X, y = checked(self, X, y)
        codes, _ = number_groups(groups, len(X), least=2)
        grid, layout = self._grid(), Layout(codes)
        count = self._pick(self.landmarks, X, grid, largest=int(layout.sizes[-1]))
        rows = self._rows(X)
        forms = Exact(rows, layout.order)
        if count is not None:
            forms = Nystrom(rows, layout.order, choose_landmarks(codes, count))
        targets = Targets(y[layout.order], grid.targets)
        scale = float(y.std())

        errors = np.full((len(grid.targets), grid.settings), np.inf)
        best, dual = -1, np.empty(0)
        for k, kernel in enumerate(grid.kernels):
            spectrum = forms.spectrum(kernel)
            for i, alpha in enumerate(grid.alphas, start=k * len(grid.alphas)):
                try:
                    residuals = left_out_residuals(spectrum, targets.values, layout, alpha)
                except np.linalg.LinAlgError:
                    continue
                predicted = targets.predicted(residuals, targets.values)
                errors[:, i] = np.abs(predicted - targets.ages).mean(axis=1)
            if np.isfinite(errors).any():
                chosen = grid.choose(errors.ravel(), scale)
                target, of_chosen, alpha = grid.candidates[chosen]
                if chosen != best and of_chosen is kernel:
                    dual = spectrum.dual_coefficients(targets.of(target), alpha)
                best = chosen
            del spectrum  # the next one takes its place
        best = grid.choose(errors.ravel(), scale)
        self._keep(grid, best, errors.ravel(), forms)
        self._refit(forms, dual, targets)
        return self

    @available_if(lambda self: self.landmarks is None or self.landmarks == "auto")
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
            For each group ``target``, ``kernel``, ``alpha``, ``inner_mae`` (years, over the other
            groups), ``form`` and ``edges`` of its fold's choice.

        Raises
        ------
        FeatxError
            As `fit` with ``landmarks=None``, and for fewer than three groups.
        """
        X, y = checked(self, X, y)
        codes, labels = number_groups(groups, len(X), least=3)
        grid = self._grid()
        self._pick(None, X, grid)
        layout = Layout(codes)
        forms = Exact(self._rows(X), layout.order)
        targets = Targets(y[layout.order], grid.targets)

        # By candidate: predictions at the outer level, and the inner MAE within each outer fold.
        outer = np.full((len(grid.targets), grid.settings, len(X)), np.nan)
        inner = np.full((*outer.shape[:2], len(layout.sizes)), np.inf)
        for k, kernel in enumerate(grid.kernels):
            spectrum = forms.spectrum(kernel)
            for i, alpha in enumerate(grid.alphas, start=k * len(grid.alphas)):
                try:
                    outer[:, i], sums = nested_errors(spectrum, targets, layout, alpha)
                except np.linalg.LinAlgError:
                    continue
                inner[:, i] = sums / (len(X) - layout.sizes)
            del spectrum

        predictions = np.empty(len(X))
        scale = float(y.std())  # of what was computed with, whose rounding decides what is tied
        details: dict[Hashable, dict[str, Any]] = {}
        stops = np.cumsum(layout.sizes)
        for place, stop in enumerate(stops):
            part = slice(stop - layout.sizes[place], stop)
            errors = inner[:, :, place].ravel()
            best = grid.choose(errors, scale)
            predictions[layout.order[part]] = outer.reshape(-1, len(X))[best, part]
            target, kernel, alpha = grid.candidates[best]
            details[labels[layout.groups[place]]] = {
                "target": target,
                "kernel": str(kernel),
                "alpha": alpha,
                "inner_mae": float(errors[best]),
                "form": forms.form(kernel),
                "edges": grid.edges(best, errors),
            }
        return predictions, {label: details[label] for label in labels}

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return ages in years, shape (n,), float64.

        Raises
        ------
        FeatxError
            For NaN or infinite values or another number of units.
        """
        check_is_fitted(self)
        rows = self._rows(checked_rows(self, X, reset=False))
        if hasattr(self, "coef_"):
            fitted = rows.against(np.atleast_2d(self.coef_))
        else:
            weights = self.dual_coef_.reshape(len(self.X_fit_), -1)
            fitted = rows.kernel_sum(self._kernel, self._rows(self.X_fit_), weights)
        return decode(self.target_, fitted, np.atleast_1d(self.intercept_), self._youngest)

    def _keep(self, grid: Grid, best: int, errors: np.ndarray, forms: Exact) -> None:
        self.target_, self._kernel, self.alpha_ = grid.candidates[best]
        self.kernel_ = str(self._kernel)
        self.inner_mae_ = float(errors[best])
        table = grid.table(errors)
        self.grid_ = pd.DataFrame(table)
        self.report_ = {
            "target": self.target_,
            "kernel": self.kernel_,
            "alpha": self.alpha_,
            "inner_mae": self.inner_mae_,
            **forms.report(self._kernel),
            "edges": grid.edges(best, errors),
            "images": len(forms.rows),
            "units": forms.rows.units,
            "candidates": table,
        }

    def _refit(self, forms: Exact, dual: np.ndarray, targets: Targets) -> None:
        """Set the coefficients; ``(K + λI) a + 1 b = y`` and ``1ᵀa = 0`` give b by averaging."""
        for name in ("coef_", "dual_coef_", "X_fit_", "thresholds_"):
            self.__dict__.pop(name, None)
        rows, kernel = forms.rows, self._kernel
        support, weights = forms.expansion(kernel, dual)
        one = self.target_ == "age"
        if kernel.name == "linear":
            coefficients = support.combine(weights)
            fitted = rows.against(coefficients)
            self.coef_ = coefficients[0] if one else coefficients
        else:
            fitted = rows.kernel_sum(kernel, support, weights)
            self.dual_coef_, self.X_fit_ = weights[:, 0] if one else weights, support.values
        intercept = targets.means[targets.columns[self.target_]] - fitted.mean(axis=0)
        self.intercept_ = float(intercept[0]) if one else intercept
        self._youngest = targets.youngest
        if not one:
            self.thresholds_ = targets.youngest + np.arange(len(intercept))

    def _grid(self) -> Grid:
        return Grid(self.targets, self.kernels, self.alphas, self.gammas, self.degrees)

    def _rows(self, X: np.ndarray) -> Rows:
        # models of older versions go by directions alone
        return Rows(X, self.normalize, getattr(self, "length_weight", 0.0))

    def _pick(
        self, landmarks: int | str | None, X: np.ndarray, grid: Grid, largest: int = 1
    ) -> int | None:
        """Return how many landmarks a fit takes, None for the exact forms; see `pick_landmarks`."""
        n, units = X.shape
        allowed = SHARE * free_memory() if self.max_memory is None else self.max_memory
        linear_only = all(kernel.name == "linear" for kernel in grid.kernels)
        return pick_landmarks(
            landmarks, n, units, allowed, linear_only=linear_only, largest=largest
        )
