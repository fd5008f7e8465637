"""Made-up people and a small grid, for the tests of exact-kernel."""

import numpy as np

from regress.regressors.exact_kernel import ExactKernelRegressor

ALPHAS = (1e-3, 0.1, 3.0)
GAMMAS = (0.3, 2.0)


def made_up(seed, sizes, units):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(size=(len(groups), units)) + rng.normal(size=units)
    y = 30 + 10 * np.tanh(X @ rng.normal(size=units)) + rng.normal(size=len(groups))
    return X, y, groups


def regressor(**parameters):
    return ExactKernelRegressor(**{"alphas": ALPHAS, "gammas": GAMMAS, **parameters})
