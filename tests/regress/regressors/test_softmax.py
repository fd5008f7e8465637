from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import FeatxError
from regress.regressors.inner_selection import inner_folds
from regress.regressors.multinomial import MultinomialProblem, principal_axes
from regress.regressors.softmax import DEFAULT_ALPHAS, SoftmaxRegressor, label_distribution


def faces(n=120, p=6, subjects=12, seed=0, ages=(0, 10, 30, 70)):
    """Features that tell the age, and something of the subject, with noise."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % subjects
    y = rng.choice(ages, n).astype(float)
    X = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(subjects, p))[groups]
    X[:, 0] += 3 * np.log1p(y)
    X[:, 1] += y / 20
    return X, y, groups


@pytest.mark.parametrize("alpha", [1e-1, 1e-3])
def test_one_hot_equals_logistic_regression(alpha):
    X, y, _ = faces()
    ours = SoftmaxRegressor(alpha, scaling="none", tol=1e-9).fit(X, y)
    theirs = LogisticRegression(C=1 / (alpha * len(X)), tol=1e-12, max_iter=20_000).fit(X, y)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)


def test_scaled_features_equal_logistic_regression_on_features_scaled_by_hand():
    X, y, _ = faces()
    rows = normalize(X)
    rows /= np.sqrt(np.square(rows - rows.mean(axis=0)).sum(axis=1).mean())
    theirs = LogisticRegression(C=1 / (1e-3 * len(X)), tol=1e-12, max_iter=20_000).fit(rows, y)
    ours = SoftmaxRegressor(1e-3, tol=1e-9).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(rows), atol=1e-5)

    units = (X - X.mean(axis=0)) / X.std(axis=0) / np.sqrt(X.shape[1])
    theirs.fit(units, y)
    ours.set_params(scaling="standard").fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(units), atol=1e-5)


def test_gradient_is_that_of_the_loss():
    X, y, _ = faces(n=20, p=4)
    problem = MultinomialProblem(X, label_distribution(y, np.unique(y), 8.0), unit_length=True)
    problem.solve(0.1, 1e-2, 5)  # away from weights of 0
    problem.condition(0.01)
    rng = np.random.default_rng(1)
    for _ in range(3):
        point = rng.normal(size=problem.root.size)
        error = check_grad(
            lambda u: problem.loss(u, 0.01)[0], lambda u: problem.loss(u, 0.01)[1], point
        )
        assert error < 1e-6 * np.linalg.norm(problem.loss(point, 0.01)[1])


def test_soft_targets_reach_the_optimum_of_the_loss_as_written():
    """A direct minimisation of the documented formula, numerical gradient, no coordinates."""
    X, y, _ = faces(n=30, p=2)
    classes, alpha, sd = np.unique(y), 0.02, 9.0
    targets = norm.pdf(y[:, None], classes[None, :], sd)
    targets /= targets.sum(axis=1, keepdims=True)

    def objective(flat):
        weights = flat.reshape(3, len(classes))
        logits = X @ weights[:2] + weights[2]
        logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -(targets * logp).sum(axis=1).mean() + alpha / 2 * np.square(weights[:2]).sum()

    best = minimize(objective, np.zeros(3 * len(classes)), options={"gtol": 1e-7})
    ours = SoftmaxRegressor(alpha, label_sd=sd, scaling="none", tol=1e-9).fit(X, y)
    assert ours.report_["loss"] == pytest.approx(best.fun, abs=1e-8)
    written = objective(np.vstack([ours.coef_.T, ours.intercept_]).ravel())
    assert written == pytest.approx(ours.report_["loss"], abs=1e-12)


def test_expected_age_uses_true_ages_not_indices():
    X = np.repeat(np.eye(3), 5, axis=0)
    y = np.repeat([0.0, 10.0, 70.0], 5)
    model = SoftmaxRegressor(1e-6, scaling="none", tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.predict(np.eye(3)), [0, 10, 70], atol=0.2)
    np.testing.assert_allclose(model.predict(X), model.predict_proba(X) @ [0, 10, 70])


@pytest.mark.parametrize("scaling", ["l2", "standard", "none"])
def test_more_units_than_images_equals_the_direct_optimum(scaling):
    X, y, _ = faces(n=40, p=200)
    ours = SoftmaxRegressor(1e-2, scaling=scaling, tol=1e-9).fit(X, y)
    rows, divide = X, np.ones(200)
    if scaling == "l2":
        rows = normalize(X)
    if scaling == "standard":
        divide = X.std(axis=0)
    if scaling != "none":
        square = np.square((rows - rows.mean(axis=0)) / divide).sum(axis=1).mean()
        divide = divide * np.sqrt(square)
    direct = LogisticRegression(C=1 / (1e-2 * 40), tol=1e-12, max_iter=20_000).fit(rows / divide, y)
    np.testing.assert_allclose(
        ours.predict_proba(X), direct.predict_proba(rows / divide), atol=1e-5
    )
    new = np.random.default_rng(5).normal(size=(7, 200))  # not in the span of the training rows
    scaled = (normalize(new) if scaling == "l2" else new) / divide
    np.testing.assert_allclose(ours.predict_proba(new), direct.predict_proba(scaled), atol=1e-5)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_principal_axes_keep_products_and_decorrelate(n, p, seed):
    rows = np.random.default_rng(seed).normal(size=(n, p))
    axes = principal_axes(rows)
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-6)
    turned = rows @ axes
    np.testing.assert_allclose(turned @ turned.T, rows @ rows.T, atol=1e-8 * p * n)
    products = turned.T @ turned
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-6)


def test_label_distribution_is_normal_about_the_age_and_tends_to_one_hot():
    classes = np.array([0.0, 10.0, 11.0, 70.0])
    targets = label_distribution(np.array([10.0, 70.0]), classes, 2.0)
    density = norm.pdf(classes, 10, 2)
    np.testing.assert_allclose(targets[0], density / density.sum(), rtol=1e-12)
    one_hot = label_distribution(np.array([10.0, 70.0]), classes, 0.0)
    np.testing.assert_array_equal(one_hot, [[0, 1, 0, 0], [0, 0, 0, 1]])
    narrow = label_distribution(np.array([10.0, 70.0]), classes, 1e-3)
    np.testing.assert_allclose(narrow, one_hot, atol=1e-12)

    X, y, _ = faces()
    hard = SoftmaxRegressor(1e-3).fit(X, y).predict(X)
    soft = SoftmaxRegressor(1e-3, label_sd=1e-3).fit(X, y).predict(X)
    wide = SoftmaxRegressor(1e-3, label_sd=20.0).fit(X, y).predict(X)
    np.testing.assert_allclose(soft, hard, atol=1e-6)
    assert np.abs(wide - hard).max() > 1


def test_range_gives_every_year_and_unseen_years_no_probability():
    X, y, _ = faces(ages=(3, 5, 9))
    model = SoftmaxRegressor(1e-2, classes="range").fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.arange(3, 10))
    probabilities = model.predict_proba(X)
    assert (probabilities[:, [1, 3, 4, 5]] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    observed = SoftmaxRegressor(1e-2).fit(X, y)
    np.testing.assert_allclose(model.predict(X), observed.predict(X), atol=1e-9)
    soft = SoftmaxRegressor(1e-2, classes="range", label_sd=1.0).fit(X, y).predict_proba(X)
    assert (soft > 0).all()


def test_penalty_is_the_best_of_group_exclusive_inner_folds():
    """The choice by hand: scikit-learn's folds, a fit a fold and penalty."""
    X, y, groups = faces(n=90, subjects=9, seed=3)
    alphas = [1.0, 0.1, 0.01, 1e-3]
    chosen = SoftmaxRegressor(alphas, inner_folds=3).fit(X, y, groups)
    by_hand = []
    for alpha in alphas:
        errors = np.empty(len(y))
        for train, test in GroupKFold(3).split(X, y, groups):
            fold = SoftmaxRegressor(alpha).fit(X[train], y[train])
            errors[test] = np.abs(fold.predict(X[test]) - y[test])
        by_hand.append(errors.mean())
    report = chosen.report_
    np.testing.assert_allclose(report["inner_mae"], by_hand[: len(report["inner_mae"])], rtol=2e-3)
    assert chosen.alpha_ == alphas[int(np.argmin(by_hand))]
    assert report["alpha"] == chosen.alpha_
    assert report["converged"]
    assert report["iterations"] > 0
    assert json.loads(json.dumps(report)) == report
    np.testing.assert_allclose(
        chosen.predict(X), SoftmaxRegressor(chosen.alpha_).fit(X, y).predict(X), atol=1e-2
    )


