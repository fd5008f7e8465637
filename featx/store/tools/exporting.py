"""A features file in the forms of others: CSV, Parquet, NumPy's npz and MATLAB's mat."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError, unknown
from featx.store.blocks import row_blocks
from featx.store.netcdf import CHUNK_ROWS
from featx.store.reader import FeaturesFile
from featx.store.schema import IMAGE_COLUMNS
from featx.store.tools.verification import warn_if_changed

#: The same of Parquet, which keeps a description of every column for each block: fewer are better.
_ROW_GROUP_BYTES = 128 << 20

#: A variable of MATLAB's version 5 has fewer bytes.
_MAT_BYTES = 2**31

#: Where npz and mat have provenance and layers, as JSON.
METADATA = "metadata"


def export(path: str | Path, out: str | Path, layers: Sequence[str] = ()) -> list[str]:
    """Write image table and layers in another form, which the ending of the name tells.

    ``.csv`` and ``.parquet`` have a row an image and a column a unit: ``gap_0``, ``gap_1`` and so
    on. ``.npz`` and ``.mat`` have an array a layer, shape (n_images, units), one a column of the
    image table, and `METADATA`. Values are float32.

    Parameters
    ----------
    path : str or Path
        The features file.
    out : str or Path
        The new file; it must not exist.
    layers : sequence of str
        Which; all by default.

    Returns
    -------
    list of str
        The layers.

    Raises
    ------
    FeatxError
        If the ending is another one, `out` exists, there is no such layer, the form cannot hold
        it, or the features file is damaged.
    """
    out = Path(out)
    forms: dict[str, Callable[[FeaturesFile, list[str], Path], None]] = {
        ".csv": _write_csv,
        ".parquet": _write_parquet,
        ".npz": _write_npz,
        ".mat": _write_mat,
    }
    if out.suffix not in forms:
        raise FeatxError(f"{out}: end the name in {', '.join(forms)}, which says the form")
    if out.exists():
        raise FeatxError(f"{out} is there already; remove it, or choose another name")
    with FeaturesFile(path) as features:
        for name in layers:
            if name not in features.layers:
                raise unknown(f"layer of {path}", name, features.layers)
        names = list(dict.fromkeys(layers)) or list(features.layers)
        for name in names:
            features.check(name)
        warn_if_changed(features.hdf5, path, features.images, list(features.layers.values()))
        with writing(out) as temporary:
            forms[out.suffix](features, names, temporary)
    return names


def _blocks(
    features: FeaturesFile, names: list[str], size: int | None = None
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Yield all rows of some layers, some at a time, see `row_blocks`."""
    n, units = len(features.images), sum(features.layers[name].units for name in names)
    for block in row_blocks(range(n), 4 * units, whole=CHUNK_ROWS, size=size):
        numbers = np.arange(block.start, block.stop)
        yield slice(block.start, block.stop), {name: features.read(name, numbers) for name in names}


def _unit_names(features: FeaturesFile, names: list[str]) -> list[str]:
    return [f"{name}_{unit}" for name in names for unit in range(features.layers[name].units)]


def _metadata(features: FeaturesFile, names: list[str]) -> str:
    return json.dumps(
        {
            "config_hash": features.config_hash,
            "provenance": features.provenance,
            "layers": [asdict(features.layers[name]) for name in names],
        },
        ensure_ascii=False,
    )


def _write_csv(features: FeaturesFile, names: list[str], path: Path) -> None:
    units = _unit_names(features, names)
    with path.open("w", encoding="utf-8", newline="") as stream:
        for rows, block in _blocks(features, names):
            values = pd.DataFrame(np.hstack([block[name] for name in names]), columns=units)
            images = features.images.iloc[rows].reset_index(drop=True)
            table = pd.concat([images, values], axis=1)
            table.to_csv(stream, index=False, header=rows.start == 0, lineterminator="\n")


def _write_parquet(features: FeaturesFile, names: list[str], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    kinds = [
        (name, pyarrow.float64() if name == "age" else pyarrow.string()) for name in IMAGE_COLUMNS
    ]
    kinds += [(name, pyarrow.float32()) for name in _unit_names(features, names)]
    schema = pyarrow.schema(kinds, {"featx": _metadata(features, names)})
    with pyarrow.parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=list(IMAGE_COLUMNS),
        write_statistics=list(IMAGE_COLUMNS),
    ) as writer:
        for rows, block in _blocks(features, names, _ROW_GROUP_BYTES):
            images = features.images.iloc[rows]
            columns = [
                pyarrow.array(images[name], kind, from_pandas=True)  # an unknown age is null
                for name, kind in kinds[: len(IMAGE_COLUMNS)]
            ]
            for name in names:
                columns += map(pyarrow.array, np.ascontiguousarray(block.pop(name).T))
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def _write_npz(features: FeaturesFile, names: list[str], path: Path) -> None:
    _refuse_clashes(names, "npz")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in _image_arrays(features).items():
            with _member(archive, name) as stream:
                np.lib.format.write_array(stream, values, allow_pickle=False)
        with _member(archive, METADATA) as stream:
            text = np.array(_metadata(features, names))
            np.lib.format.write_array(stream, text, allow_pickle=False)
        for name in names:
            shape = (len(features.images), features.layers[name].units)
            head = {"descr": "<f4", "fortran_order": False, "shape": shape}
            with _member(archive, name) as stream:
                np.lib.format.write_array_header_1_0(stream, head)
                for _, block in _blocks(features, [name]):
                    stream.write(block[name].astype("<f4", copy=False).tobytes())


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    # a fixed date, so that the same features give the same bytes
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = archive.compression
    return archive.open(info, "w", force_zip64=True)


def _image_arrays(features: FeaturesFile) -> dict[str, np.ndarray]:
    return {
        name: features.images[name].to_numpy(np.float64 if name == "age" else np.str_)
        for name in IMAGE_COLUMNS
    }


def _refuse_clashes(names: Sequence[str], form: str) -> None:
    taken = {*IMAGE_COLUMNS, METADATA}
    for name in names:
        if name in taken:
            raise FeatxError(
                f"layer name {name!r} is taken in {form}; choose the others by --layer, or export "
                "to .parquet"
            )
        taken.add(name)


def _write_mat(features: FeaturesFile, names: list[str], path: Path) -> None:
    import scipy.io

    called = {name: _matlab_name(name) for name in names}
    _refuse_clashes(list(called.values()), "mat")
    for name in names:
        size = len(features.images) * features.layers[name].units * 4
        if size >= _MAT_BYTES:
            raise FeatxError(
                f"layer {name} has {size:,} bytes, a variable of a .mat file (version 5) fewer "
                f"than {_MAT_BYTES:,}; leave it out by --layer, or open the features file itself "
                f"in MATLAB: h5read('{features.path.name}', '/{name}')"
            )
    variables: dict[str, Any] = {
        name: values[:, None] if name == "age" else values.astype(object)[:, None]
        for name, values in _image_arrays(features).items()
    }
    variables[METADATA] = _metadata(features, names)
    variables |= {called[name]: features.read(name) for name in names}
    with path.open("wb") as stream:
        scipy.io.savemat(stream, variables, do_compression=True, long_field_names=True)


def _matlab_name(name: str) -> str:
    """Return a layer's name as a variable of MATLAB: ``a.b`` is ``a_b``."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return (name if name[0].isalpha() else f"x{name}")[:63]
