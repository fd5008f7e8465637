"""The readers of data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from featx.archives import exists
from featx.cleaning import Rule, choose
from featx.errors import FeatxError
from featx.plugins import plugin_names, register_plugin

#: From a path to an image table; one with cleaning rules takes `without`, names of rules, too.
Reader = Callable[..., pd.DataFrame]

_readers: dict[str, Reader] = {}
_rules: dict[str, Sequence[Rule]] = {}


def register_reader(name: str, rules: Sequence[Rule] = ()) -> Callable[[Reader], Reader]:
    """Return a decorator that makes a reader known by a name, with its cleaning rules."""

    def register(reader: Reader) -> Reader:
        if name in _readers:
            raise ValueError(f"two readers are named {name!r}")
        _readers[name], _rules[name] = reader, rules
        return reader

    return register


def dataset_names() -> list[str]:
    """Return the names of the data sets that can be read."""
    return sorted({*_readers, *plugin_names("data set")})


def cleaning_rules(name: str) -> list[str]:
    """Return the names of a data set's cleaning rules, in the order in which they are applied."""
    register_plugin("data set", name, _readers)
    return [rule.name for rule in _rules[name]]


def read_dataset(name: str, path: str | Path, without: Iterable[str] = ()) -> pd.DataFrame:
    """Read the labels of a data set.

    Parameters
    ----------
    name : str
        One of `dataset_names`.
    path : str or Path
        Where it lies: what that is, its reader says.
    without : iterable of str
        Names of the data set's cleaning rules that are not to be applied.

    Returns
    -------
    pandas.DataFrame
        An image table (`featx.manifest.COLUMNS`), a row for each image, paths absolute.

    Raises
    ------
    FeatxError
        If the name or a rule is unknown, the package that brings the reader cannot be imported,
        nothing is at the path, or the labels are unusable.
    """
    register_plugin("data set", name, _readers)
    path = Path(path)
    if not path.exists() and not exists(path):
        raise FeatxError(f"{path} is not there; check the path of the {name} data set")
    without = list(without)
    choose(_rules[name], without, name)  # tells of a rule that is not there
    return _readers[name](path, without=without) if _rules[name] else _readers[name](path)
