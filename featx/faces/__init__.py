"""Face detection, alignment and cropping."""

from featx.faces._registry import create_detector, detector_names
from featx.faces.alignment import align
from featx.faces.cropping import crop_with_margin, fit
from featx.faces.face import Detector, Face

__all__ = [
    "Detector",
    "Face",
    "align",
    "create_detector",
    "crop_with_margin",
    "detector_names",
    "fit",
]
