"""What a regressor is given of a features file: rows fit to be used, and who they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.store import FeaturesFile
from featx.store.tools.verification import warn_if_changed
from regress.predictions import label_columns
from regress.protocols import with_subjects


@dataclass(frozen=True)
class LayerData:
    """The usable rows of one layer.

    Attributes
    ----------
    X : numpy.ndarray, float32, shape (n_images, n_units)
        Features.
    images : pandas.DataFrame, n_images rows
        ``image``, ``subject``, ``age`` (years), ``fold``, ``sha256``; ``gender`` where known.
    source : dict
        File name, layer hash and provenance of the features.
    counts : dict
        Rows in all, rows used, rows by status.
    classes : tuple
        What each unit's probability is of, where the layer is of class probabilities.
    """

    layer: str
    X: np.ndarray
    images: pd.DataFrame
    source: dict[str, Any]
    counts: dict[str, Any]
    classes: tuple[float | str, ...] = ()

    @property
    def y(self) -> np.ndarray:
        """Ages in years, float64."""
        return self.images["age"].to_numpy(float)

    @property
    def groups(self) -> np.ndarray:
        """Subjects, as text."""
        return self.images["subject"].to_numpy(str)


def usable_rows(images: pd.DataFrame) -> np.ndarray:
    """Return which rows have features and an age, as a mask (bool)."""
    return ((images["status"] == "ok") & images["age"].notna()).to_numpy(bool)


def load_layer(path: str | Path, layer: str) -> LayerData:
    """Read the usable rows of a layer of a features file.

    A row without a subject becomes a subject of its own.

    Raises
    ------
    FeatxError
        If the file or layer cannot be read or is but a shard, its values are not those that were
        written, no row is usable, or a feature is not finite.
    """
    with FeaturesFile(path) as features:
        if features.shard is not None:
            raise FeatxError(
                f"{path} is shard {features.shard} of a features file; join the shards with "
                "`featx merge`, and give the file that it writes"
            )
        images = features.images
        keep = usable_rows(images)
        if not keep.any():
            raise FeatxError(
                f"{path}: none of its {len(images)} rows has status ok and an age; "
                "nothing to regress on"
            )
        X = features.read_checked(layer, keep)
        warn_if_changed(features.hdf5, path, images, list(features.layers.values()))
        classes = features.layers[layer].classes
        source = {
            "file": Path(path).name,
            "layer_sha256": features.layer_sha256(layer),
            "provenance": dict(features.provenance),
            "context": dict(features.context),
        }
    used = images.loc[keep].reset_index(drop=True)
    _check_finite(X, used, path, layer)
    nobody = used["subject"] == ""
    used = with_subjects(used)
    by_status = images["status"].value_counts().sort_index()
    counts = {
        "total": len(images),
        "evaluated": len(used),
        "by_status": {str(status): int(n) for status, n in by_status.items()},
        "ok_without_age": int(((images["status"] == "ok") & images["age"].isna()).sum()),
        "without_subject": int(nobody.sum()),
    }
    columns = [*label_columns(used), "fold", "sha256"]
    return LayerData(layer, X, used[columns], source, counts, classes)


def _check_finite(X: np.ndarray, images: pd.DataFrame, path: str | Path, layer: str) -> None:
    for start in range(0, len(X), 4096):
        bad = np.flatnonzero(~np.isfinite(X[start : start + 4096]).all(axis=1))
        if len(bad):
            image = images["image"].iloc[start + int(bad[0])]
            raise FeatxError(
                f"{path}: layer {layer!r} of image {image!r} has NaN or infinite values; "
                "extract it again, in --precision fp32"
            )
