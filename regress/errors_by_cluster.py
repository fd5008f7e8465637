"""The errors of several methods, image by image, and their sums within subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from regress.predictions import Run


@dataclass(frozen=True)
class ErrorTable:
    """Errors of methods on the union of their images.

    Attributes
    ----------
    names : tuple of str
        The methods.
    truth : ndarray of shape (images,)
        True age in years, float64, or true class.
    error : ndarray of shape (images, methods), float64
        Absolute error in years, or by how many classes a prediction is off; 0 where a method has
        no prediction (see `present`).
    present : ndarray of shape (images, methods), bool
        Whether a method predicted the image.
    cluster : ndarray of shape (images,), int
        Index into `clusters`.
    clusters : tuple of str
        The independent units: subjects, an image being its own where its subject is unknown.
    unit : str
        ``subject``, or ``image`` where fewer than two subjects are named.
    named : ndarray of shape (images,), bool
        Whether the image's subject is known.
    images : ndarray of shape (images,), str
        The images' ids.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    error: np.ndarray
    present: np.ndarray
    cluster: np.ndarray
    clusters: tuple[str, ...]
    unit: str
    named: np.ndarray
    images: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum values of shape (images,) or (images, k) within each cluster."""
        sums = np.zeros((len(self.clusters), *values.shape[1:]))
        np.add.at(sums, self.cluster, values)
        return sums

    def total_of(self, images: pd.Series, values: np.ndarray) -> np.ndarray:
        """Sum the values of some images, shape (images, k), within each cluster."""
        sums = np.zeros((len(self.clusters), values.shape[1]))
        rows = pd.Index(self.images).get_indexer(pd.Index(images))
        np.add.at(sums, self.cluster[rows], values)
        return sums

    def n_subjects(self, method: int) -> int:
        """Return how many named subjects a method predicted."""
        return len(np.unique(self.cluster[self.named & self.present[:, method]])) * (
            self.unit == "subject"
        )


def years_off(predictions: pd.DataFrame) -> np.ndarray:
    """Return the absolute errors of predicted ages in years, float64 (n,)."""
    return np.abs(predictions["predicted_age"].to_numpy(float) - predictions["age"].to_numpy(float))


def align_errors(
    runs: Sequence[Run],
    names: Sequence[str],
    label: str = "age",
    error_of: Callable[[pd.DataFrame], np.ndarray] = years_off,
) -> ErrorTable:
    """Line up the predictions of some runs by image.

    Parameters
    ----------
    runs, names : sequences
        The runs, and the name of each.
    label : str
        The column with the truth.
    error_of : callable
        From a predictions table to each row's error.

    Raises
    ------
    FeatxError
        If an image has two predictions in one run, or two runs disagree about its true age or
        its subject.
    """
    facts: pd.DataFrame | None = None
    for run, name in zip(runs, names, strict=True):
        own = run.predictions.set_index("image")[[label, "subject"]]
        doubled = own.index[own.index.duplicated()]
        if len(doubled):
            raise FeatxError(
                f"{run.folder}: image {doubled[0]!r} has more than one prediction in {name}; "
                "compare wants one prediction an image"
            )
        if facts is None:
            facts = own
            continue
        common = own.index.intersection(facts.index)
        for column in (label, "subject"):
            differ = common[(own.loc[common, column] != facts.loc[common, column]).to_numpy()]
            if len(differ):
                image = differ[0]
                earlier = next(r.folder for r in runs if (r.predictions["image"] == image).any())
                raise FeatxError(
                    f"image {image!r} has {column} {facts.loc[image, column]} in {earlier} and "
                    f"{own.loc[image, column]} in {run.folder}: these are not the same images or "
                    "labels, so their errors do not compare; make both from one image table"
                )
        facts = pd.concat([facts, own.loc[own.index.difference(facts.index)]])
    assert facts is not None
    error = np.zeros((len(facts), len(runs)))
    present = np.zeros(error.shape, bool)
    for m, run in enumerate(runs):
        rows = facts.index.get_indexer(pd.Index(run.predictions["image"]))
        error[rows, m] = error_of(run.predictions)
        present[rows, m] = True
    cluster, clusters, unit, named = _clusters(facts)
    return ErrorTable(
        tuple(names),
        facts[label].to_numpy(),
        error,
        present,
        cluster,
        clusters,
        unit,
        named,
        facts.index.to_numpy(str),
    )


def _clusters(facts: pd.DataFrame) -> tuple[np.ndarray, tuple[str, ...], str, np.ndarray]:
    image = facts.index.to_numpy(str)
    subject = facts["subject"].to_numpy(str)
    # `featx regress` gives an image of unknown subject one of its own, called image:ID.
    alone = np.array([f"image:{i}" for i in image], dtype=object)
    named = (subject != "") & (subject != alone)
    if len(set(subject[named].tolist())) < 2:
        codes, labels = pd.factorize(image)
        return codes, tuple(map(str, labels)), "image", named
    codes, labels = pd.factorize(np.where(named, subject.astype(object), alone))
    return codes, tuple(map(str, labels)), "subject", named
