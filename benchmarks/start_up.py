"""How soon the command answers, against an import of torch in the same Python.

    python benchmarks/start_up.py

`featx --help`, and `featx regress` as a whole on a features file of 40 images, 8 folds of ridge, in
turns with ``python -c "import torch"``. The ratio is torch's seconds over ours: of the help it
should be above 3.3.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
from side_by_side import machine, take_turns

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer

FEATX = [sys.executable, "-m", "cli.main"]


def make_features(path: Path, subjects: int = 8, each: int = 5, units: int = 64) -> Path:
    """Write a features file of one layer, whose ages follow from it."""
    rng = np.random.default_rng(0)
    n = subjects * each
    X = rng.normal(size=(n, units)).astype(np.float32)
    rows = {
        "image": [f"{row:03d}" for row in range(n)],
        "path": [f"{row:03d}.png" for row in range(n)],
        "subject": [f"{row // each:03d}" for row in range(n)],
        "age": np.round(40 + 8 * X[:, 0], 1).clip(0),
    }
    table = new_table(pd.DataFrame(rows))
    with FeaturesWriter(path, table, [Layer("gap", units, (units,))], {"backbone": "none"}) as out:
        out.append({"gap": X}, status=list(table["status"]), reason=list(table["reason"]))
        out.finish()
    return path


def command(words: Sequence[object]) -> Callable[[], None]:
    """Return a function that runs a command to its end."""

    def run() -> None:
        subprocess.run([str(word) for word in words], check=True, capture_output=True)

    return run


@click.command(help=__doc__)
@click.option("--turns", default=7, show_default=True)
def main(turns: int) -> None:
    torch = command([sys.executable, "-c", "import torch"])
    with tempfile.TemporaryDirectory() as name:
        features, out = make_features(Path(name) / "features.h5"), Path(name) / "out"

        def regress() -> None:
            shutil.rmtree(out, ignore_errors=True)
            command([*FEATX, "regress", features, "--regressor", "ridge", "-o", out])()

        click.echo(f"{machine()}; {turns} turns\n")
        click.echo("| command | seconds | import torch, seconds | ratio |")
        click.echo("| --- | ---: | ---: | ---: |")
        for label, ours in (
            ("`featx --help`", command([*FEATX, "--help"])),
            ("`featx regress`, 40 images, 8 folds", regress),
        ):
            click.echo(f"| {label} | {take_turns(ours, torch, turns).row()} |")


if __name__ == "__main__":
    main()
