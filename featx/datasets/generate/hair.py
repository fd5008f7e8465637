"""Hair, ears, glasses, neck and clothes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from featx.datasets.generate.canvas import Array, Canvas, smooth_step
from featx.datasets.generate.features import eye_places
from featx.datasets.generate.growth import Ageing, Proportions
from featx.datasets.generate.head import blushed, darkened, hair_colour
from featx.datasets.generate.identity import Colour, Identity

_ALL = (slice(None), slice(None))


def draw_body(canvas: Canvas, shape: Proportions, person: Identity, clothes: Colour) -> None:
    """Paint the neck and the shoulders behind the head."""
    u, v = canvas.u, canvas.v
    neck = np.float32(shape.neck) + 0.18 * np.clip(v - 1.05, 0, None) ** 2
    skin = canvas.edge(np.minimum(neck - np.abs(u), v), 2)
    canvas.paint(_ALL, skin, darkened(person.skin, 0.86))
    chin_shadow = smooth_step(v + 0.25 * u * u, 1.42, 0.95)
    canvas.paint(_ALL, skin * chin_shadow * 0.75, darkened(person.skin, 0.50))
    shoulders = 1.17 + 0.55 * np.abs(u) ** 1.9 / (0.6 + shape.neck)
    collar = 0.30 * np.exp(-0.5 * (u / np.float32(0.8 * shape.neck)) ** 2)
    cloth = canvas.edge(v - shoulders - collar, 2)
    fold = 0.85 + 0.15 * np.cos(5 * u + 2 * v)
    canvas.paint(_ALL, cloth, fold[..., None] * np.array(clothes, np.float32))
    canvas.relief += 0.35 * np.sqrt(np.clip(1.02 - (u / neck) ** 2, 0.02, 1)) * skin * (1 - cloth)
    canvas.relief -= 0.5
    canvas.solid = np.maximum(skin, cloth)


def draw_ears(canvas: Canvas, shape: Proportions, person: Identity) -> None:
    """Paint the ears behind the face's edge."""
    size = person.ear_size * (0.9 + 0.1 * shape.nose_relief)
    for side in (-1.0, 1.0):
        x, y = canvas.place(side * (shape.width + 0.005), shape.eye_y + 0.16, -0.1)
        window = canvas.window(x, y, 0.4)
        du = (canvas.u[window] - np.float32(x)) / np.float32(0.105 * size)
        dv = (canvas.v[window] - np.float32(y)) / np.float32(0.21 * size)
        r = np.hypot(du - 0.15 * side * dv, dv)
        canvas.paint(window, smooth_step(r, 1.05, 0.93), blushed(darkened(person.skin, 0.85), 0.25))
        canvas.paint(window, smooth_step(r, 0.75, 0.25) * 0.55, darkened(person.skin, 0.5))
        canvas.solid[window] = np.maximum(canvas.solid[window], smooth_step(r, 1.05, 0.93))
        canvas.relief[window] += 0.12 * np.sqrt(np.clip(1.02 - r * r, 0, 1))


def hair_strands(canvas: Canvas, person: Identity, rng: np.random.Generator) -> Array:
    """Return light and dark strands that run from the parting outwards."""
    u = canvas.u - np.float32(0.3 * person.parting)
    v = canvas.v + np.float32(0.75)
    angle = np.arctan2(u, v + 0.35)
    radius = np.hypot(u, v)
    wave = np.float32(0.05 * person.curl) * np.sin(radius * np.float32(9 + 8 * person.curl))
    # Fine strands among locks eight times as wide, sampled along the hair.
    locks = np.repeat(rng.standard_normal((32, 40), dtype=np.float32), 8, axis=1)
    grid = 0.16 * locks + 0.18 * rng.standard_normal(locks.shape, dtype=np.float32)
    places = [radius * 4, (angle + wave) * np.float32(160 / np.pi)]
    return 1 + np.asarray(map_coordinates(grid, places, order=1, mode="grid-wrap"))


def draw_back_hair(
    canvas: Canvas, shape: Proportions, age: Ageing, person: Identity, strands: Array
) -> None:
    """Paint the hair that falls behind the head."""
    length = person.hair_length * (1 - age.baby)
    if length <= 0.3:
        return
    bottom = 0.45 + 1.40 * length
    sway = 0.03 * np.sin(7 * canvas.v + 2 * np.sign(canvas.u)) * person.curl
    taper = 0.10 * smooth_step(canvas.v, -0.6, 0.5) - 0.30 * smooth_step(canvas.v, 0.5, 1.6)
    width = shape.width * (1.10 + taper + sway)
    top = np.sqrt(np.clip(1 - ((canvas.v - 0.1) / 1.16) ** 2, 0, 1))
    half = np.where(canvas.v < 0.1, width * top, width)
    half = np.where(top > 0, half, -1)
    off = np.minimum(half - np.abs(canvas.u), bottom + 0.08 * np.cos(6 * canvas.u) - canvas.v)
    colour = np.array(hair_colour(person, age), np.float32) * np.float32(0.72)
    canvas.paint(_ALL, canvas.edge(off, 5), np.clip(strands[..., None] * colour, 0, 1))


