from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer

LAYERS = [
    Layer("gap", 8, (8,), module="features.conv", pool="avg"),
    Layer("flattened", 24, (2, 3, 4), module="features.conv", pool="none"),
    Layer("softmax", 3, (3,), module="head", pool="none", classes=(1.0, 2.5, 40.0)),
]
PROVENANCE = {
    "backbone": "vgg16",
    "weights": "imagenet",
    "mean": [0.485, 0.456, 0.406],
    "flip": False,
    "seed": 3,
    "scale": 0.25,
    "text_like_a_number": "007",
    "digits": "42",
    "nothing": None,
    "non_ascii": "Zürich 写真",
}


def make_table(n: int) -> pd.DataFrame:
    return new_table(
        pd.DataFrame(
            {
                "image": [f"bild-é{i:04d}" for i in range(n)],
                "path": [f"{i}.jpg" for i in range(n)],
                "subject": [f"s{i // 3}" for i in range(n)],
                "age": ["" if i % 5 == 4 else i for i in range(n)],
                "gender": ["f" if i % 2 else "" for i in range(n)],
                "dataset": ["写真"] * n,
                "sha256": [f"{i:064x}" for i in range(n)],
            }
        )
    )


def make_rows(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = {layer.name: rng.normal(size=(n, layer.units)) for layer in LAYERS}
    return {name: np.where(v > 0.8, v, 0).astype(np.float32) for name, v in rows.items()}


def cut(rows: dict[str, np.ndarray], start: int, stop: int) -> dict[str, np.ndarray]:
    return {name: values[start:stop] for name, values in rows.items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished file of n rows in batches of one size."""

    def write(n: int = 40, batch: int = 16, name: str = "features.h5", **options: Any) -> Path:
        path, rows = tmp_path / name, make_rows(n)
        with FeaturesWriter(path, make_table(n), LAYERS, PROVENANCE, **options) as writer:
            for start in range(0, n, batch):
                writer.append(cut(rows, start, start + batch))
            writer.finish()
        return path

    return write
