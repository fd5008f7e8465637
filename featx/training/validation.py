"""A network's loss and errors on images that it is not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from featx.devices import exact_arithmetic
from featx.heads import Head
from featx.training.inference import BATCH, Normalise, outputs
from featx.training.losses import Targets
from featx.training.pixels import PixelStore
from featx.training.processes import Processes
from featx.training.samples import Labels


@dataclass(frozen=True)
class Images:
    """Stored images with their labels and names, aligned.

    Attributes
    ----------
    store : PixelStore
        Holds them.
    rows : numpy.ndarray
        int64, shape (n,): which of the store's.
    labels : Labels
        What each is.
    names : list of str
        For messages.
    """

    store: PixelStore
    rows: np.ndarray
    labels: Labels
    names: list[str]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def targets(self, positions: np.ndarray, device: torch.device) -> Targets:
        """Return what a loss compares the outputs for some of the images with."""
        labels = self.labels.take(positions)
        return Targets(
            torch.from_numpy(labels.index).to(device), torch.from_numpy(labels.age).to(device)
        )


@dataclass(frozen=True)
class Scores:
    """Of a validation: mean loss; mean absolute error in years; share of right classes."""

    loss: float
    mae: float
    accuracy: float


def validate(
    network: nn.Module,
    head: Head,
    loss: Callable[[torch.Tensor, Targets], torch.Tensor],
    normalise: Normalise,
    images: Images,
    processes: Processes,
    precision: str,
) -> Scores:
    """Score a network; every process takes its part of the images and learns the scores of all.

    Parameters
    ----------
    network : torch.nn.Module
        With the head in its place; it is set to evaluation mode.
    head : Head
        The network's.
    loss : callable
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
    sums = torch.zeros(4, dtype=torch.float64)
    with exact_arithmetic():
        given = outputs(network, normalise, images.store, rows, device=device, precision=precision)
        for positions, batch in zip(parts, given, strict=True):
            targets = images.targets(positions, device)
            with torch.inference_mode():
                value = loss(batch, targets)
                error = (head.ages(batch) - targets.age).abs().sum()
                right = torch.zeros(())
                if head.spec.kind != "regression":
                    right = (head.probabilities(batch).argmax(1) == targets.index).sum()
            n = len(positions)
            sums += torch.tensor([float(value) * n, float(error), float(right), n]).double()
    loss_sum, error_sum, right_sum, count = processes.total(sums.to(device)).tolist()
    return Scores(loss_sum / count, error_sum / count, right_sum / count)
