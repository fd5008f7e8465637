"""The grid of candidates, and which of them wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from featx.errors import FeatxError
from regress.regressors.exact_kernel.kernels import Kernel, Rows, expand
from regress.regressors.exact_kernel.solver import Spectrum, dual_spectrum, primal_spectrum

#: λ where `alphas` is None. Kernels have ``k(x, x) = 1``, so λ is the noise variance as a share
#: of the signal's; centring leaves features of one kind (faces) a few hundredths of that 1.
ALPHAS = tuple(float(f"{10**exponent:.3g}") for exponent in np.arange(-5, 2.01, 0.5))

#: γ where `gammas` is None. Squared distances of unit-norm rows lie in [0, 4]: the narrowest
#: kernel has forgotten rows a fifth apart, the widest is a quadratic over the whole sphere.
GAMMAS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

DEGREES = (2, 3)

#: Candidates whose inner errors differ by less, relative to the spread of y, are tied.
TIE = 1e-10


class Grid:
    """Kernels × λ.

    Raises
    ------
    FeatxError
        As `expand`, or if there is no λ or one that is not positive.
    """

    def __init__(
        self,
        kernels: Sequence[str],
        alphas: Iterable[float] | None,
        gammas: Iterable[float] | None,
        degrees: Iterable[int],
    ) -> None:
        """Check and list the grid; see `ExactKernelRegressor` for the parameters."""
        self.kernels = expand(kernels, _listed(gammas, GAMMAS), _listed(degrees, DEGREES))
        self.alphas = sorted({float(alpha) for alpha in _listed(alphas, ALPHAS)})
        if not self.alphas:
            raise FeatxError("alphas is empty; give at least one positive number")
        if not 0 < self.alphas[0] <= self.alphas[-1] < np.inf:
            raise FeatxError(f"alphas holds {self.alphas[0]:g}; give positive numbers")
        #: (kernel, λ) of each candidate: the last λ of a kernel is its most regularised.
        self.candidates = [(kernel, a) for kernel in self.kernels for a in self.alphas]

    def primal(self, kernel: Kernel, rows: Rows) -> bool:
        """Tell whether a kernel is solved through the units rather than the rows."""
        return kernel.name == "linear" and rows.units < len(rows)

    def spectra(self, rows: Rows, order: np.ndarray) -> Iterator[tuple[Kernel, Spectrum]]:
        """Yield each kernel decomposed, one at a time: together they would not fit."""
        inner = None
        for kernel in self.kernels:
            if self.primal(kernel, rows):
                yield kernel, primal_spectrum(rows, order)
                continue
            if inner is None:
                inner = rows.inner()
            yield kernel, dual_spectrum(inner, rows, kernel, order)

    def choose(self, errors: np.ndarray, scale: float) -> int:
        """Return the candidate of the smallest error; of tied ones that of the largest λ.

        Parameters
        ----------
        errors : ndarray of shape (candidates,)
            Inner MAE in years, infinite where a candidate could not be computed.
        scale : float
            Spread of y in years, against which ties are judged.

        Raises
        ------
        FeatxError
            If no candidate could be computed.
        """
        best = errors.min()
        if not np.isfinite(best):
            raise FeatxError(
                f"no λ from {self.alphas[0]:g} to {self.alphas[-1]:g} is large enough to solve "
                "these rows in float64; raise alphas, or use normalize=True"
            )
        tied = np.flatnonzero(errors <= best + TIE * scale)
        return int(max(tied, key=lambda index: (self.candidates[index][1], -index)))

    def edges(self, index: int) -> list[str]:
        """Say in words which chosen values lie at an end of their grid, where better may follow."""
        kernel, alpha = self.candidates[index]
        gammas = [k.gamma for k in self.kernels if k.gamma is not None]
        found = [("alpha", alpha, self.alphas)]
        if kernel.gamma is not None:
            found.append(("gamma", kernel.gamma, gammas))
        return [
            f"{name} {value:g} is the {'smallest' if value == values[0] else 'largest'} in its grid"
            for name, value, values in found
            if len(values) > 1 and value in (values[0], values[-1])
        ]

    def table(self, errors: np.ndarray) -> list[dict[str, Any]]:
        """Return a row a candidate: kernel, its parameters, λ and inner MAE (None: unsolvable)."""
        return [
            {
                "kernel": str(kernel),
                "name": kernel.name,
                "gamma": kernel.gamma,
                "degree": kernel.degree,
                "alpha": alpha,
                "inner_mae": float(error) if np.isfinite(error) else None,
            }
            for (kernel, alpha), error in zip(self.candidates, errors, strict=True)
        ]


def _listed(values: Any, default: tuple) -> list:
    if values is None:
        return list(default)
    return [values] if np.isscalar(values) else list(values)
