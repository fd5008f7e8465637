"""Making the HDF5 file of a features file, block of rows by block of rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.memory import keeping_freed_memory
from featx.store import deflate, netcdf, schema
from featx.store.comparison import check_chunks
from featx.store.deflate import Chunk
from featx.store.hashing import RowHash
from featx.store.netcdf import CHUNK_ROWS
from featx.store.schema import Layer
from featx.store.soundness import trust
from featx.store.writing.records import Part, Record
from featx.store.writing.sink import Sink

#: About so many bytes of rows, over all layers, are taken at a time; two such blocks are held.
BLOCK_BYTES = 8 << 20


class Piece(NamedTuple):
    """The rows of one chunk of a layer; one of the two may be missing.

    Attributes
    ----------
    values : numpy.ndarray or None
        Shape (k, units), as stored.
    chunk : Chunk or None
        As the file is to hold it; a whole one where no values are given.
    """

    values: np.ndarray | None = None
    chunk: Chunk | None = None


#: The next rows of every layer, chunk by chunk; they begin with one.
Block = Mapping[str, Sequence[Piece]]


def assemble(
    path: Path,
    plan: dict[str, Any],
    images: pd.DataFrame,
    layers: Sequence[Layer],
    filters: dict[str, Any],
    blocks: Iterable[Block],
    hashes: Mapping[str, RowHash] | None = None,
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
    hashes : mapping of str to RowHash, optional
        Of each layer's rows, where they are known: chunks then need not be restored.

    Raises
    ------
    OSError
        If the disk is full.
    FeatxError
        If what is read back differs from what was written.
    """
    sink = Sink(path)
    try:
        with (
            h5py.File(sink, "w") as file,
            deflate.threads() as pool,
            keeping_freed_memory() as limit_growth,
        ):
            variables = lay_out(file, plan, images, layers, filters)
            written = dict.fromkeys(variables, 0)
            known = hashes or {
                name: RowHash(variable.chunks[0]) for name, variable in variables.items()
            }
            begun = (
                (
                    block,
                    {
                        name: begin(variables[name], pieces, pool, whole=not hashes)
                        for name, pieces in block.items()
                    },
                )
                for block in blocks
            )
            for block, completed in deflate.one_ahead(begun):
                limit_growth()
                for name, pieces in completed.items():
                    hasher = None if hashes else known[name]
                    for piece in _hashed(hasher, block[name], pieces):
                        written[name] += write_piece(variables[name], written[name], piece)
                if sink.error is not None:
                    break
            for name, variable in variables.items():
                variable.attrs.modify("sha256", known[name].hexdigest())
    finally:
        sink.close()
        if sink.error is not None:
            raise sink.error
    if odd := set(written.values()) - {len(images)}:
        raise FeatxError(f"{path} got {odd.pop()} rows for {len(images)} images; extract again")
    trust(path)
    check_chunks(path, known)


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


def _hashed(
    hasher: RowHash | None, given: Sequence[Piece], completed: Iterable[Piece]
) -> Iterable[Piece]:
    """Take the values of a block's pieces into a hash, if there is one, and return the latter.

    All at once: threads at work would have to be waited for at every piece.
    """
    if hasher is None:
        return completed
    if any(piece.values is None for piece in given):
        given = completed = list(completed)
    hasher.update(np.concatenate([piece.values for piece in given]))
    return completed


def begin(
    variable: h5py.Dataset, pieces: Iterable[Piece], pool: Executor, *, whole: bool = True
) -> Iterator[Piece]:
    """Return the pieces with what is missing, with which threads begin.

    That is the chunk, except where HDF5 is to make it, and if `whole` the values.
    """
    (size, units), dtype = variable.chunks, variable.dtype
    level = variable.compression_opts if variable.compression == "gzip" else None

    def completed(piece: Piece) -> Piece:
        values, chunk = piece
        if values is None and whole:
            assert chunk is not None
            restored = deflate.restore(chunk, size * units * dtype.itemsize)
            values = np.frombuffer(restored, dtype).reshape(size, units)
        elif chunk is None and level is not None:
            assert values is not None
            chunk = (0, deflate.compress(values, size, level))
        return Piece(values, chunk)

    return pool.map(completed, pieces)


