"""The cascade file: everything that a cascade and its stages have, validated with line numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from featx.errors import FeatxError
from featx.heads import Kind
from featx.training.losses import KIND_OF_LOSS
from featx.training.yaml_changes import apply_change
from featx.training.yaml_errors import tell_errors
from featx.training.yaml_lines import read_yaml

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=100)]
Patience = Annotated[int, Field(ge=1)]

_AGES = re.compile(r"(\d{1,3})-(\d{1,3})")

#: The losses that use each number of a head, and what it is where it is not given.
_USED_BY: dict[str, dict[str, float]] = {
    "label_sd": {"label-distribution": 2.0, "dldl-v2": 2.0},
    "expected_value_weight": {"label-distribution": 0.0, "dldl-v2": 1.0},
    "mean_weight": {"mean-variance": 0.2},
    "variance_weight": {"mean-variance": 0.05},
}


class Part(BaseModel):
    """A mapping of a YAML file: no unknown keys, no guessing of types, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_as_tuples(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}


class Filter(Part):
    """Which images of the tables are taken: all conditions must hold.

    `age` is the first and last age in years; `gender` and `dataset` are lists of values;
    `conflicting_labels` ``drop`` leaves out images with a byte-identical twin of another label.
    """

    age: tuple[float, float] | None = None
    gender: tuple[str, ...] | None = None
    dataset: tuple[str, ...] | None = None
    conflicting_labels: Literal["keep", "drop"] = "keep"

    @field_validator("age")
    @classmethod
    def _ordered(cls, age: tuple[float, float] | None) -> tuple[float, float] | None:
        if age is not None and age[0] > age[1]:
            raise ValueError("the first age is above the last")
        return age


class Validation(Part):
    """A validation set that is named: official folds of the same tables, or tables of its own."""

    fold: tuple[str, ...] | None = None
    tables: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> Validation:
        if (self.fold is None) == (self.tables is None):
            raise ValueError("give either fold or tables")
        return self


class DataSpec(Part):
    """What a stage trains on; `without` names tables whose people and images are left out."""

    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    filter: Filter | None = None
    without: tuple[str, ...] | None = None
    validation: Share | Validation | None = 0.2


