"""The figures of an explanation: maps over the face, and maps beside each other.

Each function returns a `matplotlib.figure.Figure` of its own (no pyplot, no global state).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from featx.atomic import writing

#: From blue (the least of a map) to red (its most), even in lightness on either side.
COLOURS = matplotlib.colormaps["turbo"]

#: How much of a map's colours covers the face.
COVER = 0.45

_INCH = 1.9  # of a panel


def overlay(face: np.ndarray, heat: np.ndarray, low: float, high: float) -> np.ndarray:
    """Lay a map's colours over a face.

    Parameters
    ----------
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    heat : numpy.ndarray
        Of the face's height and width.
    low, high : float
        The values that are blue and red; where they are one, all is blue.

    Returns
    -------
    numpy.ndarray
        uint8, (height, width, 3).
    """
    level = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    coloured = COLOURS(level.clip(0, 1))[..., :3] * 255
    return np.rint((1 - COVER) * face + COVER * coloured).astype(np.uint8)


def heat_figure(
    face: np.ndarray, title: str, maps: Mapping[str, np.ndarray], *, from_zero: bool = False
) -> Figure:
    """Draw a face, and each of some maps over it.

    Parameters
    ----------
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    title : str
        Above the face.
    maps : mapping of str to numpy.ndarray
        By their titles, each of the face's height and width.
    from_zero : bool
        Blue is 0 and less, not a map's least value.
    """
    with _style():
        figure = _figure(1, 1 + len(maps))
        axes = figure.subplots(1, 1 + len(maps), squeeze=False)[0]
        _show(axes[0], face, title)
        for place, (name, heat) in zip(axes[1:], maps.items(), strict=True):
            low, high = 0.0 if from_zero else float(heat.min()), float(heat.max())
            reach = f"{low:.3g} to {high:.3g}" if high > low else "nowhere"
            _show(place, overlay(face, heat, low, high), f"{name}\n{reach}")
        return figure


def feature_figure(
    face: np.ndarray, title: str, stages: Mapping[str, tuple[Sequence[int], np.ndarray]]
) -> Figure:
    """Draw a face, and beside it a column of selected feature maps for each stage.

    Parameters
    ----------
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    title : str
        Above the face.
    stages : mapping of str to (sequence of int, numpy.ndarray)
        By name: the channels, and their maps (channels, h, w).
    """
    rows = max((len(channels) for channels, _ in stages.values()), default=1)
    with _style():
        figure = _figure(rows, 1 + len(stages))
        axes = figure.subplots(rows, 1 + len(stages), squeeze=False)
        for place in axes.flat:
            place.set_axis_off()
        _show(axes[0, 0], face, title)
        for column, (name, (channels, maps)) in zip(axes.T[1:], stages.items(), strict=True):
            height, width = maps.shape[1:]
            for row, (channel, one) in enumerate(zip(channels, maps, strict=True)):
                head = f"{name}\n{height} x {width}\n" if row == 0 else ""
                _show(column[row], one, f"{head}channel {channel}")
        return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with writing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _style() -> AbstractContextManager[None]:
    return matplotlib.rc_context(
        {"text.parse_math": False, "font.family": "sans-serif", "font.size": 8}
    )


def _figure(rows: int, columns: int) -> Figure:
    return Figure(figsize=(_INCH * columns, (_INCH + 0.35) * rows), layout="constrained")


def _show(place: Axes, picture: np.ndarray, title: str) -> None:
    place.set_axis_off()
    place.imshow(picture, cmap="viridis", interpolation="nearest")
    place.set_title(title, fontsize=7)
