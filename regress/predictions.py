"""The predictions of one method: a folder with a table, its provenance, and a piece a fold.

``predictions.csv`` has one row an image in one fold, with an age (`COLUMNS`) or an age group
(`GROUP_COLUMNS`); ``run.json`` says what made it, and with ``task`` ``age-group`` the ``groups``;
``folds/NAME.csv`` and ``folds/NAME.json`` are the pieces, each written whole as its fold ends;
``probabilities.h5`` holds class probabilities where the method has them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.atomic import write_json, writing
from featx.errors import FeatxError
from featx.manifest import floats, read_csv_text

FORMAT = "featx-predictions/1"
COLUMNS = ("image", "subject", "fold", "age", "predicted_age")
GROUP_COLUMNS = ("image", "subject", "fold", "age", "age_group", "predicted_group")


@dataclass(frozen=True)
class Run:
    """A method's predictions: its folder, the content of ``run.json``, and the table."""

    folder: Path
    info: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def method(self) -> str:
        """The name under which the method is shown."""
        return str(self.info["method"])

    @property
    def groups(self) -> tuple[str, ...]:
        """The age groups that are predicted, youngest first; none where ages are."""
        return tuple(self.info.get("groups", ()))


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
        The test rows, `COLUMNS` or `GROUP_COLUMNS`.
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
    write_json(table.with_suffix(".json"), {**record, "table_sha256": _sha256(table)})


def write_failure(folder: Path, fold: str, key: str, reason: str) -> None:
    """Record that a fold failed, and why; it stays to be done."""
    record = {"fold": fold, "key": key, "error": reason}
    write_json(folder / "folds" / f"{fold_stem(fold)}.json", record)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_csv(path: Path, predictions: pd.DataFrame) -> None:
    """Write a predictions table as CSV, atomically."""
    columns = GROUP_COLUMNS if "predicted_group" in predictions else COLUMNS
    with writing(path) as temporary:
        predictions.to_csv(temporary, index=False, columns=list(columns), lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a predictions table; ``image``, ``subject`` and ``fold`` as text.

    Raises
    ------
    FeatxError
        If the file is missing, malformed, or lacks a column or a finite prediction.
    """
    table = read_csv_text(path)
    of_groups = "predicted_group" in table
    missing = [c for c in (GROUP_COLUMNS if of_groups else COLUMNS) if c not in table]
    if missing:
        raise FeatxError(f"{path} has no column {missing[0]!r}; is it a predictions table?")
    if of_groups:
        table["age"] = floats(table["age"])
        return table
    for column in ("age", "predicted_age"):
        numbers = floats(table[column])
        if not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise FeatxError(
                f"{path}, line {row + 2}: {column} of image {table['image'][row]!r} is not a "
                "finite number; run that fold again (delete its files under folds/, --resume)"
            )
        table[column] = numbers
    return table


def finished_folds(folder: Path, key: str) -> dict[str, dict[str, Any]]:
    """Return the records of the folds that are whole and were computed from `key`.

    A fold counts by content, not by its file being there: its record must parse, carry the same
    key, and match its table's bytes.
    """
    found = {}
    for path in sorted((folder / "folds").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(record, dict) or record.get("key") != key or "error" in record:
            continue
        table = path.with_suffix(".csv")
        if table.is_file() and record.get("table_sha256") == _sha256(table):
            found[str(record["fold"])] = record
    return found


def gather(folder: Path, folds: Iterable[str]) -> pd.DataFrame:
    """Join the tables of some finished folds, in the order given."""
    tables = [read_csv(folder / "folds" / f"{fold_stem(fold)}.csv") for fold in folds]
    if not tables:
        return pd.DataFrame({column: [] for column in COLUMNS})
    return pd.concat(tables, ignore_index=True)


def write_probabilities(folder: Path, folds: Iterable[str]) -> bool:
    """Join the folds' class probabilities in ``probabilities.h5``; False where there are none.

    The file has ``/image`` (text), ``/class`` (years, or groups as text; the union of the folds'
    classes) and ``/probability`` (image, class); a class that a fold never trained on has
    probability 0.
    """
    import h5py

    pieces = []
    for fold in folds:
        path = folder / "folds" / f"{fold_stem(fold)}.npz"
        if not path.is_file():
            return False
        with np.load(path, allow_pickle=False) as piece:
            names = read_csv(path.with_suffix(".csv"))["image"].tolist()
            pieces.append((names, piece["classes"], piece["probabilities"]))
    if not pieces:
        return False
    classes = (
        pieces[0][1] if _named(pieces[0][1]) else np.unique(np.concatenate([p[1] for p in pieces]))
    )
    images = [name for names, _, _ in pieces for name in names]
    joined = np.zeros((len(images), len(classes)), np.float32)
    row = 0
    for names, own, values in pieces:
        joined[row : row + len(names), pd.Index(classes).get_indexer(own)] = values
        row += len(names)
    with writing(folder / "probabilities.h5") as temporary, h5py.File(temporary, "w") as file:
        image = file.create_dataset("image", data=images, dtype=h5py.string_dtype())
        if _named(classes):
            years = file.create_dataset("class", data=classes.tolist(), dtype=h5py.string_dtype())
        else:
            years = file.create_dataset("class", data=classes.astype(float))
            years.attrs["units"] = "years"
        image.make_scale("image")
        years.make_scale("class")
        values = file.create_dataset("probability", data=joined, compression="gzip")
        values.dims[0].attach_scale(image)
        values.dims[1].attach_scale(years)
    return True


def _named(classes: np.ndarray) -> bool:
    """Tell whether classes are names of groups, which are the same in every fold."""
    return classes.dtype.kind == "U"


def read_run(folder: str | Path) -> Run:
    """Read a method's folder.

    Raises
    ------
    FeatxError
        If it holds no run, or one of another format.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FeatxError(f"{folder} holds no run.json; give a folder of `featx regress`") from None
    except (OSError, ValueError) as error:
        raise FeatxError(f"cannot read {folder / 'run.json'}: {error}") from None
    form = info.get("format") if isinstance(info, dict) else None
    if form != FORMAT:
        raise FeatxError(f"{folder / 'run.json'} has format {form!r}; this program reads {FORMAT}")
    return Run(folder, info, read_csv(folder / "predictions.csv"))


def find_runs(folders: Iterable[str | Path]) -> list[Run]:
    """Read every run in some folders and below them, each once, in order.

    Raises
    ------
    FeatxError
        If a folder is not there or holds no run.
    """
    runs: dict[Path, Run] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FeatxError(f"{folder} is not a folder; give what `featx regress -o` wrote")
        found = sorted(path.parent for path in folder.rglob("run.json"))
        if not found:
            raise FeatxError(f"{folder} holds no predictions; run `featx regress` first")
        for path in found:
            runs.setdefault(path.resolve(), read_run(path))
    return list(runs.values())
