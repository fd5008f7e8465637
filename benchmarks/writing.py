"""How fast a features file is written, against plain sequential writes of the same bytes.

    python benchmarks/writing.py

Ours is the rows of one layer, `--batch` at a time, given to `featx.store.FeaturesWriter`, until the
finished file has its name: through the journal, assembly, compression, reading back and fsync.
Theirs is the same bytes, as many at a time, appended to a plain file on the same disk, and fsync at
the end. The two take turns. Rows are made up with seed 0, as features are behind a ReLU: half of
them zero. Bytes are those handed over; the ratio is of seconds, theirs over ours: 1 is the plain
file's speed. A row a layer and compression; the last column is the file's size over the bytes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd
from side_by_side import machine, take_turns

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer


def image_table(n: int) -> pd.DataFrame:
    """Return an image table of n made-up rows."""
    names = [f"{row:07d}" for row in range(n)]
    return new_table(pd.DataFrame({"image": names, "path": names, "age": np.arange(n) % 90}))


def activations(rows: int, units: int) -> np.ndarray:
    """Return float32 rows as behind a ReLU, shape (rows, units)."""
    normal = np.random.default_rng(0).standard_normal((rows, units), dtype=np.float32)
    return np.maximum(normal, 0)


@click.command(help=__doc__)
@click.option("--units", multiple=True, type=int, default=(64, 512, 25088), show_default=True)
@click.option("--compression", multiple=True, default=("none", "gzip", "lzf"), show_default=True)
@click.option("--mebibytes", default=256, show_default=True, help="Of features a layer, at most.")
@click.option("--rows", default=50_000, show_default=True, help="Of a layer, at most.")
@click.option("--batch", default=32, show_default=True, help="Rows at a time.")
@click.option("--turns", default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="On the disk to be written to.")
def main(
    units: tuple[int, ...],
    compression: tuple[str, ...],
    mebibytes: int,
    rows: int,
    batch: int,
    turns: int,
    folder: Path | None,
) -> None:
    click.echo(f"{machine()}; batches of {batch} rows, {turns} turns\n")
    click.echo("| layer | compression | seconds | plain, seconds | ratio | MB/s | plain | size |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for width in units:
            n = min(rows, max(1, (mebibytes << 20) // (4 * width)))
            for filters in compression:
                _compare(Path(name), n, width, filters, batch, turns)


def _compare(folder: Path, n: int, units: int, compression: str, batch: int, turns: int) -> None:
    table, layer = image_table(n), Layer("layer", units, (units,))
    values, written = activations(batch, units), folder / "features.h5"
    batches = [values[: n - start] for start in range(0, n, batch)]

    def ours() -> None:
        written.unlink(missing_ok=True)
        provenance = {"backbone": "none"}
        with FeaturesWriter(written, table, [layer], provenance, compression=compression) as writer:
            for rows in batches:
                writer.append({"layer": rows})
            writer.finish()

    def theirs() -> None:
        with (folder / "plain").open("wb", buffering=0) as stream:
            for rows in batches:
                stream.write(rows.data)
            os.fsync(stream.fileno())

    taken, size = take_turns(ours, theirs, turns), 4 * n * units
    speeds = [size / 1e6 / np.median(seconds) for seconds in (taken.ours, taken.theirs)]
    click.echo(
        f"| {n:,} x {units:,} | {compression} | {taken.row()} | {speeds[0]:,.0f} | "
        f"{speeds[1]:,.0f} | {written.stat().st_size / size:.2f} |"
    )


if __name__ == "__main__":
    main()
