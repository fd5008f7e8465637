from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st

from featx.errors import FeatxError
from regress import metrics

AGE = [0.0, 10.0, 20.0, 30.0]
GUESS = [1.0, 8.0, 20.0, 39.0]  # errors 1, -2, 0, 9

AGES = st.floats(0, 120)
PAIRS = st.lists(st.tuples(AGES, AGES), min_size=2, max_size=40)


def test_by_hand():
    assert metrics.mae(AGE, GUESS) == 3.0
    assert metrics.median_ae(AGE, GUESS) == 1.5
    assert metrics.quartiles(AGE, GUESS) == (0.75, 3.75)  # of 0, 1, 2, 9
    assert metrics.rmse(AGE, GUESS) == pytest.approx(np.sqrt(86 / 4))
    assert metrics.bias(AGE, GUESS) == 2.0
    assert metrics.r2(AGE, GUESS) == pytest.approx(1 - 86 / 500)
    assert [metrics.cs(AGE, GUESS, k) for k in (0, 1, 2, 5, 9)] == [0.25, 0.5, 0.75, 0.75, 1.0]


def test_cumulative_score_counts_an_error_of_k_but_for_rounding():
    assert metrics.cs([0.1], [5.1 + 4e-16]) == 1.0
    assert metrics.cs([0.0], [5.001]) == 0.0


@given(PAIRS)
def test_against_plain_python(pairs):
    true, guess = zip(*pairs, strict=True)
    errors = sorted(abs(a - b) for a, b in pairs)
    n = len(errors)
    assert metrics.mae(true, guess) == pytest.approx(sum(errors) / n)
    assert metrics.rmse(true, guess) == pytest.approx((sum(e * e for e in errors) / n) ** 0.5)
    assert metrics.median_ae(true, guess) == pytest.approx(
        (errors[(n - 1) // 2] + errors[n // 2]) / 2
    )
    assert metrics.bias(true, guess) == pytest.approx(sum(b - a for a, b in pairs) / n, abs=1e-9)
    lower, upper = metrics.quartiles(true, guess)
    assert errors[0] <= lower <= metrics.median_ae(true, guess) <= upper <= errors[-1]


@given(PAIRS)
def test_errors_in_years_against_scikit_learn(pairs):
    true, guess = np.array(pairs).T
    ours = [metrics.mae, metrics.median_ae, metrics.rmse]
    theirs = [
        sklearn.metrics.mean_absolute_error,
        sklearn.metrics.median_absolute_error,
        sklearn.metrics.root_mean_squared_error,
    ]
    for our, their in zip(ours, theirs, strict=True):
        assert our(true, guess) == pytest.approx(their(true, guess))
    assume(np.ptp(true) > 1e-3)
    assert metrics.r2(true, guess) == pytest.approx(sklearn.metrics.r2_score(true, guess))


def test_pooled_and_fold_mean_r2_differ_and_undefined_folds_are_counted():
    age = np.array([0.0, 2.0, 50.0, 52.0, 7.0, 9.0, 9.0])
    guess = np.array([1.0, 1.0, 50.0, 52.0, 7.5, 9.0, 8.0])
    folds = np.array(["a", "a", "b", "b", "alone", "same", "same"])
    found = metrics.r2_fold_mean(age, guess, folds)
    assert (found.n_folds, found.n_undefined) == (2, 2)
    assert found.value == pytest.approx((0.0 + 1.0) / 2)  # a: its mean; b: perfect
    assert metrics.r2(age, guess) > 0.99
    nothing = metrics.r2_fold_mean(age, guess, np.arange(7))
    assert np.isnan(nothing.value)
    assert (nothing.n_folds, nothing.n_undefined) == (0, 7)


def test_r2_without_spread_is_undefined_not_a_number_made_up():
    assert np.isnan(metrics.r2([4.0, 4.0], [4.0, 5.0]))
    assert np.isnan(metrics.r2([4.0], [4.0]))


def test_fold_maes():
    assert metrics.fold_maes(AGE, GUESS, ["x", "y", "x", "y"]) == {"x": 0.5, "y": 5.5}


ORDER = ["0-10", "10-20", "20-30", "30-40"]
GROUP = ["0-10", "0-10", "10-20", "20-30", "30-40"]
GUESSED = ["0-10", "10-20", "30-40", "20-30", "0-10"]  # off by 0, 1, 2, 0, 3


def test_groups_by_hand():
    assert metrics.accuracy(GROUP, GUESSED) == 0.4
    assert metrics.one_off(GROUP, GUESSED, ORDER) == 0.6
    assert metrics.aabd(GROUP, GUESSED, ORDER) == pytest.approx(6 / 5)
    np.testing.assert_array_equal(
        metrics.confusion(GROUP, GUESSED, ORDER),
        [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]],
    )


def test_paper_example_of_aabd():
    """Bucket 3 taken for bucket 4 is 1 (attentional paper, section III B)."""
    assert metrics.aabd([3], [4], [1, 2, 3, 4]) == 1.0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
def test_group_metrics_follow_from_the_confusion_matrix(pairs):
    true, guess = map(list, zip(*pairs, strict=True))
    counts = metrics.confusion(true, guess, range(6))
    off = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    assert counts.sum() == len(pairs)
    assert metrics.accuracy(true, guess) == pytest.approx(np.trace(counts) / len(pairs))
    assert metrics.one_off(true, guess, range(6)) == pytest.approx(
        counts[off <= 1].sum() / len(pairs)
    )
    assert metrics.aabd(true, guess, range(6)) == pytest.approx((counts * off).sum() / len(pairs))


@pytest.mark.parametrize(
    ("age", "guess", "words"),
    [
        ([], [], "no predictions"),
        ([1.0, 2.0], [1.0], "shape"),
        ([[1.0]], [[1.0]], "shape"),
        ([1.0, np.nan], [1.0, 2.0], "true ages are not finite.*row 1"),
        ([1.0], [np.inf], "predicted ages are not finite"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.mae, metrics.r2, metrics.cs, metrics.quartiles])
def test_bad_ages_are_told(metric, age, guess, words):
    with pytest.raises(FeatxError, match=words):
        metric(age, guess)


def test_bad_groups_and_folds_are_told():
    with pytest.raises(FeatxError, match="did you mean 10-20"):
        metrics.one_off(["10-2"], ["0-10"], ORDER)
    with pytest.raises(FeatxError, match="twice"):
        metrics.aabd(["a"], ["a"], ["a", "a"])
    with pytest.raises(FeatxError, match="folds have shape"):
        metrics.r2_fold_mean(AGE, GUESS, ["a"])
