"""A folder of made-up faces named and filed as FG-NET's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from featx.atomic import writing
from featx.datasets.generate.canvas import Pose
from featx.datasets.generate.drawing import draw_face, random_pose
from featx.datasets.generate.identity import Identity, random_identity
from featx.errors import FeatxError

#: The oldest age in years, as in FG-NET.
OLDEST = 69
#: FG-NET has 175 grey pictures among its 1,002.
GREY_SHARE = 0.17


def generate_fgnet(
    folder: str | Path,
    *,
    subjects: int = 12,
    images_per_subject: int = 8,
    seed: int = 0,
    size: tuple[int, int] = (400, 400),
) -> Path:
    """Write a made-up face collection in FG-NET's layout: ``images/001A02.JPG`` and so on.

    A file's name holds the subject (three digits) and the age in years (two digits), with a
    letter where a subject has several pictures of one age (``001A43a.JPG``, ``001A43b.JPG``).
    The same arguments give the same bytes under the same versions of NumPy, SciPy and Pillow.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing; ``images`` inside it must hold no pictures yet, or only ones
        with the names that are to be written, which are replaced.
    subjects : int
        How many people, 1 to 999.
    images_per_subject : int
        How many pictures of each, 1 to 200, at ages from 0 to 69.
    seed : int
        Seeds all chance; each person depends on it and on their number alone.
    size : tuple of int
        Width and height of the pictures, pixels; each side varies by up to 15 %, as FG-NET's do.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    FeatxError
        If an argument is out of range, foreign pictures are in the way, or the disk is full.
    """
    _check("subjects", subjects, 1, 999)
    _check("images_per_subject", images_per_subject, 1, 200)
    _check("seed", seed, 0, None)
    for side in size:
        _check("size", side, 64, 4096)
    folder = Path(folder)
    pictures = [
        picture
        for subject in range(1, subjects + 1)
        for picture in _album(subject, images_per_subject, seed, size)
    ]
    images = folder / "images"
    _check_foreign(images, {name for name, *_ in pictures})
    for name, age, person, pose, shape, picture_seed in pictures:
        rng = np.random.default_rng(picture_seed)
        face = draw_face(age, person, pose=pose, rng=rng, size=shape)
        _save(face, images / name, rng)
    return folder


_Picture = tuple[str, int, Identity, Pose, tuple[int, int], np.random.SeedSequence]


def _album(subject: int, count: int, seed: int, size: tuple[int, int]) -> list[_Picture]:
    root = np.random.SeedSequence([seed, subject])
    own, *seeds = root.spawn(1 + count)
    rng = np.random.default_rng(own)
    person = random_identity(rng)
    # Stratified, so that even a small set spans childhood to old age; young ages are more common.
    quantiles = (np.arange(count) + rng.uniform(0, 1, count)) / count
    ages = np.minimum((OLDEST + 1) * quantiles**1.5, OLDEST).astype(int)
    names, again = [], dict.fromkeys(ages.tolist(), 0)
    for age in ages.tolist():
        alone = int((ages == age).sum()) == 1
        names.append(f"{subject:03d}A{age:02d}{'' if alone else _letters(again[age])}.JPG")
        again[age] += 1
    shapes = np.rint(np.array(size) * rng.uniform(0.85, 1.15, (count, 2))).astype(int)
    return [
        (name, age, person, random_pose(rng), (int(shape[0]), int(shape[1])), picture_seed)
        for name, age, shape, picture_seed in zip(names, ages.tolist(), shapes, seeds, strict=True)
    ]


def _letters(number: int) -> str:
    return chr(ord("a") + number)


def _save(face: Image.Image, path: Path, rng: np.random.Generator) -> None:
    if rng.random() < GREY_SHARE:
        face = face.convert("L")
    quality = int(rng.integers(70, 96))
    with writing(path) as temporary:
        face.save(temporary, format="JPEG", quality=quality)


def _check(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        limits = f"{low} or more" if high is None else f"{low} to {high}"
        raise FeatxError(f"{name} is {value}; give {limits}")


def _check_foreign(images: Path, names: set[str]) -> None:
    """Refuse to mix made-up pictures with others, which a reader would take for the same set."""
    if not images.is_dir():
        return
    foreign = sorted(
        path.name
        for path in images.iterdir()
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"} and path.name not in names
    )
    if foreign:
        raise FeatxError(
            f"{images} already holds other pictures ({foreign[0]}, {len(foreign)} in all); "
            "give a new folder"
        )
