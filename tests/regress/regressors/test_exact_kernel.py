"""The fast algebra against plain refitting by an independent solver."""

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import FeatxError
from regress.regressors.exact_kernel import (
    ExactKernelRegressor,
    kernels,
    layout,
    required_bytes,
    solver,
)
from tests.regress.regressors.kernel_problems import (
    ALPHAS,
    GAMMAS,
    made_up,
    regressor,
    with_lengths,
)


def kernel_matrix(name, left, right, unit_norm=True):
    """Kernels written again, from scikit-learn's."""
    rbf = name.startswith("rbf")
    if unit_norm:
        left, right = (with_lengths(X) if rbf else normalize(X) for X in (left, right))
    if rbf:
        return rbf_kernel(left, right, gamma=float(name[10:-1]))
    if name == "linear":
        return left @ right.T
    return ((1 + left @ right.T) / 2) ** int(name[12:-1])


def candidates(names=("linear", "rbf", "poly")):
    listed = []
    for name in names:
        listed += {
            "linear": ["linear"],
            "rbf": [f"rbf(gamma={gamma:g})" for gamma in GAMMAS],
            "poly": ["poly(degree=2)", "poly(degree=3)"],
        }[name]
    return [(t, name, a) for t in ("age", "ordinal") for name in listed for a in ALPHAS]


def encode(target, y):
    """Write the ages as columns: themselves, or whether they are above each year."""
    if target == "age":
        return y[:, None]
    return np.array([[float(round(age) > k) for k in range(120)] for age in y])


def decode(target, columns):
    if target == "age":
        return columns[:, 0]
    return np.array([sum(share > 0.5 + 1e-6 for share in row) for row in columns])


def solve(K, K_test, alpha, y):
    """Solve the bordered system of ridge regression with an unpenalised intercept, by column."""
    n = len(K)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = K + alpha * np.eye(n)
    system[n, n] = 0
    solution = np.linalg.solve(system, np.vstack([y, np.zeros(y.shape[1])]))
    return K_test @ solution[:n] + solution[n]


def refit(target, name, alpha, X, y, X_test, unit_norm=True):
    kernels = [kernel_matrix(name, left, X, unit_norm) for left in (X, X_test)]
    return decode(target, solve(*kernels, alpha, encode(target, y)))


def logo_mae(target, name, alpha, X, y, groups, unit_norm=True):
    """Refit without each group; the kernel's values are only looked up."""
    K = kernel_matrix(name, X, X, unit_norm)
    errors = np.empty(len(y))
    for group in set(groups):
        test = groups == group
        train = ~test
        columns = encode(target, y[train])
        predicted = solve(K[np.ix_(train, train)], K[np.ix_(test, train)], alpha, columns)
        errors[test] = y[test] - decode(target, predicted)
    return np.abs(errors).mean()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 5), min_size=3, max_size=6),
    units=st.integers(2, 30),
)
@example(seed=10070, sizes=[1, 1, 1], units=2)  # two of three ages differ by 0.0005 years
def test_nested_equals_refitting_every_outer_and_inner_fold(seed, sizes, units):
    X, y, groups = made_up(seed, sizes, units)
    predictions, details = regressor().cross_val_predict_groups(X, y, groups)
    for train, test in LeaveOneGroupOut().split(X, y, groups):
        table = {c: logo_mae(*c, X[train], y[train], groups[train]) for c in candidates()}
        row = details[groups[test[0]]]
        chosen = (row["target"], row["kernel"], row["alpha"])
        assert row["inner_mae"] == pytest.approx(table[chosen], abs=1e-7)
        assert table[chosen] <= min(table.values()) + 1e-7
        # With two rows of training left every candidate is tied: then the largest λ.
        tied = [c for c, error in table.items() if error <= min(table.values()) + 1e-12]
        assert chosen[-1] >= max(candidate[-1] for candidate in tied)
        expected = refit(*chosen, X[train], y[train], X[test])
        np.testing.assert_allclose(predictions[test], expected, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=7),
    units=st.integers(1, 40),
    unit_norm=st.booleans(),
)
def test_the_grid_of_fit_equals_refitting(seed, sizes, units, unit_norm):
    X, y, groups = made_up(seed, sizes, units)
    fitted = regressor(normalize=unit_norm).fit(X, y, groups)
    expected = [logo_mae(*c, X, y, groups, unit_norm) for c in candidates()]
    listed = fitted.grid_[["target", "kernel", "alpha"]].itertuples(index=False, name=None)
    assert list(listed) == candidates()
    np.testing.assert_allclose(fitted.grid_["inner_mae"], expected, rtol=1e-6)
    assert fitted.inner_mae_ == pytest.approx(fitted.grid_["inner_mae"].min())
    test = np.random.default_rng(seed + 1).normal(size=(5, units))
    chosen = fitted.target_, fitted.kernel_, fitted.alpha_
    expected = refit(*chosen, X, y, test, unit_norm)
    np.testing.assert_allclose(fitted.predict(test), expected, atol=1e-6)


