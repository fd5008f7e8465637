"""One made-up face as a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from featx.datasets.generate import features, hair, head
from featx.datasets.generate.canvas import Array, Canvas, Pose, smooth_step
from featx.datasets.generate.growth import Ageing, Proportions, ageing, proportions
from featx.datasets.generate.identity import Colour, Identity, random_identity

_ALL = (slice(None), slice(None))


def random_pose(rng: np.random.Generator) -> Pose:
    """Draw a nearly frontal pose, a light and an expression, as in a family album."""

    def around(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.normal(), -2.0, 2.0))

    return Pose(
        roll=around(0.0, 4.0),
        turn=around(0.0, 0.045),
        nod=around(0.0, 0.025),
        scale=float(rng.uniform(0.31, 0.39)),
        shift=(around(0.0, 0.02), around(0.0, 0.02)),
        light=(around(0.0, 0.35), around(-0.45, 0.12), 0.8),
        ambient=float(rng.uniform(0.40, 0.62)),
        exposure=float(rng.uniform(0.88, 1.08)),
        smile=float(rng.uniform(-0.2, 1.0)),
    )


def draw_face(
    age: float,
    identity: Identity | np.random.Generator,
    *,
    pose: Pose | None = None,
    rng: np.random.Generator | None = None,
    size: tuple[int, int] = (400, 400),
) -> Image.Image:
    """Draw one made-up face.

    Parameters
    ----------
    age : float
        Years, 0 or more; from about 75 on nothing changes any more.
    identity : Identity or numpy.random.Generator
        The person, or a source of chance to draw one from.
    pose : Pose, optional
        Pose, light and expression; frontal by default.
    rng : numpy.random.Generator, optional
        Chance for background, clothes, texture, blur and noise; the same state gives the same
        picture. Seeded with 0 by default.
    size : tuple of int
        Width and height, pixels.

    Returns
    -------
    PIL.Image.Image
        Mode RGB.

    Raises
    ------
    ValueError
        If the age is negative or not a number.
    """
    if not age >= 0:
        raise ValueError(f"age {age} is not a number of years of 0 or more")
    person = random_identity(identity) if isinstance(identity, np.random.Generator) else identity
    rng = np.random.default_rng(0) if rng is None else rng
    canvas = Canvas(size, Pose() if pose is None else pose)
    shape, signs = proportions(age, person), ageing(age, person)
    _background(canvas, rng)
    clothes: Colour = (rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.8))
    strands = hair.hair_strands(canvas, person, rng)
    hair.draw_back_hair(canvas, shape, signs, person, strands)
    hair.draw_body(canvas, shape, person, clothes)
    hair.draw_ears(canvas, shape, person)
    _face(canvas, shape, signs, person, rng, strands)
    if age >= person.glasses:
        hair.draw_glasses(canvas, shape)
    picture = _develop(canvas, rng)
    return Image.fromarray(np.rint(picture * 255).astype(np.uint8))


def face_landmarks(
    age: float, identity: Identity, *, pose: Pose | None = None, size: tuple[int, int] = (400, 400)
) -> np.ndarray:
    """Return where `draw_face` puts the eyes' centres, the nose's tip and the mouth's corners.

    Returns
    -------
    ndarray of float64, shape (5, 2)
        Pixels (x, y) in the order of `featx.manifest.LANDMARKS`.
    """
    canvas = Canvas(size, Pose() if pose is None else pose)
    shape = proportions(age, identity)
    points = [
        *features.eye_places(canvas, shape),
        canvas.place(0.0, shape.nose_y, 0.8),
        *features.mouth_corners(canvas, shape),
    ]
    return np.array([canvas.to_pixels(*point) for point in points])


def _background(canvas: Canvas, rng: np.random.Generator) -> None:
    colour = rng.uniform(0.25, 0.8) + rng.uniform(-0.07, 0.07, 3).astype(np.float32)
    cloud = canvas.clouds(rng, 0.67)
    canvas.colour += colour * (1 + 0.08 * cloud - 0.08 * canvas.v)[..., None]


def _face(
    canvas: Canvas,
    shape: Proportions,
    signs: Ageing,
    person: Identity,
    rng: np.random.Generator,
    strands: Array,
) -> None:
    distance = head.head_distance(canvas, shape)
    inside = canvas.edge((1 - distance) * np.float32(0.8), 2)
    canvas.relief *= 1 - inside
    canvas.solid = np.maximum(canvas.solid, inside)
    head.shape_head(canvas, shape, signs, distance, person)
    head.colour_skin(canvas, shape, signs, person, inside, rng)
    features.draw_lines(canvas, shape, signs, person)
    features.draw_mouth(canvas, shape, signs, person)
    features.draw_nostrils(canvas, shape, person)
    features.draw_eyes(canvas, shape, signs, person)
    features.draw_brows(canvas, shape, signs, person, rng)
    hair.draw_hair(canvas, shape, signs, person, distance, rng, strands)


def _develop(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Light the relief, then blur and grain as a camera and a scanner would."""
    pose = canvas.pose
    relief = gaussian_filter(canvas.relief, 0.018 / canvas.pixel)
    down, right = np.gradient(relief, np.float32(canvas.pixel))
    right *= canvas.solid
    down *= canvas.solid
    light = np.array(pose.light) / np.linalg.norm(pose.light)
    length = np.sqrt(1 + right**2 + down**2)
    facing = np.float32(light[2]) - right * np.float32(light[0]) - down * np.float32(light[1])
    facing = facing / length
    # Wrapped diffuse light, as skin scatters it; 1 where the surface faces the light squarely.
    diffuse = np.clip((facing + 0.35) / 1.35, 0, 1) ** 1.2
    shade = np.float32(pose.ambient) + np.float32(1.12 - pose.ambient) * diffuse
    gleam = 0.10 * np.clip(facing, 0, 1) ** 24 * smooth_step(canvas.relief, 0.2, 0.5)
    picture = (canvas.colour * shade[..., None] + gleam[..., None]) * np.float32(pose.exposure)
    blur = float(rng.uniform(0.6, 1.1)) * min(canvas.u.shape) / 400
    picture = gaussian_filter(picture, (blur, blur, 0))
    grain = rng.standard_normal(picture.shape[:2], dtype=np.float32)
    picture += np.float32(rng.uniform(0.004, 0.016)) * grain[..., None]
    return np.clip(picture, 0, 1)
