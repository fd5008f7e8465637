"""The readers of data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from featx.errors import FeatxError, unknown

Reader = Callable[[Path], pd.DataFrame]

_readers: dict[str, Reader] = {}


def register_reader(name: str) -> Callable[[Reader], Reader]:
    """Return a decorator that makes a reader known by a name."""

    def register(reader: Reader) -> Reader:
        if name in _readers:
            raise ValueError(f"two readers are named {name!r}")
        _readers[name] = reader
        return reader

    return register


def dataset_names() -> list[str]:
    """Return the names of the data sets that can be read."""
    return sorted(_readers)


def read_dataset(name: str, path: str | Path) -> pd.DataFrame:
    """Read the labels of a data set.

    Parameters
    ----------
    name : str
        One of `dataset_names`.
    path : str or Path
        Where it lies: what that is, its reader says.

    Returns
    -------
    pandas.DataFrame
        An image table (`featx.manifest.COLUMNS`), a row for each image, paths absolute.

    Raises
    ------
    FeatxError
        If the name is unknown, nothing is at the path, or the labels are unusable.
    """
    if name not in _readers:
        raise unknown("data set", name, _readers)
    path = Path(path)
    if not path.exists():
        raise FeatxError(f"{path} is not there; check the path of the {name} data set")
    return _readers[name](path)
