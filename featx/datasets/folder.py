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
        ``(25, 32)`` of that group; of an age inside a group, the innermost counts.

    Returns
    -------
    pandas.DataFrame
        An image table sorted by path, the path relative to `path` as id. Where some images have an
        age or group, the others are ``excluded``, and so are those below two ages or two groups
        (``15/111``, where 111 is a code); where none has, all are ``ok`` and unlabelled.

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
    unlabelled = rows["age"].isna() & (rows["age_group"] == "") & (rows["reason"] == "")
    if not unlabelled.all():
        rows.loc[unlabelled, "reason"] = "no age"
    rows["status"] = (rows["reason"] == "").map({True: "ok", False: "excluded"})
    return new_table(rows)


def _label(name: str) -> dict[str, float | str | None]:
    """Return an image's age, its group, or the reason for neither, by the folders it lies in."""
    found = [read for read in map(_read, PurePosixPath(name).parts[:-1]) if read]
    label: dict[str, float | str | None] = {"age": None, "age_group": "", "reason": ""}
    if not found:
        return label
    column, value = found[-1]
    others = [other for kind, other in found if kind == column and other != value]
    if others:
        told = "ages" if column == "age" else "age groups"
        return label | {"reason": f"two {told} in its path: {others[0]} and {value}"}
    return label | {column: value}


def _read(part: str) -> tuple[str, float | str] | None:
    """Return what a folder's name tells: a column of the image table and its value."""
    if _AGE.fullmatch(part):
        return "age", int(part)
    group = _GROUP.fullmatch(part)
    return ("age_group", f"{group[1]}-{group[2]}") if group else None
