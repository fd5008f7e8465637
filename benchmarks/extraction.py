"""Extraction from files to a features file, against the bare forward pass of the same network.

    python benchmarks/extraction.py --network vgg16 --network resnet50 --images 64

The whole decodes JPEGs, brings them to the network's size, runs the network, pools, and writes and
checks the features file, with the progress bar on. The bare forward pass runs the same module, in
the same precision, memory format and batch, over a normalised batch that lies on the device. They
take turns in one process. "Of bare" is the speed of the whole as a part of the bare one's: 1 where
everything but the network is free.

Two parts of the whole run alone in the same turns, to show which is the wall where it isn't the
network: decoding with as many processes, and writing the features file from arrays in memory. "Of
the limit" is the speed of the whole as a part of what these leave possible: on a GPU that of the
slowest part; on a CPU all parts share the cores, so their seconds add up (the network takes all
cores, decoding those of its processes, writing one). Weights and images are random, from a seed.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from made_up import make_images
from side_by_side import machine

from featx import extraction
from featx.cluster import available_cores
from featx.devices import describe_device, exact_arithmetic
from featx.extraction import Plan
from featx.images import MAX_PIXELS
from featx.loading import Crops, batches
from featx.precision import casting

PARTS = ("whole", "forward", "decode", "write")


def whole(plan: Plan, out: Path) -> None:
    """Extract into a features file."""
    with contextlib.redirect_stderr(io.StringIO()):
        extraction.run(plan, out, progress=True)


def forward(plan: Plan) -> Callable[[], None]:
    """Return a function that runs the bare network once for every batch."""
    device, n = plan.device, len(plan.rows)
    module = plan.network.module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.rand(plan.batch_size, 3, *plan.network.preprocessing.input_size)
    batch = pixels.to(device, memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode(), exact_arithmetic(), casting(device, plan.precision):
            for first in range(0, n, plan.batch_size):
                module(batch[: n - first])
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def decode(plan: Plan) -> None:
    """Bring all images to pixels."""
    crops = Crops(plan.paths, plan.usable, plan.network.preprocessing, MAX_PIXELS)
    for _ in batches(crops, plan.batch_size, workers=plan.workers):
        pass


def write(plan: Plan, out: Path) -> Callable[[], None]:
    """Return a function that writes a features file of values as behind a ReLU."""
    rng = np.random.default_rng(0)
    values = {
        layer.name: rng.normal(size=(plan.batch_size, layer.units)).clip(0).astype(np.float32)
        for layer in plan.layers
    }

    def run() -> None:
        with extraction.open_writer(plan, out, dtype="float32") as writer:
            for first in range(0, len(plan.rows), plan.batch_size):
                count = min(plan.batch_size, len(plan.rows) - first)
                writer.append({name: rows[:count] for name, rows in values.items()})
            writer.finish()

    return run


def measure(plan: Plan, out: Path, turns: int) -> dict[str, list[float]]:
    """Return the seconds of the whole and of its parts alone, turn by turn after a first one."""
    ways: dict[str, Callable[[], object]] = {
        "whole": lambda: whole(plan, out),
        "forward": forward(plan),
        "decode": lambda: decode(plan),
        "write": write(plan, out),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
            out.unlink(missing_ok=True)
    return {name: seconds[1:] for name, seconds in taken.items()}


def limit(plan: Plan, taken: dict[str, list[float]], cores: int) -> list[float]:
    """Return the seconds below which the whole cannot come, turn by turn."""
    turns = zip(taken["forward"], taken["decode"], taken["write"], strict=True)
    if plan.device.type != "cpu":
        return [max(seconds) for seconds in turns]
    processes = max(1, plan.workers)
    return [forward + (processes * decode + write) / cores for forward, decode, write in turns]


def row(label: str, images: int, taken: dict[str, list[float]], least: list[float]) -> str:
    """Return a line of the table: images a second of whole and parts, and the ratios."""
    cells = [f"{images / statistics.median(taken[name]):,.1f}" for name in PARTS]
    for bound in (taken["forward"], least):
        shares = sorted(seconds / own for seconds, own in zip(bound, taken["whole"], strict=True))
        cells.append(f"{statistics.median(shares):.3f} ({shares[0]:.3f} to {shares[-1]:.3f})")
    return f"| {label} | {' | '.join(cells)} |"


def profile(plan: Plan, out: Path) -> str:
    """Return where the time of one extraction goes, by torch's profiler."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if plan.device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    threads = None
    with contextlib.suppress(TypeError):  # a torch without it sees this thread only
        threads = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    with torch.profiler.profile(activities=kinds, experimental_config=threads) as found:
        whole(plan, out)
    out.unlink()
    by = f"self_{plan.device.type}_time_total"
    return found.key_averages().table(sort_by=by, row_limit=12, max_name_column_width=40)


@click.command(help=__doc__)
@click.option("--network", "networks", multiple=True, default=["resnet50"], show_default=True)
@click.option("--layer", "layers", multiple=True, default=["gap", "first_conv"], show_default=True)
@click.option("--precision", "precisions", multiple=True, default=["fp32"], show_default=True)
@click.option("--images", default=64, show_default=True)
@click.option("--side", default=250, show_default=True, help="Of the images, in pixels.")
@click.option("--batch-size", default="auto", show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--turns", default=5, show_default=True)
@click.option("--profile", "profiled", is_flag=True, help="Also print torch's profiles.")
def main(
    networks: tuple[str, ...],
    layers: tuple[str, ...],
    precisions: tuple[str, ...],
    images: int,
    side: int,
    batch_size: str,
    device: str,
    turns: int,
    profiled: bool,
) -> None:
    profiles = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_images(folder / "made", images, (side, side))
        for network in networks:
            for precision in precisions:
                plan = extraction.plan(
                    table,
                    backbone=network,
                    weights="random",
                    layers=layers,
                    device=device,
                    precision=precision,
                    batch_size=batch_size,
                    mirror=False,
                )
                if not profiles:
                    where = describe_device(plan.device)
                    click.echo(f"{machine()}; {where}; torch {torch.__version__}")
                    click.echo(
                        f"{images} JPEGs of {side} x {side}, {', '.join(layers)}; ", nl=False
                    )
                    click.echo(f"{turns} turns; images a second\n")
                    click.echo(
                        "| network | whole | bare | decoding | writing | of bare | of the limit |"
                    )
                    click.echo("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
                label = f"{network}, {precision}, batch {plan.batch_size}"
                taken = measure(plan, folder / "out.h5", turns)
                click.echo(row(label, images, taken, limit(plan, taken, available_cores())))
                profiles.append((label, profile(plan, folder / "out.h5") if profiled else ""))
    for label, told in profiles:
        if told:
            click.echo(f"\n{label}:\n\n```\n{told}\n```")


if __name__ == "__main__":
    main()
