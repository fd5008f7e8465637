"""Left-out residuals of kernel ridge regression, exact, from one eigendecomposition.

With the centring matrix H = I − 11ᵀ/n, kernel ridge with an unpenalised intercept has the dual
coefficients a = P y, where P = H (HKH + λI)⁻¹ H. Deleting the rows of a set s leaves residuals
``(P_ss)⁻¹ a_s`` on it; with s = g ∪ h this serves both levels of a nested leave-one-group-out.
``docs/exact-kernel.md`` derives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from regress.regressors.exact_kernel.kernels import BLOCK_BYTES, Kernel, Rows, blocks

#: LAPACK's divide and conquer counts its 2n² workspace in 32 bits, which end there.
DIVIDE_AND_CONQUER_LIMIT = 32_000

#: Largest eigenvalue over λ. Up to here residuals were right to 1e-8 years against extended
#: precision; somewhere beyond, digits that matter go.
CONDITION_LIMIT = 1e10


@dataclass(frozen=True)
class Spectrum:
    """One kernel on n rows, decomposed so that P at every λ is a product away.

    ``P = c I + basis · diag(w) · basisᵀ`` with c and w from `weights`.

    Attributes
    ----------
    basis : ndarray of shape (n, r), float64
    eigenvalues : ndarray of shape (r,)
        Of the centred kernel.
    primal : bool
        Whether r is the number of units plus one rather than the number of rows.
    """

    basis: np.ndarray
    eigenvalues: np.ndarray
    primal: bool

    def weights(self, alpha: float) -> tuple[float, np.ndarray]:
        """Return c and w, shape (r,), at the regularisation λ = `alpha`.

        Raises
        ------
        numpy.linalg.LinAlgError
            If λ is too small against the largest eigenvalue for float64.
        """
        if self.eigenvalues.max() > CONDITION_LIMIT * alpha:
            raise np.linalg.LinAlgError(f"alpha {alpha:g} is too small for float64")
        inverse = 1.0 / (self.eigenvalues + alpha)
        if not self.primal:
            return 0.0, inverse
        # (1/λ)(H − Z (S + λ)⁻¹ Zᵀ); the last column of the basis is 1 and gives H its −11ᵀ/n.
        inverse[-1] = 1.0 / len(self.basis)
        return 1.0 / alpha, inverse / -alpha

    def dual_coefficients(self, y: np.ndarray, alpha: float) -> np.ndarray:
        """Return a = P y, shape (n,)."""
        constant, weights = self.weights(alpha)
        return constant * y + self.basis @ (weights * (y @ self.basis))


def dual_spectrum(inner: np.ndarray, rows: Rows, kernel: Kernel, order: np.ndarray) -> Spectrum:
    """Decompose a kernel from the inner products of `rows`.

    Parameters
    ----------
    inner : ndarray of shape (n, n), Fortran order
        Left as it is.
    rows : Rows
    kernel : Kernel
    order : ndarray of shape (n,), int
        The order in which the basis has its rows.
    """
    values = inner.copy(order="F")
    kernel.apply(values.T, rows.squares, rows.squares)  # symmetric; its transpose is row-major
    means = values.mean(axis=0)
    grand = means.mean()
    for columns in blocks(len(values), len(values)):
        part = values[:, columns]
        part -= means[:, None]
        part -= means[columns] - grand
    driver = "evd" if len(values) <= DIVIDE_AND_CONQUER_LIMIT else "evr"
    eigenvalues, vectors = eigh(values, overwrite_a=True, check_finite=False, driver=driver)
    del values
    vectors -= vectors.mean(axis=0)  # the eigenvector 1 goes to zero: P 1 = 0 to the last digit
    return Spectrum(vectors[order], np.maximum(eigenvalues, 0.0), primal=False)


def primal_spectrum(rows: Rows, order: np.ndarray | slice) -> Spectrum:
    """Decompose the linear kernel through the units, for fewer units than rows.

    The basis has its rows in `order`; ``slice(None)`` leaves them as they are, and copies nothing.
    """
    mean, scatter = rows.moments()
    eigenvalues, vectors = eigh(scatter, overwrite_a=True, check_finite=False)
    basis = np.ones((len(rows), rows.units + 1))
    for part in blocks(len(rows), rows.units):
        basis[part, :-1] = (rows.part(part) - mean) @ vectors
    eigenvalues = np.append(np.maximum(eigenvalues, 0.0), 0.0)
    return Spectrum(basis[order], eigenvalues, primal=True)


@dataclass(frozen=True)
class Chunk:
    """Consecutive groups of one size.

    Attributes
    ----------
    rows, groups : slice
        Its range of rows and of groups, in the order of the layout.
    shape : tuple of int
        Groups in the chunk, rows a group.
    """

    rows: slice
    groups: slice
    shape: tuple[int, int]


class Layout:
    """Rows put in order so that groups of one size lie together, the small ones first.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The group of each row, 0 to G − 1, each occurring.

    Attributes
    ----------
    order : ndarray of shape (n,)
        Row of the input at each place of the layout.
    groups : ndarray of shape (G,)
        Group at each place of the layout.
    sizes : ndarray of shape (G,)
        Rows of the group at each place.
    chunks : list of Chunk
        Each of one group, or within `BLOCK_BYTES` when as wide as n.
    """

    def __init__(self, codes: np.ndarray) -> None:
        """Order the rows; see the class."""
        counts = np.bincount(codes)
        self.groups = np.argsort(counts, kind="stable")
        self.sizes = counts[self.groups]
        place = np.empty_like(self.groups)
        place[self.groups] = np.arange(len(counts))
        self.order = np.argsort(place[codes], kind="stable")
        self.chunks = list(self._chunks(len(codes)))

    def _chunks(self, n: int) -> Iterator[Chunk]:
        first = row = 0
        for size, count in zip(*np.unique(self.sizes, return_counts=True), strict=True):
            for part in blocks(int(count), int(size) * n, BLOCK_BYTES):
                groups = part.stop - part.start
                stop = row + groups * int(size)
                yield Chunk(slice(row, stop), slice(first, first + groups), (groups, int(size)))
                first, row = first + groups, stop


def left_out_residuals(
    spectrum: Spectrum, y: np.ndarray, layout: Layout, alpha: float
) -> np.ndarray:
    """Return each row's residual when its group is left out, shape (n,), in layout order.

    Parameters
    ----------
    spectrum : Spectrum
        With its basis in layout order.
    y : ndarray of shape (n,)
        Targets in layout order, centred.
    layout : Layout
    alpha : float
        λ, positive.

    Raises
    ------
    numpy.linalg.LinAlgError
        If λ is too small against the kernel's eigenvalues for float64.
    """
    residuals = np.empty_like(y)
    for chunk, _, inverse, target in _whiten(spectrum, y, layout, alpha):
        residuals[chunk.rows] = _unwhiten(inverse, target)
    return residuals


def nested_errors(
    spectrum: Spectrum, y: np.ndarray, layout: Layout, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Leave every pair of groups out, which is all that a nested leave-one-group-out asks for.

    Parameters
    ----------
    spectrum, y, layout, alpha
        As for `left_out_residuals`; at least three groups.

    Returns
    -------
    residuals : ndarray of shape (n,)
        As `left_out_residuals`: the outer level.
    sums : ndarray of shape (G,)
        For each group g, in layout order, the sum of absolute residuals of all other groups,
        each predicted without g and without itself: the inner level.

    Raises
    ------
    numpy.linalg.LinAlgError
        As `left_out_residuals`.
    """
    weights = spectrum.weights(alpha)[1]
    basis = np.empty_like(spectrum.basis)
    residuals = np.empty_like(y)
    inverses, targets = [], []
    for chunk, part, inverse, target in _whiten(spectrum, y, layout, alpha):
        np.matmul(inverse, part, out=basis[chunk.rows].reshape(part.shape))
        residuals[chunk.rows] = _unwhiten(inverse, target)
        inverses.append(inverse)
        targets.append(target)

    sums = np.zeros(len(layout.sizes))
    for i, left in enumerate(layout.chunks):
        # Q of these rows against themselves and all that follow: the upper triangle only.
        start = left.rows.start
        product = (basis[left.rows] * weights) @ basis[start:].T
        for j, right in enumerate(layout.chunks[i:], start=i):
            columns = slice(right.rows.start - start, right.rows.stop - start)
            block = product[:, columns].reshape(*left.shape, *right.shape).swapaxes(1, 2)
            diagonal = np.arange(left.shape[0] if i == j else 0)
            block[diagonal, diagonal] = 0.0  # a group paired with itself is no pair
            of_left, of_right = _solve_pairs(block, targets[i], targets[j])
            errors = np.abs(of_left @ inverses[i]).sum(axis=2)
            errors[diagonal, diagonal] = 0.0
            sums[right.groups] += errors.sum(axis=0)
            if i != j:  # within a chunk, `errors` has both orders of each pair already
                errors = np.abs(of_right.swapaxes(0, 1) @ inverses[j]).sum(axis=2)
                sums[left.groups] += errors.sum(axis=0)
    return residuals, sums


