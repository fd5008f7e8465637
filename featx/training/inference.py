"""Batches of stored pixels through a network and its head, without training it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import nn

from featx.backbones import Preprocessing
from featx.heads import Head, Heads, HeadSpec, Task
from featx.precision import casting
from featx.views import Normalise, View

#: Images at a time where nothing is kept for a backward pass.
BATCH = 64


class PixelSource(Protocol):
    """Pixels by row: a `featx.training.images.pixels.PixelStore`, or what batches alike."""

    def batches(self, batches: Sequence[np.ndarray | Sequence[int]]) -> Iterator[torch.Tensor]:
        """Yield uint8 (n, 3, height, width) for each set of rows."""
        ...


def outputs(
    network: nn.Module,
    normalise: Normalise,
    store: PixelSource,
    rows: Sequence[np.ndarray],
    *,
    device: torch.device,
    precision: str = "fp32",
    view: View = "centre",
    mirror: bool = False,
) -> Iterator[list[torch.Tensor]]:
    """Yield the network's raw outputs for each set of rows of a store.

    A list for each set: float32 (n, k) for every crop of the view and, with `mirror`, for the
    mirror image of each. The network is used as it is: call ``eval()`` before.
    """
    with torch.inference_mode():
        for pixels in store.batches(rows):
            shown = normalise.views(pixels, view)
            if mirror:
                shown += [images.flip(3) for images in shown]
            with casting(device, precision):
                given = [network(images) for images in shown]
            yield [each.float() for each in given]


@dataclass(frozen=True)
class Predicted:
    """A network's estimates of one task.

    Attributes
    ----------
    ages : numpy.ndarray or None
        float64, shape (n,): years, the expected value of the classes, or plain regression's
        output; None for gender.
    probabilities : numpy.ndarray or None
        float32, shape (n, classes); None for plain regression.
    """

    ages: np.ndarray | None
    probabilities: np.ndarray | None


def predict(
    network: nn.Module,
    heads: Heads,
    preprocessing: Preprocessing,
    store: PixelSource,
    rows: np.ndarray,
    *,
    device: torch.device,
    precision: str = "fp32",
    view: View = "centre",
    mirror: bool = True,
) -> dict[Task, Predicted]:
    """Estimate what a network tells of some stored images, each task for itself.

    Parameters
    ----------
    network : torch.nn.Module
        With the heads in their place; it is set to evaluation mode.
    heads : Heads
        The network's.
    store, rows
        The pixels, and which of them.
    view : {"centre", "five"}
        Average the probabilities (or ages) over these crops.
    mirror : bool
        Average over each image and its mirror image.
    """
    network.eval()
    normalise = Normalise(preprocessing, device)
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    parts: dict[Task, list[np.ndarray]] = {spec.task: [] for spec in heads.specs}
    for given in outputs(
        network,
        normalise,
        store,
        batches,
        device=device,
        precision=precision,
        view=view,
        mirror=mirror,
    ):
        with torch.inference_mode():
            split = [heads.split(each) for each in given]
            for task, values in parts.items():
                read = [_read(heads.of(task), each[task]) for each in split]
                values.append(torch.stack(read).mean(0).cpu().numpy())
    return {task: _predicted(heads.of(task).spec, values) for task, values in parts.items()}


def _read(head: Head, outputs: torch.Tensor) -> torch.Tensor:
    """Return what is averaged over views: probabilities or, of plain regression, ages."""
    plain = head.spec.kind == "regression"
    return (head.ages(outputs)[:, None] if plain else head.probabilities(outputs)).double()


def _predicted(spec: HeadSpec, parts: list[np.ndarray]) -> Predicted:
    values = np.concatenate(parts)
    if spec.kind == "regression":
        return Predicted(values[:, 0], None)
    ages = values @ np.asarray(spec.classes, float) if spec.task == "age" else None
    return Predicted(ages, values.astype(np.float32))
