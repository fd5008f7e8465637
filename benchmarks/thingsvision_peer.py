"""Extraction of features, against the library thingsvision.

    python benchmarks/thingsvision_peer.py --images 128 --turns 3

Both sides are whole processes that take turns: the same generated JPEGs of the network's input size
(seed 0), the same torchvision network with the same file of random weights (seed 0), the same
layers in one pass, batch size, number of threads and torch. featx decodes in its own way (the cores
but one) and writes gzipped HDF5, as by default, but without mirror images, which thingsvision has
not; thingsvision has its own image loader and writes .npy, a file a module. thingsvision only
computes in fp32, so that is what featx' bf16 is held against.

Images a second are those of the extraction: reading, network and writing, without start-up and
loading the weights, which the whole process' seconds hold too; the ratio is featx' over
thingsvision's. Peaks are of host memory (see peers/whole_process.py); thingsvision's hold
TensorFlow, which it imports whatever the network. The difference is the largest of any value,
relative to the largest value of its image in that layer. In fp32 the ratio should be at least 1.5,
in bf16, on a processor that has it, at least 3, with less memory.

thingsvision gets an environment of its own in the user's cache (peers/thingsvision.txt); that needs
Python 3.11 and, once, a package index.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from peers import environments
from peers.whole_process import Ended, run_to_end
from PIL import Image
from side_by_side import Turns, machine

from featx.cluster import available_cores
from featx.manifest import new_table, write_table
from featx.store import FeaturesFile

PEERS = Path(__file__).with_name("peers")
SIZE = 224
#: Layers of featx, and the modules whose flattened output they are.
MODULES = {
    "resnet50": {"gap": "avgpool", "flattened": "layer4", "first_conv:flat": "relu"},
    "vgg16": {
        "flattened": "features",
        "embedding": "classifier.4",
        "first_conv:flat": "features.1",
    },
}
CASES = ("resnet50:gap", "resnet50:gap+flattened", "vgg16:flattened", "vgg16:flattened+embedding")
HEADING = (
    "| network | layers | precision | batch size | featx images/s | thingsvision images/s | ratio "
    "| featx MiB | thingsvision MiB | featx whole, s | thingsvision whole, s | difference |\n"
    "| --- | --- | --- |" + " ---: |" * 9
)
#: What fp32 features may differ by, by rounding.
EQUAL = 1e-4


def make_images(folder: Path, n: int) -> dict[str, Any]:
    """Write smooth random JPEGs and their image table; return their part of a task."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    files = [f"{number:05d}.jpg" for number in range(n)]
    for file in files:
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(folder / file, quality=95)
    rows = pd.DataFrame({"image": files, "path": files, "crop": files})
    write_table(new_table(rows.assign(status="ok")), folder / "images.csv")
    return {"folder": str(folder), "table": str(folder / "images.csv"), "files": files}


