"""A detected face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes
    ----------
    box : numpy.ndarray of shape (4,), float64
        Left, top, right, bottom, in pixels of the upright image; may reach over its edge.
    score : float
        The detector's confidence, 0 to 1.
    landmarks : numpy.ndarray of shape (5, 2), float64
        x and y of left eye, right eye, nose, left and right corner of the mouth, in pixels; left
        and right as seen in the image.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray


class Detector(Protocol):
    """What finds the faces in an image."""

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces of an RGB image, the largest first."""
        ...
