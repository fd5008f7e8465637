"""Grey pictures for networks of the time when faces were grey."""

from __future__ import annotations

import torch
from torch import nn

from featx.backbones._registry import Preprocessing

#: Pixels 0 to 1, as Kang, Jiang and Li's published code divides them by 255.
UNIT_128 = Preprocessing(input_size=(128, 128), mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))


class Grey(nn.Module):
    """RGB to luma as ITU-R BT.601 weighs the colours (and Pillow and OpenCV with it).

    It has no parameters, and comes after the normalisation of the input: where all channels are
    normalised alike that makes no difference, for the weights add up to 1.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 3, h, w) to (n, 1, h, w)."""
        return 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]
