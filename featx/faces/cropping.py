"""Square crops around a face with a margin, and whole images brought to a size."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageOps


def crop_with_margin(
    image: Image.Image, box: np.ndarray, margin: float = 0.4, side: int = 224
) -> Image.Image:
    """Cut out a face and its surroundings, square.

    The box is widened by the margin on every side and then made square about its centre by its
    longer side, so that the face keeps its proportions. Where the square leaves the image the
    image's last pixels are repeated, as in Rothe et al. 2015, "DEX: deep expectation of apparent
    age" (section 3.1), whose 40 % margin this is.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    box : numpy.ndarray of shape (4,)
        Left, top, right, bottom in pixels of the image.
    margin : float
        What is added on every side, as a part of the box's width and height.
    side : int
        Width and height of the crop in pixels.
    """
    left, top, right, bottom = (float(value) for value in box)
    half = max(right - left, bottom - top) * (1 + 2 * margin) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    first_x, first_y = math.floor(x - half), math.floor(y - half)
    columns = np.arange(first_x, math.ceil(x + half)).clip(0, image.width - 1)
    rows = np.arange(first_y, math.ceil(y + half)).clip(0, image.height - 1)
    inside = image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    padded = np.asarray(inside)[np.ix_(rows - rows[0], columns - columns[0])]
    square = (x - half - first_x, y - half - first_y, x + half - first_x, y + half - first_y)
    return Image.fromarray(padded).resize((side, side), Image.Resampling.BICUBIC, box=square)


def fit(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Bring a whole image to a size: its centre in the wanted ratio, resized.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    size : tuple of int, or None
        Height and width in pixels; None keeps the image as it is.
    """
    if size is None or size == (image.height, image.width):
        return image
    return ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
