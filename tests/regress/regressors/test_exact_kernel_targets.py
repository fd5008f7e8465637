"""The ordinal target against scikit-learn, and what it predicts beside the age."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import normalize

from regress.regressors.exact_kernel import ExactKernelRegressor
from tests.regress.regressors.kernel_problems import made_up, regressor, with_lengths


def test_ordinal_against_sklearn_ridge_and_kernel_ridge():
    X, y, groups = made_up(2, [4] * 6, 7)
    test = np.random.default_rng(0).normal(size=(50, 7))
    ordinal = {"alphas": [0.01], "targets": "ordinal"}
    linear = ExactKernelRegressor(kernels="linear", **ordinal).fit(X, y, groups)
    above = (np.rint(y)[:, None] > linear.thresholds_).astype(float)
    assert linear.thresholds_[0] == np.rint(y).min()
    assert linear.thresholds_[-1] == np.rint(y).max() - 1
    ridge = Ridge(alpha=0.01).fit(normalize(X), above)
    np.testing.assert_allclose(linear.coef_, ridge.coef_, atol=1e-9)
    np.testing.assert_allclose(linear.intercept_, ridge.intercept_, atol=1e-9)
    counted = (ridge.predict(normalize(test)) > 0.5).sum(axis=1)
    assert len(set(counted)) > 5
    np.testing.assert_array_equal(linear.predict(test), linear.thresholds_[0] + counted)
    rbf = ExactKernelRegressor(kernels="rbf", gammas=[0.7], **ordinal).fit(X, y, groups)
    H = np.eye(len(y)) - 1 / len(y)
    centred = KernelRidge(alpha=0.01, kernel="precomputed")
    centred.fit(H @ rbf_kernel(with_lengths(X), gamma=0.7) @ H, above - above.mean(axis=0))
    np.testing.assert_allclose(rbf.dual_coef_, centred.dual_coef_, atol=1e-9)


def test_ordinal_predicts_the_median_and_age_the_mean():
    y = np.array([3.0, 4, 4, 20, 60, 61, 7])
    alike = np.ones((7, 3))
    others = [np.delete(y, i) for i in range(7)]
    predicted, _ = regressor(targets="age").cross_val_predict_groups(alike, y, range(7))
    np.testing.assert_allclose(predicted, [ages.mean() for ages in others], atol=1e-9)
    # Of six ages the median is anything between two; the lower one is predicted.
    predicted, _ = regressor(targets="ordinal").cross_val_predict_groups(alike, y, range(7))
    np.testing.assert_array_equal(predicted, [sorted(ages)[2] for ages in others])
    assert regressor().fit(alike, y).target_ == "ordinal"  # errs less where ages are skewed


@pytest.mark.parametrize("ages", [(7.0, 7.0), (-40.0, 180.0), (200.0, 300.0), (0.4, 0.3)])
def test_ages_that_ordinal_cannot_tell_apart(ages):
    """Of one year, or outside 0 to 120: one end or the other is predicted."""
    X, _, groups = made_up(8, [3] * 5, 4)
    y = np.where(np.arange(15) % 2, *ages)
    predicted, _ = regressor(targets="ordinal").cross_val_predict_groups(X, y, groups)
    assert set(predicted) <= set(np.clip(np.rint(y), 0, 120))
    fitted = regressor(targets="ordinal").fit(X, y, groups)
    assert set(fitted.predict(X)) <= set(np.clip(np.rint(y), 0, 120))
