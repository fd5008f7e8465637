"""Making the HDF5 file of a features file, block of rows by block of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.memory import give_back
from featx.store import deflate, netcdf, schema
from featx.store.comparison import check_rows
from featx.store.deflate import Chunk
from featx.store.netcdf import CHUNK_ROWS
from featx.store.records import Record
from featx.store.schema import Layer
from featx.store.sink import Sink
from featx.store.soundness import trust

#: About so many bytes of rows, over all layers, are taken at a time; two such blocks are held.
BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a layer, beginning with a chunk.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (k, units), as stored.
    chunks : sequence of Chunk or None
        Their chunks, where these are at hand already; empty where none is.
    """

    values: np.ndarray
    chunks: Sequence[Chunk | None] = ()


#: The next rows of every layer.
Block = Mapping[str, Rows]


def assemble(
    path: Path,
    plan: dict[str, Any],
    images: pd.DataFrame,
    layers: Sequence[Layer],
    filters: dict[str, Any],
    blocks: Iterable[Block],
) -> None:
    """Write a features file, then read it back.

    Parameters
    ----------
    path : Path
        The file; what was there is lost.
    plan : dict
        The first record of the journal: attributes, provenance and so on.
    images : pandas.DataFrame
        The per-image variables, with the final status and reason.
    layers : sequence of Layer
        The layers.
    filters : dict
        h5py's keywords for compression.
    blocks : iterable of Block
        All rows, in order, `block_rows` at a time.

    Raises
    ------
    OSError
        If the disk is full.
    FeatxError
        If what is read back differs from what was written.
    """
    sink = Sink(path)
    try:
        with h5py.File(sink, "w") as file, deflate.threads() as pool:
            variables = lay_out(file, plan, images, layers, filters)
            hashers = {name: hashlib.sha256() for name in variables}
            start = 0
            begun = (
                (block, {name: begin(variables[name], rows, pool) for name, rows in block.items()})
                for block in blocks
            )
            for block, chunks in deflate.one_ahead(begun):
                give_back()
                for name, rows in block.items():
                    hashers[name].update(np.ascontiguousarray(rows.values).data)
                    write_rows(variables[name], start, rows.values, chunks[name])
                start += len(next(iter(block.values())).values)
                if sink.error is not None:
                    break
            digests = {name: hasher.hexdigest() for name, hasher in hashers.items()}
            for name, digest in digests.items():
                variables[name].attrs.modify("sha256", digest)
    finally:
        sink.close()
        if sink.error is not None:
            raise sink.error
    if start != len(images):
        raise FeatxError(f"{path} got {start} rows for {len(images)} images; extract again")
    trust(path)
    check_rows(path, digests)


def lay_out(
    file: h5py.File,
    plan: dict[str, Any],
    images: pd.DataFrame,
    layers: Sequence[Layer],
    filters: dict[str, Any],
) -> dict[str, h5py.Dataset]:
    """Write all but the layers' rows into a new file, and return the layers' variables.

    Parameters
    ----------
    file : h5py.File
        The file.
    plan, images, layers, filters
        As of `assemble`.
    """
    _write_attributes(file, plan)
    netcdf.write_images(file, images)
    return netcdf.create_layers(file, len(images), layers, plan["dtype"], filters)


def begin(variable: h5py.Dataset, rows: Rows, pool: Executor) -> Iterable[Chunk | None]:
    """Return the chunks of a block as stored, None where HDF5 is to make it; threads begin."""
    values, size = rows.values, variable.chunks[0]
    firsts = range(0, len(values), size)
    chunks = rows.chunks or [None] * len(firsts)
    if variable.compression != "gzip":
        return chunks
    level = variable.compression_opts

    def packed(first: int, chunk: Chunk | None) -> Chunk:
        return chunk or (0, deflate.compress(values[first : first + size], size, level))

    return pool.map(packed, firsts, chunks)


def write_rows(
    variable: h5py.Dataset, start: int, values: np.ndarray, chunks: Iterable[Chunk | None]
) -> None:
    """Write whole chunks."""
    size = variable.chunks[0]
    for first, chunk in zip(range(0, len(values), size), chunks, strict=True):
        if chunk is None:
            rows = values[first : first + size]
            variable[start + first : start + first + len(rows)] = rows
        else:
            mask, stored = chunk
            variable.id.write_direct_chunk((start + first, 0), stored, mask)


def _write_attributes(file: h5py.File, plan: dict[str, Any]) -> None:
    root = file.attrs
    root["format"] = plan["format"]
    root["title"] = "Features of face images, one row an image"
    root["config_hash"] = plan["config_hash"]
    root["created"] = plan["created"]
    root["context"] = json.dumps(plan["context"], sort_keys=True)
    for key, value in sorted(plan["provenance"].items()):
        root[key] = schema.encode_attribute(value)


def regrouped(records: Iterable[Record], layers: Sequence[Layer], dtype: str) -> Iterator[Block]:
    """Yield rows in blocks, so that the file doesn't depend on how they were appended."""
    size = block_rows(layers, dtype)
    held: list[dict[str, np.ndarray]] = []
    count = 0
    for record in records:
        held.append(record.features)
        count += len(record.status)
        if count < size:
            continue
        joined = _joined(held)
        whole = count // size * size
        for first in range(0, whole, size):
            yield {name: Rows(values[first : first + size]) for name, values in joined.items()}
        held = [{name: values[whole:] for name, values in joined.items()}]
        count -= whole
    if count:
        yield {name: Rows(values) for name, values in _joined(held).items()}


def block_rows(layers: Sequence[Layer], dtype: str) -> int:
    """Return how many rows to hold: whole chunks, about `BLOCK_BYTES` if one isn't more.

    Part of a chunk would be compressed once more with the rest.
    """
    row_bytes = sum(layer.units for layer in layers) * np.dtype(dtype).itemsize
    return max(1, BLOCK_BYTES // (row_bytes * CHUNK_ROWS)) * CHUNK_ROWS


def _joined(held: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]}
