"""The Nyström form against the exact one, scikit-learn's features, and plain refitting."""

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import FeatxError
from regress.methods import computes_at_once
from regress.regressors import make_regressor
from regress.regressors.exact_kernel import (
    ExactKernelRegressor,
    kernels,
    layout,
    memory,
    nystrom_bytes,
    required_bytes,
    solver,
)
from regress.regressors.exact_kernel.kernels import Kernel, Rows
from regress.regressors.exact_kernel.nystrom import Nystrom, choose_landmarks
from tests.regress.regressors.kernel_problems import ALPHAS, made_up, regressor, with_lengths

KERNELS = [Kernel("linear"), Kernel("rbf", gamma=0.7), Kernel("poly", degree=3)]
THEIRS = {
    "linear": {"kernel": "linear"},
    "rbf": {"kernel": "rbf", "gamma": 0.7},
    "poly": {"kernel": "poly", "degree": 3, "gamma": 0.5, "coef0": 0.5},
}


def their_features(name, rows, chosen):
    """scikit-learn's Nyström features, its landmarks replaced by ours."""
    m = len(chosen)
    found = Nystroem(n_components=m, random_state=0, **THEIRS[name]).fit(rows[chosen])
    assert sorted(found.component_indices_) == list(range(m))
    return found.transform(rows)


@pytest.mark.parametrize("units", [4, 80])
@pytest.mark.parametrize("unit_norm", [True, False])
def test_with_all_rows_as_landmarks_it_is_the_exact_one(units, unit_norm):
    X, y, groups = made_up(1, [1, 2, 3, 5, 5, 8, 13, 13], units)
    exact = regressor(normalize=unit_norm).fit(X, y, groups)
    through = regressor(normalize=unit_norm, landmarks=len(X)).fit(X, y, groups)
    assert (through.kernel_, through.alpha_) == (exact.kernel_, exact.alpha_)
    np.testing.assert_allclose(through.grid_["inner_mae"], exact.grid_["inner_mae"], rtol=1e-6)
    test = np.random.default_rng(0).normal(size=(9, units))
    np.testing.assert_allclose(through.predict(test), exact.predict(test), atol=1e-6)
    assert through.report_["approximation_error"] < 1e-12


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_features_are_those_of_scikit_learn(kernel):
    X, _, groups = made_up(2, [7] * 9, 30)
    chosen = choose_landmarks(groups, 20)
    forms = Nystrom(Rows(X, normalize=True), np.argsort(groups), chosen)
    theirs = their_features(kernel.name, normalize(X), chosen)[np.argsort(groups)]
    ours = forms._features(kernel)
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-10)
    forms.spectrum(kernel)
    report = forms.report(kernel)
    assert report["form"] == "nystrom"
    lost = 1 - (theirs**2).sum(axis=1)  # k(x, x) = 1 on unit-norm rows
    assert report["approximation_error"] == pytest.approx(lost.mean(), abs=1e-12)


@pytest.mark.parametrize("name", ["linear", "rbf", "poly"])
def test_inner_errors_and_predictions_equal_refitting_ridge_on_the_features(name):
    X, y, groups = made_up(3, [1, 9, 2, 5, 5, 1, 3, 14], 40)
    settings = {"gammas": [0.7], "degrees": [3], "landmarks": 12, "targets": "age"}
    model = regressor(kernels=(name,), **settings).fit(X, y, groups)
    chosen = choose_landmarks(groups, 12)
    test = np.random.default_rng(0).normal(size=(9, 40))
    seen = (with_lengths if name == "rbf" else normalize)(np.vstack([X, test]))
    features = their_features(name, seen, chosen)
    features, of_test = features[: len(X)], features[len(X) :]
    for alpha, inner_mae in zip(ALPHAS, model.grid_["inner_mae"], strict=True):
        errors = np.empty(len(y))
        for train, left in LeaveOneGroupOut().split(features, y, groups):
            ridge = Ridge(alpha=alpha, solver="svd").fit(features[train], y[train])
            errors[left] = np.abs(y[left] - ridge.predict(features[left]))
        assert inner_mae == pytest.approx(errors.mean(), rel=1e-7)
    expected = Ridge(alpha=model.alpha_, solver="svd").fit(features, y).predict(of_test)
    np.testing.assert_allclose(model.predict(test), expected, atol=1e-6)
    if name != "linear":
        np.testing.assert_array_equal(model.X_fit_, X[chosen])
        assert model.dual_coef_.shape == (12,)


