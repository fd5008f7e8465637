"""Likeness of maps against SciPy, and against windows taken one by one."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from featx.explanation.similarity import rank_correlation, structural_similarity

RNG = np.random.default_rng(4)
MAPS, OTHERS = RNG.normal(size=(5, 7, 6)), RNG.normal(size=(5, 7, 6))


def test_rank_correlation_is_spearman_s():
    others = OTHERS.copy()
    others[2] = np.round(others[2])  # ties
    wanted = [spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(MAPS, others, strict=True)]
    np.testing.assert_allclose(rank_correlation(MAPS, others), wanted)
    np.testing.assert_allclose(rank_correlation(MAPS, np.exp(MAPS)), 1)
    np.testing.assert_allclose(rank_correlation(MAPS, -MAPS), -1)


def test_a_map_that_is_even_ranks_nothing():
    assert rank_correlation(MAPS, np.ones_like(MAPS)).tolist() == [0] * 5


@pytest.mark.parametrize(("shape", "window"), [((7, 6), 3), ((30, 40), 5), ((48, 48), 9)])
def test_structural_similarity_window_by_window(shape, window):
    a, b = RNG.random((2, *shape))
    a, b = ((each - each.min()) / np.ptp(each) for each in (a, b))
    found = []
    for top in range(shape[0] - window + 1):
        for left in range(shape[1] - window + 1):
            x, y = (each[top : top + window, left : left + window].ravel() for each in (a, b))
            together = np.cov(x, y, bias=True)
            found.append(
                (2 * x.mean() * y.mean() + 1e-4)
                * (2 * together[0, 1] + 9e-4)
                / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
                / (together[0, 0] + together[1, 1] + 9e-4)
            )
    given = structural_similarity(10 * a[None] - 3, b[None])  # scale and offset play no part
    assert given[0] == pytest.approx(np.mean(found))


def test_equal_maps_are_alike():
    np.testing.assert_allclose(structural_similarity(MAPS, MAPS), 1)
    assert (structural_similarity(MAPS, OTHERS) < 0.6).all()
    assert (structural_similarity(MAPS, -MAPS) < 0).all()
