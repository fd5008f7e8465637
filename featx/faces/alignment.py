"""Alignment of a face to a reference by its five landmarks."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from featx.errors import FeatxError

__all__ = ["align", "reference", "similarity"]

# The reference of SphereFace (Liu et al. 2017) for a crop 96 wide and 112 high: x, y of the eyes,
# the nose, and the corners of the mouth. ArcFace's (Deng et al. 2019) 112 x 112 is it, 8 px right.
_REFERENCE_96 = np.array(
    [
        [30.2946, 51.6963],
        [65.5318, 51.5014],
        [48.0252, 71.7366],
        [33.5493, 92.3655],
        [62.7299, 92.2041],
    ]
)


def reference(height: int, width: int) -> np.ndarray:
    """Return where the landmarks lie in an aligned crop.

    Parameters
    ----------
    height, width : int
        Of the crop in pixels: square, or in the ratio 112 to 96.

    Returns
    -------
    numpy.ndarray of shape (5, 2), float64
        x and y; the centre of the first pixel is 0, 0.

    Raises
    ------
    FeatxError
        If the crop has another shape.
    """
    if height < 8 or (width != height and width * 112 != height * 96):
        raise FeatxError(
            f"aligned crops of {height}x{width} are not known; "
            "use --size 112x112, 112x96 (height x width), or a multiple of one of them"
        )
    scale = height / 112
    shift = (width / scale - 96) / 2
    return (_REFERENCE_96 + 0.5 + [shift, 0]) * scale - 0.5


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the similarity transform that takes points nearest to others in least squares.

    Parameters
    ----------
    source, target : numpy.ndarray of shape (n, 2)
        Corresponding points.

    Returns
    -------
    numpy.ndarray of shape (2, 3), float64
        ``M`` with ``target ≈ source @ M[:, :2].T + M[:, 2]``: rotation, uniform scale, translation,
        never a reflection.

    Raises
    ------
    ValueError
        If all the source points are one point, or the targets' best scale is zero.

    Notes
    -----
    Umeyama 1991, "Least-squares estimation of transformation parameters between two point
    patterns", IEEE TPAMI 13(4), equations 40 to 43.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    centred = source - mean_source
    variance = (centred**2).sum() / len(source)
    if not variance > 0:
        raise ValueError("the landmarks fall on one point")
    u, d, vt = np.linalg.svd((target - mean_target).T @ centred / len(source))
    sign = np.array([1.0, 1.0 if np.linalg.det(u) * np.linalg.det(vt) > 0 else -1.0])
    linear = (d @ sign) / variance * (u * sign) @ vt
    if not np.linalg.det(linear) > 0:
        raise ValueError("the landmarks determine no scale")
    return np.column_stack([linear, mean_target - linear @ mean_source])


def align(image: Image.Image, landmarks: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Turn, scale and shift a face so that its landmarks lie on the reference.

    The picture is sampled (bicubic) at about its own resolution and only then reduced with an
    antialiasing filter: sampling it at the crop's pixels alone would alias, for faces are often
    several times larger than the crop. What lies outside the image is black.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    landmarks : numpy.ndarray of shape (5, 2)
        x and y in pixels of the image.
    size : tuple of int
        Height and width of the crop in pixels.

    Raises
    ------
    ValueError
        If the landmarks determine no transform.
    """
    height, width = size
    forward = similarity(landmarks, reference(height, width))
    shrink = 1 / math.sqrt(np.linalg.det(forward[:, :2]))  # source pixels in one of the crop

    # Beyond four samples a crop pixel each way, averaging whole source pixels first costs less.
    reduction = max(1, math.floor(shrink / 4))
    if reduction > 1:
        image = image.reduce(reduction)
    samples = max(1, math.ceil(shrink / reduction - 1e-6))

    # Pillow's coordinates run over areas: the centre of the first pixel is 0.5, 0.5.
    backward = np.linalg.inv(forward[:, :2])
    offset = backward @ (-0.5 - forward[:, 2]) + 0.5
    matrix = np.column_stack([backward / samples, offset]) / reduction
    crop = image.transform(
        (width * samples, height * samples),
        Image.Transform.AFFINE,
        tuple(matrix.ravel()),
        Image.Resampling.BICUBIC,
    )
    return crop.resize((width, height), Image.Resampling.BICUBIC) if samples > 1 else crop