@pytest.mark.parametrize("targets", [("age",), ("ordinal",), ("ordinal", "age")])
@pytest.mark.parametrize("name", ["linear", "rbf", "poly"])
@pytest.mark.parametrize("units", [4, 80])
def test_nested_equals_fit_and_predict_fold_by_fold(name, units, targets):
    X, y, groups = made_up(3, [1, 9, 2, 5, 5, 1, 3, 14], units)
    model = ExactKernelRegressor((name,), gammas=(0.125, 2, 64), targets=targets)  # the default λ
    predictions, details = model.cross_val_predict_groups(X, y, groups)
    for train, test in LeaveOneGroupOut().split(X, y, groups):
        fold = clone(model).fit(X[train], y[train], groups[train])
        np.testing.assert_allclose(predictions[test], fold.predict(X[test]), atol=1e-6)
        assert details[groups[test[0]]]["target"] == fold.target_
        assert details[groups[test[0]]]["alpha"] == fold.alpha_
        assert details[groups[test[0]]]["form"] == fold.report_["form"]


def test_small_blocks_change_nothing(monkeypatch):
    """Chunks of a few groups take every path that twenty thousand images would."""
    X, y, groups = made_up(5, [1, 1, 1, 2, 2, 3, 3, 3, 6], 9)
    at_once, details = regressor().cross_val_predict_groups(X, y, groups)
    fitted = regressor().fit(X, y, groups)
    for module in (kernels, layout, solver):
        monkeypatch.setattr(module, "BLOCK_BYTES", 600)
    monkeypatch.setattr(kernels.blocks, "__defaults__", (600,))
    assert len(layout.Layout(groups).chunks) > 4
    in_blocks, details_in_blocks = regressor().cross_val_predict_groups(X, y, groups)
    np.testing.assert_allclose(in_blocks, at_once, atol=1e-9)
    for group in details:
        assert details_in_blocks[group]["kernel"] == details[group]["kernel"]
    np.testing.assert_allclose(
        regressor().fit(X, y, groups).predict(X[:4]), fitted.predict(X[:4]), atol=1e-9
    )


def test_without_groups_each_row_is_left_out():
    X, y, _ = made_up(1, [1] * 12, 5)
    own = regressor().fit(X, y)
    told = regressor().fit(X, y, np.arange(12))
    np.testing.assert_array_equal(own.grid_["inner_mae"], told.grid_["inner_mae"])


def test_against_sklearn_ridge_and_kernel_ridge():
    X, y, groups = made_up(2, [4] * 6, 7)
    age = {"alphas": [0.1], "targets": "age"}
    linear = ExactKernelRegressor(kernels="linear", **age).fit(X, y, groups)
    ridge = Ridge(alpha=0.1).fit(normalize(X), y)
    np.testing.assert_allclose(linear.coef_, ridge.coef_, atol=1e-9)
    assert linear.intercept_ == pytest.approx(ridge.intercept_)
    rbf = ExactKernelRegressor(kernels="rbf", gammas=[0.7], **age).fit(X, y, groups)
    H = np.eye(len(y)) - 1 / len(y)
    centred = KernelRidge(alpha=0.1, kernel="precomputed")
    centred.fit(H @ rbf_kernel(with_lengths(X), gamma=0.7) @ H, y - y.mean())
    np.testing.assert_allclose(rbf.dual_coef_, centred.dual_coef_, atol=1e-9)


