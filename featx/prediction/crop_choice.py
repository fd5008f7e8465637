"""How faces are cropped for a network: as its training images were, wherever that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featx.errors import FeatxError
from featx.faces._registry import detector_entry, detector_names
from featx.faces.cropper import CropSettings
from featx.images import MAX_PIXELS
from featx.prepared import crop_settings
from featx.weights import LoadedNetwork

#: Input sizes, height and width, of the networks that are trained on aligned faces.
ALIGNED_INPUTS = ((112, 96), (112, 112))

#: Added on every side of the box where nothing else is known, as a part of it.
MARGIN = 0.4


@dataclass(frozen=True)
class CropChoice:
    """How faces are cropped, and why so.

    Attributes
    ----------
    settings : CropSettings
        How.
    source : str
        Where that comes from, in words.
    """

    settings: CropSettings
    source: str

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"settings": self.settings.describe(), "source": self.source}

    def told(self) -> str:
        """Return it in a line."""
        settings = self.settings
        if settings.detector == "none":
            return f"whole images ({self.source})"
        kind = "aligned" if settings.crop == "aligned" else f"margin {settings.margin:g}"
        assert settings.size is not None
        height, width = settings.size
        return f"{kind}, {height}x{width}, faces by {settings.detector} ({self.source})"


def choose_crops(
    network: LoadedNetwork,
    *,
    crop: str | None = None,
    margin: float | None = None,
    size: tuple[int, int] | None = None,
    detector: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> CropChoice:
    """Choose how to crop for a fine-tuned network.

    What is not asked for is as the network's training crops were: as its file tells or, of networks
    of former releases, as ``prepare.json`` beside the training tables tells where it still is.
    Where neither does, faces are aligned for networks with an input of `ALIGNED_INPUTS` and have a
    margin for others.

    Parameters
    ----------
    network : LoadedNetwork
        The network.
    crop, margin, size, detector
        As `CropSettings` has them; None for what the network was trained on.
    max_pixels : int
        Images with more pixels are refused.

    Raises
    ------
    FeatxError
        If a value is unknown or out of range, or two do not go together.
    """
    if detector == "none":
        return CropChoice(
            CropSettings(detector="none", max_pixels=max_pixels), "as asked: the images are crops"
        )
    base, source = _recorded(network)
    if base is None:
        base = _default(network, detector)
    changed = [
        name
        for name, value in (
            ("--crop", crop),
            ("--margin", margin),
            ("--size", size),
            ("--detector", detector),
        )
        if value is not None
    ]
    if changed:
        source += f"; {', '.join(changed)} as asked"
    kind = crop or base.crop
    if size is None:  # that of the other kind of crop would not do
        size = base.size if kind == base.crop else _size(network, kind)
    settings = replace(
        base,
        crop=kind,
        size=size,
        margin=base.margin if margin is None else margin,
        detector=detector or base.detector,
        max_pixels=max_pixels,
    )
    return CropChoice(settings, source)


def _recorded(network: LoadedNetwork) -> tuple[CropSettings | None, str]:
    provenance = network.provenance
    told, where = provenance.get("crops"), "as the training crops, which the network's file tells"
    if not any(told or ()):
        told, where = _beside_tables(provenance)
    known = [each for each in told or () if isinstance(each, dict)]
    cut = [each for each in known if each.get("detector") in detector_names()]
    unknown_ = "the network's file does not tell how its training crops were made"
    if not cut:
        if known:
            unknown_ = "the training images were taken whole, as crops made elsewhere"
        height, width = network.preprocessing.input_size
        return None, f"the default for an input of {height}x{width}: {unknown_}"
    first = cut[0]
    if any(each != first for each in known):
        where += "; the first table's, for not all are alike"
    try:
        return CropSettings(
            crop=first["crop"],
            size=tuple(first["size"]) if first["size"] else None,
            margin=first.get("margin", MARGIN),
            detector=first["detector"],
        ), where
    except (KeyError, TypeError, FeatxError) as error:
        raise FeatxError(
            f"{network.weights}: what it tells of its training crops is damaged ({error!r})"
        ) from None


def _beside_tables(provenance: dict[str, Any]) -> tuple[tuple[dict[str, Any] | None, ...], str]:
    stage = provenance.get("stage")
    data = stage.get("data") if isinstance(stage, dict) else None
    tables = data.get("tables") if isinstance(data, dict) else None
    try:
        found = crop_settings([Path(str(table)) for table in tables or ()])
    except FeatxError:  # of another time than the network: no reason to give up
        found = ()
    return found, "as the training crops, which prepare.json beside the training tables tells"


def _default(network: LoadedNetwork, detector: str | None) -> CropSettings:
    detector = detector or "mtcnn"
    aligned = network.preprocessing.input_size in ALIGNED_INPUTS
    kind = "aligned" if aligned and detector_entry(detector).landmarks else "margin"
    return CropSettings(kind, _size(network, kind), MARGIN, detector)


def _size(network: LoadedNetwork, kind: str) -> tuple[int, int]:
    height, width = network.preprocessing.decoded_size
    if kind == "aligned" and (height, width) not in ALIGNED_INPUTS:
        return 112, 112
    side = max(height, width)
    return (height, width) if kind == "aligned" else (side, side)
