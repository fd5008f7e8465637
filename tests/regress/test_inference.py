import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regress.inference import (
    bootstrap_ratios,
    holm,
    normal_interval,
    percentile_interval,
    sign_flip_test,
)


def clustered(rng, n_clusters=25):
    sizes = rng.integers(1, 15, n_clusters)
    level = rng.gamma(3, 1, n_clusters)
    return [rng.gamma(2, scale, size) for scale, size in zip(level, sizes, strict=True)]


def sums_and_counts(groups):
    sums = np.array([[group.sum()] for group in groups])
    return sums, np.array([[len(group)] for group in groups], float)


def test_bootstrap_agrees_with_drawing_subjects_one_by_one():
    groups = clustered(np.random.default_rng(1))
    rng = np.random.default_rng(2)
    naive = []
    for _ in range(4000):
        drawn = [groups[k] for k in rng.integers(0, len(groups), len(groups))]
        naive.append(np.concatenate(drawn).mean())
    low, high = percentile_interval(bootstrap_ratios(*sums_and_counts(groups), 20_000, seed=3))
    expected = np.percentile(naive, [2.5, 97.5])
    spread = np.std(naive)
    assert abs(low[0] - expected[0]) < 0.15 * spread
    assert abs(high[0] - expected[1]) < 0.15 * spread


def test_bootstrap_over_subjects_is_wider_than_over_images():
    groups = clustered(np.random.default_rng(4), 60)
    everything = np.concatenate(groups)
    low, high = percentile_interval(bootstrap_ratios(*sums_and_counts(groups), 4000))
    normal = normal_interval(everything)
    assert high[0] - low[0] > 1.3 * (normal[1] - normal[0])


def test_bootstrap_columns_share_their_draws_and_the_seed_decides():
    sums, counts = sums_and_counts(clustered(np.random.default_rng(5)))
    ratios = bootstrap_ratios(np.hstack([sums, sums + 2 * counts]), np.hstack([counts] * 2), 500, 7)
    np.testing.assert_allclose(ratios[:, 1] - ratios[:, 0], 2)
    np.testing.assert_allclose(ratios[:, :1], bootstrap_ratios(sums, counts, 500, 7))
    assert not np.allclose(ratios[:, :1], bootstrap_ratios(sums, counts, 500, 8))


def test_bootstrap_in_blocks_equals_one_block(monkeypatch):
    sums, counts = sums_and_counts(clustered(np.random.default_rng(6)))
    whole = bootstrap_ratios(sums, counts, 300, 1)
    monkeypatch.setattr("regress.inference._BLOCK", 7 * len(sums))
    np.testing.assert_allclose(bootstrap_ratios(sums, counts, 300, 1), whole)


def test_a_column_without_values_has_no_interval():
    sums = np.array([[1.0, 0.0], [2.0, 0.0]])
    counts = np.array([[1.0, 0.0], [1.0, 0.0]])
    low, high = percentile_interval(bootstrap_ratios(sums, counts, 200))
    assert (low[0], high[0]) == (1.0, 2.0)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


def test_normal_interval_is_that_of_the_textbook():
    errors = np.array([1.0, 2.0, 3.0, 4.0])
    half = 1.96 * np.sqrt(5 / 3) / 2
    assert normal_interval(errors) == pytest.approx((2.5 - half, 2.5 + half))
    assert np.isnan(normal_interval(errors[:1])).all()


def by_scipy(first, second, n_resamples=9999):
    return stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.sum(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        rng=np.random.default_rng(123),
    ).pvalue


def one(first, second, **options):
    return sign_flip_test((first - second)[:, None], **options)[0]


@pytest.mark.parametrize("n", [1, 2, 9, 13])
def test_sign_flips_are_exact_for_few_subjects(n):
    first, second = np.random.default_rng(8).gamma(2, 3, (2, n))
    change = first - second
    swaps = np.array(list(itertools.product([1, -1], repeat=n))) @ change
    reached = (np.abs(swaps) >= abs(change.sum()) - 1e-9).mean()
    assert one(first, second) == pytest.approx(reached)
    if n > 1:
        assert one(first, second) == pytest.approx(by_scipy(first, second))


def test_sign_flips_agree_with_scipy_and_with_the_normal_approximation():
    rng = np.random.default_rng(9)
    first = rng.gamma(2, 3, 82)
    others = [first + rng.normal(shift, 1, 82) for shift in (0.0, 0.1, 0.2, 0.3)]
    changes = np.stack([first - second for second in others], axis=1)
    p = sign_flip_test(changes, 40_000)
    np.testing.assert_allclose(p, [by_scipy(first, s) for s in others], atol=0.015)
    z = np.abs(changes.sum(axis=0)) / np.sqrt((changes**2).sum(axis=0))
    np.testing.assert_allclose(p, 2 * stats.norm.sf(z), atol=0.015)


def test_sign_flips_find_what_wilcoxon_finds_and_nothing_where_nothing_is():
    rng = np.random.default_rng(10)
    first = rng.gamma(2, 3, 82)
    worse = first + rng.normal(0.8, 1, 82)
    same = first + rng.normal(0, 1, 82)
    for second in (worse, same):
        assert (one(first, second) < 0.01) == (stats.wilcoxon(first, second).pvalue < 0.01)
    assert one(first, worse) == one(worse, first)
    assert one(first, first) == 1


def test_sign_flips_in_blocks_and_with_idle_clusters_are_the_same(monkeypatch):
    changes = np.random.default_rng(3).normal(0.2, 1, (30, 2))
    whole = sign_flip_test(changes, 5000, seed=1)
    idle = np.vstack([changes, np.zeros((5, 2))])
    np.testing.assert_allclose(sign_flip_test(idle, 5000), whole, atol=0.03)
    monkeypatch.setattr("regress.inference._BLOCK", 900)
    np.testing.assert_allclose(sign_flip_test(changes, 5000, seed=1), whole, atol=0.03)


def test_p_values_are_uniform_where_methods_are_alike():
    first, second = np.random.default_rng(11).gamma(2, 3, (2, 16, 400))
    p = sign_flip_test(first - second, n_resamples=999)
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_holm_by_hand():
    # 4 × 0.01; 3 × 0.01 raised to the former; 2 × 0.03 = 0.06; 0.04 raised to 0.06
    adjusted = holm(np.array([0.04, 0.01, 0.03, 0.01]))
    np.testing.assert_allclose(adjusted, [0.06, 0.04, 0.06, 0.04])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.02])), [0.02, np.nan, 0.02])
    assert holm(np.array([])).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holm_rejects_as_the_step_down_procedure_does(values):
    p = np.array(values)
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.2):
        rejected = np.zeros(len(p), bool)
        for step, k in enumerate(np.argsort(p, kind="stable")):
            if p[k] * (len(p) - step) > alpha:
                break
            rejected[k] = True
        np.testing.assert_array_equal(adjusted <= alpha, rejected)
