"""The image table: one row for each input image, always, in input order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

#: Every column of the table, in the order in which it is written.
COLUMNS: tuple[str, ...] = (
    "image",  # unique id
    "path",  # the source file
    "crop",  # the face crop, relative to the table's folder; empty where there is none
    "subject",
    "age",  # years
    "age_group",
    "gender",
    "dataset",
    "fold",  # the official fold, where the data set has them
    "status",
    "reason",  # why the status is not ok, or what is odd about the row
    "duplicate_of",  # the first image with the same bytes
    "face_score",  # the detector's confidence, 0 to 1; empty where it has none
    "box_left",  # pixels of the upright source image
    "box_top",
    "box_right",
    "box_bottom",
    *(f"{point}_{axis}" for point in LANDMARKS for axis in "xy"),
    "sha256",  # of the source file's bytes
)

#: Columns that hold numbers; the others hold text, where empty means unknown.
NUMERIC: tuple[str, ...] = (
    "age",
    *COLUMNS[COLUMNS.index("face_score") : COLUMNS.index("sha256")],
)

STATUSES = ("ok", "no_face", "corrupt", "duplicate", "excluded")


def new_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Complete some columns of a table to all of `COLUMNS`, typed.

    Parameters
    ----------
    rows : pandas.DataFrame
        At least the columns ``image`` and ``path``; others as known.

    Returns
    -------
    pandas.DataFrame
        All of `COLUMNS`, numbers as float64 (NaN where unknown), text as str (empty where
        unknown), `status` ``ok`` where none was given, and a fresh index from 0.

    Raises
    ------
    FeatxError
        If an image id occurs twice, an age is negative or not a number, or a status is unknown.
    """
    table = pd.DataFrame(index=pd.RangeIndex(len(rows)))
    for column in COLUMNS:
        given = rows[column].to_numpy() if column in rows else None
        if column in NUMERIC:
            table[column] = _numbers(column, given, rows["image"].to_numpy(), len(rows))
        elif given is None:
            table[column] = ""
        else:
            table[column] = ["" if pd.isna(value) else str(value) for value in given]
    table.loc[table["status"] == "", "status"] = "ok"
    _check(table)
    return table


def floats(cells: Iterable[object]) -> np.ndarray:
    """Read cells as float64, exactly (pandas' readers may be off by a bit); NaN where not one."""

    def read(cell: object) -> float:
        try:
            return float(cell)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return np.nan

    return np.array([read(cell) for cell in cells], float)


def _numbers(column: str, given: np.ndarray | None, images: np.ndarray, n: int) -> np.ndarray:
    if given is None:
        return np.full(n, np.nan)
    numbers = floats(given)
    text = [str(cell).strip().lower() if cell is not None else "" for cell in given]
    unread = np.array([cell not in ("", "nan", "<na>", "none") for cell in text], bool)
    bad = np.flatnonzero(unread & np.isnan(numbers))
    if len(bad):
        raise FeatxError(
            f"{column} of image {images[bad[0]]!r} is {given[bad[0]]!r}: not a number "
            f"({len(bad)} such row{'s' if len(bad) > 1 else ''}); correct it or leave it empty"
        )
    return numbers


def _check(table: pd.DataFrame) -> None:
    doubled = table["image"][table["image"].duplicated()]
    if len(doubled):
        raise FeatxError(
            f"image id {doubled.iloc[0]!r} occurs more than once ({len(doubled)} repeated rows); "
            "give every image an id of its own"
        )
    if (table["image"] == "").any():
        row = int(np.flatnonzero(table["image"] == "")[0]) + 1
        raise FeatxError(f"row {row} has no image id; give every image an id")
    negative = table[table["age"] < 0]
    if len(negative):
        first = negative.iloc[0]
        raise FeatxError(
            f"age of image {first['image']!r} is {first['age']:g}: negative; correct it"
        )
    infinite = table[np.isinf(table["age"])]
    if len(infinite):
        raise FeatxError(f"age of image {infinite.iloc[0]['image']!r} is infinite; correct it")
    odd = table[~table["status"].isin(STATUSES)]
    if len(odd):
        first = odd.iloc[0]
        raise FeatxError(
            f"status of image {first['image']!r} is {first['status']!r}: "
            f"use one of {', '.join(STATUSES)}"
        )


def parse_csv_text(source: Path | BinaryIO) -> pd.DataFrame:
    """Parse UTF-8 CSV with every cell as text, empty where a cell is missing.

    Raises
    ------
    OSError, ValueError
        As `pandas.read_csv`.
    """
    return pd.read_csv(
        source, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=False
    ).fillna("")


def read_csv_text(path: str | Path) -> pd.DataFrame:
    """Read a UTF-8 CSV file with every cell as text, empty where a cell is missing.

    Raises
    ------
    FeatxError
        If the file is missing, empty, not UTF-8, or has ragged rows.
    """
    path = Path(path)
    try:
        table = parse_csv_text(path)
    except FileNotFoundError:
        raise FeatxError(f"{path} is not there; check the path") from None
    except IsADirectoryError:
        raise FeatxError(f"{path} is a folder; give the CSV file itself") from None
    except pd.errors.EmptyDataError:
        raise FeatxError(f"{path} is empty; it needs a header line and a row an image") from None
    except pd.errors.ParserError as error:
        raise FeatxError(f"{path} is not a well-formed CSV table: {str(error).strip()}") from None
    except UnicodeDecodeError:
        raise FeatxError(f"{path} is not UTF-8 text; save it as UTF-8 CSV") from None
    except OSError as error:
        raise FeatxError(f"cannot read {path}: {error.strerror or error}") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes what is too much for an index
        raise FeatxError(f"{path} has rows with more cells than its header line; quote commas")
    return table


def table_file(given: str | Path) -> Path:
    """Return the image table's file: the given one, or ``images.csv`` in a given folder."""
    given = Path(given)
    return given / "images.csv" if given.is_dir() else given


def read_table(path: str | Path) -> pd.DataFrame:
    """Read an image table, as `featx prepare` writes it or made by hand.

    Parameters
    ----------
    path : str or Path
        A CSV file, or the folder that holds ``images.csv``.

    Raises
    ------
    FeatxError
        As `read_csv_text` and `new_table`, and if a needed column is missing.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "images.csv"
    rows = read_csv_text(path)
    missing = {"image", "path"} - set(rows)
    if missing:
        raise FeatxError(
            f"{path} has no column {' and no '.join(sorted(missing))}; an image table needs both "
            "(`featx prepare csv` makes one from any table with path and age)"
        )
    try:
        return new_table(rows)
    except FeatxError as error:
        raise FeatxError(f"{path}: {error}") from None


def crop_paths(table: pd.DataFrame, folder: Path) -> list[str]:
    """Return each row's image file: its crop or, where that is empty, its source.

    Relative paths are taken from the table's folder.
    """
    return [
        str(folder / (crop or path))
        for crop, path in zip(table["crop"], table["path"], strict=True)
    ]


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write the image table as CSV, atomically; numbers keep their shortest exact form."""
    with writing(path) as temporary:
        table.to_csv(temporary, index=False, columns=list(COLUMNS), lineterminator="\n")
