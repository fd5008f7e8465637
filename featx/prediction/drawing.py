"""Boxes and what the network tells, drawn on a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from featx.prediction.estimates import Estimate

#: Of boxes and the ground of their text, by gender: colours of Okabe and Ito (2008) that people
#: with any colour vision tell apart.
COLOURS = {"female": "#d55e00", "male": "#0072b2", None: "#009e73"}


def draw_faces(image: Image.Image, faces: list[Mapping[str, Any]]) -> Image.Image:
    """Return a copy of a picture with each face's box, age ± spread and gender.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    faces : list of mapping
        As `featx.prediction.faces.Seen.describe` gives them.
    """
    drawn = image.copy()
    canvas = ImageDraw.Draw(drawn)
    line = max(2, round(max(image.size) / 400))
    for face in reversed(faces):  # the largest last, and so on top
        estimate = Estimate.from_description(face)
        colour = COLOURS[estimate.gender]
        left, top, right, bottom = face["box"]
        canvas.rectangle((left, top, right, bottom), outline=colour, width=line)
        _write(canvas, estimate.told(), (left, top, right, bottom), colour, image.size)
    return drawn


def _write(
    canvas: ImageDraw.ImageDraw,
    text: str,
    box: tuple[float, float, float, float],
    colour: str,
    size: tuple[int, int],
) -> None:
    """Write above a box or, where there is no room, inside it; never outside the picture."""
    left, top, right, _ = box
    # as wide as the box where that is legible, for long text on a small face hides its neighbours
    points = min(max(11.0, (right - left) / 9), max(11.0, max(size) / 30))
    font = ImageFont.load_default(points)
    pad = round(points / 5)
    x0, y0, x1, y1 = canvas.textbbox((0, 0), text, font=font)
    width, height = x1 - x0 + 2 * pad, y1 - y0 + 2 * pad
    x = min(max(0.0, left), max(0.0, size[0] - width))
    y = top - height if top >= height else max(0.0, top)
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    canvas.text((x + pad - x0, y + pad - y0), text, fill="white", font=font)
