"""What a stage's cascade file says of its data, as images ready to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from featx.errors import FeatxError
from featx.heads import GENDERS, HeadSpec, Task
from featx.identities import people
from featx.training.images.labels import Labels, drop_uncovered, label, label_gender, nearest
from featx.training.images.samples import Samples, apply_filter, check_disjoint, read_samples
from featx.training.images.split import split_off

#: The labels of every task of a stage.
TaskLabels = Mapping[Task, Labels]

if TYPE_CHECKING:
    from featx.backbones import Backbone
    from featx.training.config.stage import DataSpec, Stage


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


def stage_samples(stage: Stage) -> Samples:
    """Read a stage's tables and apply its filter; rows without a task's label are left out.

    Raises
    ------
    FeatxError
        As `read_samples` and `apply_filter`.
    """
    samples = _filtered(stage.data.tables, stage)
    if not stage.data.without:
        return samples
    return leave_out(samples, read_samples(stage.data.without))


def _filtered(tables: Sequence[str], stage: Stage) -> Samples:
    wanted = stage.data.filter
    samples = apply_filter(read_samples(tables), wanted, stage.tasks)
    if wanted is None or wanted.outside_classes == "refuse" or "age" not in stage.tasks:
        return samples
    return drop_uncovered(samples, *stage.head.class_values(samples.ages))


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
    same_person = pd.Series(people(table)).isin(set(people(other)) - {""})
    same_bytes = table["sha256"].isin(set(other["sha256"]) - {""})
    keep = np.flatnonzero(~(same_person | same_bytes).to_numpy())
    if not len(keep):
        raise FeatxError("data.without leaves no image of data.tables; give other tables")
    return samples.take(keep)


def split_stage(samples: Samples, stage: Stage, seed: int) -> StageData:
    """Split a stage's images into training and validation, and prove them apart.

    Raises
    ------
    FeatxError
        If a side is empty, or a person or picture is on both.
    """
    data = stage.data
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
            split = StageData(samples, _filtered(wanted.tables, stage))
        assert split.validation is not None
        check_disjoint(split.train, split.validation, "the validation images")
    except FeatxError as error:
        raise FeatxError(f"stage {stage.name}: {error}") from None
    return split


def head_specs(stage: Stage, train: Samples, backbone: Backbone) -> tuple[HeadSpec, ...]:
    """Return the heads that a stage asks for; observed classes are the training images' ages."""
    return tuple(
        _age_spec(stage, train, backbone) if task == "age" else _gender_spec(stage, backbone)
        for task in stage.tasks
    )


def _age_spec(stage: Stage, train: Samples, backbone: Backbone) -> HeadSpec:
    known = train.ages[~np.isnan(train.ages)]
    classes, groups = stage.head.class_values(known)
    return HeadSpec(
        kind=stage.head.kind,
        classes=tuple(classes),
        groups=tuple(groups),
        hidden=backbone.hidden if stage.head.hidden is None else stage.head.hidden,
        dropout=stage.head.dropout,
        joined=len(GENDERS) if stage.head.joined else 0,
    )


def _gender_spec(stage: Stage, backbone: Backbone) -> HeadSpec:
    hidden = stage.gender.hidden
    return HeadSpec(
        kind="softmax",
        classes=tuple(float(number) for number in range(len(GENDERS))),
        groups=GENDERS,
        hidden=backbone.hidden if hidden is None else hidden,
        dropout=stage.gender.dropout,
        task="gender",
    )


def stage_labels(
    stage: Stage, data: StageData, specs: Sequence[HeadSpec]
) -> tuple[TaskLabels, TaskLabels | None]:
    """Map training and validation images to the classes of each task.

    With observed classes a validation image of an age never trained on counts as the nearest.

    Raises
    ------
    FeatxError
        If the classes do not cover an image.
    """
    try:
        train = {spec.task: _labels(stage, data.train, spec) for spec in specs}
        if data.validation is None:
            return train, None
        held = {spec.task: _labels(stage, data.validation, spec, held=True) for spec in specs}
        return train, held
    except FeatxError as error:
        raise FeatxError(f"stage {stage.name}: {error}") from None


def _labels(stage: Stage, samples: Samples, spec: HeadSpec, *, held: bool = False) -> Labels:
    if spec.task == "gender":
        return label_gender(samples)
    if held and stage.head.classes == "observed" and spec.classes:
        return nearest(samples, spec.classes)
    return label(samples, spec.classes, spec.groups)


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
