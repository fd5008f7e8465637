"""What a stage's cascade file says of its data, as images ready to train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from featx.errors import FeatxError
from featx.heads import HeadSpec
from featx.training.samples import (
    Labels,
    Samples,
    apply_filter,
    check_disjoint,
    label,
    nearest,
    read_samples,
)
from featx.training.split import split_off

if TYPE_CHECKING:
    from featx.backbones import Backbone
    from featx.training.cascade_file import DataSpec, Stage


@dataclass(frozen=True)
class StageData:
    """The images of a stage, split.

    Attributes
    ----------
    train, validation : Samples
        `validation` is None where the stage has none.
    """

    train: Samples
    validation: Samples | None

    def digest(self) -> str:
        """Return a hash of who is trained on and who validates, with their labels."""
        validation = self.validation.digest() if self.validation else ""
        return f"{self.train.digest()}:{validation}"


def stage_samples(data: DataSpec) -> Samples:
    """Read a stage's tables and apply its filter.

    Raises
    ------
    FeatxError
        As `read_samples` and `apply_filter`.
    """
    samples = apply_filter(read_samples(data.tables), data.filter)
    if not data.without:
        return samples
    return leave_out(samples, read_samples(data.without))


def names_tables(data: DataSpec) -> bool:
    """Tell whether a stage validates on tables of their own."""
    return data.validation is not None and getattr(data.validation, "tables", None) is not None


def leave_out(samples: Samples, others: Samples) -> Samples:
    """Return the rows whose person and bytes are not among other samples.

    Raises
    ------
    FeatxError
        If none is left.
    """
    table, other = samples.table, others.table
    people = set(zip(other["dataset"], other["subject"], strict=True))
    known = table["subject"] != ""
    own = zip(table["dataset"], table["subject"], strict=True)
    same_person = known & np.array([pair in people for pair in own], bool)
    same_bytes = table["sha256"].isin(set(other["sha256"]) - {""})
    keep = np.flatnonzero(~(same_person | same_bytes).to_numpy())
    if not len(keep):
        raise FeatxError("data.without leaves no image of data.tables; give other tables")
    return samples.take(keep)


def split_stage(samples: Samples, data: DataSpec, seed: int, name: str) -> StageData:
    """Split a stage's images into training and validation, and prove them apart.

    Raises
    ------
    FeatxError
        If a side is empty, or a person or picture is on both.
    """
    wanted = data.validation
    if wanted is None:
        return StageData(samples, None)
    try:
        if isinstance(wanted, float):
            train, held_out = split_off(samples, wanted, seed)
            split = StageData(samples.take(train), samples.take(held_out))
        elif wanted.fold is not None:
            inside = samples.table["fold"].isin(wanted.fold).to_numpy()
            if not inside.any() or inside.all():
                raise FeatxError(
                    f"{int(inside.sum())} of {len(samples)} images are in the folds "
                    f"{', '.join(wanted.fold)} that data.validation names; name others"
                )
            rows = np.flatnonzero(~inside), np.flatnonzero(inside)
            split = StageData(samples.take(rows[0]), samples.take(rows[1]))
        else:
            assert wanted.tables is not None
            held = apply_filter(read_samples(wanted.tables), data.filter)
            split = StageData(samples, held)
        assert split.validation is not None
        check_disjoint(split.train, split.validation, "the validation images")
    except FeatxError as error:
        raise FeatxError(f"stage {name}: {error}") from None
    return split


def head_spec(stage: Stage, train: Samples, backbone: Backbone) -> HeadSpec:
    """Return the head that a stage asks for; observed classes are the training images' ages."""
    known = train.ages[~np.isnan(train.ages)]
    classes, groups = stage.head.class_values(known)
    hidden = backbone.hidden if stage.head.hidden is None else stage.head.hidden
    return HeadSpec(
        kind=stage.head.kind,
        classes=tuple(classes),
        groups=tuple(groups),
        hidden=tuple(hidden),
        dropout=stage.head.dropout,
    )


def stage_labels(stage: Stage, data: StageData, spec: HeadSpec) -> tuple[Labels, Labels | None]:
    """Map training and validation images to the head's classes.

    With observed classes a validation image of an age never trained on counts as the nearest.

    Raises
    ------
    FeatxError
        If the classes do not cover an image.
    """
    classes = spec.classes
    try:
        train = label(data.train, classes, spec.groups)
        if data.validation is None:
            return train, None
        if stage.head.classes == "observed" and classes:
            return train, nearest(data.validation, classes)
        return train, label(data.validation, classes, spec.groups)
    except FeatxError as error:
        raise FeatxError(f"stage {stage.name}: {error}") from None


def balanced_weights(labels: Labels, n_classes: int) -> torch.Tensor:
    """Return class weights n / (classes seen · count), as scikit-learn's ``balanced``.

    A class without a training image weighs 0.
    """
    counts = np.bincount(labels.index, minlength=n_classes).astype(float)
    seen = counts > 0
    weights = np.zeros(n_classes)
    weights[seen] = counts.sum() / (seen.sum() * counts[seen])
    return torch.tensor(weights, dtype=torch.float32)


def beside(folder: Path, path: str) -> str:
    """Return where a path of a file in `folder` leads: beside the file, or else from here."""
    return str(folder / path) if (folder / path).exists() else path


def resolve_paths(data: DataSpec, find: Callable[[str], str]) -> DataSpec:
    """Return the spec with what `find` makes of each path of a table."""
    validation = data.validation
    if validation is not None and not isinstance(validation, float) and validation.tables:
        validation = validation.model_copy(update={"tables": tuple(map(find, validation.tables))})
    return data.model_copy(
        update={
            "tables": tuple(map(find, data.tables)),
            "without": tuple(map(find, data.without or ())) or None,
            "validation": validation,
        }
    )