def draw_hair(
    canvas: Canvas,
    shape: Proportions,
    age: Ageing,
    person: Identity,
    distance: Array,
    rng: np.random.Generator,
    strands: Array,
) -> None:
    """Paint the hair on the head; it recedes and thins as baldness asks, and is down in babies."""
    u, v = canvas.u, canvas.v
    across = np.abs(u) / np.float32(shape.width)
    volume = 0.07 + 0.06 * person.hair_length * (1 - age.baby) - 0.05 * age.baby
    outer = 1 + volume * smooth_step(v, 0.25, -0.4)
    crown = shape.hairline_y - 0.42 * age.bald
    corner = 0.16 * age.bald + (0.05 if person.masculine else 0.0)
    side_y = shape.eye_y + 0.04 + 0.12 * min(person.hair_length, 0.5) - 0.05 * age.baby
    drop = smooth_step(across, 0.72 + 0.10 * age.bald, 1.0)
    line = np.float32(crown) + np.float32(side_y - crown) * drop
    line -= np.float32(corner) * np.exp(-0.5 * ((across - 0.6) / 0.16) ** 2)
    fringe = 0.14 * (1 - age.bald) * (0.3 + 0.7 * (not person.masculine)) * (1 - 0.5 * age.baby)
    line += np.float32(fringe) * np.exp(
        -0.5 * ((u / np.float32(shape.width) + 0.5 * float(np.sign(person.parting))) / 0.45) ** 2
    )
    ends = rng.standard_normal(128)
    line += 0.014 * np.interp(u, np.linspace(-2.5, 2.5, 128), ends).astype(np.float32)
    below = np.where(across > 0.8, 1.0, smooth_step(line - v, -0.01, 0.06 + 0.05 * age.baby))
    sides = smooth_step(v, side_y + 0.14, side_y)
    hem = smooth_step(distance, *((0.88, 0.97) if person.masculine else (0.80, 0.93)))
    temple = hem * sides
    mask = np.maximum(below * (v < line + 0.02), temple * (v > crown))
    mask = mask * canvas.edge(outer - distance, 6)
    thin: float | Array = 0.97 - 0.60 * age.baby
    if age.bald > 0.35:
        top = smooth_step(v, -0.55, -0.85) * smooth_step(distance, 1.0, 0.75)
        thin = thin * (1 - min(1.0, 1.6 * (age.bald - 0.35)) * top)
    colour = np.array(hair_colour(person, age), np.float32)
    gleam = 0.92 + 0.28 * np.exp(-0.5 * ((distance - 0.80) / 0.10) ** 2) * smooth_step(v, 0, -0.5)
    canvas.paint(_ALL, mask * thin, np.clip((strands * gleam)[..., None] * colour, 0, 1))
    shadow = smooth_step(v - line, 0.16, 0.0) * (v > line) * (distance < 1) * (1 - age.bald)
    canvas.paint(_ALL, shadow * np.float32(0.22), darkened(person.skin, 0.5))


def draw_glasses(canvas: Canvas, shape: Proportions) -> None:
    """Paint thin dark frames with a hint of reflection."""
    frame = (0.13, 0.11, 0.11)
    places = eye_places(canvas, shape)
    half = min(0.24, 0.82 * shape.eye_x)
    for x, y in places:
        window = canvas.window(x, y, 0.4)
        du = np.abs(canvas.u[window] - np.float32(x)) / np.float32(half)
        dv = np.abs(canvas.v[window] - np.float32(y + 0.02)) / np.float32(0.165)
        rim = (du**3 + dv**3) ** np.float32(1 / 3)
        canvas.paint(window, np.exp(-0.5 * ((rim - 1) / 0.055) ** 2) * 0.85, frame)
        canvas.paint(window, smooth_step(rim, 1, 0.9) * 0.05, (0.9, 0.95, 1.0))
    (left, y), (right, _) = places
    window = canvas.window((left + right) / 2, y, 0.3)
    bridge = np.exp(-0.5 * ((canvas.v[window] - np.float32(y - 0.02)) / 0.014) ** 2)
    gap = (right - left) / 2 - half
    between = smooth_step(
        np.abs(canvas.u[window] - np.float32((left + right) / 2)), gap, gap - 0.02
    )
    canvas.paint(window, bridge * between * 0.85, frame)
