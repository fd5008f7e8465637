"""What each way of compressing a features file costs and saves.

    python benchmarks/compression.py
    python benchmarks/compression.py --features FILE.h5

One layer a file, in the chunks that `featx.store` makes, written and read by h5py alone, so that
all ways stand on the same ground: one thread, HDF5's filters. `featx, gzip` is what featx writes:
gzip-1 that looks for runs only, here in one thread too. Features are made up with seed 0, or taken
from a file: blurred noise through a convolution (`first_conv` its average a filter) and a second
one with half of its units below zero (`gap`, and `flattened` as it is), each behind a ReLU. Size is
over the bytes of that type; MB/s are of those bytes, the median of the turns, in which all ways
take part one after the other. blosc and zstd are tried where the package hdf5plugin is installed.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
from side_by_side import machine

from featx.store import FeaturesFile, Layer, deflate
from featx.store.netcdf import chunk_rows

_OURS = "featx, gzip"


def made_up(rows: int) -> dict[str, np.ndarray]:
    """Return features of random convolutions, float32 of shape (rows, units) a layer."""
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    first, last = torch.randn(64, 3, 3, 3) / 5, torch.randn(512, 64, 3, 3) / 24
    found: dict[str, list[np.ndarray]] = {"gap": [], "first_conv": [], "flattened": []}
    for _ in range(rows):
        noise = functional.interpolate(torch.randn(1, 3, 7, 7), (56, 56), mode="bicubic")
        early = functional.relu(functional.conv2d(noise, first, padding=1))
        late = functional.conv2d(functional.max_pool2d(early, 8), last, padding=1)
        late = functional.relu(late - late.median())
        for name, values in (
            ("gap", late.mean((2, 3))),
            ("first_conv", early.mean((2, 3))),
            ("flattened", late.flatten(1)),
        ):
            found[name].append(values.numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def ways() -> dict[str, dict[str, Any]]:
    """Return h5py's keywords by name."""
    found: dict[str, dict[str, Any]] = {"none": {}, _OURS: {"compression": "gzip"}}
    for level in (1, 4, 9):
        gzip = {"compression": "gzip", "compression_opts": level}
        found |= {f"gzip-{level}": gzip, f"gzip-{level}, shuffle": gzip | {"shuffle": True}}
    found |= {
        "lzf": {"compression": "lzf"},
        "lzf, shuffle": {"compression": "lzf", "shuffle": True},
    }
    if importlib.util.find_spec("hdf5plugin"):
        import hdf5plugin

        for codec in ("lz4", "zstd"):
            for shuffle in (0, 1):
                name = f"blosc-{codec}{', shuffle' if shuffle else ''}"
                found[name] = dict(hdf5plugin.Blosc(cname=codec, shuffle=shuffle))
        found["zstd-3"] = dict(hdf5plugin.Zstd(clevel=3))
    return found


def write(path: Path, values: np.ndarray, chunk: int, name: str, filters: dict[str, Any]) -> None:
    """Write a layer into a file of its own."""
    n, units = values.shape
    filters = filters | ({"compression_opts": 1} if name == _OURS else {})
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "layer", shape=(n, units), dtype=values.dtype, chunks=(chunk, units), **filters
        )
        for first in range(0, n, chunk):
            rows = values[first : first + chunk]
            if name == _OURS:
                made.id.write_direct_chunk((first, 0), deflate.compress(rows, chunk, 1))
            else:
                made[first : first + len(rows)] = rows


def read(path: Path, values: np.ndarray) -> None:
    """Read it, and see that it is the same."""
    with h5py.File(path) as file:
        found = file["layer"][:]
    if found.tobytes() != values.tobytes():
        raise click.ClickException(f"{path.name} gives back something else")


def seconds(action: Callable[[], None]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@click.command(help=__doc__)
@click.option("--features", type=click.Path(path_type=Path), help="A features file to take.")
@click.option("--rows", default=640, show_default=True, help="Of each layer.")
@click.option("--turns", default=3, show_default=True)
def main(features: Path | None, rows: int, turns: int) -> None:
    if features:
        with FeaturesFile(features) as file:
            layers = {
                name: file.read(name, np.arange(len(file.images))[:rows]) for name in file.layers
            }
    else:
        layers = made_up(rows)
    click.echo(f"{machine()}; h5py {h5py.__version__}, {turns} turns\n")
    click.echo("| layer | type | zeros | compression | size | written, MB/s | read, MB/s |")
    click.echo("| --- | --- | ---: | --- | ---: | ---: | ---: |")
    for name, given in layers.items():
        for dtype in ("float32", "float16"):
            _compare(name, given.astype(dtype), turns)


def _compare(name: str, values: np.ndarray, turns: int) -> None:
    n, units = values.shape
    chunk = min(chunk_rows(Layer("layer", units, (units,)), values.dtype.name), n)
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways()}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.h5"
        for _ in range(turns):
            for way, filters in ways().items():
                written = seconds(lambda: write(path, values, chunk, way, filters))  # noqa: B023
                taken[way].append((written, seconds(lambda: read(path, values))))
                with h5py.File(path) as file:
                    sizes[way] = file["layer"].id.get_storage_size() / values.nbytes
    zeros = f"{np.mean(values == 0):.0%}"
    for way, pairs in taken.items():
        speeds = [
            values.nbytes / 1e6 / statistics.median(side) for side in zip(*pairs, strict=True)
        ]
        click.echo(
            f"| {name}, {n:,} x {units:,} | {values.dtype} | {zeros} | {way} | {sizes[way]:.3f} | "
            f"{speeds[0]:,.0f} | {speeds[1]:,.0f} |"
        )


if __name__ == "__main__":
    main()
