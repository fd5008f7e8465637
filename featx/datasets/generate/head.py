"""The head's outline, relief and skin."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from featx.datasets.generate.canvas import Array, Canvas, smooth_step
from featx.datasets.generate.growth import Ageing, Proportions
from featx.datasets.generate.identity import Colour, Identity

_CENTRE_Y = 0.05


def head_distance(canvas: Canvas, shape: Proportions) -> Array:
    """Return for each pixel how far towards the outline it lies: 0 centre, 1 outline, above 1 out.

    The outline is a periodic cubic spline of the radius over the angle around the head's centre.
    """
    right = [
        (0.0, -1.0),
        (0.62 * shape.width, -0.84),
        (shape.width * 0.97, -0.42),
        (shape.width, -0.10),
        (shape.cheek, 0.5 * shape.eye_y + 0.27),
        (shape.jaw, shape.jaw_y),
        (shape.chin, 0.955),
        (0.0, 1.0),
    ]
    points = np.array(right + [(-x, y) for x, y in right[-2:0:-1]])
    points[:, 1] -= _CENTRE_Y
    angles = np.arctan2(points[:, 0], -points[:, 1])  # 0 at the crown, growing to the right
    radii = np.hypot(points[:, 0], points[:, 1])
    order = np.argsort(angles)
    angles, radii = angles[order], radii[order]
    spline = CubicSpline(
        np.append(angles, angles[0] + 2 * np.pi), np.append(radii, radii[0]), bc_type="periodic"
    )
    table = np.linspace(-np.pi, np.pi, 721)
    v = canvas.v - np.float32(_CENTRE_Y)
    angle = np.arctan2(canvas.u, -v)
    # Half-degree steps are finer than a pixel, so the nearest entry of the table is enough.
    radius = np.asarray(spline(table), np.float32)[
        np.rint((angle + np.float32(np.pi)) * np.float32(360 / np.pi)).astype(np.int16)
    ]
    return np.asarray(np.hypot(canvas.u, v) / radius, np.float32)


def shape_head(
    canvas: Canvas, shape: Proportions, age: Ageing, distance: Array, person: Identity
) -> None:
    """Set the relief to that of a head without hair."""
    canvas.relief += 0.78 * np.sqrt(np.clip(1.03 - distance**2.4, 0.0004, None))
    sides = (-1.0, 1.0)
    x, y = shape.eye_x, shape.eye_y
    soft = age.baby
    for side in sides:
        eye = canvas.place(side * x, y, 0.55)
        canvas.raise_blob(eye[0], eye[1] - 0.015, 1.25 * shape.eye_width, 0.095, -0.085)
        canvas.raise_blob(eye[0] - side * 0.11, eye[1] + 0.0, 0.06, 0.08, -0.045)
        canvas.raise_blob(eye[0], eye[1] + 0.005, 0.8 * shape.eye_width, 0.06, 0.05)
        canvas.raise_blob(
            eye[0] + side * 0.03, shape.brow_y, 0.15, 0.06, 0.045 * shape.nose_relief, 0.15 * side
        )
        cheek = canvas.place(side * (x + 0.10), (y + shape.nose_y) / 2 + 0.09, 0.5)
        canvas.raise_blob(*cheek, 0.16, 0.12, 0.05 + 0.03 * soft)
        if age.sagging:
            jowl = canvas.place(side * (shape.mouth_width + 0.16), shape.mouth_y + 0.14, 0.4)
            canvas.raise_blob(*jowl, 0.08, 0.11, 0.05 * age.sagging)
            hollow = canvas.place(side * (x + 0.14), shape.nose_y + 0.10, 0.45)
            canvas.raise_blob(*hollow, 0.10, 0.13, -0.07 * age.sagging)
        if soft:
            canvas.raise_blob(side * 0.45, shape.mouth_y - 0.06, 0.17, 0.16, 0.07 * soft)
    _nose(canvas, shape)
    chin = canvas.place(0.0, 0.88, 0.6)
    canvas.raise_blob(*chin, 0.13, 0.09, 0.075)
    canvas.raise_blob(chin[0], shape.mouth_y + 0.135, 0.13, 0.035, -0.035)
    mouth = canvas.place(0.0, shape.mouth_y, 0.65)
    canvas.raise_blob(*mouth, 0.9 * shape.mouth_width, 0.13, 0.06)
    philtrum = (shape.mouth_y + shape.nose_y) / 2 - 0.01
    canvas.raise_blob(mouth[0], philtrum, 0.022, 0.05, -0.012)
    if person.masculine and not soft:
        canvas.raise_blob(0.0, shape.brow_y + 0.02, 0.12, 0.05, 0.02)


def _nose(canvas: Canvas, shape: Proportions) -> None:
    tip = canvas.place(0.0, shape.nose_y, 0.8)
    root = canvas.place(0.0, shape.eye_y - 0.06, 0.55)
    window = canvas.window(tip[0], (tip[1] + root[1]) / 2, 0.55)
    u, v = canvas.u[window], canvas.v[window]
    along = (v - np.float32(root[1])) / np.float32(tip[1] - root[1])
    middle = np.float32(root[0]) + np.clip(along, 0, 1) * np.float32(tip[0] - root[0])
    height = smooth_step(along, -0.35, 1.05) * smooth_step(along, 1.22, 0.93)
    width = np.float32(0.6 * shape.nose_width) * (0.52 + 0.36 * np.clip(along, 0, 1))
    ridge = np.exp(-0.5 * ((u - middle) / width) ** 2)
    canvas.relief[window] += np.float32(0.17 * shape.nose_relief) * height * ridge
    broad, relief = shape.nose_width, shape.nose_relief
    canvas.raise_blob(*tip, 0.48 * broad, 0.42 * broad, 0.075 * (0.4 + 0.6 * relief))
    for side in (-1.0, 1.0):
        wing = canvas.place(side * 0.82 * broad, shape.nose_y + 0.02, 0.65)
        canvas.raise_blob(*wing, 0.30 * broad, 0.34 * broad, 0.06)


def colour_skin(
    canvas: Canvas,
    shape: Proportions,
    age: Ageing,
    person: Identity,
    inside: Array,
    rng: np.random.Generator,
) -> None:
    """Paint the skin with its blush, unevenness, spots, freckles and the beard's shadow."""
    skin = np.array(person.skin, np.float32)
    # Skin turns duller and yellower with the years.
    skin = skin * (1 - 0.06 * age.spots) + np.float32(0.03) * age.spots * np.array(
        (1.0, 0.9, 0.5), np.float32
    )
    everywhere = (slice(None), slice(None))
    canvas.paint(everywhere, inside, (float(skin[0]), float(skin[1]), float(skin[2])))
    mottle = canvas.clouds(rng, 0.07) * inside * np.float32(0.010 + 0.022 * age.spots)
    canvas.colour += mottle[..., None] * np.array((1.0, 1.1, 1.1), np.float32)
    red = blushed(person.skin, 0.5)
    x = shape.eye_x
    for side in (-1.0, 1.0):
        cheek = canvas.place(side * (x + 0.12), shape.nose_y - 0.02, 0.5)
        canvas.tint_blob(*cheek, 0.14, 0.11, red, 0.28 + 0.22 * age.baby)
        socket = canvas.place(side * x, shape.eye_y, 0.55)
        canvas.tint_blob(*socket, 1.3 * shape.eye_width, 0.09, darkened(person.skin, 0.62), 0.5)
        inner = canvas.place(side * (x - 0.14), shape.eye_y - 0.02, 0.55)
        canvas.tint_blob(*inner, 0.05, 0.07, darkened(person.skin, 0.6), 0.45)
        bag = canvas.place(side * (x - 0.01), shape.eye_y + 0.105, 0.55)
        canvas.tint_blob(*bag, 0.10, 0.028, darkened(person.skin, 0.62), 0.15 + 0.55 * age.bags)
    tip = canvas.place(0.0, shape.nose_y, 0.8)
    canvas.tint_blob(*tip, 0.08, 0.07, red, 0.35)
    if age.beard:
        _beard(canvas, shape, age, person, inside)
    # Spots grow out of fixed places as the years go by.
    for number in range(26):
        u, v = rng.uniform(-0.6, 0.6), rng.uniform(-0.75, 0.8)
        size, onset = rng.uniform(0.010, 0.032), number / 26
        strength = np.clip((age.spots - onset) * 3, 0, 1)
        if strength > 0:
            canvas.tint_blob(u, v, size, size, darkened(person.skin, 0.6), 0.38 * float(strength))
    if person.freckles:
        for _ in range(60):
            u, v = rng.normal(0, 0.3), shape.nose_y - 0.12 + rng.normal(0, 0.08)
            canvas.tint_blob(u, v, 0.008, 0.008, darkened(person.skin, 0.7), 0.6)


