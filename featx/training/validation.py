"""A network's loss and errors on images that it is not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from featx.devices import exact_arithmetic
from featx.heads import Head, Heads, HeadSpec, Task
from featx.training.images.pixels import PixelStore
from featx.training.images.stage_data import TaskLabels
from featx.training.inference import BATCH, outputs
from featx.training.losses import Targets
from featx.training.processes import Processes
from featx.training.task_losses import TaskLosses
from featx.views import Normalise


@dataclass(frozen=True)
class Images:
    """Stored images with their labels and names, aligned.

    Attributes
    ----------
    store : PixelStore
        Holds them.
    rows : numpy.ndarray
        int64, shape (n,): which of the store's.
    labels : mapping of task to Labels
        What each is.
    names : list of str
        For messages.
    """

    store: PixelStore
    rows: np.ndarray
    labels: TaskLabels
    names: list[str]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def targets(self, positions: np.ndarray, device: torch.device) -> dict[Task, Targets]:
        """Return what the losses compare the outputs for some of the images with."""
        own = {task: labels.take(positions) for task, labels in self.labels.items()}
        return {
            task: Targets(
                torch.from_numpy(labels.index).to(device), torch.from_numpy(labels.age).to(device)
            )
            for task, labels in own.items()
        }


@dataclass(frozen=True)
class Scores:
    """Of a validation.

    Attributes
    ----------
    loss : float
        The mean of what epochs are compared by.
    measures : dict of str to float
        ``validation_mae`` in years and ``validation_accuracy`` of age (or of its groups),
        ``validation_gender_accuracy``: those of the network's tasks.
    """

    loss: float
    measures: dict[str, float]


def validate(
    network: nn.Module,
    heads: Heads,
    losses: TaskLosses,
    normalise: Normalise,
    images: Images,
    processes: Processes,
    precision: str,
) -> Scores:
    """Score a network; every process takes its part of the images and learns the scores of all.

    Parameters
    ----------
    network : torch.nn.Module
        With the heads in their place; it is set to evaluation mode.
    heads : Heads
        The network's.
    losses : TaskLosses
        Of the raw outputs, float32 (n, k), and the targets.
    normalise : Normalise
        Makes the network's input of pixels.
    images : Images
        What on.
    processes : Processes
        Those that validate together.
    precision : {"fp32", "bf16", "fp16"}
        Of the network's arithmetic.

    Raises
    ------
    FeatxError
        If an image cannot be read.
    """
    network.eval()
    mine = np.arange(len(images))[processes.rank :: processes.count]
    parts = [mine[start : start + BATCH] for start in range(0, len(mine), BATCH)]
    rows = [images.rows[positions] for positions in parts]
    device = processes.device
    names = [name for spec in heads.specs for name in _measured(spec)]
    sums = torch.zeros(2 + len(names), dtype=torch.float64)
    with exact_arithmetic():
        given = outputs(network, normalise, images.store, rows, device=device, precision=precision)
        for positions, (batch,) in zip(parts, given, strict=True):
            targets = images.targets(positions, device)
            with torch.inference_mode():
                value = losses.to_judge(batch, targets)
                split = heads.split(batch)
                found = [
                    total
                    for spec in heads.specs
                    for total in _measure(heads.of(spec.task), split[spec.task], targets[spec.task])
                ]
            n = len(positions)
            sums += torch.tensor([n, float(value) * n, *map(float, found)]).double()
    count, loss_sum, *totals = processes.total(sums.to(device)).tolist()
    return Scores(loss_sum / count, {n: t / count for n, t in zip(names, totals, strict=True)})


def _measured(spec: HeadSpec) -> tuple[str, ...]:
    if spec.task == "gender":
        return ("validation_gender_accuracy",)
    return ("validation_mae", "validation_accuracy")


def _measure(head: Head, outputs: torch.Tensor, targets: Targets) -> list[torch.Tensor]:
    """Return the sums over a batch of what `_measured` names."""
    right = torch.zeros(())
    if head.spec.kind != "regression":
        right = (head.probabilities(outputs).argmax(1) == targets.index).sum()
    if head.spec.task == "gender":
        return [right]
    return [(head.ages(outputs) - targets.age).abs().sum(), right]
