"""What a cascade takes, measured on a few steps of each of its stages, in a fresh process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featx.cluster.fresh import call_fresh
from featx.devices import resolve_device
from featx.memory import peak_memory
from featx.training.cascade import start_network
from featx.training.config.cascade_file import Cascade
from featx.training.images.samples import Samples
from featx.training.images.stage_data import StageData
from featx.training.planning import StagePlan
from featx.training.processes import Processes
from featx.training.stage import NETWORK, run_stage
from featx.weights import LoadedNetwork

#: Batches of an epoch that is tried; two epochs are, of which the first warms up.
_BATCHES = 2


@dataclass(frozen=True)
class StageCost:
    """What a stage will take; bytes and seconds.

    Attributes
    ----------
    name : str
        Of the stage.
    images, validation : int
        Trained on, and held out.
    epochs, steps : int
        Steps are batches, of all epochs.
    epoch : tuple of float
        Seconds of an epoch with its validation: likely, least, most.
    start : float
        Seconds beside the epochs.
    network : int
        Of the file of the network.
    pixels : int
        Of all decoded images, which are kept where they fit into half of the free memory.
    process : int
        Peak memory of the process so far, without the pixels.
    device : dict of str to int
        Memory of the GPU, ``allocated`` and ``reserved`` by torch at the peak so far; empty on a
        CPU.
    """

    name: str
    images: int
    validation: int
    epochs: int
    steps: int
    epoch: tuple[float, float, float]
    start: float
    network: int
    pixels: int
    process: int
    device: dict[str, int]

    @property
    def seconds(self) -> tuple[float, float, float]:
        """The likely time, the shortest and the longest."""
        likely, least, most = (self.start + self.epochs * each for each in self.epoch)
        return likely, least, most

    def describe(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        likely, least, most = self.seconds
        return {
            "name": self.name,
            "images": self.images,
            "validation": self.validation,
            "epochs": self.epochs,
            "steps": self.steps,
            "network_bytes": self.network,
            "pixels_bytes": self.pixels,
            "process_bytes": self.process,
            "device_memory": {f"{name}_bytes": count for name, count in self.device.items()},
            "seconds": {"likely": likely, "least": least, "most": most},
        }


def probe_stages(
    cascade: Cascade, plans: Sequence[StagePlan], device: str = "auto"
) -> list[StageCost]:
    """Train each stage on a few batches, one stage after the other, in a fresh process.

    What is written goes into a temporary folder. A stage starts from the network that the trial
    of the one before it has left.

    Parameters
    ----------
    cascade : Cascade
        What to start from.
    plans : sequence of StagePlan
        Of its stages, in order.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    FeatxError
        As `featx.training.stage.run_stage`; if memory does not suffice.
    """
    with tempfile.TemporaryDirectory(prefix="featx-plan-") as folder:
        found: list[StageCost] = call_fresh(
            _try,
            *(cascade, list(plans), device, Path(folder)),
            killed="the trial of a stage was killed, most likely for want of memory, and training "
            "would be too: set batch_size and accumulate for smaller batches, or choose a machine "
            "with more memory",
        )
    return found


def _try(cascade: Cascade, plans: list[StagePlan], device: str, folder: Path) -> list[StageCost]:
    where = resolve_device(device)
    network, costs = start_network(cascade), []
    for plan in plans:
        cost, network = _try_stage(plan, network, folder / plan.folder_name, Processes(0, 1, where))
        costs.append(cost)
    return costs


def _try_stage(
    plan: StagePlan, parent: LoadedNetwork, folder: Path, processes: Processes
) -> tuple[StageCost, LoadedNetwork]:
    train, held = plan.data.train, plan.data.validation
    few = min(len(train), _BATCHES * plan.stage.batch_size)
    part = len(train) / few
    short = replace(
        plan,
        stage=plan.stage.model_copy(update={"epochs": 2}),
        data=StageData(_some(train, few), held and _some(held, max(1, round(len(held) / part)))),
    )
    epochs: list[float] = []
    start = time.monotonic()
    network = run_stage(
        short, parent, folder, processes, on_epoch=lambda row: epochs.append(row["seconds"])
    )
    beside = time.monotonic() - start - sum(epochs)
    batches = -(-len(train) // plan.stage.batch_size)
    height, width = network.preprocessing.decoded_size
    gpu = {}
    if processes.device.type == "cuda":
        gpu["allocated"] = torch.cuda.max_memory_allocated(processes.device)
        gpu["reserved"] = torch.cuda.max_memory_reserved(processes.device)
    cost = StageCost(
        name=plan.stage.name,
        images=len(train),
        validation=len(held) if held else 0,
        epochs=plan.stage.epochs,
        steps=plan.stage.epochs * batches,
        epoch=(part * epochs[-1], part * min(epochs), part * max(epochs)),
        start=beside,
        network=(folder / NETWORK).stat().st_size,
        pixels=(len(train) + (len(held) if held else 0)) * height * width * 3,
        process=peak_memory(),
        device=gpu,
    )
    return cost, network


def _some(samples: Samples, count: int) -> Samples:
    """Return so many rows, spread over all."""
    return samples.take(np.linspace(0, len(samples) - 1, count).astype(int))
