"""The features file in HDF5: its dimensions, variables and attributes, in netCDF-4's data model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.store.hashing import column_sha256, stored_filters
from featx.store.schema import IMAGE_COLUMNS, RESERVED, Layer, decode_attribute

#: A chunk has at most this many rows, and a power of two of them.
CHUNK_ROWS = 16

#: A chunk has at most about this many bytes, unless a single row has more.
CHUNK_BYTES = 1 << 20

_LONG_NAMES = {
    "image": "image identifier",
    "subject": "person in the image",
    "age": "age of the person",
    "age_group": "age group of the person",
    "gender": "gender of the person",
    "fold": "official fold of the data set",
    "dataset": "data set of the image",
    "status": "ok, or why the row has no features",
    "reason": "explanation of the status",
    "duplicate_of": "first image with the same bytes",
    "sha256": "SHA-256 of the source file",
}


def chunk_rows(layer: Layer, dtype: str) -> int:
    """Return how many rows a chunk of the layer has; it divides `CHUNK_ROWS`."""
    rows = CHUNK_ROWS
    while rows > 1 and rows * layer.units * np.dtype(dtype).itemsize > CHUNK_BYTES:
        rows //= 2
    return rows


def write_images(file: h5py.File, images: pd.DataFrame) -> None:
    """Write the per-image variables and the dimension ``image``.

    Parameters
    ----------
    file : h5py.File
        A new file.
    images : pandas.DataFrame
        `IMAGE_COLUMNS`.
    """
    text = h5py.string_dtype("utf-8")
    for column in IMAGE_COLUMNS:
        kind: Any = np.dtype("<f8") if column == "age" else text
        variable = file.create_dataset(column, data=images[column].to_numpy(), dtype=kind)
        if column == "image":
            variable.make_scale(column)
        else:
            variable.dims[0].attach_scale(file["image"])
        variable.attrs["long_name"] = _LONG_NAMES[column]
        variable.attrs["sha256"] = column_sha256(images[column])
    file["age"].attrs["units"] = "years"


def create_layers(
    file: h5py.File, n: int, layers: Sequence[Layer], dtype: str, filters: dict[str, Any]
) -> dict[str, h5py.Dataset]:
    """Make the layers' variables and dimensions, for n rows each."""
    file.attrs["layers"] = json.dumps([layer.name for layer in layers])
    variables = {}
    for layer in layers:
        _create_dimension(file, layer)
        variable = file.create_dataset(
            layer.name,
            shape=(n, layer.units),
            dtype=np.dtype(dtype).newbyteorder("<"),
            chunks=(min(chunk_rows(layer, dtype), n), layer.units),
            **filters,
        )
        variable.dims[0].attach_scale(file["image"])
        variable.dims[1].attach_scale(file[layer.dimension])
        variable.attrs["long_name"] = f"{layer.name} features"
        variable.attrs["module"] = layer.module
        variable.attrs["pool"] = layer.pool
        variable.attrs["shape"] = np.asarray(layer.shape, dtype=np.int64)
        # CF: xarray then shows subject, age and so on beside the layer's values
        variable.attrs["coordinates"] = " ".join(IMAGE_COLUMNS[1:])
        # set when the rows are there; its room is taken now, for HDF5 would move the variable's
        # description behind the rows, where a file that is cut off has lost it
        variable.attrs["sha256"] = "0" * 64
        variables[layer.name] = variable
    return variables


def _create_dimension(file: h5py.File, layer: Layer) -> None:
    values: Any
    if layer.classes and any(isinstance(value, str) for value in layer.classes):
        values = [str(value) for value in layer.classes]
        scale = file.create_dataset(layer.dimension, data=values, dtype=h5py.string_dtype("utf-8"))
    elif layer.classes:
        values = np.asarray(layer.classes, dtype="<f8")
        scale = file.create_dataset(layer.dimension, data=values)
    else:
        scale = file.create_dataset(layer.dimension, data=np.arange(layer.units, dtype="<i4"))
    scale.make_scale(layer.dimension)
    scale.attrs["long_name"] = (
        "value of the class" if layer.classes else "unit, row-major over the layer's shape"
    )


def read_images(file: h5py.File) -> pd.DataFrame:
    """Return the per-image variables as `IMAGE_COLUMNS`."""
    images = pd.DataFrame(index=pd.RangeIndex(len(file["image"])))
    for column in IMAGE_COLUMNS:
        variable = file[column]
        images[column] = (
            variable[:].astype(np.float64)
            if column == "age"
            else pd.Series(variable.asstr()[:], dtype=object)
        )
    return images


def read_layers(file: h5py.File) -> dict[str, Layer]:
    """Return the layers by name, in the order in which they were asked for."""
    return {name: read_layer(file, name) for name in json.loads(file.attrs["layers"])}


def read_layer(file: h5py.File, name: str) -> Layer:
    """Return a layer by its name."""
    variable = file[name]
    classes: tuple[float | str, ...] = ()
    (dimension,) = variable.dims[1].keys()
    if dimension.endswith("class"):
        values = file[dimension]
        text = h5py.check_string_dtype(values.dtype) is not None
        classes = tuple((values.asstr()[:] if text else values[:]).tolist())
    return Layer(
        name=name,
        units=int(variable.shape[1]),
        shape=tuple(int(size) for size in np.atleast_1d(variable.attrs["shape"])),
        module=str(variable.attrs["module"]),
        pool=str(variable.attrs["pool"]),
        classes=classes,
    )


def read_compression(file: h5py.File, names: Iterable[str]) -> str:
    """Return how the layers are compressed, as `featx.store.schema.filters` takes it.

    Raises
    ------
    ValueError
        If in a way in which no features file is written.
    """
    found = {stored_filters(file[name]) for name in names}
    names_of: dict[tuple[tuple[int, ...], ...], str]
    names_of = {(): "none", ((h5py.h5z.FILTER_LZF,),): "lzf"}
    names_of |= {((h5py.h5z.FILTER_DEFLATE, level),): f"gzip-{level}" for level in range(1, 10)}
    if len(found) != 1 or not found <= set(names_of):
        raise ValueError(f"layers went through HDF5's filters {sorted(found)}")
    return names_of[found.pop()]


def read_provenance(file: h5py.File) -> dict[str, Any]:
    """Return the root attributes that are provenance, decoded."""
    return {
        key: decode_attribute(value)
        for key, value in file.attrs.items()
        if key not in RESERVED and not key.startswith("_")
    }
