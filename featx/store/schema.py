"""What a features file holds: names, dimensions, attributes, chunks."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.errors import FeatxError, unknown

#: The name and version of the layout; readers refuse any other version.
FORMAT = "featx-features/1"

#: The columns of the image table that the file keeps, each a variable along ``image``.
IMAGE_COLUMNS: tuple[str, ...] = (
    "image",
    "subject",
    "age",
    "age_group",
    "gender",
    "fold",
    "dataset",
    "status",
    "reason",
    "duplicate_of",
    "sha256",
)

#: Root attributes with a meaning of their own; every other one is provenance.
RESERVED: tuple[str, ...] = (
    "format",
    "title",
    "layers",
    "config_hash",
    "rows_done",
    "checkpoint",
    "created",
    "context",
)

#: Rows written at a time. Every chunk's row count divides it, so that a chunk with finished rows
#: is never written again: that would compress it twice, and a kill could lose those rows.
BLOCK_ROWS = 16

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

_NOT_JSON = object()

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.@+-]{0,127}")


@dataclass(frozen=True)
class Layer:
    """One layer of a network as the file holds it.

    Parameters
    ----------
    name : str
        Name of the variable, for example ``"gap"``.
    units : int
        Columns; the product of `shape`.
    shape : tuple of int
        ``(channels,)`` or ``(channels, height, width)``; columns run over it in row-major order.
    module : str
        Where in the network it was tapped.
    pool : str
        ``"avg"``, ``"max"`` or ``"none"``.
    classes : tuple of float or str
        The value that each column stands for, where the layer is a classifier's output.

    Raises
    ------
    FeatxError
        If the name cannot be a netCDF variable's name here.
    ValueError
        If units, shape and classes contradict each other.
    """

    name: str
    units: int
    shape: tuple[int, ...]
    module: str = ""
    pool: str = ""
    classes: tuple[float | str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if not _NAME.fullmatch(self.name):
            raise FeatxError(
                f"layer name {self.name!r} cannot name a variable of a features file: begin with "
                "a letter or _, then letters, digits and _.@+- (at most 128 characters)"
            )
        if self.units < 1 or self.units != math.prod(self.shape):
            raise ValueError(f"layer {self.name}: {self.units} units, but shape {self.shape}")
        if self.classes and len(self.classes) != self.units:
            raise ValueError(
                f"layer {self.name}: {self.units} units, but {len(self.classes)} classes"
            )

    @property
    def dimension(self) -> str:
        """Name of the dimension of the columns."""
        return "class" if self.classes else f"{self.name}_unit"


def check_layers(layers: Sequence[Layer]) -> None:
    """Refuse layers whose names or dimensions clash.

    Raises
    ------
    FeatxError
        If there is no layer, or a name is taken.
    """
    if not layers:
        raise FeatxError("no layer was asked for; name at least one")
    taken = {*IMAGE_COLUMNS}
    for layer in layers:
        for name in (layer.name, layer.dimension):
            if name in taken:
                raise FeatxError(
                    f"layer {layer.name!r} needs the variable {name!r}, which is already taken; "
                    "give each layer once, under a name of its own"
                )
            taken.add(name)


def chunk_rows(layer: Layer, dtype: str) -> int:
    """Return how many rows a chunk of the layer has: a divisor of `BLOCK_ROWS`, about 1 MiB."""
    rows = BLOCK_ROWS
    while rows > 1 and rows * layer.units * np.dtype(dtype).itemsize > CHUNK_BYTES:
        rows //= 2
    return rows


def filters(compression: str) -> dict[str, Any]:
    """Return h5py's keywords for ``gzip``, ``gzip-1`` to ``gzip-9``, ``lzf`` or ``none``.

    Raises
    ------
    FeatxError
        If the name is none of these.
    """
    if compression == "none":
        return {}
    if compression == "lzf":
        return {"compression": "lzf"}
    if match := re.fullmatch(r"gzip(?:-([1-9]))?", compression):
        return {"compression": "gzip", "compression_opts": int(match[1] or 1)}
    raise unknown("compression", compression, ["none", "lzf", "gzip", "gzip-1", "gzip-9"])


def image_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return `IMAGE_COLUMNS` of an image table: age as float64, the others as str.

    Raises
    ------
    FeatxError
        If the table is empty, or a text cannot be stored (a NUL, or not valid UTF-8).
    """
    if len(table) == 0:
        raise FeatxError("the image table has no rows; nothing to extract")
    images = pd.DataFrame(index=pd.RangeIndex(len(table)))
    for column in IMAGE_COLUMNS:
        if column == "age":
            images[column] = table[column].to_numpy(np.float64)
            continue
        texts = [str(value) for value in table[column]]
        for row, text in enumerate(texts):
            if "\0" in text or not _is_utf8(text):
                raise FeatxError(
                    f"row {row + 1} of the image table: {column} {text!r} is not clean UTF-8 "
                    "text; correct it"
                )
        images[column] = pd.Series(texts, dtype=object)
    return images


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def config_hash(
    table: pd.DataFrame, layers: Sequence[Layer], provenance: Mapping[str, Any], dtype: str
) -> str:
    """Return the SHA-256 of everything that decides a features file's content.

    Parameters
    ----------
    table : pandas.DataFrame
        The image table; its `IMAGE_COLUMNS` count.
    layers : sequence of Layer
        In order.
    provenance : mapping
        Values that JSON can hold; no dates, hosts or versions that don't matter.
    dtype : str
        ``"float32"`` or ``"float16"``.
    """
    digest = hashlib.sha256(FORMAT.encode())
    described = [asdict(layer) for layer in layers]
    digest.update(_stable([dict(provenance), described, str(np.dtype(dtype))]))
    images = image_columns(table)
    for column in IMAGE_COLUMNS:
        values = images[column].tolist()
        digest.update(_stable([column, [None if value != value else value for value in values]]))
    return digest.hexdigest()


