"""The labelled images that a stage trains on: tables joined and filtered, and sides kept apart."""

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
from featx.training.images.hashes import fill_hashes

if TYPE_CHECKING:
    from featx.training.config.stage import Filter


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
