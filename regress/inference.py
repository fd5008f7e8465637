"""Intervals and tests for a mean absolute error whose images cluster in subjects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

_BLOCK = 4_000_000  # bootstrap weights, or flipped values, held in memory at a time
_MANY = 2000  # clusters above which swapping at random takes long and tells nothing more


def bootstrap_ratios(
    sums: np.ndarray, counts: np.ndarray, n_resamples: int = 5000, seed: int = 0
) -> np.ndarray:
    """Resample clusters with replacement and return the ratio of sums in every resample.

    The mean over images is a ratio (sum of errors over number of images) whose numerator and
    denominator both vary when subjects are drawn, since subjects differ in their number of
    images. Every column sees the same draws, so differences of columns are paired.

    Parameters
    ----------
    sums : ndarray of shape (clusters, columns)
        Sum of the values within each cluster.
    counts : ndarray of shape (clusters, columns)
        Number of values within each cluster; 0 where a column has none there.
    n_resamples : int
        Number of resamples.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of shape (n_resamples, columns), float64
        NaN where a resample drew no value of that column.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993; clusters as the resampled unit:
    Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.
    """
    ratios = [
        _ratio(weights @ sums, weights @ counts)
        for weights in _draws(len(sums), n_resamples, np.random.default_rng(seed))
    ]
    return np.concatenate(ratios)


def _draws(clusters: int, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield blocks of multinomial weights, shape (block, clusters): how often each is drawn."""
    block = max(1, _BLOCK // max(clusters, 1))
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        yield rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=size).astype(float)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def percentile_interval(
    ratios: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper percentile limits of each column of a bootstrap, shape (columns,).

    A column that no resample reached has NaN limits.
    """
    tail = 100 * (1 - confidence) / 2
    low, high = np.full((2, ratios.shape[1]), np.nan)
    reached = np.isfinite(ratios).any(axis=0)
    if reached.any():
        low[reached], high[reached] = np.nanpercentile(ratios[:, reached], [tail, 100 - tail], 0)
    return low, high


def normal_interval(errors: np.ndarray) -> tuple[float, float]:
    """Return mean ± 1.96 sd/√n, the interval of the cascaded fine-tuning paper (section 4).

    It takes images for independent, which those of one subject are not: it is as a rule too
    narrow, and is given for comparison with published intervals only. NaN for fewer than two.
    """
    if len(errors) < 2:
        return float("nan"), float("nan")
    half = 1.96 * float(np.std(errors, ddof=1)) / len(errors) ** 0.5
    mean = float(np.mean(errors))
    return mean - half, mean + half


def sign_flip_test(
    first: np.ndarray, second: np.ndarray, n_resamples: int = 9999, seed: int = 0
) -> float:
    """Return the two-sided p-value of a paired permutation test over clusters.

    Under the null hypothesis the two methods' errors on a subject could be swapped; the statistic
    is the sum over subjects of the difference, that is, the difference in mean absolute error
    times the number of images. Exact where 2^clusters is at most `n_resamples`; above 2,000
    clusters (images without subjects) the statistic is normal for all purposes and its null
    variance, the sum of squared differences, is used instead of random swaps.

    Parameters
    ----------
    first, second : ndarray of shape (clusters,)
        Sum of absolute errors in each cluster, over the images both methods predicted.
    n_resamples : int
        Number of random swaps.
    seed : int
        Seed of the swaps.

    Returns
    -------
    float
        NaN for fewer than two clusters, for which there is nothing to permute.
    """
    if len(first) < 2:
        return float("nan")
    if len(first) > _MANY:
        change = first - second
        scale = float(np.sqrt(np.sum(change**2)))
        return float(2 * stats.norm.sf(abs(np.sum(change)) / scale)) if scale else 1.0
    result = stats.permutation_test(
        (first, second),
        _difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        batch=max(1, _BLOCK // len(first)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.sum(first - second, axis=axis)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm's step-down procedure; NaN stay NaN and do not count.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.
    """
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]  # NaN sort last
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
