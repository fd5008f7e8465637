"""The folds of one method, each a table and a record in the folder ``folds`` of the method's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.atomic import write_json, writing
from featx.errors import FeatxError
from featx.file_hash import file_sha256
from featx.manifest import parse_csv_text
from regress.fold_records import fold_stem
from regress.predictions import OPTIONAL, TASKS, checked, read_csv, write_csv


def write_fold(
    folder: Path,
    predictions: pd.DataFrame,
    record: dict[str, Any],
    probabilities: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Write one finished fold; the JSON record comes last and marks the piece as whole.

    Parameters
    ----------
    folder : Path
        The method's folder.
    predictions : pandas.DataFrame
        The test rows, with the columns of one of `TASKS`.
    record : dict
        At least ``fold`` and ``key`` (what the fold was computed from; see `finished_folds`).
    probabilities : tuple of (classes, probabilities), optional
        Class values in years or names of groups, shape (k,), and probabilities, shape (rows, k).
    """
    stem = fold_stem(str(record["fold"]))
    if probabilities is not None:
        with writing(folder / "folds" / f"{stem}.npz") as temporary, temporary.open("wb") as out:
            np.savez_compressed(
                out, classes=probabilities[0], probabilities=probabilities[1].astype(np.float32)
            )
    table = folder / "folds" / f"{stem}.csv"
    write_csv(table, predictions)
    write_json(table.with_suffix(".json"), {**record, "table_sha256": file_sha256(table)})


def gather(folder: Path, folds: Iterable[str], task: str = "age") -> pd.DataFrame:
    """Join the tables of some finished folds, in the order given; empty, of `task`, if none is.

    Raises
    ------
    FeatxError
        As `read_csv`, of the first table that is not as it should be.
    """
    paths = [folder / "folds" / f"{fold_stem(fold)}.csv" for fold in folds]
    if not paths:
        return pd.DataFrame({column: [] for column in TASKS[task].columns})
    try:
        return _joined(paths)
    except (FeatxError, OSError, ValueError):  # ParserError and UnicodeDecodeError are such
        whole = pd.concat([read_csv(path) for path in paths], ignore_index=True)
        return whole.fillna({OPTIONAL: ""}) if OPTIONAL in whole else whole


def _joined(paths: Sequence[Path]) -> pd.DataFrame:
    """Read some tables of equal columns as one: parsing each by itself takes 20 times as long.

    Raises
    ------
    FeatxError, OSError, ValueError
        If one is not as it should be, or has other columns or no end of its last line.
    """
    pieces = [path.read_bytes() for path in paths]
    header = pieces[0].partition(b"\n")[0] + b"\n"
    if not all(piece.startswith(header) and piece.endswith(b"\n") for piece in pieces):
        raise ValueError("tables of several kinds")
    whole = header + b"".join(piece[len(header) :] for piece in pieces)
    return checked(parse_csv_text(BytesIO(whole)), paths[0])
