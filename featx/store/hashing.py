"""The hashes of what a features file holds: of each layer's rows and of each column of images."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import h5py
import numpy as np
import pandas as pd

from featx.store import deflate
from featx.store.blocks import row_blocks

T = TypeVar("T")


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


class RowHash:
    """The SHA-256 of a layer's rows and the CRC-32 of each chunk of them, as they come.

    Parameters
    ----------
    size : int
        Rows a chunk; the last may have fewer.
    """

    def __init__(self, size: int) -> None:
        """Begin with no rows."""
        self._size = size
        self._count = 0
        self._sums = array("L")
        self._hasher = hashlib.sha256()

    def update(self, rows: np.ndarray) -> None:
        """Take the next rows, as stored."""
        rows = np.ascontiguousarray(rows)
        self._hasher.update(rows.data)
        begun = -self._count % self._size  # so many rows are missing in the last chunk
        if begun and len(rows):
            self._sums[-1] = deflate.crc32(rows[:begun].data, self._sums[-1])
        for first in range(begun, len(rows), self._size):
            self._sums.append(deflate.crc32(rows[first : first + self._size].data))
        self._count += len(rows)

    def hexdigest(self) -> str:
        """Return the SHA-256 of all rows so far."""
        return self._hasher.hexdigest()

    @property
    def sums(self) -> Sequence[int]:
        """The CRC-32 of each chunk so far."""
        return self._sums


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
    units, blocks = variable.shape[1], _blocks(variable)
    if _is_plain_gzip(variable):
        for rows, chunks in _restored(variable, blocks, lambda values: values):
            values = np.frombuffer(b"".join(chunks), variable.dtype)
            yield rows.start, values.reshape(len(rows), units)
        return
    for rows in blocks:
        yield rows.start, np.ascontiguousarray(variable[rows.start : rows.stop])


def chunk_sums(variable: h5py.Dataset) -> Iterator[int]:
    """Yield the CRC-32 of the rows of each chunk, as stored; they come as `stored_rows` has them.

    Each is made where its chunk is restored: this is a good deal faster than one hash of all.
    """
    if _is_plain_gzip(variable):
        for _, sums in _restored(variable, _blocks(variable), deflate.crc32):
            yield from sums
        return
    size = _chunk(variable)[0]
    for _, values in stored_rows(variable):
        yield from (deflate.crc32(values[row : row + size]) for row in range(0, len(values), size))


def _restored(
    variable: h5py.Dataset, blocks: Iterable[range], of: Callable[[memoryview], T]
) -> Iterator[tuple[range, Iterable[T]]]:
    """Yield blocks of rows, each with what is made of the bytes of each of its chunks."""
    n, size = len(variable), variable.chunks[0]
    row_bytes = variable.shape[1] * variable.dtype.itemsize

    def made(row: int, stored: deflate.Chunk) -> T:
        values = memoryview(deflate.restore(stored, size * row_bytes))
        return of(values[: (n - row) * row_bytes])  # the last chunk is stored whole

    with deflate.threads() as pool:
        begun = (
            (rows, pool.map(made, rows[::size], [_stored(variable, row) for row in rows[::size]]))
            for rows in blocks
        )
        yield from deflate.one_ahead(begun)


def _blocks(variable: h5py.Dataset) -> Iterator[range]:
    """Return the rows some at a time, whole chunks."""
    size, width = _chunk(variable)
    return row_blocks(range(len(variable)), width * variable.dtype.itemsize, whole=size)


def _chunk(variable: h5py.Dataset) -> tuple[int, int]:
    size, width = variable.chunks or (1, variable.shape[1])
    return size, width


def _is_plain_gzip(variable: h5py.Dataset) -> bool:
    """Whether chunks are of whole rows, and went through deflate and nothing else."""
    codes = [code for code, *_ in stored_filters(variable)]
    return codes == [h5py.h5z.FILTER_DEFLATE] and _chunk(variable)[1] == variable.shape[1]


def _stored(variable: h5py.Dataset, row: int) -> deflate.Chunk:
    stored: deflate.Chunk = variable.id.read_direct_chunk((row, 0))
    return stored


def stored_filters(variable: h5py.Dataset) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of the HDF5 filters of a variable; deflate's with its level."""
    plan = variable.id.get_create_plist()
    found = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    deflate = h5py.h5z.FILTER_DEFLATE
    return tuple((code, *(values if code == deflate else ())) for code, _, values, _ in found)