def make_weights(path: Path, network: str) -> None:
    """Write random weights of one of torchvision's networks."""
    # not in this process: what it holds counts in the peaks of those that it starts
    program = (
        "import sys, torch, torchvision; torch.manual_seed(0);"
        "network = getattr(torchvision.models, sys.argv[2])(weights=None);"
        "torch.save(network.state_dict(), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, str(path), network], check=True)


def difference(ours: Path, theirs: Path, layers: dict[str, str]) -> float:
    """Return the largest difference of a value, relative to its image's largest in the layer."""
    largest = 0.0
    with FeaturesFile(ours / "features.h5") as file:
        for layer, module in layers.items():
            done = 0
            for wanted in read_module(theirs / module):
                rows = np.arange(done, done + len(wanted))
                found = file.read(layer.replace(":", "_"), rows)
                if found.shape != wanted.shape:
                    raise click.ClickException(f"{layer}: {found.shape} against {wanted.shape}")
                apart = np.abs(found - wanted).max(axis=1) / np.abs(wanted).max(axis=1)
                largest = max(largest, float(apart.max()))
                done += len(wanted)
            if done != len(file.images):
                raise click.ClickException(f"{layer}: {len(file.images)} rows against {done}")
    return largest


def read_module(folder: Path, step: int = 16) -> Iterator[np.ndarray]:
    """Yield what thingsvision wrote for a module, some rows at a time: float32 (rows, units)."""
    # named by the first image and the one after the last; the first is wrong with several modules
    files = sorted(folder.glob("features_*"), key=lambda file: int(file.stem.rpartition("-")[2]))
    for file in files:
        values = np.load(file, mmap_mode="r")
        for first in range(0, len(values), step):
            yield np.array(values[first : first + step])


def row(ours: list[Ended], theirs: list[Ended], images: int, apart: float | None) -> str:
    """Return the measured cells of a row, a dash each where theirs was not run."""

    def medians(of: Callable[[Ended], float], digits: int) -> list[str]:
        return [
            f"{statistics.median(map(of, side)):,.{digits}f}" if side else "-"
            for side in (ours, theirs)
        ]

    ratio = "-"
    if theirs:
        ratios = Turns(*([run.told["seconds"] for run in side] for side in (ours, theirs))).ratios
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    cells = [
        *medians(lambda run: images / run.told["seconds"], 2),
        ratio,
        *medians(lambda run: run.mebibytes, 0),
        *medians(lambda run: run.seconds, 1),
        "-" if apart is None else f"{apart:.1e}",
    ]
    return " | ".join(cells)


def parse_case(case: str) -> tuple[str, dict[str, str]]:
    """Return a case's network, and its layers with their modules."""
    network, _, layers = case.partition(":")
    try:
        return network, {layer: MODULES[network][layer] for layer in layers.split("+")}
    except KeyError as error:
        known = {name: list(modules) for name, modules in MODULES.items()}
        raise click.BadParameter(f"{case}: no {error}; there are {known}") from None


@click.command(help=__doc__)
@click.option("--case", "cases", multiple=True, default=CASES, show_default=True)
@click.option("--batch-size", "sizes", multiple=True, type=int, default=(8, 16, 32, 64))
@click.option("--precision", "precisions", multiple=True, default=("fp32", "bf16"))
@click.option("--images", default=128, show_default=True)
@click.option("--turns", default=3, show_default=True, help="After one that does not count.")
@click.option("--threads", default=available_cores, show_default="the cores")
@click.option("--device", default="cpu", show_default=True)
@click.option("--only", type=click.Choice(["featx"]), help="Without thingsvision.")
@click.option("--peer", help="A command for thingsvision's side, instead of ours.")
def main(
    cases: Sequence[str],
    sizes: Sequence[int],
    precisions: Sequence[str],
    images: int,
    turns: int,
    threads: int,
    device: str,
    only: str | None,
    peer: str | None,
) -> None:
    parsed = [parse_case(case) for case in cases]
    commands = {name: [sys.executable, str(PEERS / "featx_side.py")] for name in precisions}
    if peer:
        commands["peer"] = shlex.split(peer)
    elif not only:
        python = environments.ensure("thingsvision", share_torch=True)
        commands["peer"] = [str(python), str(PEERS / "thingsvision_side.py")]
    told = f"{threads} threads, {device}, {images} images, {turns} turns"
    click.echo(f"{machine()}, {_bf16()}; {told}\n\n{HEADING}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task: dict[str, Any] = make_images(folder / "images", images) | {"device": device}
        for network, layers in parsed:
            weights = folder / f"{network}.pth"
            if not weights.exists():
                make_weights(weights, network)
            task |= {"network": network, "weights": str(weights), "layers": layers}
            for size in sizes:
                runs, apart = compare(commands, task | {"batch_size": size}, folder, turns, threads)
                for precision in precisions:
                    cells = row(runs[precision], runs["peer"], images, apart.get(precision))
                    start = f"{network} | {', '.join(layers)} | {precision} | {size}"
                    click.echo(f"| {start} | {cells} |")
                if apart.get("fp32", 0.0) > EQUAL:
                    raise click.ClickException(f"the features differ by {apart['fp32']:.1e}")


def compare(
    commands: dict[str, list[str]], task: dict[str, Any], folder: Path, turns: int, threads: int
) -> tuple[dict[str, list[Ended]], dict[str, float]]:
    """Run all sides in turns; return their counted runs, and how far each is from the peer's."""
    runs: dict[str, list[Ended]] = {side: [] for side in (*commands, "peer")}
    ours = os.environ | {"OMP_NUM_THREADS": str(threads)}
    theirs = {name: value for name, value in ours.items() if not name.startswith("PYTHON")}
    for turn in range(turns + 1):
        for side, command in commands.items():
            out, asked = folder / side, folder / f"{side}.json"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            asked.write_text(json.dumps(task | {"precision": side, "out": str(out)}))
            ended = run_to_end([*command, asked], theirs if side == "peer" else ours)
            if turn:  # the first warms up
                runs[side].append(ended)
    used = {(run.told["torch"], run.told["threads"]) for side in runs.values() for run in side}
    if len(used) > 1:
        raise click.ClickException(f"torch and threads are not the same: {sorted(used)}")
    compared = [side for side in commands if side != "peer"] if runs["peer"] else []
    return runs, {
        side: difference(folder / side, folder / "peer", task["layers"]) for side in compared
    }


def _bf16() -> str:
    """Return which instructions for bf16 the processor has."""
    information = Path("/proc/cpuinfo")
    words = information.read_text(encoding="utf-8").split() if information.exists() else []
    return " and ".join(name for name in ("avx512_bf16", "amx_bf16") if name in words) or "no bf16"


if __name__ == "__main__":
    main()
