"""Eyes, brows, mouth, nostrils, and the lines that the years draw around them."""

from __future__ import annotations

import numpy as np

from featx.datasets.generate.canvas import Array, Canvas, smooth_step
from featx.datasets.generate.growth import Ageing, Proportions
from featx.datasets.generate.head import blushed, darkened, hair_colour
from featx.datasets.generate.identity import Colour, Identity

_SIDES = (-1.0, 1.0)


def eye_places(canvas: Canvas, shape: Proportions) -> list[tuple[float, float]]:
    """Return the centres of the eyes, the one on the picture's left first, in face units."""
    return [canvas.place(side * shape.eye_x, shape.eye_y, 0.6) for side in _SIDES]


def draw_eyes(canvas: Canvas, shape: Proportions, age: Ageing, person: Identity) -> None:
    """Paint eyeballs, irises, lids and lashes; all eyes look at the viewer."""
    for side, (x, y) in zip(_SIDES, eye_places(canvas, shape), strict=True):
        window = canvas.window(x, y, 2.4 * shape.eye_width)
        a = (canvas.u[window] - np.float32(x)) * np.float32(side / shape.eye_width)
        height = shape.eye_height * (1 - 0.22 * age.sagging)
        tilt = person.eye_tilt - 0.10 * age.sagging
        b = (canvas.v[window] - np.float32(y)) / np.float32(height) + np.float32(2 * tilt) * a
        arch = np.clip(1 - a * a, 0, None)
        upper, lower = -(arch**0.75) * (1 + 0.12 * a), 0.72 * arch**0.9
        opening = np.minimum(b - upper, lower - b) - np.clip(np.abs(a) - 0.97, 0, None) * 9
        opening *= np.float32(height)
        inside = canvas.edge(opening, 1.5)
        _eyeball(canvas, window, inside, a, b, upper, shape, height, person)
        lash = np.float32(0.010 + 0.004 * (not person.masculine))
        near = np.exp(-0.5 * ((b - upper) * np.float32(height) / lash) ** 2)
        span = smooth_step(np.abs(a), 1.12, 0.85)
        strength = 0.85 - 0.45 * age.baby
        canvas.paint(window, near * span * np.float32(strength), (0.10, 0.06, 0.05))
        near = np.exp(-0.5 * ((b - lower) * np.float32(height) / 0.008) ** 2)
        canvas.paint(window, near * span * np.float32(0.45), darkened(person.skin, 0.45))
        # The crease sinks towards the lashes as the lid above it sags.
        lift = (0.052 - 0.02 * age.sagging) * (0.6 + 0.4 * shape.nose_relief)
        crease = (b - 0.85 * upper) * np.float32(height) + np.float32(lift)
        near = np.exp(-0.5 * (crease / 0.011) ** 2) * smooth_step(np.abs(a), 1.25, 0.7)
        canvas.paint(
            window, near * np.float32(0.5 + 0.25 * age.sagging), darkened(person.skin, 0.5)
        )


def _eyeball(
    canvas: Canvas,
    window: tuple[slice, slice],
    inside: Array,
    a: Array,
    b: Array,
    upper: Array,
    shape: Proportions,
    height: float,
    person: Identity,
) -> None:
    white = 0.86 - 0.30 * np.exp(-((b - upper) / 0.35)) - 0.20 * a * a
    colour = np.clip(white, 0.2, 1)[..., None] * np.array((1.0, 0.96, 0.93), np.float32)
    across = a * np.float32(shape.eye_width)
    down = b * np.float32(height) + np.float32(0.10 * height)
    radius = np.hypot(across, down)
    iris = (
        np.array(person.eyes, np.float32)
        * (0.75 + 0.5 * smooth_step(radius, 0.4 * shape.iris, 0.75 * shape.iris))[..., None]
    )
    iris = iris * (1 - 0.55 * smooth_step(radius, 0.72 * shape.iris, shape.iris))[..., None]
    iris = iris * (1 - 0.45 * smooth_step(down, 0.2 * shape.iris, -shape.iris))[..., None]
    disc = canvas.edge(np.float32(shape.iris) - radius, 1.5)[..., None]
    colour += disc * (iris - colour)
    pupil = canvas.edge(np.float32(0.42 * shape.iris) - radius, 1.5)[..., None]
    colour *= 1 - 0.93 * pupil
    light = -0.35 * shape.iris * float(np.sign(canvas.pose.light[0] or -1.0))
    glint = np.hypot(
        canvas.u[window] - np.float32(np.mean(canvas.u[window]) - light),
        down + np.float32(0.38 * shape.iris),
    )
    colour += 0.9 * canvas.edge(np.float32(0.2 * shape.iris) - glint, 2.0)[..., None]
    canvas.paint(window, inside, np.clip(colour, 0, 1))


