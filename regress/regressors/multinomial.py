"""Penalised multinomial likelihood with soft targets, minimised along a path of penalties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import softmax

#: A class whose mean target is below this gets probability 0: its intercept would run to -inf.
LEAST_SHARE = 1e-12


@dataclass(frozen=True)
class Solution:
    """How one minimisation ended; `gradient` is its greatest entry, in conditioned coordinates."""

    loss: float
    gradient: float
    iterations: int
    converged: bool


def principal_axes(rows: np.ndarray) -> np.ndarray:
    """Return orthonormal axes, shape (p, r), that span the rows and decorrelate their products.

    The eigenvectors of the smaller of the two Gram matrices of `rows`, shape (n, p), so that
    r is at most min(n, p). Directions below the rounding error of that matrix are left out: the
    penalised optimum has no weight there that could be told from none.
    """
    wide = rows.shape[1] > len(rows)
    values, vectors = eigh(rows @ rows.T if wide else rows.T @ rows)
    kept = values > max(values[-1], 0.0) * max(rows.shape) * np.finfo(float).eps
    if wide:
        return rows.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return vectors[:, kept]


class MultinomialProblem:
    r"""Minimise ``mean cross entropy + alpha / 2 ||W||²`` over weights and free intercepts.

    The weights act on ``(rows - mean) / scale``. The search runs in coordinates in which a
    Kronecker-factored Hessian (Martens and Grosse 2015) at its starting point is the identity:
    the covariance of the rows times the mean over rows of :math:`\mathrm{diag}(p_i) - p_i p_i^T`,
    plus `alpha`, diagonal along the principal axes of both. It is exact at weights of 0.

    Parameters
    ----------
    rows : ndarray of shape (n, p), float64
        Training features.
    targets : ndarray of shape (n, K), float64
        Rows sum to 1.
    unit_variance : bool
        Divide each unit by its standard deviation (a constant unit by 1).
    unit_length : bool
        Divide all units by one number, so that the mean square length of the rows is 1.
    single : bool
        Multiply in single precision: over twice as fast, for tolerances of 1e-3 and more.
    """

    def __init__(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        *,
        unit_variance: bool = False,
        unit_length: bool = False,
        single: bool = False,
    ) -> None:
        self.mean = rows.mean(axis=0)
        centred = rows - self.mean
        self.scale = np.ones(rows.shape[1])
        if unit_variance:
            spread = centred.std(axis=0)
            self.scale = np.where(spread > 10 * np.finfo(float).eps * np.abs(self.mean), spread, 1)
        if unit_length:
            length = np.sqrt(np.square(centred / self.scale).sum(axis=1).mean())
            self.scale = self.scale * (length if length > 0 else 1.0)
        centred /= self.scale
        self.axes = principal_axes(centred)
        self.coordinates = centred @ self.axes
        self.variances = np.square(self.coordinates).mean(axis=0)
        self.dtype = np.float32 if single else np.float64
        self.n_classes = targets.shape[1]
        self.used = targets.mean(axis=0) > LEAST_SHARE
        self.targets = targets[:, self.used] / targets[:, self.used].sum(axis=1, keepdims=True)
        share = self.targets.mean(axis=0)
        # The part of the loss that is linear in the weights, and of the gradient that is constant.
        self.moments = np.vstack([self.coordinates.T @ self.targets, self.targets.sum(axis=0)])
        self.coordinates = self.coordinates.astype(self.dtype)
        # Optimal where the weights are 0, which is where a path from strong penalties begins.
        self.weights = np.vstack([np.zeros((self.axes.shape[1], len(share))), np.log(share)])

    def solve(self, alpha: float, tol: float, max_iter: int) -> Solution:
        """Minimise from the present weights on, and keep the weights found."""
        self.condition(alpha)
        found = minimize(
            self.loss,
            ((self.weights @ self.mixing) * self.root).ravel(),
            args=(alpha,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tol, "ftol": 0.0},
        )
        self.weights = self.unconditioned(found.x)
        steepest = float(np.abs(found.jac).max())
        return Solution(float(found.fun), steepest, int(found.nit), steepest <= 1.01 * tol)

    def condition(self, alpha: float) -> None:
        """Choose the coordinates of the search by the probabilities at the present weights."""
        p = softmax(self.coordinates @ self.weights[:-1] + self.weights[-1], axis=1)
        curvature, self.mixing = eigh(np.diag(p.mean(axis=0)) - p.T @ p / len(p))
        slopes = np.outer(self.variances, curvature.clip(0)) + alpha
        # One is 0: the same added to every class changes no probability.
        self.root = np.sqrt(np.vstack([slopes, np.where(curvature > 1e-9, curvature, 1.0)]))

    def unconditioned(self, flat: np.ndarray) -> np.ndarray:
        """Return the weights, shape (r + 1, K), of a point of the search."""
        return (flat.reshape(self.root.shape) / self.root) @ self.mixing.T

    def loss(self, flat: np.ndarray, alpha: float) -> tuple[float, np.ndarray]:
        """Return the objective and its gradient at a point of the search, shape ((r + 1) K,)."""
        weights = self.unconditioned(flat)
        slopes, n = weights[:-1], len(self.targets)
        logits = self.coordinates @ slopes.astype(self.dtype)
        logits += weights[-1].astype(self.dtype)
        top = logits.max(axis=1, keepdims=True)
        logits -= top
        p = np.exp(logits, out=logits)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        loss = (np.log(total) + top).sum(dtype=np.float64) - np.vdot(self.moments, weights)
        gradient = np.vstack([self.coordinates.T @ p, p.sum(axis=0)]) - self.moments
        gradient /= n
        gradient[:-1] += alpha * slopes
        gradient = (gradient @ self.mixing) / self.root
        return float(loss / n + alpha / 2 * np.vdot(slopes, slopes)), gradient.ravel()

    def project(self, rows: np.ndarray) -> np.ndarray:
        """Return the coordinates of other rows, shape (m, r)."""
        return ((rows - self.mean) / self.scale) @ self.axes

    def probabilities(self, coordinates: np.ndarray) -> np.ndarray:
        """Return class probabilities at the present weights, shape (m, K)."""
        out = np.zeros((len(coordinates), self.n_classes))
        out[:, self.used] = softmax(coordinates @ self.weights[:-1] + self.weights[-1], axis=1)
        return out

    def raw_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (p, K) and intercepts (K,) that act on rows as they were given."""
        weights = np.zeros((len(self.mean), self.n_classes))
        weights[:, self.used] = (self.axes @ self.weights[:-1]) / self.scale[:, None]
        intercepts = np.full(self.n_classes, -np.inf)
        intercepts[self.used] = self.weights[-1] - self.mean @ weights[:, self.used]
        return weights, intercepts
