"""The class probabilities of one method: ``probabilities.h5`` beside its predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError
from regress.fold_records import fold_stem
from regress.predictions import Run, read_csv

_FILE = "probabilities.h5"


@dataclass(frozen=True)
class Probabilities:
    """The class probabilities of some images.

    Attributes
    ----------
    classes : numpy.ndarray, shape (classes,)
        Years as float64, or names of groups as text.
    values : numpy.ndarray, float64, shape (images, classes)
        One row an image of the run's table, in its order; each sums to 1.
    """

    classes: np.ndarray
    values: np.ndarray


def write_probabilities(folder: Path, folds: Iterable[str]) -> bool:
    """Join the folds' class probabilities in ``probabilities.h5``; False where there are none.

    The file has ``/image`` (text), ``/class`` (years, or names as text; the union of the folds'
    classes) and ``/probability`` (image, class); a class that a fold never trained on has
    probability 0.
    """
    import h5py

    pieces = []
    for fold in folds:
        path = folder / "folds" / f"{fold_stem(fold)}.npz"
        if not path.is_file():
            return False
        with np.load(path, allow_pickle=False) as piece:
            names = read_csv(path.with_suffix(".csv"))["image"].tolist()
            pieces.append((names, piece["classes"], piece["probabilities"]))
    if not pieces:
        return False
    classes = pieces[0][1]
    if not _named(classes):
        classes = np.unique(np.concatenate([own for _, own, _ in pieces]))
    elif any(list(own) != list(classes) for _, own, _ in pieces):
        raise FeatxError(
            f"{folder}: its folds name different classes; run it again without --resume"
        )
    images = [name for names, _, _ in pieces for name in names]
    joined = np.zeros((len(images), len(classes)), np.float32)
    row = 0
    for names, own, values in pieces:
        joined[row : row + len(names), pd.Index(classes).get_indexer(own)] = values
        row += len(names)
    with writing(folder / _FILE) as temporary, h5py.File(temporary, "w") as file:
        image = file.create_dataset("image", data=images, dtype=h5py.string_dtype())
        if _named(classes):
            scale = file.create_dataset("class", data=classes.tolist(), dtype=h5py.string_dtype())
        else:
            scale = file.create_dataset("class", data=classes.astype(float))
            scale.attrs["units"] = "years"
        image.make_scale("image")
        scale.make_scale("class")
        values = file.create_dataset("probability", data=joined, compression="gzip")
        values.dims[0].attach_scale(image)
        values.dims[1].attach_scale(scale)
    return True


def _named(classes: np.ndarray) -> bool:
    """Tell whether classes are names of groups, which are the same in every fold."""
    return classes.dtype.kind == "U"


def has_probabilities(run: Run) -> bool:
    """Tell whether a run has class probabilities."""
    return bool(run.info.get("probabilities")) and (run.folder / _FILE).is_file()


def probabilities_sha256(run: Run) -> str:
    """Return the SHA-256 of a run's class probabilities' file."""
    return hashlib.sha256((run.folder / _FILE).read_bytes()).hexdigest()


def read_probabilities(run: Run) -> Probabilities:
    """Read a run's class probabilities, lined up with its table by image.

    Raises
    ------
    FeatxError
        If the run has none, an image has no row or two, or a row does not sum to 1.
    """
    import h5py

    path = run.folder / _FILE
    if not has_probabilities(run):
        raise FeatxError(f"{run.method} ({run.folder}) has no class probabilities")
    try:
        with h5py.File(path) as file:
            images = file["image"].asstr()[()]
            text = h5py.check_string_dtype(file["class"].dtype) is not None
            classes = np.array(file["class"].asstr()[()], str) if text else file["class"][()]
            values = file["probability"][()].astype(float)
    except (OSError, KeyError) as error:
        raise FeatxError(f"cannot read {path}: {error}; run it again with --resume") from None
    index, wanted = pd.Index(images), pd.Index(run.predictions["image"])
    for names, told in ((index, path), (wanted, run.folder / "predictions.csv")):
        if names.duplicated().any():
            raise FeatxError(f"{told}: image {names[names.duplicated()][0]!r} is there twice")
    rows = index.get_indexer(wanted)
    if (rows < 0).any():
        raise FeatxError(
            f"{path} has no row for image {wanted[int(np.flatnonzero(rows < 0)[0])]!r} of "
            "predictions.csv; run it again with --resume"
        )
    values = values[rows]
    odd = ~(np.abs(values.sum(axis=1) - 1) < 1e-3)
    if odd.any():
        raise FeatxError(
            f"{path}: the probabilities of image {wanted[int(np.flatnonzero(odd)[0])]!r} do not "
            "sum to 1"
        )
    return Probabilities(classes, values)
