"""Crops with a row of each kind among them, and the image table over them."""

import numpy as np
import pandas as pd
from PIL import Image


def make_table(folder, n=30, size=(112, 112)):
    """Write n crops of smooth random colours, n above 14, and their table."""
    draw = np.random.default_rng(7)
    rows = []
    for i in range(n):
        coarse = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{i}.png")
        rows.append({"image": f"im{i}", "path": f"src/{i}.jpg", "crop": f"{i}.png", "age": i})
    table = pd.DataFrame(rows).assign(status="ok", reason="", subject="s")
    table.loc[3, ["status", "reason", "crop"]] = ["no_face", "no face found", ""]
    table.loc[8, "status"] = "duplicate"
    table.loc[9, "reason"] = "two faces; largest taken"
    (folder / "11.png").write_bytes((folder / "11.png").read_bytes()[:300])
    (folder / "12.png").write_bytes(b"")
    (folder / "13.png").unlink()
    table.loc[14, ["crop", "path"]] = ["", "14.png"]  # a picture that is a crop already
    table.to_csv(folder / "images.csv", index=False)
    return folder / "images.csv"
