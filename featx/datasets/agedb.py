"""AgeDB: 16,488 faces of 568 people, labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.named import read_named

# Running number, the person's name, age in years, gender.
_NAME = re.compile(r"\d+_(?P<person>.+)_(?P<age>\d{1,3})_(?P<gender>[fm])")


@register_reader("agedb")
def read_agedb(path: str | Path) -> pd.DataFrame:
    """Read AgeDB (Moschoglou et al. 2017, CVPR Workshops).

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``1234_SomeName_35_f.jpg``, at any depth.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path, `subject` the person's name; malformed names are kept as
        ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    return read_named(
        path,
        "agedb",
        _NAME,
        lambda found: {
            "subject": found["person"],
            "age": int(found["age"]),
            "gender": {"f": "female", "m": "male"}[found["gender"]],
        },
        "1234_SomeName_35_f",
    )
