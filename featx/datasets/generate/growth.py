"""How age shows in a face: the skull's growth in childhood, the skin's ageing in adulthood.

The proportions follow the anthropometry behind the revised cardioidal-strain model of Todd et al.
(1980) and Ramanathan and Chellappa ("Modeling age progression in young faces", CVPR 2006): an
infant's cranium is near its adult size while the jaw, the nose and the midface are not, so that
with age the eyes rise from below the middle of the head, the face lengthens and narrows, and eyes
and forehead shrink relative to it. Ageing of skin and hair follows the usual order in time:
expression lines from the thirties, folds and greying from the forties, sagging and spots later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.datasets.generate.identity import Identity


@dataclass(frozen=True)
class Proportions:
    """Places and sizes in face units: 1 is half the head's height, (0, 0) the head's centre.

    The crown lies at y = -1 and the chin at y = 1; y points down and x to the image's right.
    """

    width: float  # half the head's width at the temples
    cheek: float  # half its width at the cheekbones
    jaw: float  # half its width at the corners of the jaw
    jaw_y: float
    chin: float  # half the chin's width
    eye_x: float
    eye_y: float
    eye_width: float  # half of it
    eye_height: float
    iris: float  # radius
    brow_y: float
    nose_y: float  # the tip
    nose_width: float
    nose_relief: float
    mouth_y: float
    mouth_width: float
    lip_height: float
    hairline_y: float
    neck: float


@dataclass(frozen=True)
class Ageing:
    """Signs of age, each from 0 (none) to 1 (as strong as the drawing makes them)."""

    baby: float  # sparse hair and brows, full cheeks
    lines: float  # forehead, frown and crow's feet
    folds: float  # nasolabial folds and marionette lines
    bags: float  # below the eyes
    sagging: float  # lids, jowls
    spots: float
    grey: float
    bald: float
    beard: float


def grown(age: float) -> float:
    """Return how much of the skull's growth is done at an age in years, from 0 to 1."""
    return float(1 - np.exp(-((max(age, 0.0) / 9.5) ** 1.15)))


def proportions(age: float, person: Identity) -> Proportions:
    """Return a person's facial proportions at an age in years."""
    part = grown(age)

    def between(child: float, adult: float) -> float:
        return child + (adult - child) * part

    manly = part * (1.0 if person.masculine else 0.0)
    eye_y = between(0.25, 0.02)
    below = 1 - eye_y  # eyes to chin
    nose_y = eye_y + below * between(0.36, 0.45) * person.nose_length
    mouth_y = eye_y + below * between(0.63, 0.69)
    face = person.face_width
    return Proportions(
        width=between(0.86, 0.735) * face,
        cheek=between(0.85, 0.715) * face,
        jaw=(between(0.67, 0.575) + 0.03 * manly) * face * person.jaw_width,
        jaw_y=between(0.66, 0.58) * person.chin_length,
        chin=(between(0.29, 0.235) + 0.04 * manly) * person.jaw_width,
        eye_x=between(0.37, 0.30) * person.eye_spacing,
        eye_y=eye_y,
        eye_width=between(0.178, 0.142) * person.eye_size,
        eye_height=between(0.098, 0.060) * person.eye_size * person.eye_opening,
        iris=between(0.084, 0.060) * person.eye_size,
        brow_y=eye_y - between(0.20, 0.165) - person.brow_height + 0.02 * manly,
        nose_y=nose_y,
        nose_width=between(0.118, 0.135) * person.nose_width,
        nose_relief=between(0.55, 1.0),
        mouth_y=mouth_y,
        mouth_width=between(0.21, 0.265) * person.mouth_width,
        lip_height=between(0.062, 0.066) * person.lip_height,
        hairline_y=between(-0.52, -0.62) + person.hairline,
        neck=(between(0.38, 0.37) + 0.08 * manly) * face,
    )


def ageing(age: float, person: Identity) -> Ageing:
    """Return the signs of age that a person shows at an age in years."""

    def ramp(start: float, end: float) -> float:
        return float(np.clip((age - start) / (end - start), 0.0, 1.0))

    grey = 1 / (1 + np.exp(-(age - person.greying) / 4.5))
    return Ageing(
        baby=1 - ramp(0.0, 4.0),
        lines=ramp(27.0, 65.0),
        folds=ramp(24.0, 68.0),
        bags=ramp(30.0, 65.0),
        sagging=ramp(38.0, 72.0),
        spots=ramp(42.0, 72.0),
        grey=float(grey),
        bald=ramp(28.0, 62.0) * person.baldness,
        beard=ramp(14.0, 22.0) * person.beard,
    )
