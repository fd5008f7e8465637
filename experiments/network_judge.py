"""A fine-tuned network that judges the labels of images, none of which it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from featx import extraction
from featx.errors import FeatxError
from featx.prediction.model import Model, load_model
from featx.prepared import crop_settings
from featx.store import FeaturesFile
from featx.trained_on import NOT_TOLD
from featx.training.images.hashes import fill_hashes
from regress.probabilities import Probabilities

#: The network's class probabilities in the output folder: a features file of the one layer.
FILE = "softmax.h5"


@dataclass(frozen=True)
class NetworkJudge:
    """A fine-tuned network.

    Attributes
    ----------
    model : Model
        With an age head that tells class probabilities.
    path : Path
        The image table whose labels are judged.
    table : pandas.DataFrame
        As read from there.
    seen : numpy.ndarray
        bool, shape (rows,): images that the network has seen, or whose person it has.
    options : dict
        Of `featx.extraction.plan`: device, batch_size, workers, precision.
    """

    model: Model
    path: Path
    table: pd.DataFrame
    seen: np.ndarray
    options: dict[str, Any]
    quick: ClassVar[bool] = False

    @property
    def source(self) -> Path:
        """The network's file."""
        return self.model.path

    @property
    def classes(self) -> np.ndarray:
        """Years, or names of groups."""
        spec = self.model.specs["age"]
        return np.array(spec.groups) if spec.groups else np.array(spec.classes, float)

    @property
    def caveats(self) -> Sequence[str]:
        """Where the table's crops were made in another way than the network's."""
        (own,) = crop_settings([self.path])
        trained = [crop for crop in self.model.network.provenance.get("crops", ()) if crop]
        if own is None or not trained or _told(own) in map(_told, trained):
            return ()
        return (
            f"the table's crops were made otherwise ({_told(own)}) than those that the network was "
            f"trained on ({_told(trained[0])})",
        )

    def describe(self) -> dict[str, Any]:
        """Return what it is, as JSON values."""
        told = {k: v for k, v in self.model.describe().items() if k != "file"}
        return {"kind": "network", **told, "precision": self.options.get("precision", "fp32")}

    def unheard(self) -> np.ndarray:
        """Return why each row of the table is not to be judged, empty where it may be."""
        return np.where(self.seen, "the network was trained on it or its person", "").astype(object)

    def probabilities(self, out: Path, *, resume: bool) -> tuple[Probabilities, np.ndarray]:
        """Return the table's rows' probabilities, and why a row has none."""
        plan = extraction.plan(
            self.path,
            backbone=self.model.network.backbone.name,
            weights=str(self.model.path),
            layers=["softmax"],
            **self.options,
        )
        extraction.run(plan, out / FILE, resume=resume, progress=True)
        with FeaturesFile(out / FILE) as file:
            values = file.read("softmax").astype(float)
            unread = ("cannot be read: " + file.images["reason"]).to_numpy(object)
        values[self.seen] = np.nan
        return Probabilities(self.classes, values), np.where(self.seen, self.unheard(), unread)


def judge_by_network(
    source: Path, path: Path, table: pd.DataFrame, *, leave_seen: bool, **options: Any
) -> NetworkJudge:
    """Let a fine-tuned network judge.

    Parameters
    ----------
    source : Path
        Its file, or its stage's folder.
    path, table
        The image table.
    leave_seen : bool
        Leave images that it has seen, and other images of people whom it has seen, unjudged; by
        default they are an error.
    **options
        As of `NetworkJudge`.

    Raises
    ------
    FeatxError
        As `load_model`; if it tells no probabilities of ages, does not tell whom it was trained on,
        or was trained on images, or people, of the table.
    """
    model = load_model(source)
    spec = model.specs.get("age")
    if spec is None:
        raise FeatxError(f"--by {model.path}: it tells gender only; give a network of ages")
    if spec.kind == "regression":
        raise FeatxError(
            f"--by {model.path}: a network of plain regression (loss l1) has no class "
            "probabilities; give one with another loss"
        )
    known = model.network.trained_on
    if known is None:
        raise FeatxError(f"--by {model.path} {NOT_TOLD}")
    usable = (table["status"] == "ok").to_numpy()
    hashed = fill_hashes(table, path.parent)
    overlap = known.overlap(hashed[usable])
    if overlap and not leave_seen:
        raise FeatxError(
            f"--by {model.path}: the network was trained on {overlap}: no image may judge "
            "itself; judge by out-of-fold predictions (featx finetune --protocol), "
            "train it without them (data.without), or leave them unjudged (--leave-seen)"
        )
    images, people = known.among(hashed)
    return NetworkJudge(model, path, table, (images | people) & usable, options)


def _told(crop: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(crop.items()) if key != "max_pixels")
