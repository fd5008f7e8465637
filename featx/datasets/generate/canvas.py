"""A picture in face coordinates: colour, relief, and soft masks to paint through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.floating]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Pose:
    """How the head lies in the picture and how light falls on it.

    Attributes
    ----------
    roll : float
        Rotation in the picture's plane, degrees, clockwise.
    turn : float
        Turn to the side as a parallax: face units of shift for one face unit of depth.
    nod : float
        The same downwards.
    scale : float
        Half the head's height as a fraction of the picture's shorter side.
    shift : tuple of float
        Of the head's centre from the picture's, as fractions of the picture's width and height.
    light : tuple of float
        Direction to the light: to the right, down (negative is from above), towards the viewer.
    ambient : float
        Share of light that comes from everywhere, 0 to 1.
    exposure : float
        Factor on all light.
    smile : float
        From -0.3 (stern) to 1.
    """

    roll: float = 0.0
    turn: float = 0.0
    nod: float = 0.0
    scale: float = 0.36
    shift: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float, float] = (-0.3, -0.5, 0.8)
    ambient: float = 0.5
    exposure: float = 1.0
    smile: float = 0.3


def smooth_step(value: Array, low: float, high: float) -> Array:
    """Return 0 below `low`, 1 above `high`, and a smooth cubic between; `low` may exceed `high`."""
    part = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return part * part * (3 - 2 * part)


class Canvas:
    """A picture with its face coordinates.

    Attributes
    ----------
    colour : ndarray of float32, shape (height, width, 3)
        Surface colour without shading, 0 to 1.
    relief : ndarray of float32, shape (height, width)
        Height of the surface towards the viewer, face units.
    solid : ndarray of float32, shape (height, width)
        1 where there is a person, whose relief takes light and shade, 0 on the flat background.
    u, v : ndarray of float32, shape (height, width)
        Face coordinates of each pixel.
    pixel : float
        A pixel's side in face units.
    """

    def __init__(self, size: tuple[int, int], pose: Pose) -> None:
        """Lay an empty canvas of a width and height in pixels."""
        width, height = size
        self.pose = pose
        self.pixel = 1 / (pose.scale * min(size))
        self._centre = (
            (0.5 + pose.shift[0]) * width - 0.5,
            (0.5 + pose.shift[1]) * height - 0.5,
        )
        angle = np.deg2rad(pose.roll)
        self._cos, self._sin = float(np.cos(angle)), float(np.sin(angle))
        x = (np.arange(width, dtype=np.float32) - np.float32(self._centre[0]))[None, :]
        y = (np.arange(height, dtype=np.float32) - np.float32(self._centre[1]))[:, None]
        pixel, cos, sin = (np.float32(k) for k in (self.pixel, self._cos, self._sin))
        self.u: Array = (x * cos + y * sin) * pixel
        self.v: Array = (y * cos - x * sin) * pixel
        self.colour: Array = np.zeros((height, width, 3), np.float32)
        self.relief: Array = np.zeros((height, width), np.float32)
        self.solid: Array = np.zeros((height, width), np.float32)

    def to_pixels(self, u: float, v: float) -> tuple[float, float]:
        """Return the pixel (x, y) of a point in face coordinates."""
        return (
            self._centre[0] + (u * self._cos - v * self._sin) / self.pixel,
            self._centre[1] + (u * self._sin + v * self._cos) / self.pixel,
        )

    def place(self, u: float, v: float, depth: float) -> tuple[float, float]:
        """Return where a point at some depth is seen when the head turns and nods."""
        return u + self.pose.turn * depth, v + self.pose.nod * depth

    def window(self, u: float, v: float, radius: float) -> Window:
        """Return the slices that hold all pixels within `radius` face units of a point."""
        height, width = self.u.shape
        x, y = self.to_pixels(u, v)
        reach = radius / self.pixel + 1
        rows = slice(max(0, int(y - reach)), max(0, min(height, int(y + reach) + 2)))
        columns = slice(max(0, int(x - reach)), max(0, min(width, int(x + reach) + 2)))
        return rows, columns

    def blob(
        self, u: float, v: float, across: float, along: float, tilt: float = 0.0
    ) -> tuple[Window, Array]:
        """Return a Gaussian spot and its window; `across`, `along` are standard deviations."""
        window = self.window(u, v, 3 * max(across, along))
        du, dv = self.u[window] - np.float32(u), self.v[window] - np.float32(v)
        if tilt:
            cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
            du, dv = du * cos + dv * sin, dv * cos - du * sin
        spot = np.exp(-0.5 * ((du / np.float32(across)) ** 2 + (dv / np.float32(along)) ** 2))
        # Taken down to zero at three deviations, so that a window's edge never shows.
        return window, np.maximum(spot - np.float32(0.0111), 0)

    def raise_blob(
        self, u: float, v: float, across: float, along: float, height: float, tilt: float = 0.0
    ) -> None:
        """Add a bump to the relief, or a hollow where `height` is negative."""
        window, spot = self.blob(u, v, across, along, tilt)
        self.relief[window] += np.float32(height) * spot

    def tint_blob(
        self,
        u: float,
        v: float,
        across: float,
        along: float,
        colour: tuple[float, float, float],
        opacity: float,
        tilt: float = 0.0,
    ) -> None:
        """Paint a soft spot."""
        window, spot = self.blob(u, v, across, along, tilt)
        self.paint(window, spot * np.float32(opacity), colour)

    def paint(
        self, window: Window, mask: Array, colour: Array | tuple[float, float, float]
    ) -> None:
        """Blend a colour, one for all or one a pixel, into a window through a mask of 0 to 1."""
        target = self.colour[window]
        target += np.clip(mask, 0, 1)[..., None] * (np.asarray(colour, np.float32) - target)

    def edge(self, distance: Array, soft: float = 1.0) -> Array:
        """Return a mask that is 1 where a distance in face units is positive, antialiased."""
        half = 0.75 * soft * self.pixel
        return smooth_step(distance, -half, half)

    def clouds(self, rng: np.random.Generator, cell: float) -> Array:
        """Return smooth noise, about normal(0, 1), with a new value every `cell` face units."""
        height, width = self.u.shape
        shape = [max(2, round(side * self.pixel / cell)) for side in (height, width)]
        grid = rng.standard_normal(shape, dtype=np.float32)
        return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
