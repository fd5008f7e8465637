"""The filters of a network's first convolution, as they look at a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from featx.weights import LoadedNetwork


@dataclass(frozen=True)
class Filters:
    """The weights of a convolution that sees the picture.

    Attributes
    ----------
    module : str
        The convolution.
    weights : numpy.ndarray
        float32, (filters, channels, height, width); three channels are red, green and blue, one
        is grey.
    """

    module: str
    weights: np.ndarray


def first_filters(network: LoadedNetwork) -> Filters:
    """Return the filters behind the feature map that a backbone calls its first.

    Parameters
    ----------
    network : LoadedNetwork
        Its module may be on any device.
    """
    parts = dict(network.module.named_modules())
    first = parts[network.backbone.first_conv]
    last = ""  # convolution that was done, until the first block is
    done = False

    def note(name: str, module: nn.Module) -> None:
        nonlocal last, done
        if isinstance(module, nn.Conv2d) and not done:
            last = name
        done |= module is first

    handles = [
        module.register_forward_hook(lambda own, given, output, name=name: note(name, own))
        for name, module in parts.items()
    ]
    device = next(network.module.parameters()).device
    try:
        with torch.inference_mode():
            network.module(torch.zeros(1, 3, *network.preprocessing.input_size, device=device))
    finally:
        for handle in handles:
            handle.remove()
    weights = parts[last].get_parameter("weight").detach().float().cpu().numpy()
    if weights.shape[1] == 3 and network.preprocessing.channels == "BGR":
        weights = weights[:, ::-1]
    return Filters(last, np.ascontiguousarray(weights))


def shades(weights: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """Map filters to colours: grey is 0, full and no light are the filter's largest weight.

    Parameters
    ----------
    weights : numpy.ndarray
        (filters, channels, height, width) with one channel or three.
    scale : numpy.ndarray, optional
        (filters,): the weight that is full light; by default each filter's own largest in size.

    Returns
    -------
    numpy.ndarray
        float, 0 to 1, (filters, height, width, 3).
    """
    if scale is None:
        scale = largest(weights)
    parts = np.where(scale > 0, scale, 1)[:, None, None, None]
    light = np.moveaxis((0.5 + 0.5 * weights / parts).clip(0, 1), 1, -1)
    return np.broadcast_to(light, (*light.shape[:3], 3))


def largest(weights: np.ndarray) -> np.ndarray:
    """Return each filter's largest weight in size, (filters,)."""
    return np.abs(weights).reshape(len(weights), -1).max(1)


def relative_change(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much weights changed, ``‖after - before‖ / ‖before‖``; NaN from all zeros."""
    size = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / size if size else float("nan")


def tiles(pictures: np.ndarray) -> np.ndarray:
    """Set pictures (n, height, width, 3), 0 to 1, in a square with white lines between them."""
    count, height, width, _ = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, 3))
    for number, picture in enumerate(pictures):
        top = 1 + number // columns * (height + 1)
        left = 1 + number % columns * (width + 1)
        sheet[top : top + height, left : left + width] = picture
    return sheet
