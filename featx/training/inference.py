"""Batches of stored pixels through a network and its head, without training it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from featx.backbones import Preprocessing
from featx.engine import PRECISIONS
from featx.heads import Head
from featx.training.pixels import PixelStore

#: Images at a time where nothing is kept for a backward pass.
BATCH = 64


class Normalise:
    """Pixels 0 to 255 to the network's input, on a device.

    Parameters
    ----------
    preprocessing : Preprocessing
        Its mean and standard deviation, channel by channel.
    device : torch.device
        Where the input is wanted.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        shape = (1, 3, 1, 1)
        self._device = device
        self._mean = torch.tensor(preprocessing.mean, device=device).reshape(shape)
        self._std = torch.tensor(preprocessing.std, device=device).reshape(shape)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (n, 3, h, w) to float32 of the same shape, channels last in memory."""
        moved = pixels.to(self._device, non_blocking=True).float()
        return ((moved - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


def casting(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the autocast of a precision: fp32 (none), bf16 or fp16."""
    low = PRECISIONS[precision]
    return torch.autocast(device.type, dtype=low) if low else nullcontext()


def outputs(
    network: nn.Module,
    normalise: Normalise,
    store: PixelStore,
    rows: Sequence[np.ndarray],
    *,
    device: torch.device,
    precision: str = "fp32",
    mirror: bool = False,
) -> Iterator[torch.Tensor]:
    """Yield the network's raw outputs, float32 (n, k), for each set of rows of a store.

    The network is used as it is: call ``eval()`` before. With `mirror`, those of the mirror images.
    """
    with torch.inference_mode():
        for pixels in store.batches(rows):
            images = normalise(pixels)
            with casting(device, precision):
                given = network(images.flip(3) if mirror else images)
            yield given.float()


@dataclass(frozen=True)
class Predicted:
    """A network's estimates.

    Attributes
    ----------
    ages : numpy.ndarray, float64, shape (n,)
        Years: the expected value of the classes, or plain regression's output.
    probabilities : numpy.ndarray or None
        float32, shape (n, classes); None for plain regression.
    """

    ages: np.ndarray
    probabilities: np.ndarray | None


def predict(
    network: nn.Module,
    head: Head,
    preprocessing: Preprocessing,
    store: PixelStore,
    rows: np.ndarray,
    *,
    device: torch.device,
    precision: str = "fp32",
    mirror: bool = True,
) -> Predicted:
    """Estimate the ages of some stored images.

    Parameters
    ----------
    network : torch.nn.Module
        With the head in its place; it is set to evaluation mode.
    head : Head
        The network's.
    store, rows
        The pixels, and which of them.
    mirror : bool
        Average the probabilities (or ages) over each image and its mirror image.
    """
    network.eval()
    normalise = Normalise(preprocessing, device)
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    plain = head.spec.kind == "regression"
    total: np.ndarray | None = None
    for flipped in (False, True) if mirror else (False,):
        parts = []
        for given in outputs(
            network, normalise, store, batches, device=device, precision=precision, mirror=flipped
        ):
            with torch.inference_mode():
                read = head.ages(given)[:, None] if plain else head.probabilities(given)
            parts.append(read.double().cpu().numpy())
        values = np.concatenate(parts)
        total = values if total is None else (total + values) / 2
    assert total is not None
    if plain:
        return Predicted(total[:, 0], None)
    ages = total @ np.asarray(head.spec.classes, float)
    return Predicted(ages, total.astype(np.float32))
