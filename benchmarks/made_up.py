"""Images for the benchmarks: made up from a seed, of the size of a photograph's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from featx.file_hash import file_sha256
from featx.manifest import new_table, write_table

CLASSES = 91


def picture(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Return soft random shapes with a little grain; as a JPEG it has a photograph's bytes."""
    height, width = size
    coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.normal(0, 4, soft.shape)
    return Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8))


def make_images(
    folder: Path, n: int, size: tuple[int, int], *, files: int | None = None, seed: int = 0
) -> Path:
    """Write JPEGs and their image table, and return the table's path.

    Parameters
    ----------
    folder : Path
        It is made.
    n : int
        Rows of the table, each a subject of its own, with an age.
    size : tuple of int
        Height and width of the images in pixels.
    files : int, optional
        Different images; rows share them in turn. By default one a row.
    seed : int
        Decides pixels and ages.
    """
    rng = np.random.default_rng(seed)
    (folder / "crops").mkdir(parents=True)
    made = []
    for number in range(min(n, files or n)):
        crop = f"crops/{number}.jpg"
        picture(rng, size).save(folder / crop, quality=90)
        made.append({"path": crop, "crop": crop, "sha256": file_sha256(folder / crop)})
    rows = pd.DataFrame([made[number % len(made)] for number in range(n)]).assign(
        image=[str(number) for number in range(n)],
        subject=[str(number) for number in range(n)],
        age=rng.integers(0, CLASSES, n),
        dataset="random",
        status="ok",
    )
    table = folder / "images.csv"
    write_table(new_table(rows), table)
    return table
