"""The FG-NET ageing database: 1,002 images of 82 subjects, labelled by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.named import read_named

# Subject, A, age in years, and a letter where a subject has several images of an age.
_NAME = re.compile(r"(?P<subject>\d+)A(?P<age>\d{1,3})[a-z]?", re.IGNORECASE)


@register_reader("fgnet")
def read_fgnet(path: str | Path) -> pd.DataFrame:
    """Read FG-NET (Panis, Lanitis et al. 2016, IET Biometrics 5(2)).

    Parameters
    ----------
    path : str or Path
        A folder or an archive with images like ``001A02.JPG`` and ``001A43a.JPG``, at any depth;
        where folders called ``images`` in any case hold some, only those.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path: `subject` ``001``, `age` 2. Malformed names are kept as
        ``excluded``.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    return read_named(
        path,
        "fgnet",
        _NAME,
        lambda found: {"subject": found["subject"], "age": int(found["age"])},
        "001A02",
        below="images",
    )
