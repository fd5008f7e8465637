"""Making the HDF5 file from the journal, and telling whether a file is the one that is wanted."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.store import netcdf, schema
from featx.store.journal import Record
from featx.store.netcdf import CHUNK_ROWS
from featx.store.reader import open_features, reading
from featx.store.schema import Layer
from featx.store.sink import Sink


def assemble(
    path: Path,
    plan: dict[str, Any],
    images: pd.DataFrame,
    layers: Sequence[Layer],
    filters: dict[str, Any],
    records: Iterable[Record],
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
    records : iterable of Record
        All rows, in order.

    Raises
    ------
    OSError
        If the disk is full.
    FeatxError
        If what is read back differs from what was written.
    """
    sink = Sink(path)
    try:
        with h5py.File(sink, "w") as file, ThreadPoolExecutor(_threads()) as pool:
            _write_attributes(file, plan)
            netcdf.write_images(file, images)
            variables = netcdf.create_layers(file, len(images), layers, plan["dtype"], filters)
            hashers = {name: hashlib.sha256() for name in variables}
            start = 0
            for block in _regrouped(records, _block_rows(layers, plan["dtype"])):
                for name, values in block.items():
                    _write_rows(variables[name], start, values, pool)
                    hashers[name].update(values.tobytes())
                start += len(next(iter(block.values())))
                if sink.error is not None:
                    break
            digests = {name: hasher.hexdigest() for name, hasher in hashers.items()}
            for name, digest in digests.items():
                variables[name].attrs["sha256"] = digest
    finally:
        sink.close()
        if sink.error is not None:
            raise sink.error
    if start != len(images):
        raise FeatxError(f"{path} got {start} rows for {len(images)} images; extract again")
    check_rows(path, digests)


def _threads() -> int:
    """Return how many chunks to compress at a time: the processors that this process may use."""
    return min(8, len(os.sched_getaffinity(0)))


def _write_rows(
    variable: h5py.Dataset, start: int, values: np.ndarray, pool: ThreadPoolExecutor
) -> None:
    """Write whole chunks; gzip's are compressed here, in threads, for HDF5 has but one."""
    if variable.compression != "gzip":
        variable[start : start + len(values)] = values
        return
    size, level = variable.chunks[0], variable.compression_opts
    firsts = range(0, len(values), size)
    chunks = pool.map(lambda first: _deflate(values[first : first + size], size, level), firsts)
    for first, chunk in zip(firsts, chunks, strict=True):
        variable.id.write_direct_chunk((start + first, 0), chunk)


def _deflate(rows: np.ndarray, size: int, level: int) -> bytes:
    """Compress a chunk of `size` rows as HDF5's deflate filter reads it.

    At level 1 only runs are looked for: on activations that is faster than the default strategy
    and smaller, for behind a ReLU zeros are all that repeats.
    """
    strategy = zlib.Z_RLE if level == 1 else zlib.Z_DEFAULT_STRATEGY
    stream = zlib.compressobj(level, strategy=strategy)
    parts = [stream.compress(np.ascontiguousarray(rows).data)]
    missing = (size - len(rows)) * rows.shape[1] * rows.itemsize  # the last chunk is stored whole
    return b"".join([*parts, stream.compress(bytes(missing)), stream.flush()])


def _write_attributes(file: h5py.File, plan: dict[str, Any]) -> None:
    root = file.attrs
    root["format"] = plan["format"]
    root["title"] = "Features of face images, one row an image"
    root["config_hash"] = plan["config_hash"]
    root["created"] = plan["created"]
    root["context"] = json.dumps(plan["context"], sort_keys=True)
    for key, value in plan["provenance"].items():
        root[key] = schema.encode_attribute(value)


