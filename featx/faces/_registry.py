"""The detectors by name."""

from __future__ import annotations

from collections.abc import Callable

from featx.errors import unknown
from featx.faces.face import Detector


def _mtcnn(device: str) -> Detector:
    from featx.faces.mtcnn import MTCNNDetector

    return MTCNNDetector(device)


def _mtcnn_settings() -> dict[str, object]:
    from featx.faces import mtcnn

    return {
        "thresholds": list(mtcnn.THRESHOLDS),
        "min_face": mtcnn.MIN_FACE,
        "factor": mtcnn.FACTOR,
        "detection_side": mtcnn.DETECTION_SIDE,
        "border": mtcnn.BORDER,
    }


_detectors: dict[str, Callable[[str], Detector]] = {"mtcnn": _mtcnn}
_settings: dict[str, Callable[[], dict[str, object]]] = {"mtcnn": _mtcnn_settings}


def detector_names() -> list[str]:
    """Return the names of the detectors."""
    return sorted(_detectors)


def create_detector(name: str, device: str = "cpu") -> Detector:
    """Return a detector by name.

    Parameters
    ----------
    name : str
        One of `detector_names`.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises
    ------
    FeatxError
        If the name is unknown, or what the detector needs is not installed.
    """
    if name not in _detectors:
        raise unknown("detector", name, [*_detectors, "none"])
    return _detectors[name](device)


def detector_settings(name: str) -> dict[str, object]:
    """Return what determines a detector's result, such as its thresholds, as JSON values."""
    return _settings[name]()