def write_piece(variable: h5py.Dataset, first: int, piece: Piece) -> int:
    """Write the piece that begins with a row, and return how many rows it has."""
    values, chunk = piece
    count = variable.chunks[0] if values is None else len(values)
    if chunk is None:
        variable[first : first + count] = values
    else:
        mask, stored = chunk
        variable.id.write_direct_chunk((first, 0), stored, mask)
    return int(count)


def _write_attributes(file: h5py.File, plan: dict[str, Any]) -> None:
    root = file.attrs
    root["format"] = plan["format"]
    root["title"] = "Features of face images, one row an image"
    root["config_hash"] = plan["config_hash"]
    root["created"] = plan["created"]
    root["context"] = json.dumps(plan["context"], sort_keys=True)
    for key, value in sorted(plan["provenance"].items()):
        root[key] = schema.encode_attribute(value)


def regrouped(
    records: Iterable[Record], layers: Sequence[Layer], dtype: str, level: int | None = None
) -> Iterator[Block]:
    """Yield rows in blocks, so that the file doesn't depend on how they were appended.

    Parameters
    ----------
    records : iterable of Record
        All rows, in order.
    layers, dtype
        Of the file.
    level : int, optional
        Of the file's gzip, if that is its compression. Chunks of another are not kept.
    """
    size = block_rows(layers, dtype)
    chunk = {layer.name: netcdf.chunk_rows(layer, dtype) for layer in layers}
    units = {layer.name: layer.units for layer in layers}
    held: dict[str, list[Part]] = {name: [] for name in chunk}
    count = 0

    def kept(name: str, part: Part) -> Part:
        if isinstance(part, np.ndarray) or (part.size, part.level) == (chunk[name], level):
            return part
        return part.values(units[name], dtype)

    def block() -> Block:
        return {name: _pieces(_taken(held[name], size), chunk[name]) for name in held}

    for record in records:
        for name, parts in record.features.items():
            held[name] += [kept(name, part) for part in parts]
        count += len(record.status)
        while count >= size:
            yield block()
            count -= size
    if count:
        yield block()


def _taken(parts: list[Part], count: int) -> list[Part]:
    """Take so many rows, or all there are, off the beginning of a list of parts."""
    taken: list[Part] = []
    while parts and count:
        part = parts.pop(0)
        taken.append(part[:count])
        if len(part) > count:
            parts.insert(0, part[count:])
        count -= len(taken[-1])
    return taken


def _pieces(parts: Iterable[Part], size: int) -> list[Piece]:
    """Cut rows that begin with a chunk into chunks of some size."""
    pieces: list[Piece] = []
    loose: list[np.ndarray] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            loose.append(part)
            continue
        pieces += [*_cut(loose, size), *(Piece(chunk=(0, chunk)) for chunk in part.chunks)]
        loose.clear()
    return [*pieces, *_cut(loose, size)]


def _cut(loose: list[np.ndarray], size: int) -> Iterator[Piece]:
    if loose:
        values = np.concatenate(loose)
        yield from (Piece(values[first : first + size]) for first in range(0, len(values), size))


def block_rows(layers: Sequence[Layer], dtype: str) -> int:
    """Return how many rows to hold: whole chunks, about `BLOCK_BYTES` if one isn't more.

    Part of a chunk would be compressed once more with the rest.
    """
    row_bytes = sum(layer.units for layer in layers) * np.dtype(dtype).itemsize
    return max(1, BLOCK_BYTES // (row_bytes * CHUNK_ROWS)) * CHUNK_ROWS