def _regrouped(records: Iterable[Record], size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield rows by the `size`, so that the file doesn't depend on how they were appended.

    It is a multiple of a chunk's rows: part of a chunk would be compressed once more with the rest.
    """
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
            yield {name: values[first : first + size] for name, values in joined.items()}
        held = [{name: values[whole:] for name, values in joined.items()}]
        count -= whole
    if count:
        yield _joined(held)


def _block_rows(layers: Sequence[Layer], dtype: str) -> int:
    """Return how many rows to hold: whole chunks, about 32 MiB of them if one isn't more."""
    row_bytes = sum(layer.units for layer in layers) * np.dtype(dtype).itemsize
    return max(1, (32 << 20) // (row_bytes * CHUNK_ROWS)) * CHUNK_ROWS


def _joined(held: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]}


def check_rows(path: Path, digests: dict[str, str] | None = None) -> None:
    """Check that each layer's rows have the hash that was given or that the file itself tells.

    Raises
    ------
    FeatxError
        If they have not, or the file cannot be read.
    """
    with open_features(path) as file, reading(path):
        for name in netcdf.read_layers(file):
            wanted = digests[name] if digests else file[name].attrs["sha256"]
            if hash_rows(file[name]) != wanted:
                break
        else:
            return
    raise FeatxError(
        f"{path}: layer {name} differs from its sha256; remove the file and extract again"
    )


def hash_rows(variable: h5py.Dataset) -> str:
    """Return the SHA-256 of a layer's rows, row-major as stored."""
    hasher = hashlib.sha256()
    for start in range(0, len(variable), CHUNK_ROWS):
        hasher.update(variable[start : start + CHUNK_ROWS].tobytes())
    return hasher.hexdigest()


def check_complete(path: Path, plan: dict[str, Any]) -> None:
    """Check that a finished file is wholly what the plan would give.

    Raises
    ------
    FeatxError
        If it is of another configuration, or its rows differ from their hashes.
    """
    with open_features(path) as file, reading(path):
        layers = netcdf.read_layers(file)
        stored = {
            "format": file.attrs["format"],
            "config_hash": file.attrs["config_hash"],
            "provenance": netcdf.read_provenance(file),
            "dtype": str(file[next(iter(layers))].dtype),
            "layers": [asdict(layer) for layer in layers.values()],
            "images": schema.columns_to_json(netcdf.read_images(file)),
        }
    compare(path, stored, plan)
    check_rows(path)


def compare(path: Path, stored: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuse a file that was made with another plan.

    Raises
    ------
    FeatxError
        If the config hashes differ; it names the first thing that does.
    """
    if stored["config_hash"] == plan["config_hash"]:
        return
    difference = next(_differences(_as_json(stored), _as_json(plan)), "the status of its rows")
    raise FeatxError(
        f"{path} cannot be resumed, for it was made otherwise: {difference}; remove it, or go "
        "back to what it was made with"
    )


def _as_json(plan: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(plan)))  # so that tuples equal lists


def _differences(stored: dict[str, Any], plan: dict[str, Any]) -> Iterator[str]:
    for key in ("format", "dtype"):
        if stored[key] != plan[key]:
            yield f"its {key} is {stored[key]}, now {plan[key]}"
    had, has = ([layer["name"] for layer in which["layers"]] for which in (stored, plan))
    if had != has:
        yield f"its layers are {', '.join(had)}, now {', '.join(has)}"
    for was, now in zip(stored["layers"], plan["layers"], strict=False):
        for field in was:
            if was[field] != now[field]:
                yield f"its layer {was['name']} has {field} {was[field]!r}, now {now[field]!r}"
    for key in sorted({*stored["provenance"], *plan["provenance"]}):
        was, now = stored["provenance"].get(key), plan["provenance"].get(key)
        if was != now:
            yield f"its {key} is {was!r}, now {now!r}"
    images, table = stored["images"], plan["images"]
    if len(images["image"]) != len(table["image"]):
        yield f"it has {len(images['image'])} images, the table {len(table['image'])}"
    for column in images:
        if column in ("status", "reason"):  # extraction changes them
            continue
        rows = [row for row, was in enumerate(images[column]) if was != table[column][row]]
        if rows:
            was, now = images[column][rows[0]], table[column][rows[0]]
            yield (
                f"{column} of row {rows[0] + 1} is {was!r}, now {now!r} ({len(rows)} rows differ)"
            )