def test_float32_and_float64_agree_and_primal_agrees_with_dual():
    X, y, groups = made_up(4, [5] * 8, 12)
    single = X.astype(np.float32)
    double, _ = regressor().cross_val_predict_groups(single.astype(np.float64), y, groups)
    half, _ = regressor().cross_val_predict_groups(single, y, groups)
    np.testing.assert_allclose(half, double, atol=1e-9)
    wide = np.hstack([X, np.zeros((40, 40))])  # the same inner products, from more units
    primal = regressor(kernels="linear").fit(X, y, groups)
    dual = regressor(kernels="linear").fit(wide, y, groups)
    assert (primal.report_["form"], dual.report_["form"]) == ("primal", "dual")
    np.testing.assert_allclose(primal.predict(X), dual.predict(wide), atol=1e-8)


def test_rows_are_normalised_one_by_one():
    X, y, groups = made_up(6, [3] * 6, 4)
    scaled = X * np.random.default_rng(0).uniform(0.1, 100, size=(len(X), 1))
    directions = regressor(length_weight=0)
    first, _ = directions.cross_val_predict_groups(X, y, groups)
    second, _ = directions.cross_val_predict_groups(scaled, y, groups)
    np.testing.assert_allclose(first, second, atol=1e-8)


def test_a_left_out_group_cannot_influence_its_own_predictions():
    X, y, groups = made_up(7, [4] * 6, 10)
    before, details = regressor().cross_val_predict_groups(X, y, groups)
    y_other = np.where(groups == 2, y + 1000, y)
    after, details_after = regressor().cross_val_predict_groups(X, y_other, groups)
    np.testing.assert_allclose(after[groups == 2], before[groups == 2], atol=1e-6)
    assert details_after[2]["kernel"] == details[2]["kernel"]
    assert details_after[2]["inner_mae"] == pytest.approx(details[2]["inner_mae"], abs=1e-6)


def test_constant_ages_and_constant_rows():
    X, y, groups = made_up(8, [3] * 5, 4)
    predictions, details = regressor().cross_val_predict_groups(X, np.full(15, 7.0), groups)
    np.testing.assert_allclose(predictions, 7)
    assert all(row["alpha"] == max(ALPHAS) for row in details.values())  # tied: regularise
    means = [y[groups != group].mean() for group in groups]
    age = regressor(targets="age")
    for rows in (np.ones((15, 4)), np.zeros((15, 4))):
        predictions, _ = age.cross_val_predict_groups(rows, y, groups)
        np.testing.assert_allclose(predictions, means, atol=1e-9)


def test_report_is_json_and_names_the_edge_of_a_grid():
    X, y, groups = made_up(9, [4] * 6, 5)
    y = 100 * normalize(X)[:, 0]  # noiseless and linear: the smallest λ is best
    linear = ExactKernelRegressor(kernels="linear", targets="age")
    fitted = clone(linear).set_params(alphas=[0.01, 1, 10]).fit(X, y, groups)
    assert fitted.report_["edges"] == ["alpha 0.01 is the smallest in its grid"]
    report = json.loads(json.dumps(fitted.report_, allow_nan=False))
    assert (report["target"], report["kernel"]) == ("age", "linear")
    assert len(report["candidates"]) == 3
    # noise everywhere: everything regularised away
    noise = np.random.default_rng(0).normal(size=len(y))
    fitted = clone(linear).set_params(alphas=[1e-3, 1e-2]).fit(X, noise, groups)
    assert fitted.report_["edges"] == ["alpha 0.01 is the largest in its grid"]
    fitted = clone(linear).set_params(alphas=[0.1]).fit(X, y, groups)
    assert fitted.report_["edges"] == []


def test_a_tiny_alpha_on_huge_rows_is_passed_over_or_refused():
    X, y, groups = made_up(10, [5] * 8, 3)
    X = 1e9 * X
    settings = {"kernels": "linear", "normalize": False, "targets": "age"}
    fitted = ExactKernelRegressor(alphas=[1e-9, 1e12], **settings).fit(X, y, groups)
    assert fitted.alpha_ == 1e12
    assert fitted.grid_["inner_mae"].isna().tolist() == [True, False]
    json.dumps(fitted.report_, allow_nan=False)
    with pytest.raises(FeatxError, match="raise alphas"):
        ExactKernelRegressor(alphas=[1e-9], **settings).fit(X, y, groups)


