"""APPA-REAL: 7,591 faces with real ages and with those that some 38 people each guessed."""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from featx.archives import Files
from featx.datasets._registry import register_reader
from featx.errors import FeatxError
from featx.manifest import new_table

_LABELS = re.compile(r"gt_avg_(?P<part>train|valid|test)\.csv")
_NEEDED = ("file_name", "real_age", "apparent_age_avg")


@register_reader("appa-real")
def read_appa_real(path: str | Path) -> pd.DataFrame:
    """Read APPA-REAL with its real ages (Agustsson et al. 2017, FG).

    Parameters
    ----------
    path : str or Path
        A folder or an archive with ``gt_avg_train.csv``, ``gt_avg_valid.csv`` and
        ``gt_avg_test.csv`` at any depth, and the folders ``train``, ``valid`` and ``test`` beside
        them. Of each picture the face ``NAME.jpg_face.jpg`` is taken where it is there.

    Returns
    -------
    pandas.DataFrame
        An image table in the order of the tables; `fold` is ``train``, ``valid`` or ``test``.
        Subjects are not known. A row whose picture is missing is ``corrupt``.

    Raises
    ------
    FeatxError
        If there are no such tables, or one is malformed.
    """
    return _read(path, "real_age", "appa-real")


@register_reader("appa-real-apparent")
def read_appa_real_apparent(path: str | Path) -> pd.DataFrame:
    """Read APPA-REAL with the mean of the guessed ages; otherwise as `read_appa_real`."""
    return _read(path, "apparent_age_avg", "appa-real-apparent")


def _read(path: str | Path, age: str, dataset: str) -> pd.DataFrame:
    files = Files(path)
    there = set(files.names)
    tables = [
        (name, found["part"])
        for name in files.names
        if (found := _LABELS.fullmatch(PurePosixPath(name).name))
    ]
    if not tables:
        raise FeatxError(f"{path} holds no gt_avg_train.csv; give the folder appa-real-release")
    rows = []
    for name, part in sorted(tables, key=lambda item: ("train", "valid", "test").index(item[1])):
        for row in _labels(files, name).to_dict("records"):
            picture = str(PurePosixPath(name).parent / part / row["file_name"])
            face = f"{picture}_face.jpg"
            place = face if face in there else picture
            rows.append(
                {
                    "image": f"{part}/{row['file_name'].rpartition('.')[0]}",
                    "path": files.joined(place),
                    "age": row[age],
                    "dataset": dataset,
                    "fold": part,
                    "status": "ok" if place in there else "corrupt",
                    "reason": "" if place in there else "not there",
                }
            )
    return new_table(pd.DataFrame(rows))


def _labels(files: Files, name: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(io.BytesIO(files.read(name)), dtype={"file_name": str})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FeatxError(f"{files.joined(name)} is no table: {str(error).strip()}") from None
    missing = [column for column in _NEEDED if column not in table]
    if missing:
        raise FeatxError(
            f"{files.joined(name)} has no column {missing[0]}; it needs {', '.join(_NEEDED)}"
        )
    return table.drop_duplicates("file_name")
