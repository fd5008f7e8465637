"""Any table of images and ages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from featx.archives import exists
from featx.datasets._registry import register_reader
from featx.errors import FeatxError
from featx.manifest import new_table, read_csv_text

_COLUMNS = ("path", "image", "subject", "age", "age_group", "gender", "dataset", "fold")
_MISSING = {"", "nan", "na", "n/a", "none", "null"}


@register_reader("csv")
def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of images with a header line.

    Parameters
    ----------
    path : str or Path
        A CSV file with the columns ``path`` (relative ones start at the table's folder) and ``age``
        in years or ``age_group``; optionally ``image`` (ids; otherwise the path is the id),
        ``subject``, ``gender``, ``fold``, ``dataset``. Further columns are left out.

    Returns
    -------
    pandas.DataFrame
        An image table in the order of the file. A row without an age (and without a group) is kept
        as ``excluded``, a row whose file is missing as ``corrupt``.

    Raises
    ------
    FeatxError
        If a needed column is missing, an age is negative or not a number, an id occurs twice, a
        subject is in more than one fold, or not one of the files is there.
    """
    table = Path(path)
    rows = read_csv_text(table)
    rows.columns = rows.columns.str.strip().str.lower()
    _check_columns(table, rows)
    rows = rows[[column for column in _COLUMNS if column in rows]].apply(
        lambda column: column.str.strip()
    )
    blank = np.flatnonzero(rows["path"] == "")
    if len(blank):
        raise FeatxError(f"{table}: row {blank[0] + 1} has no path; give one or delete the row")
    if "image" not in rows:
        rows["image"] = rows["path"]
    rows["image"] = rows["image"].where(rows["image"] != "", rows["path"])
    doubled = np.flatnonzero(rows["image"].duplicated())
    if len(doubled):
        name = rows["image"].iloc[doubled[0]]
        raise FeatxError(
            f"{table}: row {doubled[0] + 1} has the id {name!r} of an earlier row "
            f"({len(doubled)} such row{'s' if len(doubled) > 1 else ''}); "
            "give every image an id of its own in the column image"
        )
    if "age" in rows:
        rows["age"] = _ages(table, rows["age"])
    _check_folds(table, rows)

    rows["path"] = [str((table.parent / name).absolute()) for name in rows["path"]]
    there = np.array([exists(name) for name in rows["path"]])
    if not there.any():
        raise FeatxError(
            f"{table}: none of its {len(rows)} images is there, the first of them "
            f"{rows['path'].iloc[0]}; relative paths start at the table's folder"
        )
    labelled = np.zeros(len(rows), bool)
    if "age_group" in rows:
        labelled |= ~rows["age_group"].str.lower().isin(_MISSING).to_numpy()
    if "age" in rows:
        labelled |= rows["age"].notna().to_numpy()
    unlabelled = "no age" if "age" in rows else "no age group"
    rows["status"] = np.select([~labelled, ~there], ["excluded", "corrupt"], "ok")
    rows["reason"] = np.select([~labelled, ~there], [unlabelled, "not there"], "")
    return new_table(rows)


def _check_columns(table: Path, rows: pd.DataFrame) -> None:
    twice = rows.columns[rows.columns.duplicated()]
    if len(twice):
        raise FeatxError(f"{table} has two columns {twice[0]!r}; rename or delete one")
    if "path" not in rows or not {"age", "age_group"} & set(rows):
        raise FeatxError(
            f"{table} needs the columns path and age (or age_group); "
            f"it has {', '.join(rows.columns)}"
        )
    if rows.empty:
        raise FeatxError(f"{table} has a header but no rows; it needs a row an image")


def _ages(table: Path, text: pd.Series) -> pd.Series:
    missing = text.str.lower().isin(_MISSING)
    ages = pd.to_numeric(text.mask(missing), errors="coerce").astype(float)
    bad = np.flatnonzero(~missing & ~((ages >= 0) & np.isfinite(ages)))
    if len(bad):
        raise FeatxError(
            f"{table}: row {bad[0] + 1} has the age {text.iloc[bad[0]]!r} "
            f"({len(bad)} such row{'s' if len(bad) > 1 else ''}); "
            "ages are numbers of years from 0 on, or empty where unknown"
        )
    return ages


def _check_folds(table: Path, rows: pd.DataFrame) -> None:
    if not {"fold", "subject"} <= set(rows):
        return
    known = rows[(rows["subject"] != "") & (rows["fold"] != "")]
    folds = known.groupby("subject", sort=False)["fold"].nunique()
    across = list(folds.index[folds > 1])
    if across:
        named = ", ".join(across[:5]) + (f" and {len(across) - 5} more" if len(across) > 5 else "")
        raise FeatxError(
            f"{table}: the same subject is in more than one fold ({named}); "
            "a subject must be in one fold only, or its test error is measured on known faces"
        )
