"""Whether predicted distributions of age are as wide as the errors are: coverage, PIT and CRPS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from regress.compare import CONFIDENCE, Comparison
from regress.inference import ratio_limits
from regress.predictions import Run
from regress.probabilities import Probabilities, has_probabilities, read_probabilities

#: Nominal coverage of central intervals.
LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
PIT_EDGES = np.linspace(0, 1, 11)
_ROUNDING = 0.5  # years: as far may a label be from the class that stands for it


@dataclass(frozen=True)
class Calibration:
    """Calibration of the methods that predict distributions of age.

    Attributes
    ----------
    coverage : pandas.DataFrame
        A row a method and nominal level: ``nominal``, ``coverage``, ``low``, ``high`` (shares).
    pit : pandas.DataFrame
        A row a method and bin: ``pit_from``, ``pit_below``, ``share``.
    scores : pandas.DataFrame
        A row a method: ``crps``, ``crps_low``, ``crps_high`` (years), ``calibration_error`` (mean
        absolute difference of coverage and nominal level), ``width_80`` (mean width of the central
        80 % interval, years), ``n_images``.
    """

    coverage: pd.DataFrame
    pit: pd.DataFrame
    scores: pd.DataFrame


def calibrate(comparison: Comparison) -> Calibration | None:
    """Measure the calibration of each method that has probabilities of ages; None if none has.

    Intervals are percentile bootstraps over subjects.
    """
    names, values = [], []
    coverage, pit, scores = [], [], []
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        given = _of_ages(run)
        if given is None:
            continue
        ages = run.predictions["age"].to_numpy(float)
        low, high = pit_limits(given, ages)
        below = (share_below(low, high, (1 + sign * LEVELS) / 2) for sign in (1, -1))
        central = np.subtract(*below)
        crps = ranked_probability_scores(given, ages)
        observed = central.mean(axis=0)
        names.append(name)
        values.append((run.predictions["image"], np.column_stack([central, crps])))
        coverage += [
            {"method": name, "nominal": level, "coverage": share}
            for level, share in zip(LEVELS, observed, strict=True)
        ]
        binned = np.diff(share_below(low, high, PIT_EDGES), axis=1).mean(axis=0)
        pit += [
            {"method": name, "pit_from": start, "pit_below": end, "share": share}
            for start, end, share in zip(
                PIT_EDGES[:-1].round(2), PIT_EDGES[1:].round(2), binned, strict=True
            )
        ]
        scores.append(
            {
                "method": name,
                "crps": crps.mean(),
                "calibration_error": np.abs(observed - LEVELS).mean(),
                "width_80": (quantile(given, 0.9) - quantile(given, 0.1)).mean(),
                "n_images": len(ages),
            }
        )
    if not names:
        return None
    errors = comparison.errors
    sums = np.hstack([errors.total_of(images, own) for images, own in values])
    counts = np.hstack([errors.total_of(images, np.ones_like(own)) for images, own in values])
    limits = ratio_limits(sums, counts, comparison.bootstrap, comparison.seed, CONFIDENCE)
    lows, highs = (limit.reshape(len(names), -1) for limit in limits)
    return Calibration(
        pd.DataFrame(coverage).assign(low=lows[:, :-1].ravel(), high=highs[:, :-1].ravel()),
        pd.DataFrame(pit),
        pd.DataFrame(scores).assign(crps_low=lows[:, -1], crps_high=highs[:, -1]),
    )


def _of_ages(run: Run) -> Probabilities | None:
    """Return a run's probabilities of ages, in order of age and summing to 1; None if it has none.

    A network that tells groups has none of ages.
    """
    if not has_probabilities(run):
        return None
    given = read_probabilities(run)
    if given.classes.dtype.kind == "U":
        return None
    order = np.argsort(given.classes)
    values = given.values[:, order]
    return Probabilities(given.classes[order], values / values.sum(axis=1, keepdims=True))


def pit_limits(given: Probabilities, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of each image's probability integral transform.

    The predicted distribution is discrete, so that the transform of a true age y is anywhere
    between F(y−), the probability of all younger classes, and F(y), which adds y's own. An age is
    that of the class nearest to it, if that is within half a year; any other age is of no class,
    and both limits are the probability of the younger ones.

    Parameters
    ----------
    given : Probabilities
        Of ages in rising order, each row summing to 1.
    ages : numpy.ndarray, shape (images,)
        True ages in years.

    Returns
    -------
    low, high : numpy.ndarray, float64, shape (images,)
        From 0 to 1.

    References
    ----------
    Czado, Gneiting and Held, Predictive model assessment for count data, Biometrics 65, 2009.
    """
    classes = given.classes
    below = np.column_stack([np.zeros(len(ages)), np.cumsum(given.values, axis=1)]).clip(0, 1)
    rows = np.arange(len(ages))
    nearest = np.abs(ages[:, None] - classes[None, :]).argmin(axis=1)
    own = np.abs(ages - classes[nearest]) <= _ROUNDING
    younger = np.searchsorted(classes, ages)
    low = below[rows, np.where(own, nearest, younger)]
    high = below[rows, np.where(own, nearest + 1, younger)]
    return low, high


def share_below(low: np.ndarray, high: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return how much of each transform's range lies below some values, float64 (images, values).

    The transform is spread evenly over its range, so a perfect forecast has on average the share u
    below u, whatever its classes; all of it lies below 1, and nothing below 0.
    """
    width = (high - low)[:, None]
    apart = np.divide(at - low[:, None], width, out=np.zeros((len(low), len(at))), where=width > 0)
    share = np.where(width > 0, apart.clip(0, 1), 1.0 * (low[:, None] < at))
    share[:, at >= 1] = 1.0
    return share


def ranked_probability_scores(given: Probabilities, ages: np.ndarray) -> np.ndarray:
    """Return each image's continuous ranked probability score in years, float64 (images,).

    CRPS = ∫ (F(x) − [y ≤ x])² dx = E|X − y| − E|X − X'|/2 for X, X' independent and distributed as
    predicted; that of a distribution that is certain is the absolute error.

    Parameters
    ----------
    given : Probabilities
        Of ages in rising order, each row summing to 1.
    ages : numpy.ndarray, shape (images,)
        True ages in years.

    References
    ----------
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 102, 2007.
    """
    classes = given.classes.astype(float)
    away = (given.values * np.abs(ages[:, None] - classes[None, :])).sum(axis=1)
    below = np.cumsum(given.values, axis=1)[:, :-1]
    return away - (below * (1 - below)) @ np.diff(classes)


def quantile(given: Probabilities, level: float) -> np.ndarray:
    """Return the first class up to which at least so much probability lies, float64 (images,)."""
    reached = np.cumsum(given.values, axis=1) >= level - 1e-9
    return given.classes[reached.argmax(axis=1)]
