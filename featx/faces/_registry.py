"""The detectors by name, and what has to be known of one before it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from featx.errors import unknown
from featx.faces import dlib_detectors, haar, mtcnn
from featx.faces.face import Detector


@dataclass(frozen=True)
class DetectorEntry:
    """A detector before it is loaded.

    Attributes
    ----------
    create : callable
        Takes the device, returns the detector.
    settings : callable
        Returns what determines the result, such as thresholds, as JSON values.
    libraries : tuple of str
        Packages whose versions are recorded with the result.
    landmarks : bool
        Whether faces come with five landmarks, by which they can be aligned.
    torch : bool
        Whether it runs on torch, and so on a GPU; the others run on the CPU.
    """

    create: Callable[[str], Detector]
    settings: Callable[[], dict[str, object]]
    libraries: tuple[str, ...]
    landmarks: bool = True
    torch: bool = False


_DLIB = ("dlib-bin", "face_recognition_models")

_detectors: dict[str, DetectorEntry] = {
    "mtcnn": DetectorEntry(
        mtcnn.MTCNNDetector,
        mtcnn.settings,
        ("facenet-pytorch", "torch", "torchvision"),
        torch=True,
    ),
    "haar": DetectorEntry(
        lambda _: haar.HaarDetector(),
        haar.settings,
        ("opencv-python-headless",),
        landmarks=False,
    ),
    "dlib": DetectorEntry(
        lambda _: dlib_detectors.DlibDetector(),
        partial(dlib_detectors.settings, cnn=False),
        _DLIB,
    ),
    "dlib-cnn": DetectorEntry(
        lambda _: dlib_detectors.DlibDetector(cnn=True),
        partial(dlib_detectors.settings, cnn=True),
        _DLIB,
    ),
}


def detector_names() -> list[str]:
    """Return the names of the detectors."""
    return sorted(_detectors)


def detector_entry(name: str) -> DetectorEntry:
    """Return what is known of a detector before it is loaded.

    Raises
    ------
    FeatxError
        If the name is unknown.
    """
    if name not in _detectors:
        raise unknown("detector", name, [*_detectors, "none"])
    return _detectors[name]


def create_detector(name: str, device: str = "cpu") -> Detector:
    """Return a detector by name.

    Parameters
    ----------
    name : str
        One of `detector_names`.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; only MTCNN heeds it.

    Raises
    ------
    FeatxError
        If the name is unknown, or what the detector needs is not installed.
    """
    return detector_entry(name).create(device)
