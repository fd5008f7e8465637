"""The folds of one method, each a table and a record in the folder ``folds`` of the method's.

A fold is finished once its record is there, was computed from what is asked for, and matches the
bytes of its table: what several processes on several machines leave in one folder is told apart by
content.
"""

from __future__ import annotations

import hashlib
import json
import re
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
from regress.predictions import TASKS, checked, read_csv, write_csv


def fold_stem(fold: str) -> str:
    """Return a file name for a fold: its own name where that is safe, else a readable hash."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", fold):
        return fold
    digest = hashlib.sha256(fold.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', fold)[:40]}.{digest}"


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


def write_failure(folder: Path, fold: str, key: str, reason: str) -> None:
    """Record that a fold failed, and why; it stays to be done."""
    record = {"fold": fold, "key": key, "error": reason}
    write_json(folder / "folds" / f"{fold_stem(fold)}.json", record)


def finished_folds(
    folder: Path, key: str, only: Iterable[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the records of the folds that are whole and were computed from `key`.

    A fold counts by content, not by its file being there: its record must parse, carry the same
    key, and match its table's bytes. Where only some folds are asked for, no other is looked at.
    """
    pieces = folder / "folds"
    if only is None:
        paths = sorted(pieces.glob("*.json"))
    else:
        paths = [pieces / f"{fold_stem(fold)}.json" for fold in only]
    found = {}
    for path in paths:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or record.get("key") != key or "error" in record:
            continue
        table = path.with_suffix(".csv")
        if table.is_file() and record.get("table_sha256") == file_sha256(table):
            found[str(record["fold"])] = record
    return found


def failed_folds(folder: Path, key: str, only: Iterable[str]) -> dict[str, str]:
    """Return why some folds failed, of those that left word of it (see `write_failure`)."""
    found = {}
    for fold in only:
        path = folder / "folds" / f"{fold_stem(fold)}.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("key") == key and "error" in record:
            found[fold] = str(record["error"])
    return found


def forget(folder: Path, folds: Iterable[str]) -> None:
    """Remove the records of folds that are to be computed again."""
    for fold in folds:
        (folder / "folds" / f"{fold_stem(fold)}.json").unlink(missing_ok=True)


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
        return pd.concat([read_csv(path) for path in paths], ignore_index=True)


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
