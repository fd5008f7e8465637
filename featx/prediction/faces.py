"""Pictures to faces as a network wants them, and to what it tells of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from featx.faces._registry import detector_entry
from featx.faces.cropper import CropSettings, crop_face, find_faces
from featx.faces.face import Face
from featx.loading import pixel_array
from featx.prediction.estimates import Estimate, read_estimates
from featx.prediction.model import Model

#: Faces that go through the network together.
BATCH = 64


@dataclass(frozen=True)
class SeenFace:
    """A detected face, and its crop as the network takes it.

    Attributes
    ----------
    face : Face
        Box and score; with detector ``none`` the whole image.
    pixels : numpy.ndarray
        uint8, (height, width, 3): cut out as the training images were, of the network's size and
        order of channels.
    """

    face: Face
    pixels: np.ndarray


@dataclass
class Seen:
    """What was found in one picture.

    Attributes
    ----------
    status : str
        ``ok``, ``no_face`` or ``corrupt``, as in the image table.
    reason : str
        Why it is not ok, or how many of its faces could not be cropped.
    faces : list of SeenFace
        The largest first.
    estimates : list of Estimate
        One a face, once the network has seen them.
    """

    status: str
    reason: str = ""
    faces: list[SeenFace] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values; boxes in pixels."""
        return {
            "status": self.status,
            "reason": self.reason,
            "faces": [
                {**_place(seen.face), **estimate.describe()}
                for seen, estimate in zip(self.faces, self.estimates, strict=True)
            ],
        }


def _place(face: Face) -> dict[str, Any]:
    return {
        "box": [round(float(value), 2) for value in face.box],
        "score": None if math.isnan(face.score) else round(face.score, 6),
    }


def see(image: Image.Image, model: Model, settings: CropSettings) -> Seen:
    """Find and crop all faces of an RGB image.

    Parameters
    ----------
    image : PIL.Image.Image
        Upright.
    model : Model
        Whose input is wanted.
    settings : CropSettings
        How faces are found and cropped.

    Raises
    ------
    FeatxError
        If the detector is not installed or memory does not suffice.
    """
    if settings.detector == "none":
        whole = Face(np.array([0, 0, image.width, image.height], float), math.nan)
        found = [whole]
    else:
        on_gpu = model.device.type == "cuda" and detector_entry(settings.detector).torch
        try:
            found = find_faces(image, settings.detector, str(model.device) if on_gpu else "cpu")
        except (IndexError, ValueError, RuntimeError) as error:  # one odd image stops no run
            return Seen("no_face", f"detector failed: {error}".splitlines()[0])
    if not found:
        return Seen("no_face", "no face found")
    faces, failures = [], []
    for face in found:
        try:
            crop = crop_face(image, face, settings)
        except ValueError as error:
            failures.append(f"no alignment: {error}")
            continue
        faces.append(SeenFace(face, pixel_array(crop, model.preprocessing)))
    if not faces:
        return Seen("no_face", failures[0])
    left_out = f"{len(failures)} more left out, {failures[0]}" if failures else ""
    return Seen("ok", left_out, faces)


def estimate_all(
    pictures: Sequence[Seen], model: Model, *, mirror: bool = True, precision: str = "fp32"
) -> int:
    """Let the network tell of all faces of some pictures together; returns how many there were."""
    pixels = [seen.pixels for picture in pictures for seen in picture.faces]
    if pixels:
        predicted = model.estimate(pixels, mirror=mirror, precision=precision)
        estimates = iter(read_estimates(predicted, model.specs))
        for picture in pictures:
            picture.estimates = [next(estimates) for _ in picture.faces]
    return len(pixels)