def draw_brows(
    canvas: Canvas, shape: Proportions, age: Ageing, person: Identity, rng: np.random.Generator
) -> None:
    """Paint the eyebrows, thin and fair in babies, tousled and grey in the old."""
    hair = hair_colour(person, age)
    colour = tuple(0.8 * h * (0.85 + 0.1 * age.grey) for h in hair)
    for side in _SIDES:
        x, y = canvas.place(side * (shape.eye_x + 0.015), shape.brow_y, 0.6)
        length = 1.45 * shape.eye_width
        window = canvas.window(x, y, 1.5 * length)
        a = (canvas.u[window] - np.float32(x)) * np.float32(side / length)
        arch = np.float32(0.045 * person.brow_arch) * (1 - ((a - 0.25) / 1.1) ** 2)
        fall = 0.035 * age.sagging * np.clip(a, 0, None)
        thick = np.float32(0.027 * person.brow_thickness * (1 - 0.35 * age.baby)) * (
            1.1 - 0.45 * np.clip(a, -1, 1)
        )
        off = (canvas.v[window] - np.float32(y) + arch - fall) / thick
        hairs = 0.85 + 0.18 * rng.standard_normal(a.shape, dtype=np.float32)
        mask = np.exp(-0.5 * off**2) * smooth_step(np.abs(a), 1.08, 0.75) * hairs
        opacity = 0.85 - 0.5 * age.baby
        canvas.paint(window, mask * np.float32(opacity), (colour[0], colour[1], colour[2]))


def mouth_corners(canvas: Canvas, shape: Proportions) -> list[tuple[float, float]]:
    """Return the corners of the mouth, the one on the picture's left first, in face units."""
    x, y = canvas.place(0.0, shape.mouth_y, 0.7)
    width = shape.mouth_width * (1 + 0.12 * canvas.pose.smile)
    return [(x + side * width, y - 0.035 * canvas.pose.smile) for side in _SIDES]


def draw_mouth(canvas: Canvas, shape: Proportions, age: Ageing, person: Identity) -> None:
    """Paint the lips, which thin with age, and shape them."""
    (left, y), (right, _) = mouth_corners(canvas, shape)
    x, width = (left + right) / 2, (right - left) / 2
    window = canvas.window(x, y + 0.05, 1.5 * width)
    a = (canvas.u[window] - np.float32(x)) / np.float32(width)
    arch = np.clip(1 - a * a, 0, None)
    bend = 0.045 * canvas.pose.smile + 0.012
    line = np.float32(y) + np.float32(bend) * arch - np.float32(0.012) * np.exp(-((a / 0.2) ** 2))
    thin = 1 - 0.5 * age.folds
    bow = 1 - 0.30 * np.exp(-((a / 0.16) ** 2))
    upper = np.float32(0.85 * shape.lip_height * thin) * arch**0.8 * bow
    lower = np.float32(1.15 * shape.lip_height * thin) * arch**0.75
    v = canvas.v[window]
    red = blushed(darkened(person.skin, 0.86 if person.masculine else 0.80), 0.75)
    soft = 3.0 + 2.0 * person.masculine
    ends = np.clip(np.abs(a) - 0.97, 0, None)
    above = canvas.edge(np.minimum(v - (line - upper), line - v) - ends, soft)
    below = canvas.edge(np.minimum((line + lower) - v, v - line) - ends, soft)
    canvas.paint(window, above * 0.85, darkened(red, 0.82))
    canvas.paint(window, below * 0.8, red)
    bulge = np.clip((v - line) / np.maximum(lower, 1e-3), 0, 1)
    canvas.relief[window] += 0.045 * below * np.sin(np.pi * bulge)
    gap = np.exp(-0.5 * ((v - line) / 0.011) ** 2) * smooth_step(np.abs(a), 1.06, 0.8)
    canvas.paint(window, gap * 0.9, darkened(red, 0.25))
    for corner in (left, right):
        canvas.tint_blob(corner, y, 0.022, 0.018, darkened(person.skin, 0.4), 0.6)
    canvas.tint_blob(
        x, y + 1.3 * shape.lip_height + 0.06, 0.11, 0.022, darkened(person.skin, 0.55), 0.35
    )


def draw_nostrils(canvas: Canvas, shape: Proportions, person: Identity) -> None:
    """Paint the nostrils, the wings' creases and the shadow that the nose throws."""
    broad = shape.nose_width
    dark = darkened(person.skin, 0.28)
    for side in _SIDES:
        x, y = canvas.place(side * 0.50 * broad, shape.nose_y + 0.058, 0.72)
        canvas.tint_blob(x, y, 0.17 * broad, 0.014, dark, 0.9, 0.25 * side)
        x, y = canvas.place(side * 1.12 * broad, shape.nose_y + 0.02, 0.62)
        canvas.tint_blob(x, y, 0.020, 0.040, darkened(person.skin, 0.5), 0.5)
    x, y = canvas.place(-0.06 * canvas.pose.light[0], shape.nose_y + 0.085, 0.68)
    canvas.tint_blob(x, y, 0.85 * broad, 0.028, darkened(person.skin, 0.6), 0.35)


