from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import normalize
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import FeatxError
from regress.regressors.baselines import (
    BASELINES,
    CappedPLSRegression,
    GroupSelected,
    UnitMeanSquare,
    baseline,
)


def faces(n=60, p=8, subjects=10, seed=0):
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % subjects
    y = rng.integers(0, 70, n).astype(float)
    X = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(subjects, p))[groups]
    X[:, 0] += y / 10
    return X, y, np.array([f"s{g}" for g in groups])


def scaled(train, test):
    """Rows of length 1, centred, mean square length 1: written out once more."""
    a, b = normalize(train), normalize(test)
    centre = a.mean(axis=0)
    length = np.sqrt(np.mean(np.sum((a - centre) ** 2, axis=1)))
    return (a - centre) / length, (b - centre) / length


@pytest.mark.parametrize("name", ["ridge", "svr", "pls"])
@pytest.mark.parametrize("p", [8, 150])
def test_equals_scikit_learn_used_directly(name, p):
    """Also with more units than images, where ours works on rotated rows and theirs does not."""
    X, y, groups = faces(p=p)
    new = np.random.default_rng(9).normal(size=(15, p))
    model = baseline(name, inner_folds=3).fit(X, y, groups)
    chosen = {key.split("__")[1]: value for key, value in model.report_["parameters"].items()}
    theirs = {
        "ridge": Ridge(),
        "svr": SVR(epsilon=0.5, tol=1e-6),
        "pls": PLSRegression(scale=False),
    }[name].set_params(**chosen)
    train, test = scaled(X, new)
    expected = np.ravel(theirs.fit(train, y).predict(test))
    # two orders of summing differ by some 1e-6 years, by how much depends on the processor's BLAS
    np.testing.assert_allclose(model.predict(new), expected, atol=1e-5 if name != "svr" else 0.1)


def test_choice_is_the_best_of_group_exclusive_inner_folds():
    X, y, groups = faces()
    model = baseline("ridge", inner_folds=5).fit(X, y, groups)
    by_hand = {}
    for candidate in model.report_["candidates"]:
        maes = []
        for train, test in GroupKFold(5).split(X, y, groups):
            a, b = scaled(X[train], X[test])
            guess = Ridge(candidate["ridge__alpha"]).fit(a, y[train]).predict(b)
            maes.append(np.abs(guess - y[test]).mean())
        by_hand[candidate["ridge__alpha"]] = np.mean(maes)
        assert candidate["mae"] == pytest.approx(by_hand[candidate["ridge__alpha"]])
    assert model.report_["parameters"]["ridge__alpha"] == min(by_hand, key=by_hand.get)
    assert model.report_["inner_mae"] == pytest.approx(min(by_hand.values()))


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_baseline_fits_reports_and_clones(name):
    X, y, groups = faces()
    model = clone(baseline(name, inner_folds=3)).fit(X, y, groups)
    assert model.predict(X).shape == (len(X),)
    assert json.loads(json.dumps(model.report_)) == model.report_
    mean_error = np.abs(y - y.mean()).mean()
    if name == "mean":
        np.testing.assert_allclose(model.predict(X[:3]), y.mean())
    else:
        assert model.report_["inner_mae"] < 0.9 * mean_error


@pytest.mark.parametrize("name", ["ridge", "svr", "pls"])
def test_canary_identity_coded_features_do_not_beat_the_mean(name):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    y = rng.integers(0, 70, 30)[groups].astype(float)
    X = np.eye(30)[groups] + 0.01 * rng.normal(size=(120, 30))
    kept_whole = baseline(name).fit(X, y, groups).report_["inner_mae"]
    leaky = baseline(name).fit(X, y).report_["inner_mae"]
    mean_error = np.abs(y - y.mean()).mean()
    assert kept_whole > 0.9 * mean_error
    assert leaky < 0.5 * mean_error


def test_edge_of_a_grid_is_told():
    X, y, groups = faces()
    model = GroupSelected(Ridge(), {"alpha": [1e6, 1e7]}).fit(X, y, groups)
    assert model.report_["grid_edge"] == {"alpha": "least"}
    assert "alpha" in model.report_["warnings"][0]


def test_one_candidate_needs_no_groups_and_several_need_two():
    X, y, _ = faces()
    one = np.zeros(len(y))
    GroupSelected(Ridge(), {"alpha": [1.0]}).fit(X, y, one)
    with pytest.raises(FeatxError, match="only one subject"):
        baseline("ridge").fit(X, y, one)


def test_pls_has_no_more_components_than_the_rows_bear():
    X, y, _ = faces(n=6, p=3)
    capped = CappedPLSRegression(n_components=24, scale=False).fit(X, y)
    np.testing.assert_allclose(
        capped.predict(X), PLSRegression(n_components=3, scale=False).fit(X, y).predict(X)
    )
    assert capped.n_components == 24


def test_unknown_baseline_is_told_with_near_matches():
    with pytest.raises(FeatxError, match="did you mean ridge"):
        baseline("rigde")


@parametrize_with_checks([UnitMeanSquare(), GroupSelected(Ridge(1e-3))])
def test_scikit_learn_contract(estimator, check):
    check(estimator)