def test_the_error_is_a_share_where_rows_are_not_of_unit_length():
    X, y, groups = made_up(4, [4] * 8, 50)
    X[3] = 0  # k(x, x) = 0: nothing to lose
    settings = {"kernels": "linear", "normalize": False, "landmarks": 6}
    model = regressor(**settings).fit(X, y, groups)
    chosen = choose_landmarks(groups, 6)
    K = X @ X.T
    seen = K[:, chosen] @ np.linalg.pinv(K[np.ix_(chosen, chosen)]) @ K[chosen]
    lost = np.delete(np.diag(K - seen), 3) / np.delete(np.diag(K), 3)
    assert model.report_["approximation_error"] == pytest.approx(lost.sum() / len(X))


def test_landmarks_are_spread_over_groups_and_fixed():
    groups = np.repeat(np.arange(6), [500, 1, 2, 3, 3, 3])
    chosen = choose_landmarks(groups, 12)
    counts = np.bincount(groups[chosen])
    assert counts.sum() == len(set(chosen)) == 12
    assert counts[1] == 1
    assert set(np.delete(counts, 1)) == {2, 3}
    assert sorted(groups[choose_landmarks(groups, 6)]) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(chosen, choose_landmarks(groups, 12))
    np.testing.assert_array_equal(choose_landmarks(groups, 9999), np.arange(512))


def test_duplicates_and_rows_of_zeros_among_the_landmarks():
    X, y, groups = made_up(5, [3] * 8, 5)
    twice, ages, people = np.vstack([X, X]), np.append(y, y), np.append(groups, groups)
    all_of_them = regressor(kernels="rbf", landmarks=48).fit(twice, ages, people)
    exact = regressor(kernels="rbf").fit(twice, ages, people)
    np.testing.assert_allclose(all_of_them.predict(X), exact.predict(X), atol=1e-6)
    zeros = regressor(kernels="linear", landmarks=4, targets="age").fit(
        np.zeros((24, 5)), y, groups
    )
    np.testing.assert_allclose(zeros.predict(X), y.mean())


def test_small_blocks_change_nothing(monkeypatch):
    X, y, groups = made_up(6, [1, 1, 2, 3, 3, 6, 9], 7)
    at_once = regressor(landmarks=9).fit(X, y, groups)
    for module in (kernels, layout, solver):
        monkeypatch.setattr(module, "BLOCK_BYTES", 400)
    monkeypatch.setattr(kernels.blocks, "__defaults__", (400,))
    in_blocks = regressor(landmarks=9).fit(X, y, groups)
    np.testing.assert_allclose(in_blocks.grid_["inner_mae"], at_once.grid_["inner_mae"], rtol=1e-9)
    np.testing.assert_allclose(in_blocks.predict(X), at_once.predict(X), atol=1e-8)


def test_auto_is_exact_where_that_fits_and_else_takes_what_fits():
    X, y, groups = made_up(7, [5] * 60, 20)
    enough = required_bytes(300, 20)
    exact = regressor(max_memory=enough).fit(X, y, groups)
    assert exact.report_["landmarks"] is None
    assert exact.report_["form"] in ("primal", "dual")
    assert (exact.report_["warnings"], exact.report_["approximation_error"]) == ([], 0.0)
    tight = {"kernels": "rbf", "max_memory": enough - 2 * 10**6}
    through = regressor(**tight).fit(X, y, groups)
    count = through.report_["landmarks"]
    assert 50 < count < 300
    assert nystrom_bytes(300, 20, count, 5) <= tight["max_memory"]
    assert nystrom_bytes(300, 20, count + 1, 5) > tight["max_memory"]
    assert through.report_["form"] == "nystrom"
    (warning,) = through.report_["warnings"]
    assert f"form nystrom: kernels are approximated from {count} landmarks" in warning
    assert f"{through.report_['approximation_error']:.2g}" in warning
    json.dumps(through.report_, allow_nan=False)
    forced = regressor(kernels="rbf", landmarks=count).fit(X, y, groups)
    np.testing.assert_array_equal(through.predict(X), forced.predict(X))
    again = pickle.loads(pickle.dumps(through))
    np.testing.assert_array_equal(again.predict(X), through.predict(X))
    with pytest.raises(FeatxError, match="or landmarks=2048, which approximates"):
        regressor(landmarks=None, **tight).fit(X, y, groups)
    with pytest.raises(FeatxError, match="or landmarks=2048, which approximates"):
        regressor(**tight).cross_val_predict_groups(X, y, groups)  # exact or not at all


