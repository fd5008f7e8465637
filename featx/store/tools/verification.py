"""Whether a features file is whole: all that it says of itself, tried on all that it holds."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.cluster.fresh import call_fresh
from featx.errors import FeatxError
from featx.manifest import STATUSES
from featx.store import netcdf, schema
from featx.store.hashing import changed_columns
from featx.store.opening import open_features
from featx.store.schema import IMAGE_COLUMNS, Layer
from featx.store.tools import damage

logger = logging.getLogger(__name__)


def verify(path: str | Path) -> list[str]:
    """Read all of a features file and return what is wrong with it.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    list of str
        A line a finding, each naming the file and what of it; none where it is whole. Rows are
        counted from 1.
    """
    try:
        with open_features(path) as file:
            return [f"{path}: {finding}" for finding in _findings(file)]
    except FeatxError as error:
        return [str(error)]


def verify_apart(path: str | Path) -> list[str]:
    """Do as `verify` in a process of its own: HDF5 may end the one that opens a damaged file.

    Or keep it for ever, going round among the file's structures.
    """
    broken = f"{path} is damaged so that HDF5 breaks off; extract it again"
    try:
        found: list[str] = call_fresh(verify, path, killed=broken, limit=_patience(path))
    except TimeoutError:
        return [f"{path} is damaged so that HDF5 comes to no end; extract it again"]
    except FeatxError as error:
        return [str(error)]
    return found


def _patience(path: str | Path) -> float:
    """Return seconds in which a file, however compressed, is surely read from the slowest disk."""
    try:
        return 60 + Path(path).stat().st_size / 1e6
    except OSError:
        return 60


def _findings(file: h5py.File) -> Iterator[str]:
    yield from _attributes(file)
    images: pd.DataFrame | None = None
    try:
        images = netcdf.read_images(file)
    except damage.ERRORS as error:
        yield f"the image table cannot be read: {schema.cause(error)}"
    if images is not None:
        yield from _tried("the image table", _images(file, images))
    try:
        names = list(json.loads(file.attrs["layers"]))
    except damage.ERRORS as error:
        yield f"the names of its layers cannot be read: {schema.cause(error)}"
        return
    for name in names:
        yield from _tried(f"layer {name}", _layer(file, name, images))
    yield from _tried("the file", _whole(file, names, images))


def _tried(what: str, findings: Iterator[str]) -> Iterator[str]:
    try:
        yield from findings
    except (*damage.ERRORS, FeatxError) as error:
        yield f"{what} cannot be read: {schema.cause(error)}"


def _attributes(file: h5py.File) -> Iterator[str]:
    checks = {
        "config_hash": lambda value: re.fullmatch(r"[0-9a-f]{64}", value),
        "created": lambda value: value,
        "context": lambda value: isinstance(json.loads(value), dict),
    }
    for name, check in checks.items():
        try:
            if not check(file.attrs[name]):
                yield f"attribute {name} is {file.attrs[name]!r}"
        except damage.ERRORS as error:
            yield f"attribute {name} cannot be read: {schema.cause(error)}"
    try:
        netcdf.read_provenance(file)
    except damage.ERRORS as error:
        yield f"the provenance cannot be read: {schema.cause(error)}"


def _images(file: h5py.File, images: pd.DataFrame) -> Iterator[str]:
    for column in IMAGE_COLUMNS[1:]:
        yield from _dimension(file, column, 0, "image")
    for column in changed_columns(file, images):
        yield f"{column} differs from its sha256: values or the order of rows were changed"
    twice = images["image"].duplicated().to_numpy()
    if twice.any():
        name = images["image"][twice].iloc[0]
        yield f"{damage.tell_rows(np.flatnonzero(twice))}: image {name!r} is there already"
    odd = ~images["status"].isin(STATUSES).to_numpy()
    if odd.any():
        found = sorted(set(images["status"][odd]))
        yield f"{damage.tell_rows(np.flatnonzero(odd))}: status {', '.join(map(repr, found))}"


def _dimension(file: h5py.File, name: str, axis: int, wanted: str) -> Iterator[str]:
    """Check which dimension scale is attached to a variable, and that the lengths are the same."""
    variable = file[name]
    found = variable.dims[axis].keys()
    if found != [wanted]:
        yield f"{name} has dimension {', '.join(found) or 'none'} in place of {wanted}"
    elif len(file[wanted]) != variable.shape[axis]:
        yield f"{name} has {variable.shape[axis]} of {wanted}, which has {len(file[wanted])}"


def _layer(file: h5py.File, name: str, images: pd.DataFrame | None) -> Iterator[str]:
    layer, variable = netcdf.read_layer(file, name), file[name]
    what = f"layer {name}"
    if variable.dtype not in (np.dtype("<f4"), np.dtype("<f2")) or variable.chunks is None:
        yield f"{what} is stored as no features file stores one: {variable.dtype}"
        return
    yield from _dimension(file, name, 0, "image")
    yield from _dimension(file, name, 1, layer.dimension)
    hasher, whole = hashlib.sha256(), True
    empty, some = np.zeros(len(variable), bool), np.zeros(len(variable), bool)
    read = np.zeros(len(variable), bool)
    for part in damage.parts(variable):
        rows = slice(part.rows.start, part.rows.stop)
        if part.values is None:
            whole = False
            yield f"{what}, {damage.tell_rows(np.array(part.rows))} cannot be read: {part.problem}"
            continue
        hasher.update(np.ascontiguousarray(part.values).data)
        missing = np.isnan(part.values)
        read[rows], empty[rows], some[rows] = True, missing.all(axis=1), missing.any(axis=1)
    if whole and hasher.hexdigest() != variable.attrs["sha256"]:
        yield (
            f"{what} differs from its sha256: values or the order of rows were changed, and which "
            "cannot be told"
        )
    if images is None or len(images) != len(variable):
        return
    ok = images["status"].to_numpy() == "ok"
    for wrong, told in ((some & ok, "ok, but NaN"), (~empty & ~ok & read, "not ok, but not NaN")):
        if wrong.any():
            yield f"{what}, {damage.tell_rows(np.flatnonzero(wrong))}: {told}"


def _whole(file: h5py.File, names: list[str], images: pd.DataFrame | None) -> Iterator[str]:
    layers = [netcdf.read_layer(file, name) for name in names]
    known = {*IMAGE_COLUMNS, *names, *(layer.dimension for layer in layers)}
    yield from (f"{name} is no part of a features file" for name in sorted({*file} - known))
    if images is not None and is_as_told(file, images, layers) is False:
        yield (
            "the image table, the provenance or the order of the rows was changed: they don't "
            "give its config hash"
        )


def is_as_told(file: h5py.File, images: pd.DataFrame, layers: Sequence[Layer]) -> bool | None:
    """Return whether image table, layers and provenance give the config hash.

    The hash was made before the extraction, which makes an image that it cannot read ``corrupt``.
    So it is tried with the status of such rows as it is, and with all of them ok; where some were
    corrupt before and some became so, or attributes cannot be read, nothing can be told: None.
    """
    try:
        told = str(file.attrs["config_hash"])
        provenance = netcdf.read_provenance(file)
    except damage.ERRORS:
        return None
    dtype = str(file[layers[0].name].dtype)
    corrupt = images["status"] == "corrupt"
    before = images.copy()
    before.loc[corrupt, ["status", "reason"]] = ["ok", ""]
    for table in [images, before] if corrupt.any() else [images]:
        for tried in (layers, [_with_integers(layer) for layer in layers]):
            if _hash(table, tried, provenance, dtype) == told:
                return True
    return None if corrupt.any() else False


def warn_if_changed(
    file: h5py.File, path: str | Path, images: pd.DataFrame, layers: Sequence[Layer]
) -> None:
    """Log a warning where image table, layers or provenance are not those of the config hash.

    Who reads values checks them by their own hashes; provenance has no other than this.
    """
    if is_as_told(file, images, layers) is False:
        logger.warning(
            "%s: image table, provenance or config hash were changed since it was written; "
            "`featx verify` says more",
            path,
        )


def _hash(table: pd.DataFrame, layers: Sequence[Layer], provenance: Any, dtype: str) -> str | None:
    try:
        return schema.config_hash(table, layers, provenance, dtype)
    except (FeatxError, ValueError, TypeError):  # what no file of ours can hold
        return None


def _with_integers(layer: Layer) -> Layer:
    """Return a layer whose classes are as they were before the file made them float64."""
    whole = [
        int(value) if isinstance(value, float) and value.is_integer() else value
        for value in layer.classes
    ]
    return replace(layer, classes=tuple(whole))
