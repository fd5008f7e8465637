"""The grid of candidates, and which of them wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from featx.errors import FeatxError
from regress.regressors.exact_kernel.kernels import expand
from regress.regressors.exact_kernel.targets import listed

#: λ where `alphas` is None: two a decade. Kernels have ``k(x, x) = 1``, so λ is the noise's share
#: of the signal's variance; the low end is for features so alike that centring leaves little.
ALPHAS = tuple(float(f"{10**exponent:.3g}") for exponent in np.arange(-6, 1.01, 0.5))

#: γ where `gammas` is None: steps of √2. Squared distances of unit-norm rows lie in [0, 4], and a
#: kernel tells most about distances near 1/γ: the widest is all but linear, the narrowest is for
#: features that lie an eighth apart. Steps are fine because the inner error of a fold favours, of
#: nearly tied candidates, the one that is worse on the fold's own people; neighbours on a fine
#: grid predict alike, so that costs little.
GAMMAS = tuple(float(f"{2**exponent:.4g}") for exponent in np.arange(-3, 6.01, 0.5))

DEGREES = (2, 3)

#: Candidates whose inner errors differ by less, relative to the spread of y, are tied.
TIE = 1e-10

#: Relative gain in inner error at the end of a grid from which a wider grid is advised.
FALLING = 1e-3


class Grid:
    """Targets × kernels × λ.

    Raises
    ------
    FeatxError
        As `expand` and `listed`, or if there is no λ or one that is not positive.
    """

    def __init__(
        self,
        targets: Sequence[str],
        kernels: Sequence[str],
        alphas: Iterable[float] | None,
        gammas: Iterable[float] | None,
        degrees: Iterable[int],
    ) -> None:
        """Check and list the grid; see `ExactKernelRegressor` for the parameters."""
        self.kernels = expand(kernels, _values(gammas, GAMMAS), _values(degrees, DEGREES))
        self.alphas = sorted({float(alpha) for alpha in _values(alphas, ALPHAS)})
        if not self.alphas:
            raise FeatxError("alphas is empty; give at least one positive number")
        if not 0 < self.alphas[0] <= self.alphas[-1] < np.inf:
            raise FeatxError(f"alphas holds {self.alphas[0]:g}; give positive numbers")
        self.targets = listed(targets)
        #: (target, kernel, λ) of each candidate: the last λ of a kernel is its most regularised.
        self.candidates = list(product(self.targets, self.kernels, self.alphas))
        #: Candidates a target.
        self.settings = len(self.kernels) * len(self.alphas)

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
        return int(max(tied, key=lambda index: (self.candidates[index][-1], -index)))

    def edges(self, index: int, errors: np.ndarray) -> list[str]:
        """Say which chosen values end their grid with the error still falling towards that end.

        Falling is a gain of more than `FALLING` over the value next to it; flat ends, as λ → 0
        often is, go unmentioned.
        """
        step = len(self.alphas)
        _, kernel, alpha = self.candidates[index]
        found = [("alpha", alpha, self.alphas, 1)]
        if kernel.gamma is not None:
            gammas = [k.gamma for k in self.kernels if k.gamma is not None]
            found.append(("gamma", kernel.gamma, gammas, step))
        told = []
        for name, value, values, stride in found:
            if len(values) > 1 and value in (values[0], values[-1]):
                smallest = value == values[0]
                beside = errors[index + (stride if smallest else -stride)]
                if errors[index] < (1 - FALLING) * beside:
                    end = "smallest" if smallest else "largest"
                    told.append(f"{name} {value:g} is the {end} in its grid")
        return told

    def table(self, errors: np.ndarray) -> list[dict[str, Any]]:
        """Return a row a candidate: target, kernel, λ and inner MAE (None: unsolvable)."""
        return [
            {
                "target": target,
                "kernel": str(kernel),
                "name": kernel.name,
                "gamma": kernel.gamma,
                "degree": kernel.degree,
                "alpha": alpha,
                "inner_mae": float(error) if np.isfinite(error) else None,
            }
            for (target, kernel, alpha), error in zip(self.candidates, errors, strict=True)
        ]


def _values(values: Any, default: tuple) -> list:
    if values is None:
        return list(default)
    return [values] if np.isscalar(values) else list(values)
