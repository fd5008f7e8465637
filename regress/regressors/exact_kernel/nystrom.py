"""The Nyström form: every row seen through its kernels with a sample of the rows.

With m landmarks, ``φ = K_nm (K_mm)^(-1/2)`` has ``φ φᵀ = K_nm (K_mm)⁺ K_mn``, the closest to K that
vanishes on no landmark; ridge regression on φ is then solved in the primal. C. Williams, M. Seeger:
Using the Nyström method to speed up kernel machines, NIPS 2000.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import eigh

from regress.regressors.exact_kernel.forms import Exact
from regress.regressors.exact_kernel.kernels import Kernel, Rows, blocks
from regress.regressors.exact_kernel.solver import Spectrum, primal_spectrum

#: Of the sample of landmarks: the same rows always have the same landmarks.
SEED = 0


def choose_landmarks(codes: np.ndarray, count: int) -> np.ndarray:
    """Return rows at random, one of each group before a second of any, in ascending order.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The group of each row.
    count : int
        How many; all rows if there are fewer.
    """
    shuffled = np.random.default_rng(SEED).permutation(len(codes))
    groups = pd.Series(codes[shuffled])
    turn = groups.groupby(groups).cumcount().to_numpy()
    return np.sort(shuffled[np.argsort(turn, kind="stable")[:count]])


class Nystrom(Exact):
    """Every kernel through landmarks; the linear one exactly, if it has no more units than these.

    Parameters
    ----------
    rows, order
        As for `Exact`.
    chosen : ndarray of shape (m,), int
        Which rows are the landmarks.
    """

    def __init__(self, rows: Rows, order: np.ndarray, chosen: np.ndarray) -> None:
        """Compute nothing yet; see the class."""
        super().__init__(rows, order)
        self.landmarks = rows.take(chosen)
        self._places = np.argsort(order)  # of each row in the spectrum
        self._chosen = self._places[chosen]
        self._sizes = rows.sizes[order]
        self._errors: dict[Kernel, float] = {}

    def form(self, kernel: Kernel) -> str:
        """Return ``primal`` or ``nystrom``."""
        exact = kernel.name == "linear" and self.rows.units <= len(self.landmarks)
        return "primal" if exact else "nystrom"

    def spectrum(self, kernel: Kernel) -> Spectrum:
        """Decompose a kernel, or what the landmarks tell of it."""
        if self.form(kernel) == "primal":
            return primal_spectrum(self.rows, self.order)
        features = Rows(self._features(kernel), normalize=False)
        whole = kernel.diagonal(self._sizes.squares)
        missed = whole - features.sizes.squares
        lost = np.divide(missed, whole, out=np.zeros_like(whole), where=whole > 0)
        self._errors[kernel] = max(0.0, float(lost.mean()))
        return primal_spectrum(features, slice(None))

    def expansion(self, kernel: Kernel, dual: np.ndarray) -> tuple[Rows, np.ndarray]:
        """Return the landmarks and their weights ``(K_mm)⁺ K_mn a``; see `Exact`."""
        if self.form(kernel) == "primal":
            return super().expansion(kernel, dual)
        total = np.zeros((len(self.landmarks), dual.shape[1]))
        for rows in self._blocks():
            total += self._values(kernel, rows).T @ dual[rows]
        root = self._root(kernel)
        return self.landmarks, root @ (root.T @ total)

    def report(self, kernel: Kernel) -> dict[str, Any]:
        """Return how a kernel was solved, and what that lost; JSON-able."""
        form, count = self.form(kernel), len(self.landmarks)
        error = 0.0 if form == "primal" else self._errors[kernel]
        told = (
            f"form nystrom: kernels are approximated from {count:,} landmarks among "
            f"{len(self.rows):,} images; "
        )
        told += (
            f"that loses {error:.2g} of k(x, x) in the mean"
            if form == "nystrom"
            else "the chosen one, linear, is exact"
        )
        return {
            "form": form,
            "landmarks": count,
            "approximation_error": error,
            "warnings": [told],
        }

    def _features(self, kernel: Kernel) -> np.ndarray:
        """Return φ, shape (n, rank of K_mm), in the order of the spectrum."""
        root = self._root(kernel)
        features = np.empty((len(self.rows), root.shape[1]))
        for rows in self._blocks():
            np.matmul(self._values(kernel, rows), root, out=features[rows])
        return features

    def _root(self, kernel: Kernel) -> np.ndarray:
        """Return ``V S^(-1/2)`` of ``K_mm = V S Vᵀ``, eigenvalues that are rounding dropped."""
        square = self._values(kernel, self._chosen)
        values, vectors = eigh(square.T, overwrite_a=True, check_finite=False)
        least = len(values) * np.finfo(float).eps * values[-1]
        first = min(np.searchsorted(values, least, side="right"), len(values) - 1)
        vectors = vectors[:, first:]
        vectors /= np.sqrt(np.maximum(values[first:], np.finfo(float).tiny))
        return vectors

    def _values(self, kernel: Kernel, rows: slice | np.ndarray) -> np.ndarray:
        """Return some rows of K_nm, given by their places in the order of the spectrum."""
        if self._inner is None:
            self._inner = np.empty((len(self.rows), len(self.landmarks)))
            for left, right, inner in self.rows.products(self.landmarks):
                self._inner[self._places[left], right] = inner
        values = self._inner[rows].copy()
        kernel.apply(values, self._sizes[rows], self.landmarks.sizes)
        return values

    def _blocks(self) -> Iterator[slice]:
        return blocks(len(self.rows), len(self.landmarks))
