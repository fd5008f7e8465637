"""Prepared folders whose images tell their age by brightness: a network learns it in seconds."""

import hashlib

import numpy as np
import pandas as pd
from PIL import Image

from featx.manifest import new_table, write_table


def make_folder(folder, subjects=6, each=4, *, seed=0, dataset="made", ages=(0, 60), **columns):
    """Write crops of 48 × 48 pixels and their image table; returns the table."""
    rng = np.random.default_rng(seed)
    (folder / "crops").mkdir(parents=True)
    rows = []
    for subject in range(subjects):
        for number in range(each):
            age = int(rng.integers(ages[0], ages[1] + 1))
            name = f"{dataset}{subject:02d}_{number}"
            pixels = rng.normal(40 + 2.5 * age, 12, (48, 48, 3)).clip(0, 255).astype(np.uint8)
            crop = f"crops/{name}.png"
            Image.fromarray(pixels).save(folder / crop)
            rows.append(
                {
                    "image": name,
                    "path": f"{name}.png",
                    "crop": crop,
                    "subject": f"{subject:02d}",
                    "age": age,
                    "gender": ("female", "male")[subject % 2],
                    "dataset": dataset,
                    "fold": str(subject % 3),
                    "status": "ok",
                    "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
                }
            )
    table = new_table(pd.DataFrame(rows).assign(**columns))
    write_table(table, folder / "images.csv")
    return table


CASCADE = """\
backbone: onet
weights: mtcnn
seed: 3
stages:
  - name: target
    data:
      tables: [made]
      validation: 0.3
    head: {loss: label-distribution, classes: 0-60, label_sd: 3, expected_value_weight: 0.1}
    optimiser: {name: adamw, learning_rate: 0.002, head_learning_rate: 0.01}
    batch_size: 4
    epochs: 2
    schedule: {name: one-cycle}
    augmentation: {flip: 0.5, rotation: 10, shift: 0.05, scale: [0.9, 1.1], grey: 0.2, erasing: 0.2}
"""


def write_cascade(folder, text=CASCADE):
    """Write a cascade file beside a prepared folder; returns its path."""
    path = folder / "cascade.yaml"
    path.write_text(text, encoding="utf-8")
    return path
