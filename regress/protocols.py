"""Evaluation protocols: who is tested on a model that never saw them.

Every protocol is a scikit-learn splitter; `plan_folds` turns one into named folds and proves them
disjoint (the subject firewall).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from featx.errors import FeatxError, unknown

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator

PROTOCOLS = ("lopo", "kfold:K", "folds", "holdout:F")


@dataclass(frozen=True)
class Fold:
    """One fold of a protocol; `train` and `test` are row indices, sorted (int64)."""

    name: str
    train: np.ndarray
    test: np.ndarray


def with_subjects(images: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of some rows in which a row without a subject is a subject of its own."""
    nobody = images["subject"] == ""
    return images.assign(subject=images["subject"].where(~nobody, "image:" + images["image"]))


def check_named(protocol: str, images: int, nameless: int, where: str) -> None:
    """Refuse to leave out one person where no image tells whose it is.

    Parameters
    ----------
    protocol : str
        See `splitter`.
    images, nameless : int
        How many there are, and of how many the subject is unknown.
    where : str
        What they are of, for the message.

    Raises
    ------
    FeatxError
        If every fold would be an image.
    """
    if protocol == "lopo" and nameless == images:
        raise FeatxError(
            f"{where} names no subjects, so no person can be left out; use --protocol kfold:5, or "
            "give the table a subject column"
        )


def splitter(protocol: str, images: pd.DataFrame, seed: int = 0) -> BaseCrossValidator:
    """Return the scikit-learn splitter of a protocol.

    Parameters
    ----------
    protocol : str
        ``lopo`` (leave one person out), ``kfold:K`` (subject-exclusive, shuffled by `seed`),
        ``folds`` (the data set's official folds) or ``holdout:F`` (a share F of the subjects).
    images : pandas.DataFrame
        The rows to split, with ``subject`` and, for ``folds``, ``fold``.
    seed : int
        Shuffles ``kfold`` and ``holdout``.

    Raises
    ------
    FeatxError
        If the protocol is unknown, its number is out of range, or subjects or folds are too few.
    """
    from sklearn.model_selection import (
        GroupKFold,
        GroupShuffleSplit,
        LeaveOneGroupOut,
        PredefinedSplit,
    )

    name, _, argument = protocol.partition(":")
    n_subjects = images["subject"].nunique()
    if name == "lopo" and not argument:
        _need(n_subjects, 2, "lopo")
        return LeaveOneGroupOut()
    if name == "kfold":
        k = int(argument) if argument.isdigit() else 0
        if k < 2:
            raise FeatxError(f"--protocol {protocol}: give two folds or more, as kfold:5")
        _need(n_subjects, k, protocol)
        return GroupKFold(n_splits=k, shuffle=True, random_state=seed)
    if name == "folds" and not argument:
        empty = int((images["fold"] == "").sum())
        if empty == len(images):
            raise FeatxError("--protocol folds: this file has no official folds; use kfold:5")
        if empty:
            first = images.loc[images["fold"] == "", "image"].iloc[0]
            raise FeatxError(
                f"--protocol folds: {empty} images have no fold (first: {first!r}); "
                "give each one, or mark them as excluded in the image table"
            )
        codes = pd.factorize(images["fold"], sort=True)[0]
        if codes.max() < 1:
            raise FeatxError("--protocol folds: there is one official fold only; use kfold:5")
        return PredefinedSplit(codes)
    if name == "holdout":
        try:
            share = float(argument)
        except ValueError:
            share = 0.0
        if not 0 < share < 1:
            raise FeatxError(f"--protocol {protocol}: give a share between 0 and 1, as holdout:0.2")
        _need(n_subjects, 2, protocol)
        return GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    raise unknown("protocol", protocol, PROTOCOLS)


def _need(subjects: int, folds: int, protocol: str) -> None:
    if subjects < folds:
        raise FeatxError(
            f"--protocol {protocol} needs at least {folds} subjects and the file has {subjects}; "
            "lower the number of folds or add subjects"
        )


def plan_folds(protocol: str, images: pd.DataFrame, seed: int = 0) -> list[Fold]:
    """Return the folds of a protocol over some images, proven subject-exclusive.

    Parameters
    ----------
    protocol, seed
        As `splitter`.
    images : pandas.DataFrame
        The rows to split: ``image``, ``subject``, ``fold``, ``sha256`` (empty: unknown).

    Returns
    -------
    list of Fold
        Under ``lopo`` and ``folds`` named by the subject or official fold, else by number;
        the test sets are disjoint and, but for ``holdout``, cover every row.

    Raises
    ------
    FeatxError
        As `splitter`, and if a subject or a byte-identical image is on both sides of a fold.
    """
    split = splitter(protocol, images, seed)
    rows = np.zeros((len(images), 1))
    groups = None if protocol == "folds" else images["subject"]
    folds = []
    for number, (train, test) in enumerate(split.split(rows, groups=groups)):
        name = {"lopo": "subject", "folds": "fold"}.get(protocol)
        label = str(images[name].iloc[test[0]]) if name else str(number)
        fold = Fold(label, np.sort(train), np.sort(test))
        assert_disjoint(images, fold)
        folds.append(fold)
    return folds


def assert_disjoint(images: pd.DataFrame, fold: Fold) -> None:
    """Prove that no subject and no byte-identical image is on both sides of a fold.

    Raises
    ------
    FeatxError
        Naming the fold and the subjects or images that are on both sides.
    """
    for column, what in (("subject", "subject"), ("sha256", "byte-identical image")):
        values = images[column].to_numpy()
        both = np.intersect1d(values[fold.train], values[fold.test])
        both = both[both != ""]
        if len(both):
            if column == "sha256":
                both = images.loc[images["sha256"].isin(both), "image"].to_numpy()
            some = ", ".join(map(str, both[:5])) + (", …" if len(both) > 5 else "")
            raise FeatxError(
                f"fold {fold.name}: {what} on both sides of the split: {some}; "
                "mend the table's subjects or folds"
            )


def split_hash(images: pd.DataFrame, folds: list[Fold]) -> str:
    """Return a SHA-256 over who is tested in which fold, and with what true age.

    Two runs with equal hashes were tested on the same images, ages and folds, and so may be
    compared. The order of rows does not matter.
    """
    names = images["image"].to_numpy()
    ages = images["age"].to_numpy(float)
    lines = sorted(
        f"{names[row]}\t{ages[row]!r}\t{fold.name}" for fold in folds for row in fold.test.tolist()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
