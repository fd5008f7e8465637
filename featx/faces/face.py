"""A detected face."""

from __future__ import annotations

from collections.abc import Iterable
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
        The detector's confidence, 0 to 1; NaN where it has none. Each detector has a scale of its
        own, so that scores of two detectors do not compare.
    landmarks : numpy.ndarray of shape (5, 2), float64, or None
        x and y of left eye, right eye, nose, left and right corner of the mouth, in pixels; left
        and right as seen in the image. None where the detector finds boxes only.
    """

    box: np.ndarray
    score: float
    landmarks: np.ndarray | None = None


def largest_first(faces: Iterable[Face]) -> list[Face]:
    """Return faces by falling area of their boxes, and by place where areas are equal."""

    def order(face: Face) -> tuple[float, ...]:
        left, top, right, bottom = face.box.tolist()
        return (-(right - left) * (bottom - top), left, top)

    return sorted(faces, key=order)


class Detector(Protocol):
    """What finds the faces in an image."""

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces of an RGB image, the largest first."""
        ...
