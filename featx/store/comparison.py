"""Telling whether a features file is the one that is wanted, and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py

from featx import shards
from featx.errors import FeatxError
from featx.store import netcdf, schema
from featx.store.hashing import RowHash, chunk_sums, hash_rows
from featx.store.opening import open_features, reading


def check_rows(path: Path) -> None:
    """Check that each layer's rows have the hash that the file tells.

    Raises
    ------
    FeatxError
        If they have not, or the file cannot be read.
    """

    def same(variable: h5py.Dataset, name: str) -> bool:
        return bool(hash_rows(variable) == variable.attrs["sha256"])

    _check_layers(path, same, "its sha256")


def check_chunks(path: Path, hashes: Mapping[str, RowHash]) -> None:
    """Check that each layer's rows are those that were written, chunk by chunk.

    Parameters
    ----------
    path : Path
        A features file.
    hashes : mapping of str to RowHash
        Of the rows of each layer.

    Raises
    ------
    FeatxError
        If they are not, or the file cannot be read.
    """

    def same(variable: h5py.Dataset, name: str) -> bool:
        pairs = zip(chunk_sums(variable), hashes[name].sums, strict=True)
        return all(found == written for found, written in pairs)

    _check_layers(path, same, "what was written")


def _check_layers(path: Path, same: Callable[[h5py.Dataset, str], bool], wanted: str) -> None:
    with open_features(path) as file, reading(path):
        for name in netcdf.read_layers(file):
            if not same(file[name], name):
                break
        else:
            return
    raise FeatxError(
        f"{path}: layer {name} differs from {wanted}; remove the file and extract again"
    )


def refuse_overwriting(path: Path, *, resume: bool) -> None:
    """Refuse a finished file that is there, unless it is to be checked and kept.

    Raises
    ------
    FeatxError
        Without `resume`.
    """
    if not resume:
        raise FeatxError(
            f"{path} is there already and is never overwritten; remove it, choose another name, or "
            "give --resume to check and keep it"
        )


def check_complete(path: Path, plan: dict[str, Any]) -> None:
    """Check that a finished file is wholly what the plan would give.

    Raises
    ------
    FeatxError
        If it is of another configuration, or its rows differ from their hashes.
    """
    check_plan(path, plan)
    check_rows(path)


def check_plan(path: Path, plan: dict[str, Any]) -> None:
    """Check that a finished file was made as the plan says, without reading its rows.

    Raises
    ------
    FeatxError
        If it is of another configuration.
    """
    with open_features(path) as file, reading(path):
        stored = read_settings(file)
        stored["images"] = schema.columns_to_json(netcdf.read_images(file))
    compare(path, stored, plan)


def read_settings(file: h5py.File) -> dict[str, Any]:
    """Return what decided a file's content, but for its images, as the writer's plan has it."""
    layers = netcdf.read_layers(file)
    return {
        "format": file.attrs["format"],
        "config_hash": file.attrs["config_hash"],
        "provenance": netcdf.read_provenance(file),
        "dtype": str(file[next(iter(layers))].dtype),
        "layers": [asdict(layer) for layer in layers.values()],
    }


def compare(path: Path, stored: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuse a file that was made with another plan.

    Raises
    ------
    FeatxError
        If the config hashes differ; it names the first thing that does.
    """
    if stored["config_hash"] == plan["config_hash"]:
        return
    difference = next(_differences(stored, plan), "the status of its rows")
    raise FeatxError(
        f"{path} cannot be resumed, for it was made otherwise: {difference}; remove it, or go "
        "back to what it was made with"
    )


def _differences(stored: dict[str, Any], plan: dict[str, Any]) -> Iterator[str]:
    for what, was, now in setting_differences(stored, plan):
        yield f"its {what} {was}, now {now}"
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


def setting_differences(
    one: dict[str, Any], other: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield in what two plans, or what `read_settings` returned, differ beside their images.

    Yields
    ------
    tuple of str
        What, with its verb (``"dtype is"``), and its value in the one and in the other.
    """
    one, other = _as_json(one), _as_json(other)
    for key in ("format", "dtype"):
        if one[key] != other[key]:
            yield f"{key} is", one[key], other[key]
    had, has = ([layer["name"] for layer in which["layers"]] for which in (one, other))
    if had != has:
        yield "layers are", ", ".join(had), ", ".join(has)
    for was, now in zip(one["layers"], other["layers"], strict=False):
        for field in was:
            if was[field] != now[field]:
                yield f"layer {was['name']} has {field}", repr(was[field]), repr(now[field])
    keys = {*one["provenance"], *other["provenance"]}
    for key in sorted(keys, key=lambda key: (key == shards.ATTRIBUTE, key)):  # it follows the rest
        was, now = one["provenance"].get(key), other["provenance"].get(key)
        if was != now:
            yield f"{key} is", repr(was), repr(now)


def _as_json(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan without its images, with tuples as lists, so that they equal."""
    settings = {key: value for key, value in plan.items() if key != "images"}
    return dict(json.loads(json.dumps(settings)))