def test_inner_choice_is_the_same_for_a_layer_padded_with_zeros():
    """Many units take the rotated way; zeros change nothing that counts."""
    X, y, groups = faces(n=60, p=10)
    few = SoftmaxRegressor([1e-1, 1e-2, 1e-3], inner_folds=3).fit(X, y, groups)
    padded = np.hstack([X, np.zeros((60, 80))])
    many = SoftmaxRegressor([1e-1, 1e-2, 1e-3], inner_folds=3).fit(padded, y, groups)
    assert few.alpha_ == many.alpha_
    np.testing.assert_allclose(few.report_["inner_mae"], many.report_["inner_mae"], rtol=5e-3)
    np.testing.assert_allclose(few.predict(X), many.predict(padded), atol=1e-2)


def test_canary_identity_coded_features_do_not_beat_the_mean():
    """Features that name the subject, an age that is the subject's: across subjects, nothing."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 5)
    y = rng.integers(0, 70, 30)[groups].astype(float)
    X = np.eye(30)[groups] + 0.01 * rng.normal(size=(150, 30))
    model = SoftmaxRegressor(inner_folds=5).fit(X, y, groups)
    folds = inner_folds(groups, 150, 5)
    mean_mae = np.mean(np.concatenate([np.abs(y[a].mean() - y[b]) for a, b in folds]))
    assert model.report_["best_inner_mae"] > 0.95 * mean_mae
    leaky = SoftmaxRegressor(inner_folds=5).fit(X, y)  # images as groups: the leak is there to see
    assert leaky.report_["best_inner_mae"] < 0.2 * mean_mae


def test_chosen_penalty_at_the_edge_of_the_grid_is_told():
    X, y, groups = faces()
    report = SoftmaxRegressor([1e3, 1e2]).fit(X, y, groups).report_
    assert report["grid_edge"] == "weakest"
    assert "weakest of the grid" in report["warnings"][0]
    assert list(DEFAULT_ALPHAS) == sorted(DEFAULT_ALPHAS, reverse=True)


def test_unconverged_fit_is_told():
    X, y, _ = faces()
    report = SoftmaxRegressor(1e-5, max_iter=2).fit(X, y).report_
    assert not report["converged"]
    assert "not converged" in report["warnings"][0]


def test_one_age_only_predicts_it():
    model = SoftmaxRegressor(1e-2).fit(np.arange(8.0).reshape(4, 2), np.full(4, 33.0))
    np.testing.assert_allclose(model.predict([[5.0, 5.0]]), [33.0])


def test_a_constant_unit_and_an_empty_row_do_no_harm():
    X, y, groups = faces()
    X[:, 3] = 7.0
    X[0] = 0.0
    for scaling in ("l2", "standard", "none"):
        model = SoftmaxRegressor(1e-3, scaling=scaling).fit(X, y, groups)
        assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": "observd"}, "did you mean observed"),
        ({"scaling": "l3"}, "did you mean l2"),
        ({"label_sd": -1.0}, "label_sd"),
        ({"alphas": [0.0]}, "alphas"),
        ({"alphas": []}, "alphas"),
        ({"inner_folds": 1}, "inner_folds"),
    ],
)
def test_bad_parameters_are_told(change, words):
    X, y, groups = faces()
    with pytest.raises(FeatxError, match=words):
        SoftmaxRegressor(**change).fit(X, y, groups)


def test_bad_groups_are_told():
    X, y, _ = faces()
    with pytest.raises(FeatxError, match="only one subject"):
        SoftmaxRegressor().fit(X, y, np.zeros(len(y)))
    with pytest.raises(FeatxError, match="groups has shape"):
        SoftmaxRegressor().fit(X, y, np.zeros(3))


@given(st.lists(st.integers(0, 8), min_size=3, max_size=60), st.integers(2, 6))
@settings(max_examples=50, deadline=None)
def test_inner_folds_are_disjoint_and_complete(groups, k):
    labels = np.array([f"s{g}" for g in groups], dtype=object)
    if len(set(groups)) < 2:
        with pytest.raises(FeatxError):
            inner_folds(labels, len(labels), k)
        return
    folds = inner_folds(labels, len(labels), k)
    assert len(folds) == min(k, len(set(groups)))
    for train, test in folds:
        assert not set(labels[train]) & set(labels[test])
        assert sorted([*train, *test]) == list(range(len(labels)))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(labels)))


@parametrize_with_checks(
    [SoftmaxRegressor(1e-4, scaling="standard", tol=1e-4)],
    expected_failed_checks=lambda _: {
        "check_regressors_no_decision_function": "its probabilities are half the point"
    },
)
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check(estimator)
