"""The FG-NET ageing database: 1,002 images of 82 subjects, labelled by their names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from featx.datasets._registry import register_reader
from featx.errors import FeatxError
from featx.images import EXTENSIONS
from featx.manifest import new_table

# Subject, A, age in years, and a letter where a subject has several images of an age.
_NAME = re.compile(r"(?P<subject>\d+)A(?P<age>\d{1,3})[a-z]?", re.IGNORECASE)


@register_reader("fgnet")
def read_fgnet(path: str | Path) -> pd.DataFrame:
    """Read FG-NET from its images' names (Panis, Lanitis et al. 2016, IET Biometrics 5(2)).

    Parameters
    ----------
    path : str or Path
        The folder with images like ``001A02.JPG`` and ``001A43a.JPG``, or the folder above it,
        where it is called ``images`` in any case.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by name: `subject` ``001``, `age` 2, `dataset` ``fgnet``. Images with
        names of another form are kept as ``excluded``.

    Raises
    ------
    FeatxError
        If there is no such folder, or no image in it.
    """
    path = Path(path)
    if not path.is_dir():
        raise FeatxError(f"{path} is no folder; give the folder that holds FG-NET's images")
    files = _images(path)
    if not files:
        raise FeatxError(
            f"{path} holds no images, nor does a folder images/ in it; "
            "FG-NET's are named like 001A02.JPG"
        )
    stems = Counter(file.stem for file in files)
    rows = []
    for file in files:
        name = _NAME.fullmatch(file.stem)
        rows.append(
            {
                "image": file.stem if stems[file.stem] == 1 else file.name,
                "path": str(file.absolute()),
                "subject": name["subject"] if name else "",
                "age": int(name["age"]) if name else None,
                "dataset": "fgnet",
                "status": "ok" if name else "excluded",
                "reason": "" if name else "name gives no subject and age: not like 001A02",
            }
        )
    return new_table(pd.DataFrame(rows))


def _images(path: Path) -> list[Path]:
    inner = [entry for entry in sorted(path.iterdir()) if entry.name.lower() == "images"]
    for folder in [path, *inner]:
        if not folder.is_dir():
            continue
        files = [
            file
            for file in folder.iterdir()
            if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
        ]
        if files:
            return sorted(files, key=lambda file: file.name)
    return []
