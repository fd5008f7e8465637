"""What an unfinished or finished features file is worth to a run that resumes it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.store import schema
from featx.store.schema import BLOCK_ROWS, IMAGE_COLUMNS, Layer


class UnusableError(Exception):
    """A partial file from which nothing can be kept."""


@dataclass(frozen=True)
class Expected:
    """What the file has to be, to belong to this run."""

    config_hash: str
    images: pd.DataFrame
    layers: list[Layer]
    provenance: dict[str, Any]
    dtype: str


@dataclass
class State:
    """An opened partial file: `rows` are finished, `held` more must be written again."""

    file: h5py.File
    images: pd.DataFrame
    rows: int
    held: int
    hashers: dict[str, Any]
    tails: dict[str, np.ndarray]


def is_locked(error: BaseException) -> bool:
    """Return whether HDF5 refused because another process has the file open for writing."""
    return isinstance(error, BlockingIOError) or "unable to lock file" in str(error)


def locked(path: Path) -> FeatxError:
    """Return the error for a file that another process writes."""
    return FeatxError(
        f"{path} is being written by another process; wait for it, or, where the file system "
        "knows no locks, set HDF5_USE_FILE_LOCKING=FALSE and make sure of a single writer"
    )


def open_partial(path: Path, expected: Expected) -> State:
    """Open an unfinished file for writing and check it against what this run would write.

    Parameters
    ----------
    path : Path
        The ``.partial`` file.
    expected : Expected
        What it has to be.

    Returns
    -------
    State
        Finished rows end at a multiple of `BLOCK_ROWS`; rows after it are in `tails`.

    Raises
    ------
    UnusableError
        If the file was never flushed, or its rows are not those its digest tells of.
    FeatxError
        If it is locked, not accessible, or of another configuration.
    """
    file = _open_mended(path)
    try:
        _compare(file, path, expected)
        names = [layer.name for layer in expected.layers]
        note = schema.read_fixed(file, "checkpoint")
        done = int(note.split()[0]) if note else 0
        rows = done // BLOCK_ROWS * BLOCK_ROWS
        hashers = {name: hash_rows(file[name], range(rows)) for name in names}
        tails = {name: file[name][rows:done] for name in names}
        whole = {name: hashers[name].copy() for name in names}
        for name in names:
            whole[name].update(tails[name].tobytes())
        if schema.checkpoint(done, whole) != note:
            raise UnusableError("its rows differ from their digest")
        return State(file, schema.read_images(file), rows, done - rows, hashers, tails)
    except FeatxError:
        file.close()
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        file.close()
        raise UnusableError(schema.cause(error)) from error
    except UnusableError:
        file.close()
        raise


def _open_mended(path: Path) -> h5py.File:
    """Open for writing; a file cut short in the middle of a flush gets its missing end back.

    HDF5 refuses a file that ends before the end it noted. What is missing then are rows that no
    checkpoint tells of; zeros in their place do, for the digest decides over the others.
    """
    try:
        return h5py.File(path, "r+")
    except OSError as error:
        if is_locked(error):
            raise locked(path) from None
        if not os.access(path, os.R_OK | os.W_OK):
            raise FeatxError(f"cannot write {path}: no permission; change its mode") from None
        ends = re.search(r"truncated file: eof = (\d+),.*stored_eof = (\d+)", str(error))
        if ends is None or int(ends[2]) - int(ends[1]) > 1 << 32:
            raise UnusableError(schema.cause(error)) from None
        os.truncate(path, int(ends[2]))
    try:
        return h5py.File(path, "r+")
    except OSError as error:
        raise UnusableError(schema.cause(error)) from None


def check_complete(path: Path, expected: Expected) -> None:
    """Check that a finished file is wholly what this run would write.

    Raises
    ------
    FeatxError
        If it is of another configuration, or its rows differ from their hashes.
    """
    from featx.store.reader import open_features  # the reader's errors, for the same faults

    with open_features(path) as file:
        _compare(file, path, expected)
        for layer in expected.layers:
            digest = hash_rows(file[layer.name], range(len(expected.images))).hexdigest()
            if digest != schema.read_fixed(file[layer.name], "sha256"):
                raise FeatxError(
                    f"{path}: layer {layer.name} differs from its sha256; remove the file and "
                    "extract again"
                )


def hash_rows(dataset: h5py.Dataset, rows: range) -> Any:
    """Return a SHA-256 hasher that was fed the rows' bytes, row-major, as stored."""
    hasher = hashlib.sha256()
    for start in range(rows.start, rows.stop, BLOCK_ROWS):
        hasher.update(dataset[start : min(start + BLOCK_ROWS, rows.stop)].tobytes())
    return hasher


def _compare(file: h5py.File, path: Path, expected: Expected) -> None:
    if file.attrs["config_hash"] == expected.config_hash:
        return
    difference = next(_differences(file, expected), "the status of its rows")
    raise FeatxError(
        f"{path} cannot be resumed, for it was made otherwise: {difference}; remove it, or go "
        "back to what it was made with"
    )


def _differences(file: h5py.File, expected: Expected) -> Iterable[str]:
    if file.attrs["format"] != schema.FORMAT:
        yield f"its format is {file.attrs['format']}, now {schema.FORMAT}"
        return
    names = schema.layer_names(file)
    wanted = [layer.name for layer in expected.layers]
    if names != wanted:
        yield f"its layers are {', '.join(names)}, now {', '.join(wanted)}"
        return
    for layer in expected.layers:
        stored = schema.read_layer(file[layer.name], file)
        for field in ("shape", "module", "pool", "classes"):
            was, now = getattr(stored, field), getattr(layer, field)
            if was != now:
                yield f"its layer {layer.name} has {field} {was!r}, now {now!r}"
        if file[layer.name].dtype != np.dtype(expected.dtype):
            yield f"its dtype is {file[layer.name].dtype}, now {expected.dtype}"
    provenance = schema.read_provenance(file)
    for key in sorted({*provenance, *expected.provenance}):
        was, now = provenance.get(key), expected.provenance.get(key)
        if was != now:
            yield f"its {key} is {was!r}, now {now!r}"
    yield from _row_differences(schema.read_images(file), expected.images)


def _row_differences(stored: pd.DataFrame, images: pd.DataFrame) -> Iterable[str]:
    if len(stored) != len(images):
        yield f"it has {len(stored)} images, the table {len(images)}"
        return
    for column in IMAGE_COLUMNS:
        if column in ("status", "reason"):  # extraction changes them
            continue
        was, now = stored[column].to_numpy(), images[column].to_numpy()
        differs = (was != now) & ~((was != was) & (now != now))
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            yield (
                f"{column} of row {row + 1} is {was[row]!r}, now {now[row]!r} "
                f"({int(differs.sum())} rows differ)"
            )
