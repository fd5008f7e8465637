"""The figures of an explanation: maps over the face, and maps beside each other.

Each function returns a `matplotlib.figure.Figure` of its own (no pyplot, no global state).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from featx.atomic import writing
from featx.explanation.filters import Filters, largest, relative_change, shades, tiles
from featx.explanation.sanity import Check

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


@dataclass(frozen=True)
class Panel:
    """A map that is laid over the face.

    Attributes
    ----------
    title : str
        Above it.
    heat : numpy.ndarray
        Of the face's height and width.
    low, high : float
        The values that are blue and red.
    """

    title: str
    heat: np.ndarray
    low: float
    high: float


def panels(
    sides: Mapping[str, Mapping[str, np.ndarray]], *, from_zero: bool = False
) -> list[list[Panel]]:
    """Give the maps of one network, or of some, their titles and scales of colours.

    Maps of the same name have the same scale on all sides, which the title tells.

    Parameters
    ----------
    sides : mapping of str to mapping of str to numpy.ndarray
        By the networks' names, empty where there is but one: maps by their names.
    from_zero : bool
        Blue is 0 and less, not the least value of the maps.
    """
    rows = []
    for side, maps in sides.items():
        row = []
        for name, heat in maps.items():
            alike = [other[name] for other in sides.values() if name in other]
            low = 0.0 if from_zero else min(float(each.min()) for each in alike)
            high = max(float(each.max()) for each in alike)
            reach = f"{low:.3g} to {high:.3g}" if high > low else "nowhere"
            if len(alike) > 1:
                reach += f", this one to {heat.max():.3g}"
            row.append(Panel(f"{side}{': ' if side else ''}{name}\n{reach}", heat, low, high))
        rows.append(row)
    return rows


def heat_figure(face: np.ndarray, title: str, rows: Sequence[Sequence[Panel]]) -> Figure:
    """Draw a face, and beside it each of some maps over it.

    Parameters
    ----------
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    title : str
        Above the face.
    rows : sequence of sequence of Panel
        From `panels`: a row a network.
    """
    columns = 1 + max(map(len, rows))
    with _style():
        figure = _figure(len(rows), columns)
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for place in axes.flat:
            place.set_axis_off()
        _show(axes[0, 0], face, title)
        for places, row in zip(axes, rows, strict=True):
            for place, panel in zip(places[1:], row, strict=False):
                _show(place, overlay(face, panel.heat, panel.low, panel.high), panel.title)
        return figure


def feature_figure(
    face: np.ndarray,
    title: str,
    stages: Mapping[str, tuple[Sequence[int], Mapping[str, np.ndarray]]],
) -> Figure:
    """Draw a face, and beside it a column of selected feature maps for each stage.

    With several networks each stage has a column of each, and the maps of a channel have one scale.

    Parameters
    ----------
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    title : str
        Above the face.
    stages : mapping of str to (sequence of int, mapping of str to numpy.ndarray)
        By name: the channels and, by the networks' names, their maps (channels, h, w).
    """
    rows = max((len(channels) for channels, _ in stages.values()), default=1)
    columns = 1 + sum(len(sides) for _, sides in stages.values())
    with _style():
        figure = _figure(rows, columns)
        axes = figure.subplots(rows, columns, squeeze=False)
        for place in axes.flat:
            place.set_axis_off()
        _show(axes[0, 0], face, title)
        free = iter(axes.T[1:])
        for name, (channels, sides) in stages.items():
            low = np.min([maps.min((1, 2)) for maps in sides.values()], axis=0)
            high = np.max([maps.max((1, 2)) for maps in sides.values()], axis=0)
            for side, maps in sides.items():
                column = next(free)
                height, width = maps.shape[1:]
                for row, (channel, one) in enumerate(zip(channels, maps, strict=True)):
                    head = f"{name}{', ' if side else ''}{side}\n{height} x {width}\n"
                    told = f"{head if row == 0 else ''}channel {channel}"
                    _show(column[row], one, told, vmin=low[row], vmax=high[row])
        if columns > 1 + len(stages):
            figure.supxlabel("the maps of a channel share one scale of colours", fontsize=7)
        return figure


def filter_figure(sides: Mapping[str, Filters]) -> Figure:
    """Draw the filters of a first convolution, of one network or of some beside each other.

    Grey is a weight of 0, and a filter's largest weight in size, of all networks, is full light
    where it is above 0 and none where it is below.

    Parameters
    ----------
    sides : mapping of str to Filters
        By the networks' names, empty where there is but one; all of one shape.
    """
    scale = np.max([largest(each.weights) for each in sides.values()], axis=0)
    with _style():
        figure = _figure(2, 2 * len(sides))
        places = figure.subplots(1, len(sides), squeeze=False)[0]
        for place, (side, each) in zip(places, sides.items(), strict=True):
            count, channels, height, width = each.weights.shape
            kind = "red, green and blue" if channels == 3 else "grey"
            head = f"{side}{': ' if side else ''}{each.module}"
            large = math.ceil(16 / height)  # pixels of a weight, for thin lines between the tiles
            pixels = shades(each.weights, scale).repeat(large, 1).repeat(large, 2)
            _show(place, tiles(pixels), f"{head}\n{count} filters of {height} x {width}, {kind}")
        told = "grey is 0; each filter's light by its own largest weight"
        if len(sides) == 2:
            one, other = (each.weights for each in sides.values())
            told += (
                f", the same on both sides; weights changed by {relative_change(one, other):.2%}"
            )
        figure.supxlabel(told, fontsize=7)
        return figure


def overview_figure(
    titles: Sequence[str],
    faces: Sequence[np.ndarray],
    rows: Sequence[Sequence[Panel]],
    note: str = "",
) -> Figure:
    """Draw some faces side by side, and under each its maps, a row a kind.

    Parameters
    ----------
    titles : sequence of str
        Above the faces.
    faces : sequence of numpy.ndarray
        uint8, (height, width, 3), RGB.
    rows : sequence of sequence of Panel
        A panel for each face.
    note : str
        Below.
    """
    with _style():
        figure = _figure(1 + len(rows), len(faces))
        axes = figure.subplots(1 + len(rows), len(faces), squeeze=False)
        for place, face, title in zip(axes[0], faces, titles, strict=True):
            _show(place, face, title)
        for places, row in zip(axes[1:], rows, strict=True):
            for place, face, panel in zip(places, faces, row, strict=True):
                _show(place, overlay(face, panel.heat, panel.low, panel.high), panel.title)
        figure.supxlabel(note, fontsize=7)
        return figure


def sanity_figure(
    face: np.ndarray, cascades: Mapping[str, Sequence[tuple[str, np.ndarray]]], check: Check
) -> Figure:
    """Draw what becomes of maps while weights are drawn anew, and how alike they stay.

    Parameters
    ----------
    face : numpy.ndarray
        uint8, (height, width, 3), RGB.
    cascades : mapping of str to sequence of (str, numpy.ndarray)
        By the maps' names: titles and maps, of the face's height and width; each is drawn from its
        own least value to its own largest.
    check : Check
        The numbers.
    """
    columns = 1 + max(map(len, cascades.values()))
    with _style():
        figure = _figure(len(cascades) + 1, columns)
        grid = figure.add_gridspec(len(cascades) + 1, columns)
        for row, (name, maps) in enumerate(cascades.items()):
            _show(figure.add_subplot(grid[row, 0]), face, name)
            for column, (title, heat) in enumerate(maps, start=1):
                laid = overlay(face, heat, float(heat.min()), float(heat.max()))
                _show(figure.add_subplot(grid[row, column]), laid, title)
        lines = figure.add_subplot(grid[len(cascades), :])
        for name in cascades:
            steps = [step for step in check.steps if step.map == name]
            parts = [0, *(step.parts for step in steps)]
            lines.plot(parts, [1, *(step.rank for step in steps)], marker="o", ms=3, label=name)
        lines.set_ylim(-1.05, 1.05)
        lines.axhline(0, color="grey", lw=0.5)
        lines.set_ylabel("rank correlation\nwith the trained map")
        lines.set_xlabel("parts drawn anew, from the output back")
        lines.legend(fontsize=7)
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
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.09)  # a row's titles are not cut off
    return Figure(figsize=(_INCH * columns, (_INCH + 0.4) * rows), layout=layout)


def _show(place: Axes, picture: np.ndarray, title: str, **options: Any) -> None:
    place.set_axis_off()
    place.imshow(picture, cmap="viridis", interpolation="nearest", **options)
    place.set(xticks=[], yticks=[])
    place.set_title(title, fontsize=7, y=1.0)  # else a place is sought, which takes long
