"""Throughput of a fine-tuning stage against the bare training step.

The stage does all that it does for a user, with its pixels decoded: it takes batches in a new
order, augments and normalises them, steps, watches the loss, writes the history and its state. The
bare step runs forward, loss, backward and optimiser over one batch that lies on the device. Both
use the same network, precision, optimiser and batch, and take turns epoch by epoch in one process:

    python benchmarks/finetune.py --network resnet50 --device cuda --precision bf16

A row a network: images a second of both (medians), and the median, least and greatest of the
turns' ratios: 1 where the stage costs nothing beyond the bare steps.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from made_up import CLASSES, make_images
from side_by_side import machine

from featx.backbones import get_backbone
from featx.devices import exact_arithmetic
from featx.heads import Task
from featx.precision import casting
from featx.training.cascade import start_network
from featx.training.config.cascade_file import Cascade
from featx.training.losses import Targets
from featx.training.planning import StagePlan, plan_stages
from featx.training.processes import join_processes
from featx.training.schedule import make_optimiser
from featx.training.stage import prepare_network, run_stage
from featx.training.task_losses import TaskLosses
from featx.training.unlocking import training_mode, unlock
from featx.views import Normalise
from featx.weights import LoadedNetwork

AUGMENTATION = {"flip": 0.5, "rotation": 15, "shift": 0.05, "scale": [0.85, 1.15]}


def bare_epoch(
    plan: StagePlan, parent: LoadedNetwork, device: torch.device, steps: int
) -> Callable[[], float]:
    """Return a function that makes the bare steps of an epoch and returns its seconds."""
    stage = plan.stage
    module, heads = prepare_network(plan, parent)
    unlock(module, parent.backbone, stage.unlock)
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    training_mode(module)
    network = torch.compile(module, dynamic=False) if stage.compile else module
    own = {id(parameter) for parameter in heads.parameters()}
    unlocked = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = make_optimiser(
        stage.optimiser,
        [parameter for parameter in unlocked if id(parameter) not in own],
        [parameter for parameter in unlocked if id(parameter) in own],
    )
    loss = TaskLosses(stage, heads).to(device)
    n = stage.batch_size
    shape = (n, 3, *parent.preprocessing.input_size)
    images = Normalise(parent.preprocessing, device)(torch.randint(0, 256, shape))
    index = torch.arange(n, device=device) % CLASSES
    targets: dict[Task, Targets] = {"age": Targets(index, index.float())}
    scaler = torch.amp.GradScaler(device.type, enabled=stage.precision == "fp16")

    def run() -> float:
        start = time.perf_counter()
        with exact_arithmetic():
            for _ in range(steps):
                with casting(device, stage.precision):
                    given = network(images)
                scaler.scale(loss(given.float(), targets)).backward()
                scaler.step(optimiser)
                scaler.update()
                optimiser.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return run


def measure(network: str, device_name: str, n: int, turns: int, **stage: Any) -> dict[str, Any]:
    """Time both; the first turn warms up and is not counted."""
    with tempfile.TemporaryDirectory() as name, join_processes(device_name) as processes:
        folder = Path(name)
        size = get_backbone(network).preprocessing.input_size
        make_images(folder / "made", n, size)
        cascade = Cascade.model_validate(
            {
                "backbone": network,
                "weights": "random",
                "file": folder / "cascade.yaml",
                "stages": [
                    {
                        "name": "timed",
                        "data": {"tables": ["made"], "validation": None},
                        "head": {"loss": "label-distribution", "classes": f"0-{CLASSES - 1}"},
                        "optimiser": {"name": "adam", "learning_rate": 1e-5},
                        "schedule": {"name": "constant"},
                        "augmentation": AUGMENTATION,
                        "epochs": turns + 1,
                        **stage,
                    }
                ],
            }
        )
        (plan,) = plan_stages(cascade)
        parent = start_network(cascade)
        bare = bare_epoch(plan, parent, processes.device, n // plan.stage.batch_size)
        ours: list[float] = []
        theirs: list[float] = []

        began = time.perf_counter()

        def take_turns(row: dict[str, float]) -> None:
            nonlocal began
            ours.append(time.perf_counter() - began)  # states and the history written, too
            theirs.append(bare())
            began = time.perf_counter()

        run_stage(plan, parent, folder / "out", processes, on_epoch=take_turns)
        ratios = [step / whole for whole, step in zip(ours[1:], theirs[1:], strict=True)]
        where = processes.device
        return {
            "network": network,
            "input": list(size),
            **stage,
            "images": n,
            "turns": turns,
            "stage_images_per_second": round(n / statistics.median(ours[1:]), 1),
            "bare_images_per_second": round(n / statistics.median(theirs[1:]), 1),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_least": round(min(ratios), 3),
            "ratio_greatest": round(max(ratios), 3),
            "device": torch.cuda.get_device_name(where) if where.type == "cuda" else _cpu(),
            "torch": torch.__version__,
        }


def _cpu() -> str:
    return f"{torch.get_num_threads()} CPU threads, {platform.machine()}"


@click.command(help=__doc__)
@click.option("--network", "networks", multiple=True, default=["mobilefacenet"], show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--precision", default="fp32", show_default=True)
@click.option("--compile/--no-compile", "compiled", default=False, show_default=True)
@click.option("--unlock", default="all", show_default=True)
@click.option("--batch-size", default=32, show_default=True)
@click.option("--images", default=1024, show_default=True, help="An epoch; whole batches only.")
@click.option("--turns", default=5, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Also append JSON here, a line a row."
)
def main(
    networks: tuple[str, ...],
    device: str,
    precision: str,
    compiled: bool,
    unlock: str,
    batch_size: int,
    images: int,
    turns: int,
    output: Path | None,
) -> None:
    if images % batch_size:
        raise click.UsageError("--images must be a multiple of --batch-size")
    click.echo(
        f"{machine()}; torch {torch.__version__}, {device}; {turns} turns; images a second\n"
    )
    click.echo("| network, precision, unlocked | stage | bare step | of bare |")
    click.echo("| --- | ---: | ---: | ---: |")
    for network in networks:
        found = measure(
            network,
            device,
            images,
            turns,
            precision=precision,
            compile=compiled,
            unlock=unlock,
            batch_size=batch_size,
        )
        label = f"{network}, {precision}, {unlock}, batch {batch_size}"
        both = f"{found['stage_images_per_second']:,} | {found['bare_images_per_second']:,}"
        spread = f"{found['ratio_least']:.3f} to {found['ratio_greatest']:.3f}"
        click.echo(f"| {label} | {both} | {found['ratio']:.3f} ({spread}) |")
        if output:
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
