"""How alike two maps are: by rank, and by structure."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata

#: The constants that keep structural similarity finite, for values 0 to 1 (Wang et al. 2004).
_C1, _C2 = 0.01**2, 0.03**2


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of each map with its other, over their places.

    Parameters
    ----------
    maps, others : numpy.ndarray
        (n, h, w).

    Returns
    -------
    numpy.ndarray
        float64, (n,); 0 where a map is the same everywhere, for such a map ranks nothing.
    """
    ranks = [rankdata(each.reshape(len(each), -1), axis=1) for each in (maps, others)]
    one, other = (each - each.mean(1, keepdims=True) for each in ranks)
    size = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    return np.divide((one * other).sum(1), size, out=np.zeros(len(one)), where=size > 0)


def structural_similarity(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the mean structural similarity (SSIM) of each map with its other.

    Each map is brought to 0 to 1 by its own least and largest value. The windows are square and
    flat, a sixth of the map's shorter side, and at least 3, wide (Wang, Bovik, Sheikh and
    Simoncelli 2004, "Image quality assessment: from error visibility to structural similarity",
    equation 13, with population variances), and lie wholly inside.

    Parameters
    ----------
    maps, others : numpy.ndarray
        (n, h, w), h and w of 3 or more.

    Returns
    -------
    numpy.ndarray
        float64, (n,), 1 for equal maps.
    """
    one, other = _unit(maps), _unit(others)
    height, width = one.shape[1:]
    window = max(3, min(height, width) // 6 // 2 * 2 + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, (0, window, window), mode="nearest")

    a, b = mean(one), mean(other)
    variance_a, variance_b = mean(one**2) - a**2, mean(other**2) - b**2
    covariance = mean(one * other) - a * b
    found = ((2 * a * b + _C1) * (2 * covariance + _C2)) / (
        (a**2 + b**2 + _C1) * (variance_a + variance_b + _C2)
    )
    edge = window // 2
    return found[:, edge : height - edge, edge : width - edge].mean((1, 2))


def _unit(maps: np.ndarray) -> np.ndarray:
    maps = maps.astype(np.float64)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low)
