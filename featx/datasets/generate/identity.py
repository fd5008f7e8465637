"""What makes one made-up person differ from another, whatever their age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

# sRGB, 0 to 1: skin from light to dark (roughly Fitzpatrick I to VI), and hair and eyes by name.
SKIN: tuple[Colour, ...] = (
    (0.94, 0.80, 0.72),
    (0.90, 0.74, 0.63),
    (0.83, 0.66, 0.53),
    (0.72, 0.54, 0.41),
    (0.58, 0.41, 0.30),
    (0.44, 0.30, 0.22),
)
HAIR: tuple[Colour, ...] = (
    (0.09, 0.07, 0.06),
    (0.19, 0.12, 0.08),
    (0.32, 0.20, 0.12),
    (0.48, 0.24, 0.12),
    (0.66, 0.50, 0.28),
)
EYES: tuple[Colour, ...] = (
    (0.22, 0.12, 0.07),
    (0.33, 0.20, 0.10),
    (0.35, 0.36, 0.18),
    (0.28, 0.42, 0.52),
    (0.36, 0.44, 0.46),
)


@dataclass(frozen=True)
class Identity:
    """One made-up person: everything about the face that age does not decide.

    Factors around 1 multiply the proportions that `featx.datasets.generate.growth` gives for an
    age; shifts are in face units (half the height of the head); colours are sRGB from 0 to 1.
    """

    masculine: bool
    skin: Colour
    hair: Colour
    eyes: Colour
    face_width: float = 1.0
    jaw_width: float = 1.0
    chin_length: float = 1.0
    eye_spacing: float = 1.0
    eye_size: float = 1.0
    eye_opening: float = 1.0
    eye_tilt: float = 0.0
    brow_height: float = 0.0
    brow_thickness: float = 1.0
    brow_arch: float = 1.0
    nose_width: float = 1.0
    nose_length: float = 1.0
    mouth_width: float = 1.0
    lip_height: float = 1.0
    ear_size: float = 1.0
    hair_length: float = 0.0  # 0 cropped, 1 down to the shoulders
    hairline: float = 0.0
    parting: float = 0.0  # where the fringe parts, -1 to 1
    curl: float = 0.3
    baldness: float = 0.0  # 0 never loses hair, 1 bald by about 60
    greying: float = 50.0  # years of age at which half of the hair is grey
    beard: float = 0.0  # density of the beard's shadow in adulthood
    glasses: float = 200.0  # years of age from which glasses are worn
    freckles: float = 0.0


def random_identity(rng: np.random.Generator) -> Identity:
    """Draw a person.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of chance; the same state gives the same person.
    """
    masculine = bool(rng.random() < 0.5)

    def around(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.normal(), -2.0, 2.0))

    tone = float(rng.beta(1.1, 1.6)) * (len(SKIN) - 1)
    darkest_hair = max(0, round((3.2 - tone) * len(HAIR) / 3.2))
    hair = HAIR[int(rng.integers(0, max(1, min(darkest_hair, len(HAIR)))))]
    eyes = EYES[int(rng.integers(0, len(EYES) if tone < 2.2 else 2))]
    long_hair = 0.0 if masculine else float(rng.choice([0.15, 0.6, 1.0], p=[0.25, 0.3, 0.45]))
    return Identity(
        masculine=masculine,
        skin=blend_scale(SKIN, tone),
        hair=hair,
        eyes=eyes,
        face_width=around(1.0, 0.035),
        jaw_width=around(1.03 if masculine else 0.99, 0.03),
        chin_length=around(1.02 if masculine else 0.98, 0.02),
        eye_spacing=around(1.0, 0.04),
        eye_size=around(0.97 if masculine else 1.04, 0.05),
        eye_opening=around(0.95 if masculine else 1.05, 0.08),
        eye_tilt=around(0.03, 0.04),
        brow_height=around(0.0, 0.015),
        brow_thickness=around(1.15 if masculine else 0.8, 0.15),
        brow_arch=around(0.8 if masculine else 1.2, 0.25),
        nose_width=around(1.06 if masculine else 0.97, 0.09),
        nose_length=around(1.0, 0.04),
        mouth_width=around(1.0, 0.06),
        lip_height=around(0.95 if masculine else 1.1, 0.12),
        ear_size=around(1.0, 0.08),
        hair_length=long_hair,
        hairline=around(0.0, 0.03),
        parting=float(rng.uniform(-0.6, 0.6)),
        curl=float(rng.uniform(0.1, 1.0)),
        baldness=float(rng.beta(1.5, 1.5)) if masculine else 0.0,
        greying=around(50.0, 4.0),
        beard=float(rng.choice([0.25, 0.5, 1.0], p=[0.5, 0.3, 0.2])) if masculine else 0.0,
        glasses=float(rng.choice([12.0, 45.0, 200.0], p=[0.08, 0.15, 0.77])),
        freckles=float(rng.random() < 0.2) if tone < 1.5 else 0.0,
    )


def blend_scale(scale: tuple[Colour, ...], position: float) -> Colour:
    """Return the colour at a fractional position of a scale of colours, in sRGB."""
    low = min(int(position), len(scale) - 2)
    part = position - low
    red, green, blue = (
        (1 - part) * a + part * b for a, b in zip(scale[low], scale[low + 1], strict=True)
    )
    return (float(red), float(green), float(blue))
