"""UTKFace: 23,708 faces of ages 1 to 116, labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.listing import ImageFiles, image_ids
from featx.errors import FeatxError
from featx.manifest import new_table

# Age in years, gender, race, date and time; the cropped images have .jpg.chip.jpg.
_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_(?P<time>\d+)\s*")
_ENDING = re.compile(r"(\.?jpg)?(\.chip)?\.jpe?g$", re.IGNORECASE)
_OLDEST = 116


@register_reader("utkface")
def read_utkface(path: str | Path) -> pd.DataFrame:
    """Read UTKFace from its images' names (Zhang, Song and Qi 2017, CVPR).

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``25_0_1_20170117….jpg.chip.jpg`` (aligned and
        cropped) or ``25_0_1_20170117….jpg`` (in the wild), at any depth.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path: `age`, `gender` (0 male, 1 female), `dataset` ``utkface``;
        subjects are not known. Malformed names are kept as ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    files = ImageFiles(path)
    if not files:
        raise FeatxError(f"{path} holds no images; UTKFace's are named like 25_0_1_20170117.jpg")
    rows = []
    for name, image in image_ids(files, _ENDING):
        found = _NAME.fullmatch(_ENDING.sub("", name.rpartition("/")[2]))
        age = int(found["age"]) if found else None
        known = age is not None and age <= _OLDEST
        rows.append(
            {
                "image": image,
                "path": files.joined(name),
                "age": age if known else None,
                "gender": ("male", "female")[int(found["gender"])] if found else "",
                "dataset": "utkface",
                "status": "ok" if known else "excluded",
                "reason": "" if known else "malformed name: not like 25_0_1_20170117",
            }
        )
    return new_table(pd.DataFrame(rows))
