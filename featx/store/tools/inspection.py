"""What is inside a features file, finished or not, in figures and in words."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.quantities import in_bytes
from featx.store import schema
from featx.store.opening import reading
from featx.store.reader import FeaturesFile
from featx.store.writing import framing

#: Layers up to this size are examined whole, larger ones by `_SAMPLE_ROWS` rows.
_WHOLE_BYTES = 256 << 20

_SAMPLE_ROWS = 512


def summarize(path: str | Path) -> dict[str, Any]:
    """Return what is inside a features file, as values that JSON can hold.

    Parameters
    ----------
    path : str or Path
        A features file, or the ``.partial`` of an extraction that did not finish.

    Returns
    -------
    dict
        ``file``, ``finished``, ``format``, ``created``, ``config_hash``, ``provenance``,
        ``context``, ``rows`` (``n``, ``done``, ``by_status``), ``subjects``, ``age`` (years) and
        ``layers``.

    Raises
    ------
    FeatxError
        If there is no such file, or it cannot be read.
    """
    path = Path(path)
    if path.suffix == ".partial" and path.is_file():
        return _summarize_journal(path)
    with FeaturesFile(path) as features:
        images = features.images
        with reading(path):
            created = str(features.hdf5.attrs["created"])
            layers = [_summarize_layer(features, name) for name in features.layers]
        return {
            "file": str(path),
            "bytes": path.stat().st_size,
            "finished": True,
            "format": schema.FORMAT,
            "created": created,
            "config_hash": features.config_hash,
            "provenance": features.provenance,
            "context": features.context,
            **_summarize_images(images, len(images), Counter(images["status"])),
            "layers": layers,
        }


def _summarize_images(images: pd.DataFrame, done: int, status: Counter[str]) -> dict[str, Any]:
    ages = images["age"].to_numpy(dtype=np.float64)
    ages = ages[np.isfinite(ages)]
    subjects = images["subject"][images["subject"] != ""]
    return {
        "rows": {"n": len(images), "done": done, "by_status": dict(sorted(status.items()))},
        "subjects": int(subjects.nunique()),
        "age": {
            "n": len(ages),
            "min": float(ages.min()) if len(ages) else None,
            "median": float(np.median(ages)) if len(ages) else None,
            "max": float(ages.max()) if len(ages) else None,
        },
    }


def _summarize_layer(features: FeaturesFile, name: str) -> dict[str, Any]:
    layer, dataset = features.layers[name], features.hdf5[name]
    n = len(dataset)
    rows = np.arange(n)
    if n * layer.units * 4 > _WHOLE_BYTES:
        rows = np.unique(np.linspace(0, n - 1, _SAMPLE_ROWS).astype(int))
    zeros = finite = missing = infinite = 0
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        values = features.read(name, part)
        empty = np.isnan(values).any(axis=1)
        missing += int(empty.sum())
        infinite += int(np.isinf(values).any(axis=1).sum())
        zeros += int((values == 0).sum())
        finite += int(np.isfinite(values).sum())
    return {
        "name": name,
        "units": layer.units,
        "shape": list(layer.shape),
        "module": layer.module,
        "pool": layer.pool,
        "classes": len(layer.classes),
        "dtype": str(dataset.dtype),
        "chunks": list(dataset.chunks or ()),
        "compression": dataset.compression or "none",
        "bytes_on_disk": int(dataset.id.get_storage_size()),
        "sha256": features.layer_sha256(name),
        "rows_examined": len(rows),
        "nan_rows": missing,
        "infinite_rows": infinite,
        "zeros": zeros / finite if finite else None,
    }


def _summarize_journal(path: Path) -> dict[str, Any]:
    if h5py.is_hdf5(path):
        raise FeatxError(f"{path} is HDF5, not an unfinished extraction; remove .partial")
    try:
        with path.open("rb") as stream:
            plan = framing.read_head(stream)
            status = [text for record in framing.statuses(stream) for text in record]
    except framing.UnusableError as error:
        raise FeatxError(f"{path} holds no rows yet ({error})") from None
    except OSError as error:
        raise FeatxError(f"cannot read {path}: {error.strerror}") from None
    images = pd.DataFrame(plan["images"])
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "finished": False,
        "format": plan["format"],
        "created": plan["created"],
        "config_hash": plan["config_hash"],
        "provenance": plan["provenance"],
        "context": plan["context"],
        **_summarize_images(images, len(status), Counter(status)),
        "layers": [
            {key: layer[key] for key in ("name", "units", "shape", "module", "pool")}
            | {"classes": len(layer["classes"]), "dtype": plan["dtype"]}
            for layer in plan["layers"]
        ],
    }


def describe(summary: dict[str, Any]) -> str:
    """Return a page of text about what `summarize` found."""
    rows, age = summary["rows"], summary["age"]
    state = "" if summary["finished"] else f"   UNFINISHED: {rows['done']} of {rows['n']} rows"
    lines = [
        f"{summary['file']}   {in_bytes(summary['bytes'])}{state}",
        *_repaired(summary["provenance"]),
        f"  {'format':<14} {summary['format']}, begun {summary['created']}",
        f"  {'config hash':<14} {summary['config_hash']}",
        "",
        "Provenance",
        *_pairs(summary["provenance"]),
    ]
    if summary["context"]:
        lines += ["", "Context (decides nothing)", *_pairs(summary["context"])]
    by_status = ", ".join(f"{count} {name}" for name, count in rows["by_status"].items())
    lines += ["", "Images", f"  {'rows':<14} {rows['n']}: {by_status or 'none done'}"]
    lines.append(f"  {'subjects':<14} {summary['subjects'] or 'unknown'}")
    known = f"{age['min']:g} to {age['max']:g} years, median {age['median']:g}" if age["n"] else ""
    lines.append(f"  {'age':<14} {known or 'unknown'} ({age['n']} of {rows['n']} known)")
    lines += ["", "Layers"]
    for layer in summary["layers"]:
        lines += _describe_layer(layer, rows["n"])
    return "\n".join(lines)


def _repaired(provenance: dict[str, Any]) -> list[str]:
    if not (told := provenance.get(schema.REPAIRED)):
        return []
    layers = f"; layers lost: {', '.join(told['layers_lost'])}" if told["layers_lost"] else ""
    return [f"  {'REPAIRED':<14} {told['rows_lost']} rows of a damaged file lost{layers}"]


def _describe_layer(layer: dict[str, Any], n: int) -> list[str]:
    shape = " x ".join(str(size) for size in layer["shape"])
    tapped = f"from {layer['module']}" if layer["module"] else ""
    pool = f"pool {layer['pool']}" if layer["pool"] else ""
    classes = f"{layer['classes']} classes" if layer["classes"] else ""
    what = [f"{layer['units']} units", f"({shape})", tapped, pool, classes, layer["dtype"]]
    lines = [f"  {layer['name']:<14} {', '.join(part for part in what if part)}"]
    if "bytes_on_disk" not in layer:
        return lines
    chunks = " x ".join(str(size) for size in layer["chunks"])
    zeros = "all NaN" if layer["zeros"] is None else f"{layer['zeros']:.1%} zeros"
    sample = "" if layer["rows_examined"] == n else f" in {layer['rows_examined']} rows sampled"
    lines.append(
        f"  {'':<14} {in_bytes(layer['bytes_on_disk'])} on disk, {layer['compression']}, "
        f"chunks {chunks}; {zeros}, {layer['nan_rows']} rows with NaN, "
        f"{layer['infinite_rows']} with infinite values{sample}"
    )
    lines.append(f"  {'':<14} sha256 {layer['sha256']}")
    return lines


def _pairs(values: dict[str, Any]) -> list[str]:
    return [
        f"  {key:<14} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
    ]
