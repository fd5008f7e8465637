"""The lengths of rows beside their directions, as one more column of directions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import normalize

from featx.errors import FeatxError
from regress.regressors.exact_kernel import ExactKernelRegressor
from regress.regressors.exact_kernel.kernels import Kernel, Rows
from tests.regress.regressors.kernel_problems import made_up, regressor, with_lengths


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    units=st.integers(1, 20),
    weight=st.floats(0.1, 3),
    zero=st.booleans(),
)
def test_it_is_the_kernel_of_directions_with_one_more_column(seed, units, weight, zero):
    X, y, groups = made_up(seed, [1, 2, 4, 3, 5], units)
    test = np.random.default_rng(seed).normal(size=(5, units))
    if zero:
        X[2] = test[1] = 0
    ours = regressor(kernels="rbf", length_weight=weight)
    theirs = regressor(kernels="rbf", normalize=False)
    wanted, choices = theirs.cross_val_predict_groups(with_lengths(X, weight), y, groups)
    found, chosen = ours.cross_val_predict_groups(X, y, groups)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert [chosen[g]["kernel"] for g in chosen] == [choices[g]["kernel"] for g in choices]
    ours.fit(X, y, groups)
    theirs.fit(with_lengths(X, weight), y, groups)
    np.testing.assert_allclose(ours.grid_["inner_mae"], theirs.grid_["inner_mae"], rtol=1e-7)
    wanted = theirs.predict(with_lengths(test, weight))
    np.testing.assert_allclose(ours.predict(test), wanted, atol=1e-6)


def test_it_is_scikit_learns_kernel_of_those_rows():
    X = made_up(1, [4, 3], 6)[0]
    rows = Rows(X, normalize=True, length_weight=0.7)
    inner = rows.inner()
    Kernel("rbf", gamma=0.9).apply(inner.T, rows.sizes, rows.sizes)
    np.testing.assert_allclose(inner, rbf_kernel(with_lengths(X, 0.7), gamma=0.9), atol=1e-12)


@pytest.mark.parametrize("landmarks", [None, 9])
def test_predictions_do_not_depend_on_the_unit_of_the_features(landmarks):
    X, y, groups = made_up(2, [4] * 6, 7)
    model = ExactKernelRegressor(kernels="rbf", landmarks=landmarks)
    once, scaled = model.fit(X, y, groups).predict(X[:5]), model.fit(9 * X, y, groups)
    np.testing.assert_allclose(scaled.predict(9 * X[:5]), once, atol=1e-6)


def test_with_all_rows_as_landmarks_it_is_the_exact_one():
    X, y, groups = made_up(1, [1, 2, 3, 5, 5, 8], 30)
    exact = regressor(kernels="rbf").fit(X, y, groups)
    through = regressor(kernels="rbf", landmarks=len(X)).fit(X, y, groups)
    np.testing.assert_allclose(through.grid_["inner_mae"], exact.grid_["inner_mae"], rtol=1e-6)
    np.testing.assert_allclose(through.predict(X[::3]), exact.predict(X[::3]), atol=1e-6)


@pytest.mark.parametrize("name", ["linear", "poly"])
def test_other_kernels_are_of_directions_alone(name):
    X, y, groups = made_up(3, [2, 5, 4, 3], 6)
    without = regressor(kernels=name, length_weight=0).fit(X, y, groups)
    weighted = regressor(kernels=name).fit(X, y, groups)
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))


def test_lengths_that_tell_the_age_are_used():
    rng = np.random.default_rng(0)
    groups, y = np.repeat(np.arange(12), 5), rng.uniform(0, 80, 60)
    X = normalize(rng.normal(size=(60, 6))) * np.exp(y / 40)[:, None]
    errors = [
        np.abs(regressor(length_weight=w).cross_val_predict_groups(X, y, groups)[0] - y).mean()
        for w in (0, 1)
    ]
    assert errors[1] < errors[0] / 4


def test_weights_that_make_no_sense_are_refused():
    X, y, groups = made_up(4, [3] * 4, 3)
    for weight in (-1, np.inf, np.nan):
        with pytest.raises(FeatxError, match="length_weight is"):
            regressor(length_weight=weight).fit(X, y, groups)


@pytest.mark.parametrize("name", ["linear", "rbf", "poly"])
def test_rows_that_keep_their_lengths_need_no_weight(name):
    X, y, groups = made_up(6, [3] * 5, 4)
    without = regressor(kernels=name, normalize=False, length_weight=0).fit(X, y, groups)
    weighted = regressor(kernels=name, normalize=False).fit(X, y, groups)
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))


def test_a_model_of_before_predicts_as_it_did():
    X, y, groups = made_up(5, [3] * 5, 4)
    model = regressor(kernels="rbf", length_weight=0).fit(X, y, groups)
    wanted = model.predict(X)
    del model.length_weight
    np.testing.assert_array_equal(model.predict(X), wanted)
