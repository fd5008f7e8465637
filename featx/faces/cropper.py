"""One image file to one face crop: decode, detect, crop, save."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from featx.atomic import writing
from featx.errors import FeatxError, unknown
from featx.faces._registry import create_detector, detector_entry, detector_names
from featx.faces.alignment import align, reference
from featx.faces.cropping import crop_with_margin, fit
from featx.faces.face import Face
from featx.images import MAX_PIXELS, ImageError, read_rgb
from featx.manifest import LANDMARKS

# Raise this when a change makes crops come out differently.
_FORMAT = 1


@dataclass(frozen=True)
class CropSettings:
    """All that determines a crop, given its source.

    Parameters
    ----------
    crop : str
        ``"aligned"`` (landmarks on the ArcFace reference, so not with ``haar``, which finds none)
        or ``"margin"`` (square about the box).
    size : tuple of int, or None
        Height and width in pixels; by default 112, 112 for aligned crops and 224, 224 for those
        with a margin; with detector ``none`` each image keeps its own.
    margin : float
        Of margin crops: what is added on every side, as a part of the box.
    detector : str
        One of `featx.faces.detector_names`, or ``"none"`` for images that are crops already: the
        whole image is taken.
    max_pixels : int
        Images with more pixels are refused.

    Raises
    ------
    FeatxError
        If a value is unknown or out of range.
    """

    crop: str = "aligned"
    size: tuple[int, int] | None = None
    margin: float = 0.4
    detector: str = "mtcnn"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        """Fill in the default size and refuse what cannot be."""
        if self.crop not in ("aligned", "margin"):
            raise unknown("crop", self.crop, ["aligned", "margin"])
        if self.detector not in (*detector_names(), "none"):
            raise unknown("detector", self.detector, [*detector_names(), "none"])
        if not 0 <= self.margin <= 10:
            raise FeatxError(f"--margin {self.margin:g} is out of range; 0.4 means 40 % of the box")
        if self.max_pixels < 1:
            raise FeatxError(f"--max-pixels {self.max_pixels} lets no image pass")
        if self.detector == "none":
            return
        side = 112 if self.crop == "aligned" else 224
        height, width = self.size or (side, side)
        object.__setattr__(self, "size", (height, width))
        if self.crop == "aligned":
            self._check_landmarks()
            reference(height, width)  # raises where there is none
        elif height != width:
            raise FeatxError(f"--size {height}x{width}: crops with a margin are square")

    def _check_landmarks(self) -> None:
        if not detector_entry(self.detector).landmarks:
            others = [name for name in detector_names() if detector_entry(name).landmarks]
            raise FeatxError(
                f"--crop aligned needs landmarks, and detector {self.detector} finds none: "
                f"use --crop margin, or --detector {', '.join(others[:-1])} or {others[-1]}"
            )

    def describe(self) -> dict[str, Any]:
        """Return what determines the crops, as JSON values; equal where the crops would be."""
        described = dataclasses.asdict(self) | {"format": _FORMAT}
        described["size"] = list(self.size) if self.size else None
        if self.detector == "none":
            described["crop"] = "whole"
        else:
            described["detector_settings"] = detector_entry(self.detector).settings()
        if described["crop"] != "margin":
            del described["margin"]
        return described


def crop_file(source: str, target: str, settings: CropSettings, device: str) -> dict[str, Any]:
    """Make the crop of one image file.

    Parameters
    ----------
    source : str
        The image file.
    target : str
        The PNG file to write, where there is a face.
    settings : CropSettings
        How to crop.
    device : str
        Where the detector runs: ``"cpu"`` or ``"cuda:N"``.

    Returns
    -------
    dict
        Columns of the image table: `status` (``ok``, ``no_face``, ``corrupt``), `reason`, and
        where a face was found its box (pixels, to 0.001), and its score and landmarks where the
        detector gives them.

    Raises
    ------
    FeatxError
        If the crop cannot be written or memory is short: what is not the image's own fault.
    """
    try:
        image = read_rgb(source, settings.max_pixels)
    except ImageError as error:
        return {"status": "corrupt", "reason": str(error)}
    found: dict[str, Any] = {}
    if settings.detector == "none":
        crop = fit(image, settings.size)
    else:
        try:
            faces = find_faces(image, settings.detector, device)
        except (IndexError, ValueError, RuntimeError) as error:  # one odd image stops no run
            return {"status": "no_face", "reason": f"detector failed: {error}".splitlines()[0]}
        if not faces:
            return {"status": "no_face", "reason": "no face found"}
        found = _columns(faces[0])
        try:
            crop = crop_face(image, faces[0], settings)
        except ValueError as error:
            return {"status": "no_face", "reason": f"no alignment: {error}"} | found
    with writing(target) as temporary:
        crop.save(temporary, format="PNG")
    return {"status": "ok", "reason": ""} | found


def crop_face(image: Image.Image, face: Face, settings: CropSettings) -> Image.Image:
    """Cut out one face as the settings say; with detector ``none`` the image is the crop.

    Raises
    ------
    ValueError
        If the face has no landmarks, or they determine no alignment.
    """
    if settings.detector == "none":
        return fit(image, settings.size)
    assert settings.size is not None
    if settings.crop == "aligned":
        if face.landmarks is None:
            raise ValueError("the face has no landmarks")
        return align(image, face.landmarks, settings.size)
    return crop_with_margin(image, face.box, settings.margin, settings.size[0])


_detector = lru_cache(maxsize=1)(create_detector)  # one a process, its weights loaded once


def find_faces(image: Image.Image, name: str, device: str) -> list[Face]:
    """Return the faces of an image, the largest first, by a detector that is loaded once.

    Raises
    ------
    FeatxError
        If memory does not suffice, or the detector is not installed.
    IndexError, ValueError, RuntimeError
        What a detector may make of one odd image.
    """
    try:
        return _detector(name, device)(image)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        raise FeatxError(
            f"out of memory while detecting faces on {device}; use fewer --jobs, then --resume"
        ) from error


def _columns(face: Face) -> dict[str, float]:
    columns = {}
    if not math.isnan(face.score):
        columns["face_score"] = round(face.score, 6)
    for side, value in zip(("left", "top", "right", "bottom"), np.round(face.box, 3), strict=True):
        columns[f"box_{side}"] = float(value)
    if face.landmarks is not None:
        for name, (x, y) in zip(LANDMARKS, np.round(face.landmarks, 3), strict=True):
            columns |= {f"{name}_x": float(x), f"{name}_y": float(y)}
    return columns
