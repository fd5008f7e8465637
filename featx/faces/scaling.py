"""Copies of an image at the size at which faces are looked for."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: The long side, in pixels, beyond which faces are looked for in a smaller copy.
DETECTION_SIDE = 1280


def rescaled(image: Image.Image, enlarge: float = 1.0) -> Image.Image:
    """Return an image as it is or enlarged, but no larger than bounds time and memory.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode that can be resized.
    enlarge : float
        Wanted width and height as a multiple of the image's.

    Returns
    -------
    PIL.Image.Image
        Its long side is `DETECTION_SIDE` pixels at most; the image itself where nothing changes.
    """
    scale = min(enlarge, DETECTION_SIDE / max(image.size))
    if scale == 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def back_to(image: Image.Image, copy: Image.Image) -> np.ndarray:
    """Return the factors for x and y, shape (2,), that take a copy's lengths to the image's."""
    return np.array([image.width / copy.width, image.height / copy.height])
