"""MTCNN, the multi-task cascaded detector, with the weights that facenet-pytorch ships."""

from __future__ import annotations

import math
import warnings

import numpy as np
from PIL import Image

from featx.errors import FeatxError
from featx.faces.face import Face
from featx.faces.scaling import DETECTION_SIDE, back_to, rescaled

#: What determines the result: the least face in pixels (of the possibly reduced image), the least
#: scores of the three networks, and the ratio of neighbouring scales of the image pyramid.
MIN_FACE = 20
THRESHOLDS = (0.6, 0.7, 0.7)
FACTOR = 0.709

#: Width of the border that the image is given, as a share of its long side.
BORDER = 0.25


def settings() -> dict[str, object]:
    """Return what determines the result, as JSON values."""
    return {
        "thresholds": list(THRESHOLDS),
        "min_face": MIN_FACE,
        "factor": FACTOR,
        "detection_side": DETECTION_SIDE,
        "border": BORDER,
    }


class MTCNNDetector:
    """Faces by MTCNN (Zhang et al. 2016, "Joint face detection and alignment", IEEE SPL 23(10)).

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    FeatxError
        If facenet-pytorch is not installed.
    """

    def __init__(self, device: str = "cpu") -> None:
        """Load the three networks."""
        try:
            from facenet_pytorch import MTCNN
        except ImportError as error:
            raise FeatxError(
                f"face detection needs facenet-pytorch ({error}): pip install 'featx[extract]'"
            ) from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # older torch warns of its own loader's default
            self._network = MTCNN(
                keep_all=True,
                min_face_size=MIN_FACE,
                thresholds=list(THRESHOLDS),
                factor=FACTOR,
                device=device,
            )

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces of an RGB image, the largest first.

        The memory and time of a very large image are bounded by looking in a copy whose long side
        is `DETECTION_SIDE` pixels.
        """
        reduced = rescaled(image)
        if min(reduced.size) < MIN_FACE:
            return []  # the pyramid would have no level, which MTCNN does not survive
        boxes, scores, landmarks = self._detect(np.array(reduced))
        if boxes is None:
            return []
        boxes, landmarks = boxes.astype(float), landmarks.astype(float)  # from dtype object
        to_image = back_to(image, reduced)
        return [
            Face(
                box * np.tile(to_image, 2),
                float(score),
                points * to_image,
            )
            for box, score, points in zip(boxes, scores, landmarks, strict=True)
            if np.isfinite(box).all() and box[2] > box[0] and box[3] > box[1]
        ]

    def _detect(self, pixels: np.ndarray) -> tuple:
        """Detect in a copy with a black border, for MTCNN stretches candidates that it must clip.

        Faces at an image's edge would get landmarks off by up to a sixth of the distance between
        the eyes, and a candidate wholly outside makes it lose count and raise.
        """
        border = math.ceil(BORDER * max(pixels.shape))
        framed = np.pad(pixels, ((border, border), (border, border), (0, 0)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            boxes, scores, points = self._network.detect(framed, landmarks=True)
        if boxes is not None:
            boxes, points = boxes - border, points - border
        return boxes, scores, points
