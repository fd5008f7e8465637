"""The exact forms: a kernel decomposed through all rows, or through the units."""

from __future__ import annotations

from typing import Any

import numpy as np

from regress.regressors.exact_kernel.kernels import Kernel, Rows
from regress.regressors.exact_kernel.solver import Spectrum, dual_spectrum, primal_spectrum


class Exact:
    """Every kernel as it is: the linear one in the primal where units are fewer than rows.

    Parameters
    ----------
    rows : Rows
        All n of a fit.
    order : ndarray of shape (n,), int
        The order in which a spectrum has its rows.
    """

    def __init__(self, rows: Rows, order: np.ndarray) -> None:
        """Compute nothing yet; see the class."""
        self.rows = rows
        self.order = order
        self._inner: np.ndarray | None = None

    def form(self, kernel: Kernel) -> str:
        """Return ``primal`` or ``dual``."""
        primal = kernel.name == "linear" and self.rows.units < len(self.rows)
        return "primal" if primal else "dual"

    def spectrum(self, kernel: Kernel) -> Spectrum:
        """Decompose a kernel; the caller drops it before the next one, for which memory counts."""
        if self.form(kernel) == "primal":
            return primal_spectrum(self.rows, self.order)
        if self._inner is None:
            self._inner = self.rows.inner()
        return dual_spectrum(self._inner, self.rows, kernel, self.order)

    def expansion(self, kernel: Kernel, dual: np.ndarray) -> tuple[Rows, np.ndarray]:
        """Return the rows, and a weight for each, whose kernels add up to the fitted function.

        Parameters
        ----------
        kernel : Kernel
        dual : ndarray of shape (n, columns)
            Dual coefficients in the order of the spectrum.
        """
        weights = np.empty_like(dual)
        weights[self.order] = dual
        return self.rows, weights

    def report(self, kernel: Kernel) -> dict[str, Any]:
        """Return how a kernel was solved, JSON-able; exactly, so nothing of it is lost."""
        return {
            "form": self.form(kernel),
            "landmarks": None,
            "approximation_error": 0.0,
            "warnings": [],
        }