def test_the_linear_kernel_stays_exact_where_its_units_are_no_more_than_the_landmarks():
    X, y, groups = made_up(8, [5] * 12, 6)
    y = 100 * normalize(X)[:, 0]
    mixed = regressor(landmarks=10).fit(X, y, groups)
    assert (mixed.kernel_, mixed.report_["form"]) == ("linear", "primal")
    assert mixed.report_["approximation_error"] == 0
    assert "the chosen one, linear, is exact" in mixed.report_["warnings"][0]
    np.testing.assert_allclose(mixed.predict(X), regressor().fit(X, y, groups).predict(X))


def test_a_large_group_never_makes_the_landmarks_its_own():
    """Nor do ages of anybody choose them: they follow from X's rows and whose they are."""
    X, y, groups = made_up(9, [40, 3, 3, 3, 3], 8)
    model = regressor(kernels="rbf", landmarks=10).fit(X, y, groups)
    other = regressor(kernels="rbf", landmarks=10).fit(X, -y, groups)
    np.testing.assert_array_equal(model.X_fit_, other.X_fit_)
    whose = [groups[np.flatnonzero((row == X).all(axis=1))[0]] for row in model.X_fit_]
    assert np.bincount(whose).tolist() == [2] * 5


@pytest.mark.parametrize("landmarks", [0, -3, True, 2.5, "many"])
def test_bad_numbers_of_landmarks_are_named(landmarks):
    X, y, groups = made_up(0, [3] * 4, 3)
    with pytest.raises(FeatxError, match=f"landmarks is {landmarks!r}; give a positive number"):
        regressor(landmarks=landmarks).fit(X, y, groups)


def test_more_landmarks_than_fit_are_refused():
    X, y, groups = made_up(0, [3] * 4, 3)
    with pytest.raises(FeatxError, match=r"needs 268,\d\d\d,\d\d\d bytes .* use fewer landmarks"):
        regressor(landmarks=8, max_memory=1e6).fit(X, y, groups)


def test_with_a_number_of_landmarks_folds_are_fitted_one_by_one():
    assert computes_at_once("lopo", make_regressor("exact-kernel"))
    assert not computes_at_once("lopo", make_regressor("exact-kernel:landmarks=500"))


def test_utkface_fits_in_8_gib():
    count = memory.most_landmarks(23_707, 512, 0.8 * 8 * 2**30)
    assert count == memory.MOST_LANDMARKS
    assert required_bytes(23_707, 512) > 8 * 2**30
    assert memory.most_landmarks(10**6, 512, 8 * 2**30) < 400
    assert memory.most_landmarks(500, 512, 2**27) == 0


@pytest.mark.parametrize(("images", "units", "largest"), [(2000, 50, 10), (2000, 900, 500)])
def test_memory_stays_within_the_rule(images, units, largest, monkeypatch):
    """NumPy's own allocations at the peak, LAPACK's workspace counted in."""
    for module in (kernels, layout, solver):
        monkeypatch.setattr(module, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(kernels.blocks, "__defaults__", (2**20,))
    sizes = [largest] + [10] * ((images - largest) // 10)
    X, y, groups = made_up(10, sizes, units)
    y = 120 * (y - y.min()) / np.ptp(y)  # all columns that ordinal can have
    names = ("rbf", "linear")  # in this order the linear one finds the inner products there
    model = ExactKernelRegressor(names, alphas=[0.1], gammas=[0.5, 1.0], landmarks=300)
    tracemalloc.start()
    try:
        model.fit(X, y, groups)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    rule = nystrom_bytes(images, units, 300, largest) - memory.PASSING
    assert 0.6 * rule < peak < rule + 4 * 2**20


def test_it_approaches_the_exact_one_as_landmarks_grow():
    X, y, groups = made_up(11, [4] * 100, 5)
    settings = {"kernels": "rbf", "gammas": [2.0], "alphas": [0.1], "targets": "age"}
    exact = regressor(**settings).fit(X, y, groups)
    away, errors = [], []
    for count in (20, 80, 320):
        model = regressor(landmarks=count, **settings).fit(X, y, groups)
        away.append(np.abs(model.predict(X) - exact.predict(X)).mean())
        errors.append(model.report_["approximation_error"])
    assert away[0] > 2 * away[1] > 8 * away[2]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@parametrize_with_checks([ExactKernelRegressor(alphas=(1e-3, 0.1), gammas=(0.5, 4), landmarks=9)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)
