"""Methods by their mean rank over subjects, with Friedman's test and who cannot be told apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from regress.compare import SIGNIFICANCE, Comparison


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of three methods or more; methods are in the order of their mean rank.

    Attributes
    ----------
    methods : tuple of int
        Each method's place in the comparison's ranking, from 0.
    names : tuple of str
        The methods' names.
    mean_rank : numpy.ndarray, float64, shape (methods,)
        1 is the best; methods with equal errors share the mean of their ranks.
    bars : tuple of (int, int)
        First and last place, in this order of methods, of those that no paired test tells apart.
    unjoined : int
        Pairs that are not told apart and stand under no common bar, since a method between them is
        told apart from one of the two.
    n_blocks, n_left_out : int
        Subjects (or images) with predictions of every method, and without.
    chi2, p : float
        Friedman's statistic, corrected for ties, and its p-value by the χ² distribution with
        (methods − 1) degrees of freedom; NaN where all errors are equal.
    """

    methods: tuple[int, ...]
    names: tuple[str, ...]
    mean_rank: np.ndarray
    bars: tuple[tuple[int, int], ...]
    unjoined: int
    n_blocks: int
    n_left_out: int
    chi2: float
    p: float


def mean_ranks(comparison: Comparison) -> Ranks | None:
    """Rank the methods within each subject by their mean absolute error on its images.

    The blocks of Friedman's test must be independent, which images of one person are not: so they
    are subjects, or images where subjects are unknown. Subjects that some method has not predicted
    are left out.

    Bars join methods by the comparison's own paired tests, with Holm's adjustment over all pairs,
    and not by Nemenyi's test of mean ranks: whether two methods differ by mean ranks depends on
    which others are in the comparison (Benavoli et al. 2016), and the page would give two verdicts
    on one pair. A pair that could not be tested counts as not told apart. A bar stands over
    methods that are neighbours in mean rank, each pair of which is not told apart.

    Returns
    -------
    Ranks or None
        None for fewer than three methods, or fewer than two subjects that all of them predicted.

    References
    ----------
    Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006;
    Benavoli, Corani and Mangili, Should we really use post-hoc tests based on mean-ranks?, JMLR
    17, 2016.
    """
    table = comparison.by_subject
    if len(comparison.names) < 3:
        return None
    errors = table.pivot(index=comparison.unit, columns="method", values="mae")
    errors = errors[list(comparison.names)]
    whole = errors.dropna().to_numpy(float)
    if len(whole) < 2:
        return None
    import scipy.stats  # a second, which two methods need not wait for

    means = scipy.stats.rankdata(whole, axis=1).mean(axis=0)
    order = np.argsort(means, kind="stable")
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 where all errors are equal
        chi2, p = scipy.stats.friedmanchisquare(*whole.T)
    alike = _alike(comparison)[np.ix_(order, order)]
    bars = _bars(alike)
    joined = np.zeros(alike.shape, bool)
    for first, last in bars:
        joined[first : last + 1, first : last + 1] = True
    return Ranks(
        tuple(int(k) for k in order),
        tuple(comparison.names[k] for k in order),
        means[order],
        bars,
        int(np.triu(alike & ~joined, 1).sum()),
        len(whole),
        len(errors) - len(whole),
        float(chi2),
        float(p),
    )


def _alike(comparison: Comparison) -> np.ndarray:
    """Return which methods are not told apart, bool (methods, methods), in the ranking's order."""
    place = {name: k for k, name in enumerate(comparison.names)}
    alike = np.eye(len(place), dtype=bool)
    for row in comparison.tests.to_dict("records"):
        i, j = place[row["first"]], place[row["second"]]
        alike[i, j] = alike[j, i] = not row["p_holm"] < SIGNIFICANCE
    return alike


def _bars(alike: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return the longest runs of two methods or more that are all alike, as (first, last)."""
    bars: list[tuple[int, int]] = []
    for first in range(len(alike)):
        last = first
        while last + 1 < len(alike) and alike[first : last + 1, last + 1].all():
            last += 1
        if last > first and (not bars or last > bars[-1][1]):
            bars.append((first, last))
    return tuple(bars)


def ranks_table(ranks: Ranks, unit: str) -> pd.DataFrame:
    """Return a row a method: its mean rank, the bars over it, and Friedman's test of all."""
    over = [
        [str(k) for k, (first, last) in enumerate(ranks.bars, start=1) if first <= place <= last]
        for place in range(len(ranks.names))
    ]
    return pd.DataFrame(
        {
            "method": ranks.names,
            "mean_rank": ranks.mean_rank,
            "bars": [" ".join(numbers) for numbers in over],
            f"n_{unit}s": ranks.n_blocks,
            "friedman_chi2": ranks.chi2,
            "friedman_p": ranks.p,
        }
    )
