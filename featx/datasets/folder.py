"""Any images in folders, which may be named by their ages."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from featx.datasets._registry import register_reader
from featx.datasets.listing import ImageFiles, image_ids
from featx.errors import FeatxError
from featx.manifest import new_table

_AGE = re.compile(r"\d{1,3}")
_GROUP = re.compile(r"\(?(\d{1,3})\s*[-,]\s*(\d{1,3})\)?")


@register_reader("folder")
def read_folder(path: str | Path) -> pd.DataFrame:
    """Read all images of a folder or an archive, at any depth.

    Parameters
    ----------
    path : str or Path
        A folder or an archive. An image in a folder ``25`` is of that age, one in ``25-32`` or
        ``(25, 32)`` of that group; the innermost such name counts.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path, the path relative to `path` as id. Where some images have an
        age or group, the others are ``excluded``; where none has, all are ``ok`` and unlabelled.

    Raises
    ------
    FeatxError
        If there is no image there.
    """
    files = ImageFiles(path)
    if not files:
        raise FeatxError(f"{path} holds no images; give a folder, a .zip or a .tar of images")
    rows = pd.DataFrame(
        [
            {"image": image, "path": files.joined(name), **_label(name), "dataset": "folder"}
            for name, image in image_ids(files)
        ]
    )
    labelled = rows["age"].notna() | (rows["age_group"] != "")
    if labelled.any():
        rows["status"] = labelled.map({True: "ok", False: "excluded"})
        rows["reason"] = labelled.map({True: "", False: "no age"})
    return new_table(rows)


def _label(name: str) -> dict[str, float | str | None]:
    for part in reversed(PurePosixPath(name).parts[:-1]):
        if _AGE.fullmatch(part):
            return {"age": float(part), "age_group": ""}
        group = _GROUP.fullmatch(part)
        if group:
            return {"age": None, "age_group": f"{group[1]}-{group[2]}"}
    return {"age": None, "age_group": ""}
