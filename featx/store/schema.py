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

import numpy as np
import pandas as pd

from featx.errors import FeatxError, unknown

#: The name and version of the layout; readers refuse any other version.
FORMAT = "featx-features/1"

#: How the journal begins from which a features file is made.
JOURNAL_MAGIC = b"featx-journal/1\n"

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
    "created",
    "context",
)

#: The attribute, among the provenance, by which a file of `featx repair` tells that it is one.
REPAIRED = "repaired"

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
        """Name of the dimension of the columns; of class values it ends in ``class``."""
        if not self.classes:
            return f"{self.name}_unit"
        return "class" if self.name == "softmax" else f"{self.name}_class"


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
        known: dict[str, str] = {}  # one object for equal texts: many rows are of few people
        texts = [known.setdefault(text, text) for text in map(str, table[column].tolist())]
        if odd := [text for text in known if "\0" in text or not _is_utf8(text)]:
            raise FeatxError(
                f"row {texts.index(odd[0]) + 1} of the image table: {column} {odd[0]!r} is not "
                "clean UTF-8 text; correct it"
            )
        images[column] = pd.Series(texts, dtype=object)
    return images


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_text(text: str) -> str:
    """Return a text as the file can hold it: without NUL, and valid UTF-8."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def columns_to_json(images: pd.DataFrame) -> dict[str, list[Any]]:
    """Return `IMAGE_COLUMNS` as lists that JSON can hold, None for an unknown age."""
    return {
        column: [None if value != value else value for value in images[column].tolist()]
        for column in IMAGE_COLUMNS
    }


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
    for column, values in columns_to_json(image_columns(table)).items():
        digest.update(_stable([column, values]))
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


def cause(error: BaseException) -> str:
    """Return the gist of an error of HDF5: ``No space left on device`` from a page of text."""
    text = str(error)
    if match := re.search(r"error message = '([^']+)'", text):
        return match[1]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.splitlines()[0] if text else type(error).__name__
