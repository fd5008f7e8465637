"""UTKFace: 23,708 faces of ages 1 to 116, labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.named import read_named

# Age in years, gender, race, date and time; the cropped images have .jpg.chip.jpg.
_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_(?P<time>\d+)\s*")
_ENDING = re.compile(r"(\.?jpg)?(\.chip)?\.[^./]*$", re.IGNORECASE)
_OLDEST = 116


@register_reader("utkface")
def read_utkface(path: str | Path) -> pd.DataFrame:
    """Read UTKFace (Zhang, Song and Qi 2017, CVPR).

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``25_0_1_20170117….jpg.chip.jpg`` (aligned and
        cropped) or ``25_0_1_20170117….jpg`` (in the wild), at any depth.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path; subjects are not known. Malformed names, of which the
        original has three, and ages above 116 are kept as ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    return read_named(path, "utkface", _NAME, _labels, "25_0_1_20170117", ending=_ENDING)


def _labels(found: re.Match[str]) -> dict[str, Any] | None:
    age = int(found["age"])
    if age > _OLDEST:
        return None
    return {"age": age, "gender": ("male", "female")[int(found["gender"])]}
