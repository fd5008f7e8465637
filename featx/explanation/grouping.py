"""Whose faces a mean map is of: each subject's, each age group's, or all of an image table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from featx.errors import FeatxError, unknown
from featx.identities import people
from featx.manifest import table_file
from featx.prepared import crop_settings
from featx.training.images.labels import bounds, drop_uncovered, label
from featx.training.images.samples import Samples, read_samples

By = Literal["subject", "age_group", "all"]
BYS: tuple[By, ...] = get_args(By)


@dataclass(frozen=True)
class Grouping:
    """The usable images of a prepared folder, group by group.

    Attributes
    ----------
    by : {"subject", "age_group", "all"}
        What makes a group.
    names : tuple of str
        The groups'.
    samples : Samples
        The images that are in a group, each group's together, in the order of `names`.
    starts : numpy.ndarray
        int64, (groups + 1,): where each group begins in `samples`, and its end.
    n_total, n_usable : int
        Rows of the table, and those with status ``ok``, each picture once.
    crops : dict or None
        How the crops were made, where ``prepare.json`` tells.
    """

    by: By
    names: tuple[str, ...]
    samples: Samples
    starts: np.ndarray
    n_total: int
    n_usable: int
    crops: dict[str, Any] | None

    @property
    def warning(self) -> str:
        """Why the faces may not lie alike in their crops; empty where they are aligned."""
        if self.crops is None:
            return "no prepare.json tells how the crops were made"
        if self.crops.get("crop") == "aligned":
            return ""
        if self.crops.get("crop") == "margin":
            return f"the crops have a margin of {self.crops.get('margin')} and are not aligned"
        return "the images were taken whole, without alignment"

    def told(self) -> str:
        """Return it in a line."""
        count = len(self.samples)
        groups = {"subject": "subjects", "age_group": "age groups", "all": "group"}[self.by]
        rest = self.n_usable - count
        without = {"subject": "subject", "age_group": "group"}.get(self.by, "")
        left = f"; {rest} without {without} left out" if rest else ""
        return (
            f"{count} of {self.n_total} rows, {len(self.names)} {groups} "
            f"({self.n_total - self.n_usable} not ok or seen before{left})"
        )

    def digest(self, group: int) -> str:
        """Return a SHA-256 of a group's images."""
        rows = np.arange(self.starts[group], self.starts[group + 1])
        text = f"{self.names[group]}\t{self.samples.take(rows).digest()}"
        return hashlib.sha256(text.encode()).hexdigest()


def read_grouping(table: str | Path, by: str, groups: Sequence[str] = ()) -> Grouping:
    """Read a prepared folder's images and put them in groups.

    Parameters
    ----------
    table : str or Path
        The folder of `featx prepare`, or an image table.
    by : str
        Of `BYS`. Age groups are those of the table or, of rows that have an age alone, its decade.
    groups : sequence of str
        Age groups (``0-12``) to take in place of these, in order and without overlap; rows outside
        are left out.

    Raises
    ------
    FeatxError
        If the table cannot be read, or no image of it is in a group.
    """
    if by not in BYS:
        raise unknown("--average-by", by, BYS)
    if groups and by != "age_group":
        raise FeatxError("--groups are for --average-by age_group")
    samples = read_samples([table])
    if groups:
        middles = [sum(bounds(group)) / 2 for group in groups]
        inside = drop_uncovered(samples, middles, groups)
        found = [groups[index] for index in label(inside, middles, groups).index]
    else:
        inside, found = samples, _groups_of(samples, by)
    kept = np.array([bool(name) for name in found], bool)
    if not kept.any():
        raise FeatxError(f"{table}: none of {len(samples)} images has {_WANTED[by]}")
    labels = np.array(found, object)[kept]
    names = sorted(set(labels), key=_place)
    number = {name: place for place, name in enumerate(names)}
    index = np.array([number[name] for name in labels], int)
    order = np.argsort(index, kind="stable")
    return Grouping(
        by=next(each for each in BYS if each == by),
        names=tuple(names),
        samples=inside.take(np.flatnonzero(kept)[order]),
        starts=np.searchsorted(index[order], np.arange(len(names) + 1)),
        n_total=samples.n_total,
        n_usable=len(samples),
        crops=crop_settings([table_file(table)])[0],
    )


_WANTED = {"subject": "a subject", "age_group": "an age or an age group", "all": "a face"}


def _groups_of(samples: Samples, by: str) -> list[str]:
    """Return each image's group, empty where it has none."""
    table = samples.table
    if by == "all":
        return ["all"] * len(table)
    if by == "age_group":
        return [
            group or ("" if np.isnan(age) else f"{int(age) // 10 * 10}-{int(age) // 10 * 10 + 9}")
            for group, age in zip(table["age_group"], table["age"], strict=True)
        ]
    several = table["dataset"].nunique() > 1  # whose subjects may have the same names
    shown: dict[str, str] = {}  # a person is called as where first named
    who = people(table)
    for person, dataset, subject in zip(who, table["dataset"], table["subject"], strict=True):
        shown.setdefault(person, f"{dataset} {subject}" if several and subject else subject)
    return [shown[person] for person in who]


def _place(name: str) -> tuple[str, float, str]:
    """Return a key by which 4-6 goes before 15-20, and s9 before s10."""
    number = re.search(r"\d+", name)
    return name[: number.start()] if number else name, float(number[0]) if number else 0, name