def draw_lines(canvas: Canvas, shape: Proportions, age: Ageing, person: Identity) -> None:
    """Draw the lines of age: forehead, frown, crow's feet, below the eyes, folds to the mouth."""
    shade = darkened(person.skin, 0.42)
    if age.lines:
        top, bottom = shape.hairline_y + 0.10, shape.brow_y - 0.11
        for number in range(4):
            y = bottom + (top - bottom) * number / 3.2
            strength = float(np.clip(age.lines * 1.8 - 0.22 * number, 0, 1))
            _forehead_line(canvas, y, 0.36 - 0.03 * number, strength, shade, 0.7 * number)
        for side in _SIDES:
            x, y = canvas.place(side * 0.065, shape.brow_y + 0.02, 0.65)
            canvas.tint_blob(x, y, 0.009, 0.055, shade, 0.7 * age.lines, -0.1 * side)
            for number, slope in enumerate((-0.55, -0.2, 0.15, 0.5)):
                reach = shape.eye_width + 0.075 + 0.012 * number
                x, y = canvas.place(
                    side * (shape.eye_x + reach), shape.eye_y + 0.01 + slope * 0.09, 0.45
                )
                strength = float(np.clip(age.lines * 1.6 - 0.15 * abs(number - 1), 0, 1))
                canvas.tint_blob(x, y, 0.055, 0.0075, shade, 0.75 * strength, side * slope)
    if age.bags:
        for side in _SIDES:
            x, y = canvas.place(side * shape.eye_x, shape.eye_y + 0.125, 0.55)
            canvas.raise_blob(x, y - 0.035, 0.085, 0.028, 0.022 * age.bags)
            canvas.tint_blob(x, y, 0.085, 0.010, shade, 0.7 * age.bags, 0.12 * side)
    _folds(canvas, shape, age, shade)


def _forehead_line(
    canvas: Canvas, y: float, half: float, strength: float, shade: Colour, phase: float
) -> None:
    x, y = canvas.place(0.0, y, 0.6)
    window = canvas.window(x, y, 1.2 * half)
    a = (canvas.u[window] - np.float32(x)) / np.float32(half)
    wave = np.float32(0.012) * np.sin(5 * a + np.float32(phase)) + np.float32(0.03) * a * a
    off = (canvas.v[window] - np.float32(y) - wave) / 0.010
    fade = smooth_step(np.abs(a), 1.0, 0.55)
    canvas.paint(window, np.exp(-0.5 * off**2) * fade * np.float32(0.62 * strength), shade)
    canvas.relief[window] += np.exp(-0.5 * (off + 2.2) ** 2) * fade * np.float32(0.006 * strength)


def _folds(canvas: Canvas, shape: Proportions, age: Ageing, shade: Colour) -> None:
    # Even a child's smile folds the cheek a little.
    strength = 0.10 + 0.10 * max(canvas.pose.smile, 0) + 0.75 * age.folds
    for side in _SIDES:
        x0, y0 = canvas.place(side * (1.15 * shape.nose_width), shape.nose_y, 0.62)
        x1, y1 = canvas.place(side * (shape.mouth_width + 0.085), shape.mouth_y + 0.03, 0.6)
        window = canvas.window((x0 + x1) / 2, (y0 + y1) / 2, 0.30)
        t = (canvas.v[window] - np.float32(y0)) / np.float32(y1 - y0)
        path = np.float32(x0) + np.float32(x1 - x0) * np.clip(t, -0.2, 1.2) ** 1.0
        path = path + np.float32(side * 0.035) * np.sin(np.pi * np.clip(t, 0, 1))
        off = (canvas.u[window] - path) * np.float32(side)
        ends = smooth_step(t, -0.12, 0.2) * smooth_step(t, 1.2, 0.75)
        line = np.exp(-0.5 * (off / (0.013 + 0.008 * age.folds)) ** 2) * ends
        canvas.paint(window, line * np.float32(strength), shade)
        cheek = np.exp(-0.5 * ((off - 0.055) / 0.045) ** 2) * ends
        canvas.relief[window] += cheek * np.float32(0.035 * age.folds)
        if age.sagging:
            x, y = canvas.place(side * (shape.mouth_width + 0.045), shape.mouth_y + 0.13, 0.55)
            canvas.tint_blob(x, y, 0.012, 0.065, shade, 0.6 * age.sagging, -0.25 * side)
