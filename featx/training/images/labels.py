"""What each image is to be recognised as: ages and groups mapped to classes, and genders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.heads import GENDERS
from featx.training.images.samples import Samples

#: Half a class: ages are measured in whole years, so 34.6 is of class 35.
_REACH = 0.5


@dataclass(frozen=True)
class Labels:
    """What each sample is to be recognised as in one task.

    Attributes
    ----------
    index : numpy.ndarray, int64, shape (n,)
        The class.
    age : numpy.ndarray, float32, shape (n,)
        Years: the age itself, or where only its group is known the group's value; NaN for gender.
    """

    index: np.ndarray
    age: np.ndarray

    def take(self, rows: np.ndarray) -> Labels:
        """Return some rows, by position."""
        return Labels(self.index[rows], self.age[rows])


def label(samples: Samples, classes: Sequence[float], groups: Sequence[str]) -> Labels:
    """Map samples to classes.

    Ages go to the class of the same whole year; with groups, a sample goes to the group that its
    own `age_group` is or lies in, or else that its age lies in.

    Parameters
    ----------
    samples : Samples
        To be mapped.
    classes : sequence of float
        The classes' values in years, increasing; empty for plain regression, which takes any age.
    groups : sequence of str
        The classes' names (``"15-20"``) where they are age groups, else empty.

    Raises
    ------
    FeatxError
        If a sample lies in no class; the first of them is named.
    """
    index, years = _classify(samples, classes, groups)
    _check_covered(samples, index, classes, groups)
    return Labels(index.astype(np.int64), years.astype(np.float32))


def drop_uncovered(samples: Samples, classes: Sequence[float], groups: Sequence[str]) -> Samples:
    """Return the samples that `label` can map to a class.

    Raises
    ------
    FeatxError
        If there are none.
    """
    inside = np.flatnonzero(_classify(samples, classes, groups)[0] >= 0)
    if not len(inside):
        raise FeatxError(f"none of {len(samples)} images lies in one of the head's classes")
    return samples.take(inside)


def _classify(
    samples: Samples, classes: Sequence[float], groups: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's class, -1 where it lies in none, and its age in years."""
    ages = samples.ages
    values = np.asarray(classes, float)
    if groups:
        index = _group_index(samples.table, groups)
        return index, np.where(np.isnan(ages), values[np.maximum(index, 0)], ages)
    if not len(classes):
        return np.where(np.isnan(ages), -1, 0), ages
    distance = np.abs(ages[:, None] - values[None, :])
    index = np.where(np.isnan(ages), 0, distance.argmin(1))
    reached = distance[np.arange(len(ages)), index] <= _REACH
    return np.where(reached, index, -1), ages


def label_gender(samples: Samples) -> Labels:
    """Map samples whose gender is known to their place in `GENDERS`."""
    index = pd.Index(GENDERS).get_indexer(pd.Index(samples.table["gender"])).astype(np.int64)
    return Labels(index, np.full(len(samples), np.nan, np.float32))


def nearest(samples: Samples, classes: Sequence[float]) -> Labels:
    """Map samples with ages to the nearest class, however far: for ages never trained on."""
    values = np.asarray(classes, float)
    index = np.abs(samples.ages[:, None] - values[None, :]).argmin(1)
    return Labels(index.astype(np.int64), samples.ages.astype(np.float32))


def bounds(group: str) -> tuple[float, float]:
    """Return the first and the last age of a group such as ``15-20``, in years."""
    low, _, high = group.partition("-")
    return float(low), float(high)


def _group_index(table: pd.DataFrame, groups: Sequence[str]) -> np.ndarray:
    spans = [bounds(group) for group in groups]

    def find(low: float, high: float) -> int:
        for number, (first, last) in enumerate(spans):
            if first <= low and high <= last:
                return number
        return -1

    found = []
    for group, age in zip(table["age_group"], table["age"], strict=True):
        if group:
            found.append(groups.index(group) if group in groups else find(*bounds(group)))
        else:
            found.append(-1 if np.isnan(age) else find(np.floor(age), np.floor(age)))
    return np.array(found, int)


def _check_covered(
    samples: Samples, index: np.ndarray, classes: Sequence[float], groups: Sequence[str]
) -> None:
    outside = np.flatnonzero(index < 0)
    if not len(outside):
        return
    first = samples.table.iloc[outside[0]]
    what = first["age_group"] or ("no age" if np.isnan(first["age"]) else f"age {first['age']:g}")
    covered = (
        ", ".join(groups) if groups else f"{classes[0]:g} to {classes[-1]:g}" if classes else ""
    )
    raise FeatxError(
        f"{len(outside)} of {len(samples)} images lie in none of the classes"
        f"{f' ({covered})' if covered else ''}: the first is {first['image']!r}, {what}; "
        "widen head.classes, or leave such images out by data.filter.age"
    )
