"""The parts of a picture that a network is shown: its middle, or five crops."""

from __future__ import annotations

from typing import Literal

import torch

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
