"""How much memory an extraction takes at its peak, for few images and for many.

    python benchmarks/memory.py

`extract` is `featx.extraction.extract` as a whole: generated faceless JPEGs (seed 0), which the
rows of the table name in turn, through a small network with random weights, with one decoding
process; `--network mobilefacenet --layer flattened` has 21,504 values a row. `flattened` is
`featx.store.FeaturesWriter` alone, given made-up rows of VGG-16's 25,088 values, half of them zero.
Each runs in a process of its own, with one thread a library and equal batches. The peak is that of
the process (`os.wait4`'s resident size); the sum is with the processes that it starts, of the
shares that Linux counts for each (PSS), seen ten times a second, without mapped files: libraries
are shared with whatever else runs. The ratios are many over few: they should be at most 1.1. Freed
memory that malloc keeps for later counts too; `--give-back` makes it return all blocks from 64 KiB
on (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_), to tell that from what the program holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from side_by_side import machine

from featx.memory import family, own_share

# What is measured is imported in the measured process only: a child begins with its parent's peak.

_UNITS = 25_088


def make(folder: Path, n: int) -> None:
    """Write an image table of n rows, and the 16 images that they name in turn."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    from featx.manifest import new_table, write_table

    rng = np.random.default_rng(0)
    for number in range(16):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    paths = [f"{row % 16}.jpg" for row in range(n)]
    rows = {"image": [f"{row:07d}" for row in range(n)], "path": paths, "age": 30}
    write_table(new_table(pd.DataFrame(rows)), folder / "images.csv")


def extract(folder: Path, n: int, batch: int, network: str, layer: str) -> None:
    """Extract a layer of the n images that were made."""
    from featx.extraction import extract

    options = {"backbone": network, "weights": "random", "layers": [layer], "mirror": False}
    done = extract(
        folder, folder / "features.h5", device="cpu", batch_size=batch, workers=1, **options
    )
    assert done.statuses == {"ok": n}


def flattened(folder: Path, n: int, batch: int) -> None:
    """Write n rows of one layer."""
    from writing import activations, image_table

    from featx.store import FeaturesWriter, Layer

    values = activations(batch, _UNITS)
    layer = Layer("flattened", _UNITS, (512, 7, 7))
    with FeaturesWriter(folder / "features.h5", image_table(n), [layer], {}) as writer:
        for start in range(0, n, batch):
            writer.append({"flattened": values[: n - start]})
        writer.finish()


def peaks(words: list[str], give_back: bool) -> tuple[int, int]:
    """Run a command; return its peak, and that of the sum with its children, bytes."""
    added = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    if give_back:
        added |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    process = subprocess.Popen([sys.executable, *words], env=os.environ | added)
    together = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        together = max(together, sum(map(own_share, family(process.pid))))
        time.sleep(0.1)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(words)} ended with {process.returncode}")
    return usage.ru_maxrss * 1024, together


@click.command(help=__doc__)
@click.option("--images", nargs=2, default=(1_000, 100_000), show_default=True)
@click.option(
    "--rows",
    nargs=2,
    default=(1_000, 20_000),
    show_default=True,
    help="Of flattened; 0 0 for none.",
)
@click.option("--batch", default=32, show_default=True, help="Rows at a time.")
@click.option("--network", default="onet", show_default=True, help="Of extract.")
@click.option("--layer", default="gap", show_default=True, help="Of extract.")
@click.option("--give-back", is_flag=True, help="Of freed memory malloc keeps nothing.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where files are written.")
@click.option("--alone", type=(click.Choice(["make", "extract", "flattened"]), int), hidden=True)
def main(
    images: tuple[int, int],
    rows: tuple[int, int],
    batch: int,
    network: str,
    layer: str,
    give_back: bool,
    folder: Path | None,
    alone: tuple[str, int] | None,
) -> None:
    if alone:
        assert folder is not None
        what, n = alone
        if what == "make":
            make(folder, n)
        elif what == "extract":
            extract(folder, n, batch, network, layer)
        else:
            flattened(folder, n, batch)
        return
    click.echo(f"{machine()}; batches of {batch} rows, extract {layer} with {network}\n")
    click.echo("| what | rows | MiB, few | MiB, many | ratio | sum, few | sum, many | ratio |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for what, sizes in (("extract", images), ("flattened", rows)):
        if not all(sizes):
            continue
        found = []
        for n in sizes:
            with tempfile.TemporaryDirectory(dir=folder) as name:
                words = [__file__, "--folder", name, "--batch", str(batch)]
                words += ["--network", network, "--layer", layer]
                if what == "extract":  # by another process, whose table is not counted
                    making = [sys.executable, *words, "--alone", "make", str(n)]
                    subprocess.run(making, check=True)
                found.append(peaks([*words, "--alone", what, str(n)], give_back))
        cells = [
            f"{few / 2**20:,.0f} | {many / 2**20:,.0f} | {many / few:.2f}"
            for few, many in zip(*found, strict=True)
        ]
        click.echo(f"| {what} | {sizes[0]:,} to {sizes[1]:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