def _stable(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON keeps it: tuples become lists, NumPy scalars numbers.

    Raises
    ------
    ValueError
        If a key is reserved or no attribute's name, or a value is NaN or infinite.
    """
    for key in values:
        if key in RESERVED or not _NAME.fullmatch(key) or key.startswith("_"):
            raise ValueError(f"provenance key {key!r} is reserved or not an attribute's name")
    text = json.dumps(dict(values), allow_nan=False, default=_native)
    return dict(json.loads(text))


def _native(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} is nothing that JSON can hold")


def encode_attribute(value: Any) -> Any:
    """Return a value as HDF5 and netCDF attributes hold it: a text, an int64 or a float64.

    Text stays as it is unless it would read as JSON; anything but text and numbers becomes JSON.
    """
    if isinstance(value, str):
        return value if _json_or(value, _NOT_JSON) is _NOT_JSON else json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return np.int64(value)
    if isinstance(value, float) and math.isfinite(value):
        return np.float64(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)


def decode_attribute(stored: Any) -> Any:
    """Return what `encode_attribute` was given."""
    if isinstance(stored, bytes):
        stored = stored.decode("utf-8", "replace")
    if isinstance(stored, str):
        return _json_or(stored, stored)
    return stored.item() if isinstance(stored, np.generic) else stored


def _json_or(text: str, otherwise: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return otherwise


def lay_out(
    file: h5py.File,
    images: pd.DataFrame,
    layers: Sequence[Layer],
    dtype: str,
    compression: str,
) -> None:
    """Make all variables and dimensions of a new file; the layers' rows are NaN.

    All chunks are allocated at once: the index of chunks then keeps its form while rows are
    written, so that a kill in the middle of a write cannot lose finished ones.
    """
    n = len(images)
    text = h5py.string_dtype("utf-8")
    for column in IMAGE_COLUMNS:
        kind: Any = np.dtype("<f8") if column == "age" else text
        variable = file.create_dataset(column, data=images[column].to_numpy(), dtype=kind)
        if column == "image":
            variable.make_scale(column)
        else:
            variable.dims[0].attach_scale(file["image"])
        variable.attrs["long_name"] = _LONG_NAMES[column]
    file["age"].attrs["units"] = "years"
    file.attrs["layers"] = json.dumps([layer.name for layer in layers])
    coordinates = " ".join(IMAGE_COLUMNS[1:])
    for layer in layers:
        _lay_out_dimension(file, layer)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        variable = file.create_dataset(
            layer.name,
            shape=(n, layer.units),
            dtype=np.dtype(dtype).newbyteorder("<"),
            chunks=(min(chunk_rows(layer, dtype), n), layer.units),
            fillvalue=np.nan,
            dcpl=plist,
            **filters(compression),
        )
        variable.dims[0].attach_scale(file["image"])
        variable.dims[1].attach_scale(file[layer.dimension])
        variable.attrs["long_name"] = f"{layer.name} features"
        variable.attrs["module"] = layer.module
        variable.attrs["pool"] = layer.pool
        variable.attrs["shape"] = np.asarray(layer.shape, dtype=np.int64)
        variable.attrs["coordinates"] = coordinates
        write_fixed(variable, "sha256", "", 64)


def _lay_out_dimension(file: h5py.File, layer: Layer) -> None:
    if layer.classes and any(isinstance(value, str) for value in layer.classes):
        values = [str(value) for value in layer.classes]
        scale = file.create_dataset("class", data=values, dtype=h5py.string_dtype("utf-8"))
    elif layer.classes:
        scale = file.create_dataset("class", data=np.asarray(layer.classes, dtype="<f8"))
    else:
        scale = file.create_dataset(layer.dimension, data=np.arange(layer.units, dtype="<i4"))
    scale.make_scale(layer.dimension)
    scale.attrs["long_name"] = (
        "value of the class" if layer.classes else "unit, row-major over the layer's shape"
    )


def write_fixed(holder: Any, name: str, value: str, size: int) -> None:
    """Write an ASCII attribute of fixed size, in place where it is there already.

    In place means one small write to where the former value was: a kill leaves the old value or
    the new one.
    """
    kind = np.dtype(f"S{size}")
    if name in holder.attrs:
        holder.attrs.modify(name, np.array(value.ljust(size).encode(), dtype=kind))
    else:
        holder.attrs.create(name, np.array(value.ljust(size).encode(), dtype=kind))


def read_fixed(holder: Any, name: str) -> str:
    """Return an attribute that `write_fixed` wrote, or an empty text where there is none."""
    stored = holder.attrs.get(name, b"")
    text = stored.decode("ascii", "replace") if isinstance(stored, bytes) else str(stored)
    return text.strip()


def write_checkpoint(file: h5py.File, rows: int, hashers: Mapping[str, Any]) -> None:
    """Note how many rows are finished, with a digest of them, in one small write in place."""
    write_fixed(file, "checkpoint", checkpoint(rows, hashers), 77)


def checkpoint(rows: int, hashers: Mapping[str, Any]) -> str:
    """Return the note of `write_checkpoint`: the rows and a SHA-256 over the layers' digests."""
    digests = " ".join(hasher.hexdigest() for hasher in hashers.values())
    return f"{rows:012d} {hashlib.sha256(digests.encode()).hexdigest()}"


def cause(error: BaseException) -> str:
    """Return the gist of an error of HDF5: ``No space left on device`` from a page of text."""
    text = str(error)
    if match := re.search(r"error message = '([^']+)'", text):
        return match[1]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.splitlines()[0] if text else type(error).__name__


def read_layer(dataset: h5py.Dataset, file: h5py.File) -> Layer:
    """Return what a layer's variable says about itself."""
    classes: tuple[float | str, ...] = ()
    if "class" in file and dataset.dims[1].keys() == ["class"]:
        values = file["class"]
        text = h5py.check_string_dtype(values.dtype) is not None
        classes = tuple((values.asstr()[:] if text else values[:]).tolist())
    return Layer(
        name=Path(dataset.name).name,
        units=int(dataset.shape[1]),
        shape=tuple(int(size) for size in dataset.attrs["shape"]),
        module=str(dataset.attrs["module"]),
        pool=str(dataset.attrs["pool"]),
        classes=classes,
    )


def read_images(file: h5py.File) -> pd.DataFrame:
    """Return the per-image variables."""
    images = pd.DataFrame(index=pd.RangeIndex(len(file["image"])))
    for column in IMAGE_COLUMNS:
        variable = file[column]
        images[column] = (
            variable[:].astype(np.float64)
            if column == "age"
            else pd.Series(variable.asstr()[:], dtype=object)
        )
    return images


def layer_names(file: h5py.File) -> list[str]:
    """Return the names of the layers' variables, in the order in which they were asked for."""
    return list(json.loads(file.attrs["layers"]))


def read_provenance(file: h5py.File) -> dict[str, Any]:
    """Return the root attributes that are provenance, decoded."""
    return {
        key: decode_attribute(value)
        for key, value in file.attrs.items()
        if key not in RESERVED and not key.startswith("_")
    }
