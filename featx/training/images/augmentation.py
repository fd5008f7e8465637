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

if TYPE_CHECKING:
    from featx.training.config.stage import Augmentation

#: Random numbers that an image draws, always all of them: switching an option on or off leaves the
#: others' draws as they were.
_DRAWS = 18

#: The proportion of width to height of a random crop, and of an erased patch, before it is fitted.
_RATIO = (3 / 4, 4 / 3)
_ERASED = (0.02, 0.2)


class Augment:
    """Changes batches of images; see `featx.training.config.stage.Augmentation` for the options.

    Turning, shifting, scaling, cropping and mirroring are one affine map an image, sampled once,
    bilinearly; what lies beyond the edge continues the edge's pixels.

    Parameters
    ----------
    spec : Augmentation
        What is changed, and how far.
    seed : int
        Of all draws.
    size : tuple of int, optional
        Height and width of the network's input, which is cut from a random place of larger images
        first.
    """

    def __init__(self, spec: Augmentation, seed: int, size: tuple[int, int] | None = None) -> None:
        self._spec, self._seed, self._size = spec, seed, size
        self._moves = bool(
            spec.flip or spec.rotation or spec.shift or spec.crop or spec.scale != (1.0, 1.0)
        )

    def draws(self, rows: Sequence[int], epoch: int) -> np.ndarray:
        """Return the random numbers of some rows: float64, shape (rows, 18), from 0 to 1."""
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
            float32, the same shape or cut to the input's size, 0 to 255.
        """
        u = self.draws(rows, epoch)
        changed = self._cut(images, u).float()
        if self._moves:
            height, width = changed.shape[2:]
            maps = np.stack([self._affine(draw, height, width) for draw in u]).astype(np.float32)
            grid = F.affine_grid(
                torch.from_numpy(maps).to(changed.device), list(changed.shape), align_corners=False
            )
            changed = F.grid_sample(changed, grid, padding_mode="border", align_corners=False)
        return self._erase(self._recolour(changed, u), u)

    def _cut(self, images: torch.Tensor, u: np.ndarray) -> torch.Tensor:
        """Cut each image to the input's size at a place of its own."""
        height, width = self._size or images.shape[2:]
        if images.shape[2:] == (height, width):
            return images
        spare = np.array(images.shape[2:]) - (height, width)
        first = torch.from_numpy(np.floor(u[:, 16:18] * (spare + 1)).astype(np.int64))
        first = first.to(images.device)[:, :, None]
        rows = first[:, 0] + torch.arange(height, device=images.device)
        columns = first[:, 1] + torch.arange(width, device=images.device)
        which = torch.arange(len(images), device=images.device)[:, None, None]
        cut = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
        return cut.permute(0, 3, 1, 2)

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

    def _recolour(self, images: torch.Tensor, u: np.ndarray) -> torch.Tensor:
        """Change brightness, then contrast, then saturation; make some images grey."""
        spec = self._spec
        if spec.colour_jitter:
            factors = 1 + spec.colour_jitter * (2 * u[:, 9:12] - 1)
            brightness, contrast, saturation = (_per_image(each, images) for each in factors.T)
            images = (images * brightness).clamp_(0, 255)
            mean = _luminance(images).mean((2, 3), keepdim=True)
            images = torch.lerp(mean, images, contrast).clamp_(0, 255)
            images = torch.lerp(_luminance(images), images, saturation).clamp_(0, 255)
        if spec.grey:
            chosen = _per_image(u[:, 12] < spec.grey, images).bool()
            images = torch.where(chosen, _luminance(images), images)
        return images

    def _erase(self, images: torch.Tensor, u: np.ndarray) -> torch.Tensor:
        """Cover a rectangle of some images with medium grey."""
        erasing = self._spec.erasing
        if not erasing:
            return images
        height, width = images.shape[2:]
        area = _ERASED[0] + (_ERASED[1] - _ERASED[0]) * np.minimum(u[:, 13] / erasing, 1)
        inside = _per_image(u[:, 13] < erasing, images).bool()
        for axis, side, draw in ((2, height, u[:, 14]), (3, width, u[:, 15])):
            length = np.maximum(1, np.rint(side * np.sqrt(area)))
            start = np.floor(draw * (side - length + 1))
            shape = [side if axis == each else 1 for each in range(4)]
            place = torch.arange(side, device=images.device).reshape(shape)
            first, end = _per_image(start, images), _per_image(start + length, images)
            inside = inside & (place >= first) & (place < end)
        return images.masked_fill(inside, 127.5)


def _per_image(values: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """Return a number an image, float32, shape (n, 1, 1, 1), on the images' device."""
    made = torch.from_numpy(np.asarray(values, np.float32)).reshape(-1, 1, 1, 1)
    return made.to(images.device, non_blocking=True)


def _luminance(images: torch.Tensor) -> torch.Tensor:
    """Return the grey image that a viewer sees (ITU-R 601-2), shape (n, 1, height, width)."""
    red, green, blue = images.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue
