"""Intervals and tests for a mean absolute error whose images cluster in subjects."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK = 4_000_000  # bootstrap weights, or flipped values, held in memory at a time


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


def ratio_limits(
    sums: np.ndarray, counts: np.ndarray, n_resamples: int, seed: int, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile limits of ratios of sums, as `bootstrap_ratios` draws them.

    NaN where there is but one cluster, which no resampling varies.
    """
    if len(sums) < 2:
        low, high = np.full((2, sums.shape[1]), np.nan)
        return low, high
    return percentile_interval(bootstrap_ratios(sums, counts, n_resamples, seed), confidence)


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


def sign_flip_test(changes: np.ndarray, n_resamples: int = 9999, seed: int = 0) -> np.ndarray:
    """Return two-sided p-values of paired permutation tests over clusters, one a column.

    Under the null hypothesis the two methods' errors on a subject could be swapped, which flips
    the sign of the subject's change; the statistic is the sum of the changes, that is, the
    difference in mean absolute error times the number of images. All columns share the flips.
    Exact where there are no more than `n_resamples` ways to flip, else ``(1 + reached) / (1 + n)``.
    (`scipy.stats.permutation_test` gives the same one pair at a time; the 120 pairs of 16 methods
    took it 17 s, which are one matrix product here.)

    Parameters
    ----------
    changes : ndarray of shape (clusters, columns)
        For each cluster the sum of absolute errors of the first method minus that of the second,
        over the images both predicted; 0 where there are none.
    n_resamples : int
        Number of random flips.
    seed : int
        Seed of the flips.

    Returns
    -------
    ndarray of shape (columns,), float64

    References
    ----------
    Phipson and Smyth, Permutation p-values should never be zero, Stat. Appl. Genet. Mol. Biol. 9,
    2010.
    """
    clusters = len(changes)
    observed = np.abs(changes.sum(axis=0))
    least = observed - 1e-9 * np.abs(changes).sum(axis=0)  # equal but for rounding counts
    if clusters < 63 and 2**clusters <= n_resamples:
        ways = np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return (np.abs((2.0 * ways - 1) @ changes) >= least).mean(axis=0)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(clusters, 1))
    reached = np.ones(changes.shape[1])
    for start in range(0, n_resamples, block):
        size = (min(block, n_resamples - start), clusters)
        flips = 2.0 * rng.integers(0, 2, size, dtype=np.int8) - 1
        reached += (np.abs(flips @ changes) >= least).sum(axis=0)
    return reached / (n_resamples + 1)


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
