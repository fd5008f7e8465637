"""How large a features file will be, told from the features of a few images before it is written.

Nothing is guessed that can be tried: the image table and HDF5's own structures are laid out in
memory as the writer lays them out, and the features of a few images go through the writer's
compression in chunks of the file's own shape.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.store import deflate
from featx.store.netcdf import chunk_rows
from featx.store.schema import Layer
from featx.store.writing import assembly
from featx.store.writing.assembly import Piece
from featx.store.writing.records import Record, pack

#: Of a longer table so many rows are laid out, spread over it, and what they take is multiplied.
_LAID_OUT = 50_000

#: Chunks of a layer that are tried, spread over the file.
_CHUNKS = 32


@dataclass(frozen=True)
class FileSize:
    """Bytes of a features file.

    Attributes
    ----------
    structure : int
        Of the image table, attributes and all that HDF5 keeps beside the layers' rows.
    layers : dict of str to int
        Of each layer's rows, compressed.
    journal_head : int
        Of the first record of the journal, from which the file is made.
    journal_layers : dict of str to int
        Of each layer's rows in the journal.
    """

    structure: int
    layers: dict[str, int]
    journal_head: int
    journal_layers: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of the finished file."""
        return self.structure + sum(self.layers.values())

    @property
    def peak(self) -> int:
        """Bytes while the file is made of its journal, which is removed after."""
        return self.total + self.journal_head + sum(self.journal_layers.values())


def structure_bytes(plan: dict[str, Any], images: pd.DataFrame, layers: Sequence[Layer]) -> int:
    """Return the bytes of a features file without its layers' rows.

    Parameters
    ----------
    plan, images, layers
        As of `featx.store.writing.assembly.assemble`.
    """
    n = len(images)
    if n > _LAID_OUT:
        images = images.iloc[np.linspace(0, n - 1, _LAID_OUT).astype(int)]
    stream, written = io.BytesIO(), 0
    with h5py.File(stream, "w") as file:
        # with any filter chunks may be of any length, and here are of one byte
        variables = assembly.lay_out(file, plan, images, layers, {"compression": "gzip"})
        for variable in variables.values():
            for row in range(0, len(variable), variable.chunks[0]):
                variable.id.write_direct_chunk((row, 0), b"\0")
                written += 1
    return round((stream.seek(0, io.SEEK_END) - written) * n / len(images))


def layer_bytes(
    layer: Layer, values: np.ndarray, ok: np.ndarray, dtype: str, filters: dict[str, Any]
) -> int:
    """Return the bytes of a layer's rows in the file.

    Parameters
    ----------
    layer : Layer
        The layer.
    values : numpy.ndarray
        Features of some images, shape (k, units).
    ok : numpy.ndarray
        Whether each row of the file will have features, else NaN: bool, shape (rows,).
    dtype : str
        As stored.
    filters : dict
        h5py's keywords for compression.
    """
    n, kind = len(ok), np.dtype(dtype)
    size = min(chunk_rows(layer, dtype), n)
    if not filters:  # chunks are stored whole
        return -(-n // size) * size * layer.units * kind.itemsize
    whole = n // size
    tried = np.unique(np.linspace(0, whole - 1, min(_CHUNKS, whole), dtype=int))
    stored = 0.0
    for turn, chunk in enumerate(tried):
        given = ok[chunk * size : (chunk + 1) * size]
        # the same features a second time would be found again by the compression: as many rows as
        # there are features for
        given = given[: np.searchsorted(np.cumsum(given), len(values), side="right")]
        rows = np.full((len(given), layer.units), np.nan, dtype=kind)
        count = int(given.sum())
        with np.errstate(over="ignore"):
            rows[given] = np.roll(values, -turn * count, axis=0)[:count]
        stored += _stored(rows, filters)
        if missing := size - len(rows):  # what a chunk takes beside its rows it takes once
            half = len(rows) // 2
            rest = _stored(rows, filters) - (_stored(rows[:half], filters) if half else 0)
            stored += missing * rest / (len(rows) - half)
    return math.ceil(stored / len(tried) * n / size)


def _stored(rows: np.ndarray, filters: dict[str, Any]) -> int:
    """Return the bytes of some rows as a chunk of a file."""
    with h5py.File(io.BytesIO(), "w") as file, deflate.threads() as pool:
        variable = file.create_dataset(
            "rows", shape=rows.shape, dtype=rows.dtype, chunks=rows.shape, **filters
        )
        for piece in assembly.begin(variable, [Piece(rows)], pool):
            assembly.write_piece(variable, 0, piece)
        return int(variable.id.get_storage_size())


def journal_bytes(layer: Layer, values: np.ndarray, ok: np.ndarray, dtype: str) -> int:
    """Return the bytes of a layer's rows in the journal.

    Parameters
    ----------
    layer, values, ok, dtype
        As of `layer_bytes`.
    """
    missing = np.full((1, layer.units), np.nan, dtype=dtype)
    with np.errstate(over="ignore"):
        given = values.astype(dtype)
    there = _packed(layer, given) / len(given) * int(ok.sum())
    return math.ceil(there + _packed(layer, missing) * int((~ok).sum()))


def _packed(layer: Layer, rows: np.ndarray) -> int:
    return len(pack(Record(["ok"] * len(rows), [""] * len(rows), {layer.name: [rows]})))


def file_size(
    structure: int,
    journal_head: int,
    layers: Sequence[Layer],
    values: Mapping[str, np.ndarray],
    ok: np.ndarray,
    dtype: str,
    filters: dict[str, Any],
) -> FileSize:
    """Return the bytes of a features file.

    Parameters
    ----------
    structure, journal_head : int
        As of `FileSize`.
    layers : sequence of Layer
        The layers.
    values : mapping of str to numpy.ndarray
        Of each layer, as of `layer_bytes`.
    ok, dtype, filters
        As of `layer_bytes`.
    """
    return FileSize(
        structure,
        {each.name: layer_bytes(each, values[each.name], ok, dtype, filters) for each in layers},
        journal_head,
        {each.name: journal_bytes(each, values[each.name], ok, dtype) for each in layers},
    )
