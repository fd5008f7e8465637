"""A small features file whose ages can be told from its features."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from featx.manifest import new_table
from featx.store import FeaturesWriter, Layer


def write_features(
    path: Path, *, n_subjects=8, per_subject=5, units=6, seed=0, spoilt=None, **columns
):
    """Write a features file of one layer, `gap`; ages are a noisy linear function of it.

    The last value of the row `spoilt`, where given, is infinite.
    """
    rng = np.random.default_rng(seed)
    n = n_subjects * per_subject
    X = rng.normal(size=(n, units)).astype(np.float32)
    y = np.round(30 + 8 * X[:, 0] + 4 * X[:, 1] + rng.normal(size=n), 1).clip(0)
    rows = {
        "image": [f"image{row:03d}" for row in range(n)],
        "path": [f"image{row:03d}.png" for row in range(n)],
        "subject": [f"{row // per_subject:03d}" for row in range(n)],
        "age": y,
        "sha256": [f"{row:064x}" for row in range(n)],
        **columns,
    }
    table = new_table(pd.DataFrame(rows))
    X[(table["status"] != "ok").to_numpy()] = np.nan
    if spoilt is not None:
        X[spoilt, -1] = np.inf
    with FeaturesWriter(path, table, [Layer("gap", units, (units,))], {"backbone": "none"}) as out:
        out.append({"gap": X}, status=list(table["status"]), reason=list(table["reason"]))
        out.finish()
    return path


@pytest.fixture
def features(tmp_path):
    return write_features(tmp_path / "features.h5")