def _whiten(
    spectrum: Spectrum, y: np.ndarray, layout: Layout, alpha: float
) -> Iterator[tuple[Chunk, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each chunk its part of the basis, L⁻¹ and L⁻¹ a_g, where P_gg = L Lᵀ.

    Shapes are (groups, size, r), (groups, size, size) and (groups, size).
    """
    constant, weights = spectrum.weights(alpha)
    dual = spectrum.dual_coefficients(y, alpha)
    for chunk in layout.chunks:
        groups, size = chunk.shape
        part = spectrum.basis[chunk.rows].reshape(groups, size, -1)
        block = (part * weights) @ part.swapaxes(1, 2) + constant * np.eye(size)
        inverse = np.linalg.inv(np.linalg.cholesky(block))
        target = inverse @ dual[chunk.rows].reshape(groups, size, 1)
        yield chunk, part, inverse, target[..., 0]


def _unwhiten(inverse: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the residuals L⁻ᵀ (L⁻¹ a_g) of a chunk's rows, flat."""
    return (target[:, None] @ inverse).ravel()


def _solve_pairs(
    block: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve ``[[I, Q], [Qᵀ, I]] [s; t] = [u; v]`` for every pair of groups.

    Parameters
    ----------
    block : ndarray of shape (l, r, i, j), i <= j
        Q for each pair.
    left, right : ndarray of shape (l, i) and (r, j)
        u and v.

    Returns
    -------
    ndarray of shape (l, r, i) and (l, r, j)
        s and t.
    """
    size = block.shape[2]
    target = left[:, None] - np.einsum("lrij,rj->lri", block, right)
    if size == 1:
        first = target / (1.0 - np.einsum("lrij,lrij->lr", block, block))[..., None]
    else:
        schur = np.eye(size) - block @ block.swapaxes(2, 3)
        first = np.linalg.solve(schur, target[..., None])[..., 0]
    return first, right - np.einsum("lrij,lri->lrj", block, first)
