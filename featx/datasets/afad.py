"""AFAD: 164,432 Asian faces of ages 15 to 40, labelled by their folders."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.named import read_named

# Age in years, gender, the image.
_PATH = re.compile(r"(?P<age>\d{1,3})/(?P<gender>11[12])/[^/]+")


@register_reader("afad")
def read_afad(path: str | Path) -> pd.DataFrame:
    """Read the Asian Face Age Dataset (Niu et al. 2016, CVPR), whole or lite.

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``15/111/292943-1.jpg``, at any depth.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path; folders ``111`` are male, ``112`` female. Subjects are not
        known; images in other folders are kept as ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    return read_named(
        path,
        "afad",
        _PATH,
        lambda found: {
            "age": int(found["age"]),
            "gender": {"111": "male", "112": "female"}[found["gender"]],
        },
        "15/111/292943-1",
        folders=2,
    )