class HeadConfig(Part):
    """The head and its loss; see `featx.heads.Head` and `featx.training.losses.make_loss`."""

    loss: Literal[
        "cross-entropy", "label-distribution", "dldl-v2", "mean-variance", "coral", "corn", "l1"
    ] = "cross-entropy"
    classes: str | tuple[str, ...] = "0-100"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_sd: Annotated[float, Field(gt=0)] | None = None
    expected_value_weight: Annotated[float, Field(ge=0)] | None = None
    mean_weight: Annotated[float, Field(ge=0)] | None = None
    variance_weight: Annotated[float, Field(ge=0)] | None = None
    keep: bool = True

    @field_validator("classes")
    @classmethod
    def _classes(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if given == "observed":
            return given
        spans = []
        for text in (given,) if isinstance(given, str) else given:
            span = _AGES.fullmatch(text)
            if span is None or int(span[1]) > int(span[2]):
                raise ValueError(
                    f"{text!r} is no range of ages: write 0-100, observed, or groups as "
                    '["0-12", "15-20", "25-100"]'
                )
            spans.append((int(span[1]), int(span[2])))
        if isinstance(given, str) and spans[0][0] == spans[0][1]:
            raise ValueError("one age alone is nothing to tell apart")
        if not isinstance(given, str) and (
            len(spans) < 2 or any(a[1] >= b[0] for a, b in itertools.pairwise(spans))
        ):
            raise ValueError("give two groups or more, in order and without overlap")
        return given

    @model_validator(mode="after")
    def _resolve_numbers(self) -> HeadConfig:
        for name, users in _USED_BY.items():
            if self.loss in users:
                if getattr(self, name) is None:
                    object.__setattr__(self, name, users[self.loss])
            elif getattr(self, name) is not None:
                raise ValueError(f"{name} is not used by the loss {self.loss}; leave it out")
        return self

    @property
    def kind(self) -> Kind:
        """The kind of head that the loss is for."""
        return KIND_OF_LOSS[self.loss]

    def class_values(self, observed: np.ndarray) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the classes' values in years and, for groups, their names.

        Parameters
        ----------
        observed : numpy.ndarray
            The training images' ages in years, for the classes ``observed``.
        """
        if self.kind == "regression":
            return (), ()
        if self.classes == "observed":
            return tuple(float(age) for age in np.unique(observed)), ()
        if isinstance(self.classes, str):
            low, high = map(int, self.classes.split("-"))
            return tuple(float(age) for age in range(low, high + 1)), ()
        middles = [sum(map(int, group.split("-"))) / 2 for group in self.classes]
        return tuple(middles), self.classes


class Optimiser(Part):
    """The optimiser; the head learns at `head_learning_rate` where that is given."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Rate = 0.001
    head_learning_rate: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class Schedule(Part):
    """The learning rate over a stage; see `featx.training.schedule.RateSchedule`."""

    name: Literal["plateau", "one-cycle", "cosine", "constant"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Patience = 5
    warmup: Share = 0.3


class Augmentation(Part):
    """How training images are changed, each by a draw of its own.

    `flip`, `grey` and `erasing` are probabilities; `rotation` is in degrees and `shift` in parts of
    the width and height, either way; `scale` is the least and the greatest; `crop` the least and
    the greatest part of the area that a random crop keeps; `colour_jitter` the greatest change of
    brightness, contrast and saturation, in parts.
    """

    flip: Probability = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scale: tuple[Rate, Rate] = (1.0, 1.0)
    crop: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] | None = (
        None
    )
    colour_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    grey: Probability = 0.0
    erasing: Probability = 0.0

    @field_validator("scale", "crop")
    @classmethod
    def _ordered(cls, span: tuple[float, float] | None) -> tuple[float, float] | None:
        if span is not None and span[0] > span[1]:
            raise ValueError("the least is above the greatest")
        return span


class Stage(Part):
    """One step of a cascade: data, head, and how to train."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
    data: DataSpec
    unlock: str = "all"
    head: HeadConfig = HeadConfig()
    optimiser: Optimiser = Optimiser()
    batch_size: Annotated[int, Field(ge=2)] = 32
    accumulate: Annotated[int, Field(ge=1)] = 1
    epochs: Annotated[int, Field(ge=1)]
    schedule: Schedule = Schedule()
    early_stopping: Patience | None = None
    keep: Literal["best", "last"] | None = None
    class_weights: Literal["balanced"] | None = None
    augmentation: Augmentation = Augmentation()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Stage:
        validated = self.data.validation is not None
        if "schedule" not in self.model_fields_set and not validated:  # no loss to watch
            object.__setattr__(self, "schedule", Schedule(name="constant"))
        if self.keep is None:
            object.__setattr__(self, "keep", "best" if validated else "last")
        for wanted, what in (
            (self.schedule.name == "plateau", "schedule plateau"),
            (self.early_stopping is not None, "early_stopping"),
            (self.keep == "best", "keep: best"),
        ):
            if wanted and not validated:
                raise ValueError(f"{what} needs a validation set; give data.validation")
        if self.head.kind == "regression" and self.class_weights:
            raise ValueError("class_weights need classes, which the loss l1 has not")
        return self


class Cascade(Part):
    """A network to start from, and the stages it goes through; the last is the target."""

    backbone: str
    weights: str
    seed: Annotated[int, Field(ge=0)] = 0
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    file: Path = Field(default=Path("cascade.yaml"), exclude=True)

    @property
    def folder(self) -> Path:
        """Where relative paths are looked for first."""
        return self.file.parent

    @property
    def weights_found(self) -> str:
        """The file of the weights, beside the cascade file or from here; or their name."""
        beside = self.folder / self.weights
        return str(beside) if beside.is_file() else self.weights

    @field_validator("stages")
    @classmethod
    def _named_once(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        names = [stage.name for stage in stages]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two stages are named {name!r}")
        return stages


def describe(part: BaseModel) -> dict[str, Any]:
    """Return a cascade or a part of it as JSON-able data, with every default filled in."""
    return part.model_dump(mode="json")


def read_cascade(path: str | Path, changes: Sequence[str] = ()) -> Cascade:
    """Read a cascade file.

    Parameters
    ----------
    path : str or Path
        YAML.
    changes : sequence of str
        As ``stages.0.epochs=1`` or ``stages.NAME.batch_size=8``: values that replace the file's.

    Raises
    ------
    FeatxError
        If the file is malformed, naming line and key, or a change is.
    """
    path = Path(path)
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise FeatxError(f"{path}, line 1: give a mapping with backbone, weights and stages")
    changed = {apply_change(data, change): change for change in changes}
    try:
        return Cascade.model_validate({**data, "file": path} if "file" not in data else data)
    except ValidationError as error:
        raise tell_errors(path, error, lines, Cascade, changed) from None
