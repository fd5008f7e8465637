"""What a network is shown of a picture: its middle or five crops, normalised."""

from __future__ import annotations

from typing import Literal

import torch

from featx.backbones import Preprocessing

View = Literal["centre", "five"]


def crops(pixels: torch.Tensor, size: tuple[int, int], view: View = "centre") -> list[torch.Tensor]:
    """Cut pictures to a network's input size.

    Parameters
    ----------
    pixels : torch.Tensor
        Shape (n, channels, height, width), at least as large as the input.
    size : tuple of int
        Height and width of the input.
    view : {"centre", "five"}
        ``five`` gives the crops of the four corners and of the middle (Levi and Hassner 2015,
        "over-sampling", who average over these and their mirror images).

    Returns
    -------
    list of torch.Tensor
        One, or five; pictures of the input's size already are given once, as they are.
    """
    height, width = size
    below, beside = pixels.shape[2] - height, pixels.shape[3] - width
    if not below and not beside:
        return [pixels]
    places = [(below // 2, beside // 2)]
    if view == "five":
        places += [(top, left) for top in (0, below) for left in (0, beside)]
    return [pixels[:, :, top : top + height, left : left + width] for top, left in places]


class Normalise:
    """Pixels 0 to 255 to the network's input, on a device: the middle of larger pictures.

    Parameters
    ----------
    preprocessing : Preprocessing
        Its mean and standard deviation, channel by channel.
    device : torch.device
        Where the input is wanted.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        shape = (1, 3, 1, 1)
        self._device, self._size = device, preprocessing.input_size
        self._mean = torch.tensor(preprocessing.mean, device=device).reshape(shape)
        self._std = torch.tensor(preprocessing.std, device=device).reshape(shape)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (n, 3, h, w) to float32 of the input's size, channels last in memory."""
        return self.views(pixels, "centre")[0]

    def views(self, pixels: torch.Tensor, view: View) -> list[torch.Tensor]:
        """Map pixels to each of the crops of a view, as `__call__` does to the middle."""
        moved = pixels.to(self._device, non_blocking=True)
        return [
            crop.to(torch.float32, copy=True, memory_format=torch.channels_last)
            .sub_(self._mean)
            .div_(self._std)
            for crop in crops(moved, self._size, view)
        ]
