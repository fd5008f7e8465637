"""CACD2000: 163,446 images of 2,000 celebrities, labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.named import read_named

# Age in years, the person's names, a running number of the person's images.
_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<person>.+)_\d{4}")


@register_reader("cacd")
def read_cacd(path: str | Path) -> pd.DataFrame:
    """Read CACD2000 (Chen, Chen and Hsu 2014, ECCV).

    The ages are the year in which the photograph is said to be taken, less that of birth.

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``53_Robin_Williams_0001.jpg``, at any depth.

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
        "cacd",
        _NAME,
        lambda found: {"subject": found["person"], "age": int(found["age"])},
        "53_Robin_Williams_0001",
    )