def _beard(
    canvas: Canvas, shape: Proportions, age: Ageing, person: Identity, inside: Array
) -> None:
    u, v = np.abs(canvas.u), canvas.v
    lower = smooth_step(v + 0.42 * u, shape.nose_y + 0.10, shape.nose_y + 0.34)
    cheeks = 1 - np.exp(-0.5 * ((u - np.float32(0.40)) / 0.12) ** 2) * smooth_step(
        v, shape.mouth_y + 0.12, shape.mouth_y - 0.05
    )
    hair = hair_colour(person, age)
    stubble = tuple(0.55 * s * 0.75 + 0.45 * h for s, h in zip(person.skin, hair, strict=True))
    mask = lower * cheeks * inside * np.float32(0.55 * age.beard)
    canvas.paint((slice(None), slice(None)), mask, (stubble[0], stubble[1], stubble[2]))


def hair_colour(person: Identity, age: Ageing) -> Colour:
    """Return the hair's colour at an age: as grey as the age makes it, fairer in babies."""
    grey = (0.80, 0.79, 0.78)
    light = 1 + 0.35 * age.baby
    red, green, blue = (
        (1 - age.grey) * min(1.0, h * light) + age.grey * g
        for h, g in zip(person.hair, grey, strict=True)
    )
    return (red, green, blue)


def darkened(colour: Colour, factor: float) -> Colour:
    """Return a colour in shade, redder as skin is where light passes through it."""
    return (colour[0] * factor**0.85, colour[1] * factor, colour[2] * factor)


def blushed(colour: Colour, amount: float) -> Colour:
    """Return a skin colour with more blood in it; `amount` is 0 to 1."""
    return (
        colour[0] * (1 - 0.05 * amount),
        colour[1] * (1 - 0.40 * amount),
        colour[2] * (1 - 0.36 * amount),
    )
