"""Random changes of training images, each image by a draw of its own.

A draw depends on the seed, the epoch and the image's row only: not on the batch, the order, the
number of processes, or where a stopped run was taken up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as v2

if TYPE_CHECKING:
    from featx.training.cascade_file import Augmentation

#: Random numbers that an image draws, always all of them: switching an option on or off leaves the
#: others' draws as they were.
_DRAWS = 16

#: The proportion of width to height of a random crop, and of an erased patch, before it is fitted.
_RATIO = (3 / 4, 4 / 3)
_ERASED = (0.02, 0.2)


class Augment:
    """Changes batches of images; see `featx.training.cascade_file.Augmentation` for the options.

    Turning, shifting, scaling, cropping and mirroring are one affine map an image, sampled once,
    bilinearly; what lies beyond the edge continues the edge's pixels.

    Parameters
    ----------
    spec : Augmentation
        What is changed, and how far.
    seed : int
        Of all draws.
    """

    def __init__(self, spec: Augmentation, seed: int) -> None:
        self._spec, self._seed = spec, seed
        self._moves = bool(
            spec.flip or spec.rotation or spec.shift or spec.crop or spec.scale != (1.0, 1.0)
        )

    def draws(self, rows: Sequence[int], epoch: int) -> np.ndarray:
        """Return the random numbers of some rows: float64, shape (rows, 16), from 0 to 1."""
        return np.stack(
            [
                np.random.Generator(
                    np.random.Philox(np.random.SeedSequence([self._seed, epoch, int(row)]))
                ).random(_DRAWS)
                for row in rows
            ]
        )

    def __call__(self, images: torch.Tensor, rows: Sequence[int], epoch: int) -> torch.Tensor:
        """Change some images.

        Parameters
        ----------
        images : torch.Tensor
            uint8, shape (n, 3, height, width).
        rows : sequence of int
            Which images they are.
        epoch : int
            From 0.

        Returns
        -------
        torch.Tensor
            float32, the same shape, 0 to 255.
        """
        u = self.draws(rows, epoch)
        changed = images.float()
        if self._moves:
            height, width = changed.shape[2:]
            maps = np.stack([self._affine(draw, height, width) for draw in u]).astype(np.float32)
            grid = F.affine_grid(
                torch.from_numpy(maps).to(changed.device), list(changed.shape), align_corners=False
            )
            changed = F.grid_sample(changed, grid, padding_mode="border", align_corners=False)
        for number, draw in enumerate(u):
            self._recolour(changed, number, draw)
        return changed

    def _affine(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return the map from output to input places, (2, 3), in units of half a side."""
        spec = self._spec
        angle = math.radians((2 * u[1] - 1) * spec.rotation)
        low, high = spec.scale
        zoom = 1 / (low + (high - low) * u[4])
        size, middle = np.ones(2), np.zeros(2)
        if spec.crop is not None:
            area = spec.crop[0] + (spec.crop[1] - spec.crop[0]) * u[5]
            ratio = _RATIO[0] * (_RATIO[1] / _RATIO[0]) ** u[6]
            size = np.minimum(1.0, np.sqrt([area * ratio, area / ratio]))
            middle = (2 * u[7:9] - 1) * (1 - size)
        # from half sides to pixels and back, so that a turn stays a turn in oblong images
        to_pixels = np.array([width / 2, height / 2])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = zoom * turn * to_pixels[None, :] / to_pixels[:, None] * size[None, :]
        offset = middle + 2 * spec.shift * (2 * u[2:4] - 1)
        if u[0] < spec.flip:
            linear[:, 0] *= -1
        return np.concatenate([linear, offset[:, None]], axis=1)

    def _recolour(self, images: torch.Tensor, number: int, u: np.ndarray) -> None:
        """Change the colours of one image of a batch in place, and erase a patch of it."""
        spec = self._spec
        image = images[number]
        if spec.colour_jitter:
            factors = 1 + spec.colour_jitter * (2 * u[9:12] - 1)
            image = v2.adjust_brightness(image / 255, float(factors[0]))
            image = v2.adjust_contrast(image, float(factors[1]))
            image = v2.adjust_saturation(image, float(factors[2])) * 255
        if u[12] < spec.grey:
            image = v2.rgb_to_grayscale(image, num_output_channels=3)
        if image is not images[number]:
            images[number] = image
        if u[13] < spec.erasing:
            height, width = image.shape[1:]
            area = _ERASED[0] + (_ERASED[1] - _ERASED[0]) * (u[13] / spec.erasing)
            rows, columns = (max(1, round(side * math.sqrt(area))) for side in (height, width))
            top, left = int(u[14] * (height - rows + 1)), int(u[15] * (width - columns + 1))
            images[number, :, top : top + rows, left : left + columns] = 127.5
