"""Kernels on feature rows, computed block by block in float64."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas

from featx.errors import FeatxError, unknown

#: Bytes of a working block; larger ones no longer make the matrix products faster.
BLOCK_BYTES = 2**26

NAMES = ("linear", "rbf", "poly")


@dataclass(frozen=True)
class Sizes:
    """What kernels want of rows beside their inner products.

    Attributes
    ----------
    squares : ndarray of shape (n,)
        Squared norms of the rows as used.
    lengths : ndarray of shape (n,) or None
        Logarithms of their norms before they were scaled, weighted; None where they don't count.
    """

    squares: np.ndarray
    lengths: np.ndarray | None = None

    def __getitem__(self, index: slice | np.ndarray) -> Sizes:
        """Return those of some rows."""
        lengths = None if self.lengths is None else self.lengths[index]
        return Sizes(self.squares[index], lengths)


@dataclass(frozen=True)
class Kernel:
    """One positive semi-definite kernel; on unit-norm rows every one has ``k(x, x) = 1``.

    Attributes
    ----------
    name : str
        ``linear`` is x·z, ``rbf`` is exp(−γ‖x − z‖²), ``poly`` is ((1 + x·z) / 2)^degree. Where
        lengths count, their squared difference is added to ``rbf``'s distance.
    gamma : float or None
        Inverse squared width γ of ``rbf``.
    degree : int or None
        Degree of ``poly``.
    """

    name: str
    gamma: float | None = None
    degree: int | None = None

    def __str__(self) -> str:
        """Return for example ``rbf(gamma=0.5)``."""
        if self.gamma is not None:
            return f"{self.name}(gamma={self.gamma:g})"
        return self.name if self.degree is None else f"{self.name}(degree={self.degree})"

    def apply(self, inner: np.ndarray, left: Sizes, right: Sizes) -> None:
        """Turn a matrix of inner products into kernel values, in place.

        Parameters
        ----------
        inner : ndarray of shape (n, m), float64
            Inner products x·z; overwritten.
        left, right : Sizes
            Of the n and m rows on either side.
        """
        for rows in blocks(len(inner), inner.shape[1]):
            part = inner[rows]
            if self.gamma is not None:
                part *= -2.0
                part += left.squares[rows, None]
                part += right.squares
                np.maximum(part, 0.0, out=part)  # rounding can leave -1e-16
                if left.lengths is not None and right.lengths is not None:
                    apart = np.subtract.outer(left.lengths[rows], right.lengths)
                    part += np.square(apart, out=apart)
                part *= -self.gamma
                np.exp(part, out=part)
            elif self.degree is not None:
                part += 1.0
                part *= 0.5
                np.power(part, self.degree, out=part)

    def diagonal(self, squares: np.ndarray) -> np.ndarray:
        """Return ``k(x, x)`` of rows from their squared norms, shape (n,)."""
        if self.gamma is not None:
            return np.ones_like(squares)
        return squares if self.degree is None else ((1.0 + squares) / 2.0) ** self.degree


def expand(
    names: Sequence[str], gammas: Iterable[float], degrees: Iterable[int]
) -> tuple[Kernel, ...]:
    """List the kernels of a grid: one ``linear``, one ``rbf`` a γ, one ``poly`` a degree.

    Raises
    ------
    FeatxError
        For an unknown name, no kernel at all, a γ that is not positive or a degree below 2.
    """
    listed = [names] if isinstance(names, str) else list(names)
    kernels: list[Kernel] = []
    for name in listed:
        if name == "linear":
            kernels.append(Kernel(name))
        elif name == "rbf":
            kernels += [Kernel(name, gamma=float(gamma)) for gamma in sorted(gammas)]
        elif name == "poly":
            kernels += [Kernel(name, degree=int(degree)) for degree in sorted(degrees)]
        else:
            raise unknown("kernel", str(name), NAMES)
    for kernel in kernels:
        if kernel.gamma is not None and not 0 < kernel.gamma < np.inf:
            raise FeatxError(f"gammas holds {kernel.gamma:g}; give positive numbers")
        if kernel.degree is not None and kernel.degree < 2:
            raise FeatxError(f"degrees holds {kernel.degree}; give whole numbers from 2")
    if not kernels:
        raise FeatxError(f"no kernel to choose from; give kernels among {', '.join(NAMES)}")
    return tuple(dict.fromkeys(kernels))


def blocks(count: int, width: int, size: int = BLOCK_BYTES) -> Iterator[slice]:
    """Yield slices of ``range(count)`` whose float64 rows of `width` stay within `size` bytes."""
    step = max(1, size // (8 * max(width, 1)))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


class Rows:
    """Feature rows seen in float64 and, if asked for, at unit length, without a copy of them all.

    Parameters
    ----------
    values : ndarray of shape (n, units), float32 or float64
    normalize : bool
        Divide each row by its own Euclidean norm (a row of zeros stays). Nothing is learned
        from other rows.
    length_weight : float
        What the logarithm of that norm is multiplied by (zero rows are taken to have norm 1); at 0,
        and without `normalize`, lengths don't count beside the rows.

    Attributes
    ----------
    sizes : Sizes
        Of the rows as used.

    Raises
    ------
    FeatxError
        For a `length_weight` below 0 or infinite.
    """

    def __init__(self, values: np.ndarray, normalize: bool, length_weight: float = 0.0) -> None:
        """Measure the rows; see the class."""
        if not 0 <= length_weight < np.inf:
            raise FeatxError(f"length_weight is {length_weight:g}; give a number from 0")
        self.values = values
        self._length_weight = length_weight
        squares = np.empty(len(values))
        for rows in blocks(*values.shape):
            part = values[rows].astype(np.float64, copy=False)
            squares[rows] = np.einsum("ij,ij->i", part, part)
        self.scale: np.ndarray | None = None
        self.sizes = Sizes(squares)
        if normalize:
            zero = squares == 0
            self.scale = 1.0 / np.sqrt(np.where(zero, 1.0, squares))
            lengths = -length_weight * np.log(self.scale) if length_weight else None
            self.sizes = Sizes(np.where(zero, 0.0, 1.0), lengths)

    def __len__(self) -> int:
        """Return n."""
        return len(self.values)

    @property
    def units(self) -> int:
        """Number of columns."""
        return self.values.shape[1]

    def part(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Return a float64 block of the rows as used."""
        part = self.values[rows, columns].astype(np.float64, copy=self.scale is not None)
        if self.scale is not None:
            part *= self.scale[rows, None]
        return part

    def inner(self) -> np.ndarray:
        """Return all inner products, shape (n, n), accumulated over blocks of columns."""
        n = len(self)
        gram = np.zeros((n, n), order="F")
        for columns in blocks(self.units, n):
            part = self.part(slice(None), columns)
            # part.T is Fortran-ordered, so neither it nor the result is copied.
            gram = blas.dsyrk(1.0, part.T, 1.0, gram, trans=1, lower=1, overwrite_c=1)
        for rows in blocks(n, n):
            square = gram[rows, rows]
            square[:] = np.tril(square) + np.tril(square, -1).T
            gram[rows, rows.stop :] = gram[rows.stop :, rows].T
        return gram

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the column means, shape (units,), and the centred scatter, (units, units)."""
        mean = np.zeros(self.units)
        for rows in blocks(len(self), self.units):
            mean += self.part(rows).sum(axis=0)
        mean /= len(self)
        scatter = np.zeros((self.units, self.units))
        for rows in blocks(len(self), self.units):
            part = self.part(rows) - mean
            scatter += part.T @ part
        return mean, scatter

    def combine(self, weights: np.ndarray) -> np.ndarray:
        """Return sums of the rows by each column of weights, shape (columns, units)."""
        total = np.zeros((weights.shape[1], self.units))
        for rows in blocks(len(self), self.units):
            total += weights[rows].T @ self.part(rows)
        return total

    def against(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the rows' inner products with vectors of shape (columns, units)."""
        parts = [self.part(rows) @ coefficients.T for rows in blocks(len(self), self.units)]
        return np.concatenate(parts)

    def kernel_sum(self, kernel: Kernel, other: Rows, weights: np.ndarray) -> np.ndarray:
        """Return ``Σ_j k(row, other_j) weights_j`` for each row, shape (n, columns)."""
        total = np.zeros((len(self), weights.shape[1]))
        for rows, columns, inner in self.products(other):
            kernel.apply(inner, self.sizes[rows], other.sizes[columns])
            total[rows] += inner @ weights[columns]
        return total

    def products(self, other: Rows) -> Iterator[tuple[slice, slice, np.ndarray]]:
        """Yield the inner products with other rows, block by block: where they go, and they."""
        for rows in blocks(len(self), self.units):
            left = self.part(rows)
            for columns in blocks(len(other), max(other.units, len(left))):
                yield rows, columns, left @ other.part(columns).T

    def take(self, index: np.ndarray) -> Rows:
        """Return a copy of some of the rows."""
        return Rows(self.values[index], self.scale is not None, self._length_weight)
