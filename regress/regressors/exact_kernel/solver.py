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
from regress.regressors.exact_kernel.layout import Chunk, Layout
from regress.regressors.exact_kernel.targets import Targets

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
        """Return a = P y for each column of y, shape (n, columns)."""
        constant, weights = self.weights(alpha)
        return constant * y + self.basis @ (weights[:, None] * (self.basis.T @ y))


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
    kernel.apply(values.T, rows.sizes, rows.sizes)  # symmetric; its transpose is row-major
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


def left_out_residuals(
    spectrum: Spectrum, y: np.ndarray, layout: Layout, alpha: float
) -> np.ndarray:
    """Return each row's residuals when its group is left out, shape (n, columns), in layout order.

    Parameters
    ----------
    spectrum : Spectrum
        With its basis in layout order.
    y : ndarray of shape (n, columns)
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
    spectrum: Spectrum, targets: Targets, layout: Layout, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Leave every pair of groups out, which is all that a nested leave-one-group-out asks for.

    Parameters
    ----------
    spectrum, layout, alpha
        As for `left_out_residuals`; at least three groups.
    targets : Targets
        In layout order.

    Returns
    -------
    predictions : ndarray of shape (targets, n)
        Years, for each row without its group: the outer level.
    sums : ndarray of shape (targets, G)
        For each group g, in layout order, the sum of absolute errors of all other groups,
        each predicted without g and without itself: the inner level.

    Raises
    ------
    numpy.linalg.LinAlgError
        As `left_out_residuals`.
    """
    weights = spectrum.weights(alpha)[1]
    basis = np.empty_like(spectrum.basis)
    predictions = np.empty((len(targets.columns), len(basis)))
    whitened: list[_Whitened] = []
    for chunk, part, inverse, target in _whiten(spectrum, targets.values, layout, alpha):
        np.matmul(inverse, part, out=basis[chunk.rows].reshape(part.shape))
        own = targets.values[chunk.rows]
        predictions[:, chunk.rows] = targets.predicted(_unwhiten(inverse, target), own)
        ages = targets.ages[chunk.rows].reshape(chunk.shape)
        whitened.append(_Whitened(inverse, target, own.reshape(target.shape), ages))

    sums = np.zeros((len(targets.columns), len(layout.sizes)))
    for i, left in enumerate(layout.chunks):
        # Q of these rows against themselves and all that follow: the upper triangle only.
        start = left.rows.start
        product = (basis[left.rows] * weights) @ basis[start:].T
        for j, right in enumerate(layout.chunks[i:], start=i):
            columns = slice(right.rows.start - start, right.rows.stop - start)
            block = product[:, columns].reshape(*left.shape, *right.shape).swapaxes(1, 2)
            diagonal = np.arange(left.shape[0] if i == j else 0)
            block[diagonal, diagonal] = 0.0  # a group paired with itself is no pair
            width = right.shape[0] * right.shape[1] * targets.values.shape[1]
            for some in blocks(left.shape[0], width, BLOCK_BYTES // 4):
                ours, theirs = whitened[i].take(some), whitened[j]
                of_left, of_right = _solve_pairs(block[some], ours.target, theirs.target)
                errors = ours.errors(of_left, targets)
                errors[:, diagonal[some] - some.start, diagonal[some]] = 0.0
                sums[:, right.groups] += errors.sum(axis=1)
                if i != j:  # within a chunk, `errors` has both orders of each pair already
                    errors = theirs.errors(of_right.swapaxes(0, 1), targets)
                    sums[:, left.groups][:, some] += errors.sum(axis=1)
    return predictions, sums


@dataclass(frozen=True)
class _Whitened:
    """Some groups of one size: L⁻¹, L⁻¹ a_g, their targets and ages, where P_gg = L Lᵀ.

    Attributes
    ----------
    inverse : ndarray of shape (groups, size, size)
    target, values : ndarray of shape (groups, size, columns)
    ages : ndarray of shape (groups, size)
    """

    inverse: np.ndarray
    target: np.ndarray
    values: np.ndarray
    ages: np.ndarray

    def take(self, some: slice) -> _Whitened:
        """Return a range of the groups."""
        return _Whitened(self.inverse[some], self.target[some], self.values[some], self.ages[some])

    def errors(self, solved: np.ndarray, targets: Targets) -> np.ndarray:
        """Return each group's summed absolute errors, from solutions beside other groups.

        Parameters
        ----------
        solved : ndarray of shape (groups, others, size, columns)
        targets : Targets

        Returns
        -------
        ndarray of shape (targets, groups, others)
            Years.
        """
        residuals = self.inverse.swapaxes(1, 2)[:, None] @ solved
        errors = targets.predicted(residuals, self.values[:, None])
        errors -= self.ages[:, None]
        return np.abs(errors, out=errors).sum(axis=-1)


def _whiten(
    spectrum: Spectrum, y: np.ndarray, layout: Layout, alpha: float
) -> Iterator[tuple[Chunk, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each chunk its part of the basis, L⁻¹ and L⁻¹ a_g, where P_gg = L Lᵀ.

    Shapes are (groups, size, r), (groups, size, size) and (groups, size, columns).
    """
    constant, weights = spectrum.weights(alpha)
    dual = spectrum.dual_coefficients(y, alpha)
    for chunk in layout.chunks:
        groups, size = chunk.shape
        part = spectrum.basis[chunk.rows].reshape(groups, size, -1)
        block = (part * weights) @ part.swapaxes(1, 2) + constant * np.eye(size)
        inverse = np.linalg.inv(np.linalg.cholesky(block))
        yield chunk, part, inverse, inverse @ dual[chunk.rows].reshape(groups, size, y.shape[1])


def _unwhiten(inverse: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the residuals L⁻ᵀ (L⁻¹ a_g) of a chunk's rows, shape (rows, columns)."""
    groups, size, columns = target.shape
    return (inverse.swapaxes(1, 2) @ target).reshape(groups * size, columns)


def _solve_pairs(
    block: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve ``[[I, Q], [Qᵀ, I]] [s; t] = [u; v]`` for every pair of groups.

    Parameters
    ----------
    block : ndarray of shape (l, r, i, j), i <= j
        Q for each pair.
    left, right : ndarray of shape (l, i, columns) and (r, j, columns)
        u and v.

    Returns
    -------
    ndarray of shape (l, r, i, columns) and (l, r, j, columns)
        s and t.
    """
    size = block.shape[2]
    target = left[:, None] - block @ right
    if size == 1:
        first = target / (1.0 - np.einsum("lrij,lrij->lr", block, block))[..., None, None]
    else:
        schur = np.eye(size) - block @ block.swapaxes(2, 3)
        first = np.linalg.solve(schur, target)
    return first, right - block.swapaxes(2, 3) @ first
