"""dlib's two face detectors, HOG and CNN, with five landmarks out of its 68."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from featx.errors import FeatxError
from featx.faces.face import Face, largest_first
from featx.faces.scaling import DETECTION_SIDE, back_to, rescaled

#: Model files of the package face_recognition_models.
CNN_MODEL = "mmod_human_face_detector.dat"
LANDMARK_MODEL = "shape_predictor_68_face_landmarks.dat"

#: How much larger an image is looked at where nothing was found in it as it is: the windows of
#: both detectors are about 80 pixels wide, and no smaller face is found.
ENLARGEMENT = 2

#: Least short side, in pixels, of what is looked at, half a window. In images that are a few pixels
#: wide dlib's CNN not only finds nothing, it crashes the process.
MIN_SIDE = 40

#: How far above the middle of its 68 points the HOG detector's box of a face is centred, as a share
#: of their extent, which is its side: the median over 59 photographs of all ages.
RISE = 0.08

# The points of the 300-W scheme (Sagonas et al. 2016, figure 1, which counts from 1; here from 0)
# whose mean is left eye, right eye, tip of the nose, left and right corner of the mouth.
_POINTS = ([*range(36, 42)], [*range(42, 48)], [30], [48], [54])

_INSTALL = "pip install 'featx[dlib]'"


def settings(*, cnn: bool) -> dict[str, object]:
    """Return what determines the result, as JSON values."""
    return {
        "model": CNN_MODEL if cnn else "frontal HOG",
        "landmark_model": LANDMARK_MODEL,
        **({"rise": RISE} if cnn else {}),
        "enlargement": ENLARGEMENT,
        "min_side": MIN_SIDE,
        "detection_side": DETECTION_SIDE,
    }


class DlibDetector:
    """Faces by dlib (King 2009, JMLR 10:1755–1758), on the CPU.

    Without the CNN: a linear classifier over histograms of oriented gradients (Dalal and Triggs
    2005), of frontal faces. With it: a small CNN that slides over an image pyramid (King 2015,
    "Max-margin object detection", arXiv:1502.00046), some fifty times slower and less bound to
    frontal faces. It takes 1.6 GB a process on images of 1280 x 1280 pixels.

    The landmarks are those of dlib's 68-point predictor (Kazemi and Sullivan 2014), which are whole
    pixels; an eye's is the mean of the six points of its outline. (dlib's 5-point predictor gives
    the corners of the eyes and the base of the nose, and no mouth, so it cannot stand in.) The
    predictor is made for the HOG detector's boxes, and the CNN's lie otherwise, so with the CNN it
    is run twice: in the CNN's box, and then in one about the points that it gave, placed as the HOG
    detector places its own. Far fewer faces then have a point far off, if still some more than with
    the HOG detector.

    `Face.score` is the logistic function of dlib's distance from its threshold. It keeps the order
    of dlib's scores, and is not a probability.

    Parameters
    ----------
    cnn : bool
        Whether the CNN looks for the faces, otherwise the HOG detector.

    Raises
    ------
    FeatxError
        If dlib or face_recognition_models is not installed, or a model file is damaged.

    Notes
    -----
    dlib and the HOG detector are under the Boost licence. Their author put the CNN (trained on
    pictures of ImageNet, AFLW, Pascal VOC, VGG, WIDER and FaceScrub) and the 68-point model into
    the public domain, but the latter is trained on iBUG 300-W, whose licence excludes commercial
    use, so that, he notes, it cannot be used in a commercial product.
    """

    def __init__(self, *, cnn: bool = False) -> None:
        """Load the models."""
        self._dlib = _dlib()
        self._predict = _load(self._dlib.shape_predictor, LANDMARK_MODEL)
        self._detect = _cnn(self._dlib) if cnn else _hog(self._dlib)
        self._twice = cnn

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces of an RGB image, the largest first.

        A very large image is looked at in a smaller copy, as MTCNN's are. One in which nothing is
        found is looked at again, twice as large or as large as that bound lets it be: the package
        face_recognition does so with all images from the start, for four times the time.
        """
        faces = self._look(rescaled(image), image)
        if not faces and max(image.size) < DETECTION_SIDE:
            faces = self._look(rescaled(image, ENLARGEMENT), image)
        return faces

    def _look(self, copy: Image.Image, image: Image.Image) -> list[Face]:
        """Return the faces of a copy, in the image's pixels."""
        if min(copy.size) < MIN_SIDE:
            return []
        pixels, to_image = np.asarray(copy), back_to(image, copy)
        faces = []
        for rectangle, score in self._detect(pixels):
            # The rectangle's sides are its first and last pixels, not where they begin and end.
            box = [rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1]
            points = self._points(pixels, rectangle)
            if self._twice:
                points = self._points(pixels, self._around(points))
            landmarks = np.array([points[some].mean(axis=0) for some in _POINTS])
            faces.append(
                Face(
                    np.array(box, float) * np.tile(to_image, 2),
                    1 / (1 + math.exp(-score)),
                    (landmarks + 0.5) * to_image - 0.5,  # the first pixel's centre is 0, 0
                )
            )
        return largest_first(faces)

    def _points(self, pixels: np.ndarray, rectangle: Any) -> np.ndarray:
        """Return the 68 points, x and y in pixels."""
        parts = self._predict(pixels, rectangle).parts()
        return np.array([(part.x, part.y) for part in parts], float)

    def _around(self, points: np.ndarray) -> Any:
        """Return the rectangle in which the HOG detector would see a face of these points."""
        low, high = points.min(axis=0), points.max(axis=0)
        side = (high - low).max()
        corner = (low + high - side) / 2 - [0, RISE * side]
        return self._dlib.rectangle(*(round(x) for x in (*corner, *(corner + side - 1))))


# What detects in an RGB array of shape (height, width, 3), uint8: dlib's rectangles with scores.
_Detect = Callable[[np.ndarray], list[tuple[Any, float]]]


def _hog(dlib: Any) -> _Detect:
    detector = dlib.get_frontal_face_detector()

    def detect(pixels: np.ndarray) -> list[tuple[Any, float]]:
        rectangles, scores, _ = detector.run(pixels, 0, 0.0)
        return list(zip(rectangles, scores, strict=True))

    return detect


def _cnn(dlib: Any) -> _Detect:
    detector = _load(dlib.cnn_face_detection_model_v1, CNN_MODEL)
    return lambda pixels: [(found.rect, found.confidence) for found in detector(pixels, 0)]


def _dlib() -> Any:
    try:
        import dlib
    except ImportError as error:
        raise FeatxError(f"face detection needs dlib ({error}): {_INSTALL}") from error
    return dlib


def _load(make: Callable[[str], Any], name: str) -> Any:
    """Load a model file, found without importing its package, which needs an old setuptools."""
    package = importlib.util.find_spec("face_recognition_models")
    folders = (package and package.submodule_search_locations) or []
    path = next(
        (found for folder in folders if (found := Path(folder, "models", name)).exists()), None
    )
    if path is None:
        raise FeatxError(f"face detection needs {name} of face_recognition_models: {_INSTALL}")
    try:
        return make(str(path))
    except RuntimeError as error:
        raise FeatxError(f"cannot load {path} ({error}): {_INSTALL} --force-reinstall") from error