def test_refit_forgets_the_former_fit_and_pickles():
    X, y, groups = made_up(11, [4] * 5, 6)
    model = regressor(kernels="rbf").fit(X, y, groups)
    model.set_params(kernels="linear").fit(X, y, groups)
    assert not hasattr(model, "X_fit_")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alphas": []}, "alphas is empty"),
        ({"alphas": [0.0, 1.0]}, "alphas holds 0"),
        ({"gammas": [-1.0]}, "gammas holds -1"),
        ({"degrees": (1,)}, "degrees holds 1"),
        ({"kernels": ("rbff",)}, "did you mean rbf"),
        ({"kernels": ()}, "no kernel"),
        ({"targets": ("ordinary",)}, "unknown target 'ordinary': did you mean ordinal"),
        ({"targets": ()}, "no target"),
        ({"max_memory": 1e6}, r"needs 2\d\d,\d\d\d,\d\d\d bytes .* may take 1,000,000"),
    ],
)
def test_bad_parameters_are_named(change, message):
    X, y, groups = made_up(0, [3] * 4, 3)
    with pytest.raises(FeatxError, match=message):
        ExactKernelRegressor(**change).fit(X, y, groups)


def test_bad_rows_are_named():
    X, y, groups = made_up(0, [3] * 4, 3)
    model = regressor()
    holed = X.copy()
    holed[5, 2] = np.nan
    with pytest.raises(FeatxError, match="row 5, unit 2"):
        model.fit(holed, y, groups)
    with pytest.raises(FeatxError, match="row 5, unit 2"):
        model.fit(X, y, groups).predict(holed)
    with pytest.raises(FeatxError, match="y holds NaN or infinite values in 1 rows"):
        model.fit(X, np.where(np.arange(12) == 3, np.inf, y), groups)
    with pytest.raises(FeatxError, match="groups has 11"):
        model.fit(X, y, groups[1:])
    with pytest.raises(FeatxError, match="row 1 is missing"):
        model.fit(X, y, ["a", None, *"aabbbbbccc"])
    with pytest.raises(FeatxError, match="at least 2 groups"):
        model.fit(X, y, np.zeros(12))
    with pytest.raises(FeatxError, match="at least 3 groups"):
        model.cross_val_predict_groups(X, y, groups % 2)


def test_text_groups():
    X, y, groups = made_up(12, [3, 4, 2, 5], 4)
    names = np.array(["eve", "adam", "éva", "x"], dtype=object)[groups]
    predictions, details = regressor().cross_val_predict_groups(X, y, names)
    expected, _ = regressor().cross_val_predict_groups(X, y, groups)
    np.testing.assert_allclose(predictions, expected, atol=1e-9)
    assert set(details) == set(names)


def test_twenty_thousand_images_fit_in_24_gib():
    rows = 4 * 20_000 * 21_504  # float32 of a flattened layer
    assert required_bytes(20_000, 21_504) + rows < 24 * 2**30
    assert required_bytes(100_000, 512, linear_only=True) < 2 * 2**30
    assert required_bytes(2_000, 64) > required_bytes(2_000, 64, linear_only=True)


def peak(function, *arguments):
    """Return the most bytes that were allocated at a time."""
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("units", "names"), [(300, ("linear", "rbf")), (40, ("linear",))])
def test_memory_stays_within_the_rule(units, names, monkeypatch):
    """NumPy's own allocations at the peak, LAPACK's workspace counted in."""
    for module in (kernels, layout, solver):
        monkeypatch.setattr(module, "BLOCK_BYTES", 2**20)
    monkeypatch.setattr(kernels.blocks, "__defaults__", (2**20,))
    X, y, groups = made_up(13, [10] * 60, units)
    y = 120 * (y - y.min()) / np.ptp(y)  # all columns that ordinal can have
    model = ExactKernelRegressor(kernels=names, alphas=[0.1], gammas=[0.5, 1.0, 2.0])
    rule = required_bytes(600, units, linear_only=names == ("linear",)) - 4 * 2**26
    assert peak(model.cross_val_predict_groups, X, y, groups) < rule + 2 * 2**20
    assert peak(model.fit, X, y, groups) < rule + 2 * 2**20


@parametrize_with_checks([ExactKernelRegressor(alphas=(1e-3, 1e-1, 10.0), gammas=(0.5, 4.0))])
def test_scikit_learn_contract(estimator, check):
    check(estimator)
