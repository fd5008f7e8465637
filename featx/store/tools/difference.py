"""In what two features files differ: provenance, images, numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.store import comparison
from featx.store.blocks import row_blocks
from featx.store.opening import reading
from featx.store.reader import FeaturesFile
from featx.store.schema import IMAGE_COLUMNS


@dataclass
class Largest:
    """The largest of some differences, and the image in which it is."""

    value: float = 0.0
    image: str = ""

    def take(self, differences: np.ndarray, images: np.ndarray) -> None:
        """Look at the differences of more rows, shape (n, units)."""
        rows = differences.max(axis=1, initial=0.0)
        row = int(np.argmax(rows))
        if rows[row] > self.value:
            self.value, self.image = float(rows[row]), str(images[row])


def differences(one: str | Path, other: str | Path) -> list[str]:
    """Return in what two features files differ, a line each.

    Rows are matched by their image. `created` and `context`, which decide nothing, and the
    compression don't count.

    Parameters
    ----------
    one, other : str or Path
        The files.

    Returns
    -------
    list of str
        None where provenance, images and all numbers are equal, NaN being equal to NaN.

    Raises
    ------
    FeatxError
        If one of them cannot be read, or has an image twice.
    """
    with FeaturesFile(one) as first, FeaturesFile(other) as second:
        return list(_differences(first, second))


def _differences(one: FeaturesFile, other: FeaturesFile) -> Iterator[str]:
    settings = []
    for file in (one, other):
        with reading(file.path):
            settings.append(comparison.read_settings(file.hdf5))
    for what, was, now in comparison.setting_differences(*settings):
        yield f"{what} {was} | {now}"
    if one.config_hash != other.config_hash:
        yield f"config hash is {one.config_hash} | {other.config_hash}"
    for left, right in ((one, other), (other, one)):
        only = _index(left).difference(_index(right), sort=False)
        if len(only):
            yield f"only in {left.path}: {_count(len(only), 'image')}, {_some(only)}"
    shared = _index(one).intersection(_index(other), sort=False)
    rows, others = (_index(file).get_indexer(shared) for file in (one, other))
    if (np.diff(others) < 0).any():
        yield "the images are in another order"
    yield from _columns(one.images.iloc[rows], other.images.iloc[others])
    for name in one.layers:
        if name in other.layers and len(shared):
            if one.layers[name].units != other.layers[name].units:
                continue  # which the settings tell
            yield from _numbers(one, other, name, rows, others)


def _index(file: FeaturesFile) -> pd.Index:
    index = pd.Index(file.images["image"])
    if not index.is_unique:
        name = index[index.duplicated()][0]
        raise FeatxError(f"{file.path} has image {name!r} twice; see `featx verify {file.path}`")
    return index


def _columns(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[str]:
    for column in IMAGE_COLUMNS[1:]:
        was, now = one[column].to_numpy(), other[column].to_numpy()
        differ = np.flatnonzero((was != now) & ~(pd.isna(was) & pd.isna(now)))
        if len(differ):
            row = differ[0]
            yield (
                f"{column} differs in {_count(len(differ), 'image')}: of "
                f"{one['image'].iloc[row]!r} it is {was[row]!r} | {now[row]!r}"
            )


def _numbers(
    one: FeaturesFile, other: FeaturesFile, name: str, rows: np.ndarray, others: np.ndarray
) -> Iterator[str]:
    """Compare a layer's rows, some at a time."""
    images = one.images["image"].to_numpy()
    absolute, relative = Largest(), Largest()
    differing, missing = 0, []
    for block in row_blocks(range(len(rows)), 8 * one.layers[name].units):
        here = rows[block.start : block.stop]
        was = one.read(name, here).astype(np.float64)
        now = other.read(name, others[block.start : block.stop]).astype(np.float64)
        one_sided = np.isnan(was) != np.isnan(now)
        missing += images[here[one_sided.any(axis=1)]].tolist()
        equal = (was == now) | np.isnan(was) | np.isnan(now)
        differing += int((~equal | one_sided).any(axis=1).sum())
        with np.errstate(invalid="ignore"):  # of infinities that are equal
            apart = np.where(equal, 0.0, np.abs(was - now))
            larger = np.maximum(np.abs(was), np.abs(now))
            part = np.where(apart == np.inf, np.inf, apart / np.where(equal, 1.0, larger))
        absolute.take(apart, images[here])
        relative.take(part, images[here])
    if missing:
        yield (
            f"layer {name} is NaN in one of the files only in {_count(len(missing), 'image')}, "
            f"{_some(missing)}"
        )
    if absolute.value:
        yield (
            f"layer {name} differs in {differing} of {_count(len(rows), 'image')}: at most by "
            f"{absolute.value:.3g} ({absolute.image!r}), at most by {relative.value:.3g} of the "
            f"larger value ({relative.image!r})"
        )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _some(names: pd.Index | list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (" …" if len(names) > 3 else "")
