"""Made-up people and a small grid, for the tests of exact-kernel."""

import numpy as np
from sklearn.preprocessing import normalize

from regress.regressors.exact_kernel import ExactKernelRegressor

ALPHAS = (1e-3, 0.1, 3.0)
GAMMAS = (0.3, 2.0)


def made_up(seed, sizes, units):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(size=(len(groups), units)) + rng.normal(size=units)
    y = 30 + 10 * np.tanh(X @ rng.normal(size=units)) + rng.normal(size=len(groups))
    return X, y, groups


def with_lengths(X, weight=1.0):
    """Directions, and beside each the weighted logarithm of its length: what rbf is of."""
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return np.hstack([normalize(X), weight * np.log(np.where(lengths == 0, 1, lengths))])


def regressor(**parameters):
    return ExactKernelRegressor(**{"alphas": ALPHAS, "gammas": GAMMAS, **parameters})
