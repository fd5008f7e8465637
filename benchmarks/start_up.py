"""How soon the command answers, against an import of torch, and against its own imports alone.

    python benchmarks/start_up.py

`featx --help`, and `featx regress` as a whole, in turns with ``python -c "import torch"``; and the
latter in turns with a Python that imports the same modules and ends: on a features file of 40
images, 8 folds of ridge, as in a first try, and on one of the size of FG-NET, 12 images of each of
`--people` with 512 units, a fold of exact-kernel for each, three turns of it. The ratio is the
other's seconds over the command's: of the help and torch it should be above 3.3, of the imports
alone it is their share.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pandas as pd
from side_by_side import machine, take_turns

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer

#: Runs a command, then prints the names of all that was imported; and imports what is named.
MODULES = "import sys; from cli.main import group; group.main(standalone_mode=False); "
MODULES += "print(); print(*sys.modules)"
IMPORTS = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
"""
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


class Compared(NamedTuple):
    """Runs a command of ours as a whole, and its imports alone."""

    whole: Callable[[], None]
    imports: Callable[[], None]


def regress(features: Path, regressor: str) -> Compared:
    """Return `featx regress` of a features file."""
    out = features.with_suffix(".runs")
    words = ["regress", features, "--regressor", regressor, "-o", out]

    def whole() -> None:
        shutil.rmtree(out, ignore_errors=True)
        command([*FEATX, *words])()

    return Compared(whole, command([sys.executable, "-c", IMPORTS, *modules(words)]))


def modules(words: Sequence[object]) -> list[str]:
    """Return the names of the modules that a command of ours imports, in that order."""
    line = [sys.executable, "-c", MODULES, *map(str, words)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return [name for name in done.stdout.splitlines()[-1].split() if name != "__main__"]


@click.command(help=__doc__)
@click.option("--turns", default=7, show_default=True)
@click.option("--people", default=82, show_default=True)
def main(turns: int, people: int) -> None:
    torch = command([sys.executable, "-c", "import torch"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = regress(make_features(folder / "first.h5"), "ridge")
        fgnet = regress(make_features(folder / "fgnet.h5", people, 12, 512), "exact-kernel")
        click.echo(f"{machine()}; {turns} turns\n")
        click.echo("| command, and the other | seconds | the other, seconds | ratio |")
        click.echo("| --- | ---: | ---: | ---: |")
        small = "`featx regress`, 40 images, 8 folds"
        larger = f"`featx regress`, {12 * people} images, {people} folds"
        for label, ours, other, times in (
            ("`featx --help`; torch", command([*FEATX, "--help"]), torch, turns),
            (f"{small}; torch", first.whole, torch, turns),
            (f"{small}; its imports alone", first.whole, first.imports, turns),
            (f"{larger}; its imports alone", fgnet.whole, fgnet.imports, min(turns, 3)),
        ):
            click.echo(f"| {label} | {take_turns(ours, other, times).row()} |")


if __name__ == "__main__":
    main()
