"""Reading a layer chunk by chunk, so that damage is told with its rows and costs no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from featx.store import schema
from featx.store.blocks import row_blocks

#: What HDF5 raises about a damaged file, by way of h5py.
ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a layer.

    Attributes
    ----------
    rows : range
        Which.
    values : numpy.ndarray or None
        As stored, shape (len(rows), units); None where they cannot be read.
    problem : str
        Why they cannot.
    """

    rows: range
    values: np.ndarray | None
    problem: str = ""


def parts(
    variable: h5py.Dataset, end: int | None = None, wanted: range | None = None
) -> Iterator[Part]:
    """Yield the rows of a layer in order; whole chunks, several where they can be read.

    Parameters
    ----------
    variable : h5py.Dataset
        The layer.
    end : int, optional
        Bytes that the file has, where less than HDF5 was told: what lies behind is lost.
    wanted : range, optional
        Which rows, beginning with a chunk; all by default.
    """
    wanted = range(len(variable)) if wanted is None else wanted
    size, row_bytes = variable.chunks[0], variable.shape[1] * variable.dtype.itemsize
    for rows in row_blocks(wanted, row_bytes, whole=size):
        whole = _read(variable, rows, end)
        if whole.values is not None:
            yield whole
            continue
        for first in rows[::size]:
            yield _read(variable, range(first, min(first + size, rows.stop)), end)


def _read(variable: h5py.Dataset, rows: range, end: int | None) -> Part:
    try:
        for first in rows[:: variable.chunks[0]]:
            chunk = variable.id.get_chunk_info_by_coord((first, 0))
            if chunk.byte_offset is None:  # HDF5 would read zeros
                return Part(rows, None, "they are not in the file")
            if end is not None and chunk.byte_offset + chunk.size > end:
                return Part(rows, None, "they lie behind the end of the file")
        return Part(rows, variable[rows.start : rows.stop])
    except ERRORS as error:
        return Part(rows, None, schema.cause(error))


def has_checksums(variable: h5py.Dataset) -> bool:
    """Return whether each chunk has a checksum that HDF5 compares: gzip's Adler-32."""
    return bool(variable.compression == "gzip" or variable.fletcher32)


def tell_rows(numbers: np.ndarray) -> str:
    """Return row numbers, which count from 0, as ``rows 1-16, 33-48``, counted from 1."""
    edges = np.flatnonzero(np.diff(numbers) > 1)
    runs = [
        f"{run[0] + 1}" if len(run) == 1 else f"{run[0] + 1}-{run[-1] + 1}"
        for run in np.split(numbers, edges + 1)
    ]
    shown = ", ".join(runs[:5]) + (" …" if runs[5:] else "")
    return f"row {shown}" if len(numbers) == 1 else f"rows {shown} ({len(numbers)} rows)"
