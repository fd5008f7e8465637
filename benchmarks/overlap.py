"""How much of a device's pace is left when its features are written to a features file.

    python benchmarks/overlap.py

No GPU is needed, and none is measured: the device is a function that sleeps for as long as one
would compute a batch at the pace that is told, and gives rows made up with seed 0, as features are
behind a ReLU. What writes them is featx's, in three ways that take turns: each batch after the one
before has been written, and gzip in `finish`; batches computed while the one before is being
written; and this with each batch's chunks compressed as it is appended, as an extraction on a GPU
does it. The ratio is of the device's own seconds over the whole's: 1 is the device's pace. Reading
images is not in it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from side_by_side import machine
from writing import activations, image_table

from featx.inference.streams import in_streams
from featx.store import FeaturesWriter, Layer

#: Name, whether batches are computed ahead, whether they are compressed early.
WAYS = (
    ("one after the other", False, False),
    ("computed ahead", True, False),
    ("and compressed early", True, True),
)


def device(rows: np.ndarray, pace: float) -> Callable[[int], np.ndarray]:
    """Return what takes its time for so many rows."""

    def compute(count: int) -> np.ndarray:
        time.sleep(count / pace)
        return rows[:count]

    return compute


@click.command(help=__doc__)
@click.option(
    "--case",
    "cases",
    multiple=True,
    type=(int, int, float),
    default=((512, 50_000, 20_000.0), (2112, 20_000, 8_000.0), (25_088, 2_560, 1_000.0)),
    show_default=True,
    help="Units, rows, and rows a second.",
)
@click.option("--batch", default=256, show_default=True, help="Rows at a time.")
@click.option("--turns", default=3, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="On the disk to be written to.")
def main(
    cases: tuple[tuple[int, int, float], ...], batch: int, turns: int, folder: Path | None
) -> None:
    click.echo(f"{machine()}; batches of {batch} rows, {turns} turns; no GPU: the device sleeps\n")
    click.echo("| units | rows | device, rows a second | way | whole, rows a second | of device |")
    click.echo("| ---: | ---: | ---: | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for units, n, pace in cases:
            taken: dict[str, list[float]] = {way: [] for way, *_ in WAYS}
            compute = device(activations(min(batch, n), units), pace)
            counts = [min(batch, n - start) for start in range(0, n, batch)]
            for turn in range(turns + 1):
                for way, ahead, early in WAYS:
                    seconds = _write(Path(name) / "f.h5", units, counts, compute, ahead, early)
                    if turn:  # the first warms up
                        taken[way].append(seconds)
            for way, seconds in taken.items():
                shares = sorted(n / pace / each for each in seconds)
                click.echo(
                    f"| {units:,} | {n:,} | {pace:,.0f} | {way} "
                    f"| {n / statistics.median(seconds):,.0f} | {statistics.median(shares):.3f} "
                    f"({shares[0]:.3f} to {shares[-1]:.3f}) |"
                )


def _write(
    path: Path,
    units: int,
    counts: list[int],
    compute: Callable[[int], np.ndarray],
    ahead: bool,
    early: bool,
) -> float:
    """Write a file; return the seconds from the first batch to the finished file."""
    path.unlink(missing_ok=True)
    table, layer = image_table(sum(counts)), Layer("layer", units, (units,))
    with FeaturesWriter(path, table, [layer], {"backbone": "none"}, early=early) as writer:
        start = time.perf_counter()
        for _, rows in in_streams([compute], counts, ahead=ahead):
            writer.append({"layer": rows})
        writer.finish()
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
