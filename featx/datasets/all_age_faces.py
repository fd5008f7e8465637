"""All-Age-Faces: 13,322 mostly Asian faces of ages 2 to 80, labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.named import read_named

# Running number, A, age in years.
_NAME = re.compile(r"(?P<number>\d{5})A(?P<age>\d{2,3})", re.IGNORECASE)
_FIRST_MALE = 7381


@register_reader("all-age-faces")
def read_all_age_faces(path: str | Path) -> pd.DataFrame:
    """Read All-Age-Faces (Cheng et al. 2019, Multimedia Tools and Applications 78).

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``00000A02.jpg``, at any depth. Of the published
        set the ``original images`` are taken, not the ``aglined faces``.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path; numbers below 7,381 are female. Subjects are not known;
        malformed names are kept as ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    return read_named(
        path,
        "all-age-faces",
        _NAME,
        lambda found: {
            "age": int(found["age"]),
            "gender": "female" if int(found["number"]) < _FIRST_MALE else "male",
        },
        "00000A02",
        below="original images",
    )
