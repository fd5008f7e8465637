"""The labelled images that a stage trains on: tables joined, filtered, and mapped to classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featx.duplicates import has_conflict
from featx.errors import FeatxError
from featx.heads import GENDERS, Task
from featx.identities import people
from featx.manifest import crop_paths, read_table, table_file
from featx.training.hashes import fill_hashes

if TYPE_CHECKING:
    from featx.training.stage_config import Filter

#: Half a class: ages are measured in whole years, so 34.6 is of class 35.
_REACH = 0.5


@dataclass(frozen=True)
class Samples:
    """Usable rows of one or more image tables.

    Attributes
    ----------
    table : pandas.DataFrame
        As `featx.manifest.COLUMNS`, with a fresh index; the column `file` holds each image's path.
    n_total : int
        Rows of the tables before any was left out.
    positions : numpy.ndarray
        int64, shape (n,): each row's number among the samples that were read.
    """

    table: pd.DataFrame
    n_total: int
    positions: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.table)

    def take(self, rows: np.ndarray) -> Samples:
        """Return some rows, by position, in the order given."""
        table = self.table.iloc[rows].reset_index(drop=True)
        return Samples(table, self.n_total, self.positions[rows])

    @property
    def files(self) -> list[str]:
        """Each row's image file."""
        return self.table["file"].tolist()

    @property
    def ages(self) -> np.ndarray:
        """Ages in years, float64, NaN where unknown."""
        return self.table["age"].to_numpy(float)

    def digest(self) -> str:
        """Return a SHA-256 over the rows' images and labels, in order."""
        columns = ["image", "sha256", "subject", "age", "age_group", "crop"]
        lines = self.table[columns].astype(str).fillna("nan").agg("\t".join, axis=1)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_samples(tables: Sequence[str | Path]) -> Samples:
    """Read image tables and join their usable rows (status ``ok``).

    An image that several tables hold (by its bytes) is taken once, from the first of them. Where a
    row lacks its hash, that is taken from the file.

    Raises
    ------
    FeatxError
        If a table cannot be read, no row is usable, or a row has neither a hash nor a file.
    """
    parts = []
    for path in map(table_file, tables):
        table = read_table(path)
        table["file"] = pd.Series(crop_paths(table, path.parent), dtype=object)  # of any name
        # rows made by hand may be several crops of one picture: those are not one image
        table["own_crop"] = (table["sha256"] == "") & (table["crop"] != "")
        table = fill_hashes(table, path.parent)
        parts.append(table)
    joined = pd.concat(parts, ignore_index=True)
    n_total = len(joined)
    usable = joined[joined["status"] == "ok"]
    repeated = usable["sha256"].duplicated() & ~usable["own_crop"]
    usable = usable[~repeated].drop(columns="own_crop").reset_index(drop=True)
    if usable.empty:
        raise FeatxError(f"{', '.join(map(str, tables))}: none of {n_total} rows has status ok")
    return Samples(usable, n_total, np.arange(len(usable)))


def apply_filter(
    samples: Samples, wanted: Filter | None, tasks: Sequence[Task] = ("age",)
) -> Samples:
    """Return the rows that have all labels that are needed, and that a filter lets through.

    Parameters
    ----------
    samples : Samples
        To choose from.
    wanted : Filter or None
        The filter.
    tasks : sequence of str
        ``age`` needs an age or an age group, ``gender`` female or male.

    Raises
    ------
    FeatxError
        If there are none.
    """
    labelled = np.ones(len(samples), bool)
    for task in tasks:
        labelled &= _has_label(samples.table, task)
        if not labelled.any():
            what = "an age or an age group" if task == "age" else "a gender (female or male)"
            raise FeatxError(f"none of {len(samples)} images has {what} to train on")
    samples = samples.take(np.flatnonzero(labelled))
    if wanted is None:
        return samples
    table = samples.table
    keep = np.ones(len(table), bool)
    if wanted.age is not None:
        low, high = wanted.age
        keep &= ((table["age"] >= low) & (table["age"] <= high)).to_numpy()
    for column in ("gender", "dataset"):
        values = getattr(wanted, column)
        if values is not None:
            keep &= table[column].isin(values).to_numpy()
    if wanted.conflicting_labels == "drop":
        keep &= ~has_conflict(table).to_numpy()
    if wanted.sample is not None:
        keep &= _drawn(table, wanted.sample)
    if not keep.any():
        raise FeatxError(
            f"the filter ({wanted.model_dump(exclude_none=True)}) lets none of {len(table)} "
            "images through; widen it"
        )
    return samples.take(np.flatnonzero(keep))


def _drawn(table: pd.DataFrame, share: float) -> np.ndarray:
    """Return which pictures are of a share; a hash's first 48 bits are a number of [0, 2⁴⁸)."""
    numbers = table["sha256"].str[:12].map(lambda digits: int(digits, 16))
    return (numbers < share * 2**48).to_numpy(bool)


def _has_label(table: pd.DataFrame, task: Task) -> np.ndarray:
    if task == "gender":
        return table["gender"].isin(GENDERS).to_numpy()
    return (table["age"].notna() | (table["age_group"] != "")).to_numpy()


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


def check_disjoint(train: Samples, held_out: Samples, what: str) -> None:
    """Prove that no person and no byte-identical image is on both sides.

    Raises
    ------
    FeatxError
        Naming the subjects or images that are on both sides.
    """
    for column, told in (("subject", "subject"), ("sha256", "byte-identical image")):
        left, right = (_identities(side.table, column) for side in (train, held_out))
        both = sorted(set(left) & set(right) - {""})
        if both:
            if column == "sha256":
                both = train.table.loc[train.table["sha256"].isin(both), "image"].tolist()
            else:
                spelt = dict(zip(right, held_out.table["subject"], strict=True))
                both = [spelt[person] for person in both]
            some = ", ".join(both[:5]) + (f" and {len(both) - 5} more" if len(both) > 5 else "")
            raise FeatxError(
                f"{told} in the training images and in {what}: {some}; leave them out of one "
                "(data.filter.without names tables whose people and images are left out)"
            )


def _identities(table: pd.DataFrame, column: str) -> list[str]:
    return (people(table) if column == "subject" else table[column]).tolist()
