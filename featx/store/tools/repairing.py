"""Saving what a damaged or unfinished features file holds, in a new one that says so."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError, unknown
from featx.file_hash import file_sha256
from featx.store import netcdf, schema
from featx.store.hashing import changed_columns
from featx.store.opening import check_format, open_features
from featx.store.schema import Layer
from featx.store.tools import damage, truncated
from featx.store.tools.verification import is_as_told
from featx.store.writing.assembly import assemble, regrouped
from featx.store.writing.records import Part, Record


@dataclass
class Repair:
    """What was saved, and what was lost.

    Attributes
    ----------
    images : pandas.DataFrame
        The image table; rows that were lost are ``corrupt``, with the reason.
    lost : numpy.ndarray of bool, shape (n,)
        The rows that were ok and are lost.
    layers : dict of str to Layer
        Those that are kept.
    lost_layers : dict of str to str
        Those that are not, and why.
    unchecked : list of str
        Layers whose rows have no checksums, and which could not be compared with their SHA-256.
    """

    images: pd.DataFrame
    lost: np.ndarray
    layers: dict[str, Layer] = field(default_factory=dict)
    lost_layers: dict[str, str] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    @property
    def nothing_lost(self) -> bool:
        """Whether the file was whole."""
        return not (self.lost.any() or self.lost_layers or self.unchecked)


def repair(path: str | Path, out: str | Path, layers: Sequence[str] = ()) -> Repair:
    """Write the rows of a damaged features file that can be read into a new one.

    Every image keeps its row. One whose values in any of the layers are lost becomes ``corrupt``,
    with the reason, and holds NaN in all of them. A layer that differs from its SHA-256 though all
    of it can be read is left out, for nobody knows which of its rows are right. The new file's
    provenance tells of the repair, so that its config hash is another one.

    Parameters
    ----------
    path : str or Path
        The file, which is not changed.
    out : str or Path
        The new file; it must not exist.
    layers : sequence of str
        Which layers to save; all by default. Fewer layers may save more rows.

    Returns
    -------
    Repair
        Where nothing was lost, no file was written.

    Raises
    ------
    FeatxError
        If `out` exists, or so much is lost that no row or no meaning of the rows is left.
    """
    path, out = Path(path), Path(out)
    if out.exists():
        raise FeatxError(f"{out} is there already and is never overwritten; choose another name")
    if not path.is_file() or path.suffix == ".partial" or not h5py.is_hdf5(path):
        open_features(path).close()  # which says what is wrong
    try:
        with truncated.opened(path) as (file, end):
            check_format(file, path)
            found = _survey(file, end, layers, path)
            if not found.nothing_lost:
                _write(file, end, found, path, out)
    except damage.ERRORS as error:
        raise _hopeless(path, schema.cause(error)) from error
    return found


def _hopeless(path: Path, why: str) -> FeatxError:
    return FeatxError(f"{path} cannot be repaired: {why}; extract it again or take a whole copy")


def _survey(file: h5py.File, end: int | None, wanted: Sequence[str], path: Path) -> Repair:
    """Read all of the file and note what is lost."""
    try:
        images = netcdf.read_images(file)
        names = list(json.loads(file.attrs["layers"]))
        netcdf.read_provenance(file)
    except damage.ERRORS as error:
        told = f"its image table or provenance is lost ({schema.cause(error)})"
        raise _hopeless(path, told) from error
    if changed := changed_columns(file, images):
        raise _hopeless(path, f"its image table was changed: {changed[0]} differs from its sha256")
    for name in wanted:
        if name not in names:
            raise unknown(f"layer of {path}", name, names)
    ok = images["status"].to_numpy() == "ok"
    found = Repair(images, np.zeros(len(images), bool))
    reasons = np.full(len(images), "", dtype=object)
    for name in wanted or names:
        try:
            layer = netcdf.read_layer(file, name)
            unreadable, why = _unreadable(file[name], end, found)
        except damage.ERRORS as error:
            found.lost_layers[name] = schema.cause(error)
            continue
        if why or (ok.any() and not (ok & ~unreadable).any()):
            found.lost_layers[name] = why or "no row of it can be read"
            continue
        found.layers[name] = layer
        reasons[unreadable & ok] = reasons[unreadable & ok] + f" {name}"
        found.lost |= unreadable & ok
    if not found.layers or (ok.any() and not (ok & ~found.lost).any()):
        raise _hopeless(path, "no row can be read whole")
    if _is_as_told(file, images, names) is False:
        raise _hopeless(path, "its image table or provenance was changed, or its rows reordered")
    images.loc[found.lost, "status"] = "corrupt"
    images.loc[found.lost, "reason"] = [
        f"lost in a damaged features file:{told}" for told in reasons[found.lost]
    ]
    return found


def _is_as_told(file: h5py.File, images: pd.DataFrame, names: Sequence[str]) -> bool | None:
    """Do as `is_as_told`; where the description of a layer is lost, nothing can be told: None."""
    try:
        return is_as_told(file, images, [netcdf.read_layer(file, name) for name in names])
    except damage.ERRORS:
        return None


def _unreadable(variable: h5py.Dataset, end: int | None, found: Repair) -> tuple[np.ndarray, str]:
    """Return which rows cannot be read, and why the layer cannot be trusted, if so."""
    unreadable = np.zeros(len(found.images), bool)
    if len(variable) != len(unreadable):
        return unreadable, f"it has {len(variable)} rows for {len(unreadable)} images"
    hasher = hashlib.sha256()
    for part in damage.parts(variable, end):
        if part.values is None:
            unreadable[part.rows.start : part.rows.stop] = True
        else:
            hasher.update(np.ascontiguousarray(part.values).data)
    if not unreadable.any() and "sha256" in variable.attrs:
        same = hasher.hexdigest() == variable.attrs["sha256"]
        return unreadable, "" if same else "it differs from its sha256, and where is not known"
    if not damage.has_checksums(variable):
        found.unchecked.append(variable.name.strip("/"))
    return unreadable, ""


def _write(file: h5py.File, end: int | None, found: Repair, path: Path, out: Path) -> None:
    layers = list(found.layers.values())
    dtype = str(file[layers[0].name].dtype)
    provenance = netcdf.read_provenance(file) | {
        schema.REPAIRED: {
            "config_hash": str(file.attrs.get("config_hash", "")),
            "file_sha256": file_sha256(path),
            "rows_lost": int(found.lost.sum()),
            "layers_lost": sorted(found.lost_layers),
            "layers_unchecked": found.unchecked,
        }
    }
    plan: dict[str, Any] = {
        "format": schema.FORMAT,
        "config_hash": schema.config_hash(found.images, layers, provenance, dtype),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "context": _context(file),
        "provenance": provenance,
        "dtype": dtype,
        "layers": [asdict(layer) for layer in layers],
    }
    filters = schema.filters(netcdf.read_compression(file, found.layers))
    blocks = regrouped(_records(file, end, found), layers, dtype)
    with writing(out) as temporary:
        assemble(temporary, plan, found.images, layers, filters, blocks)
        if out.exists():
            raise FeatxError(f"{out} was made by another run meanwhile; it was left as it is")


def _context(file: h5py.File) -> dict[str, Any]:
    try:
        return dict(schema.decode_attribute(file.attrs["context"]))
    except damage.ERRORS:
        return {}


def _records(file: h5py.File, end: int | None, found: Repair) -> Iterator[Record]:
    """Yield the rows, NaN where they are not ok, some whole chunks at a time."""
    n, step = len(found.images), 4 * netcdf.CHUNK_ROWS
    gone = found.images["status"].to_numpy() != "ok"
    for start in range(0, n, step):
        rows = range(start, min(start + step, n))
        features: dict[str, list[Part]] = {}
        for name, layer in found.layers.items():
            values = np.full((len(rows), layer.units), np.nan, file[name].dtype)
            for part in damage.parts(file[name], end, rows):
                if part.values is not None:
                    values[part.rows.start - start : part.rows.stop - start] = part.values
            values[gone[start : rows.stop]] = np.nan
            features[name] = [values]
        yield Record([""] * len(rows), [""] * len(rows), features)
