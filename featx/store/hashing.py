"""The hashes of what a features file holds: of each layer's rows and of each column of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial

import h5py
import numpy as np
import pandas as pd

from featx.store import deflate
from featx.store.blocks import row_blocks


def column_sha256(values: pd.Series) -> str:
    """Return the SHA-256 of a column: of its float64 as stored, or of its UTF-8 texts, NUL between.

    No text has a NUL, for HDF5 ends its texts with one.
    """
    if values.dtype.kind == "f":
        return hashlib.sha256(values.to_numpy("<f8").tobytes()).hexdigest()
    return hashlib.sha256("\0".join(values).encode()).hexdigest()


def changed_columns(file: h5py.File, images: pd.DataFrame) -> list[str]:
    """Return the columns, as read, that are not those that were written."""
    changed = []
    for column in images:
        own = column_sha256(images[column])
        # files of the first program had no such attribute
        if file[column].attrs.get("sha256", own) != own:
            changed.append(str(column))
    return changed


def hash_rows(variable: h5py.Dataset) -> str:
    """Return the SHA-256 of a layer's rows, row-major as stored."""
    hasher = hashlib.sha256()
    for _, values in stored_rows(variable):
        hasher.update(values.data)
    return hasher.hexdigest()


def stored_rows(variable: h5py.Dataset) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a layer's rows as stored, some at a time, with the number of the first of them.

    Chunks of gzip are restored in threads; whatever else there may be, HDF5 restores.
    """
    n, dtype = len(variable), variable.dtype
    size, width = variable.chunks or (1, variable.shape[1])
    units = variable.shape[1]
    blocks = row_blocks(range(n), width * dtype.itemsize, whole=size)
    codes = [code for code, *_ in stored_filters(variable)]
    if codes != [h5py.h5z.FILTER_DEFLATE] or width != units:
        for block in blocks:
            yield block.start, np.ascontiguousarray(variable[block.start : block.stop])
        return
    restore = partial(deflate.restore, size=size * units * dtype.itemsize)
    with deflate.threads() as pool:
        begun = (
            (firsts, pool.map(restore, [_stored(variable, row) for row in firsts]))
            for firsts in (block[::size] for block in blocks)
        )
        for firsts, chunks in deflate.one_ahead(begun):
            count = min(len(firsts) * size, n - firsts[0])  # the last chunk is stored whole
            values = np.frombuffer(b"".join(chunks), dtype, count * units)
            yield firsts[0], values.reshape(count, units)


def _stored(variable: h5py.Dataset, row: int) -> tuple[int, bytes]:
    stored: tuple[int, bytes] = variable.id.read_direct_chunk((row, 0))
    return stored


def stored_filters(variable: h5py.Dataset) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the HDF5 filters of a variable; deflate's with its level."""
    plan = variable.id.get_create_plist()
    found = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    deflate = h5py.h5z.FILTER_DEFLATE
    return tuple((code, *(values if code == deflate else ())) for code, _, values, _ in found)
