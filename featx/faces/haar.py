"""Viola and Jones's detector, with the frontal cascade that OpenCV ships."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featx.errors import FeatxError
from featx.faces.face import Face, largest_first
from featx.faces.scaling import DETECTION_SIDE, back_to, rescaled

#: What determines the result: the cascade's file, the ratio of neighbouring scales, and how many
#: overlapping windows have to agree beside the first.
CASCADE = "haarcascade_frontalface_default.xml"
SCALE_FACTOR = 1.1
MIN_NEIGHBOURS = 5

_INSTALL = "pip install 'featx[haar]'"


def settings() -> dict[str, object]:
    """Return what determines the result, as JSON values."""
    return {
        "cascade": CASCADE,
        "scale_factor": SCALE_FACTOR,
        "min_neighbours": MIN_NEIGHBOURS,
        "detection_side": DETECTION_SIDE,
    }


class HaarDetector:
    """Faces by a boosted cascade of Haar-like features, on the CPU: boxes, without landmarks.

    The method is Viola and Jones's (2001, "Rapid object detection using a boosted cascade of simple
    features", CVPR), the cascade Lienhart's, which comes with OpenCV under a BSD-like licence of
    Intel's. It finds upright frontal faces from 24 pixels on.

    A window passes all the stages or it does not, so there is no confidence and `Face.score` is
    NaN. (OpenCV's level weights are sums of the last stage, without bounds, and asking for them
    makes OpenCV find other boxes: it then groups windows that failed the last stages, too.)

    Raises
    ------
    FeatxError
        If OpenCV is not installed, or has no cascades, as from version 5 on.
    """

    def __init__(self) -> None:
        """Load the cascade."""
        self._opencv = _opencv()
        path = Path(self._opencv.data.haarcascades) / CASCADE
        # Looked for first, because OpenCV prints to stderr about a file that is not there.
        cascade = self._opencv.CascadeClassifier(str(path)) if path.is_file() else None
        if cascade is None or cascade.empty():
            raise FeatxError(f"cannot load {path}: {_INSTALL} --force-reinstall")
        self._cascade = cascade

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces of an RGB image, the largest first.

        A very large image is looked at in a smaller copy, as MTCNN's are.
        """
        reduced = rescaled(image)
        boxes = self._detect(np.asarray(reduced))
        to_image = np.tile(back_to(image, reduced), 2)
        return largest_first(
            Face(np.array([left, top, left + width, top + height], float) * to_image, math.nan)
            for left, top, width, height in boxes
        )

    def _detect(self, pixels: np.ndarray) -> Any:
        """Detect on one thread, for what runs in parallel here are processes."""
        opencv = self._opencv
        former = opencv.getNumThreads()
        opencv.setNumThreads(1)
        try:
            grey = opencv.cvtColor(pixels, opencv.COLOR_RGB2GRAY)
            return self._cascade.detectMultiScale(
                grey, scaleFactor=SCALE_FACTOR, minNeighbors=MIN_NEIGHBOURS
            )
        except opencv.error as error:
            raise RuntimeError(str(error)) from error
        finally:
            opencv.setNumThreads(former)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise FeatxError(f"detector haar needs OpenCV ({error}): {_INSTALL}") from error
    if not hasattr(cv2, "CascadeClassifier") or not hasattr(cv2, "data"):
        raise FeatxError(
            f"detector haar needs the cascades of OpenCV 4, which OpenCV {cv2.__version__} here "
            f"has not: {_INSTALL}"
        )
    return cv2
