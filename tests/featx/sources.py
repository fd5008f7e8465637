"""Pictures to be prepared, and what a folder holds."""

import numpy as np
import pandas as pd
from PIL import Image

from featx.manifest import new_table
from featx.preparation import CropSettings

WHOLE = CropSettings(detector="none")


def pictures(folder, count, size=(40, 30), seed=0):
    """Write pictures of noise and return their table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = rng.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03d}.png")
    paths = sorted(folder.glob("*.png"))
    return new_table(
        pd.DataFrame({"image": [p.stem for p in paths], "path": map(str, paths), "age": 5.0})
    )


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
