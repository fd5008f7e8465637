"""What a stage's file says of its data and its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from featx.heads import TASKS, Task
from featx.training.config.head import GenderConfig, HeadConfig, Weighting
from featx.training.config.yaml_part import Part
from featx.views import View

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=100)]
Patience = Annotated[int, Field(ge=1)]


class Filter(Part):
    """Which images of the tables are taken: all conditions must hold.

    `age` is the first and last age in years; `gender` and `dataset` are lists of values;
    `conflicting_labels` ``drop`` leaves out images with a byte-identical twin of another label,
    `outside_classes` ``drop`` those whose age lies in none of the stage's classes. `sample` is the
    share of pictures taken, drawn by their bytes: the same pictures whatever else is filtered.
    """

    age: tuple[float, float] | None = None
    gender: tuple[str, ...] | None = None
    dataset: tuple[str, ...] | None = None
    conflicting_labels: Literal["keep", "drop"] = "keep"
    outside_classes: Literal["refuse", "drop"] = "refuse"
    sample: Share | None = None

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


class Optimiser(Part):
    """The optimiser; the head learns at `head_learning_rate` where that is given."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: Rate = 0.001
    head_learning_rate: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class Schedule(Part):
    """The learning rate over a stage; see `featx.training.schedule.RateSchedule`."""

    name: Literal["plateau", "step", "one-cycle", "cosine", "constant"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Patience = 5
    every: Annotated[int, Field(ge=1)] | None = None
    warmup: Share = 0.3

    @model_validator(mode="after")
    def _every(self) -> Schedule:
        if (self.name == "step") != (self.every is not None):
            raise ValueError("every, a number of optimiser steps, goes with the schedule step")
        return self


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
    """One step of a cascade: data, heads, and how to train.

    `backbone` is another architecture, of which the network so far becomes a part; `head` is of
    age and `gender` of gender, each used where `tasks` names it; `views` are the crops that a
    network is tested on under a protocol, each a method of its own.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
    data: DataSpec
    backbone: str | None = None
    unlock: str = "all"
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = ("age",)
    head: HeadConfig = HeadConfig()
    gender: GenderConfig = GenderConfig()
    weighting: Weighting = Weighting()
    views: Annotated[tuple[View, ...], Field(min_length=1)] = ("centre",)
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
        if "age" in self.tasks and self.head.kind == "regression" and self.class_weights:
            raise ValueError("class_weights need classes, which the loss l1 has not")
        return self

    @model_validator(mode="after")
    def _of_its_tasks(self) -> Stage:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks names one twice")
        object.__setattr__(self, "tasks", tuple(task for task in TASKS if task in self.tasks))
        for key, task, changed in (
            ("head", "age", self.head != HeadConfig()),
            ("gender", "gender", self.gender != GenderConfig()),
        ):
            if changed and task not in self.tasks:
                raise ValueError(f"{key} is given, but tasks does not name {task}")
        for key, changed in (
            ("weighting", self.weighting != Weighting()),
            ("head.joined", self.head.joined),
        ):
            if changed and len(self.tasks) < 2:
                raise ValueError(f"{key} is for both tasks; write tasks: [age, gender]")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The age groups that the head tells apart; none where it tells ages or no age."""
        classes = self.head.classes
        grouped = isinstance(classes, tuple) and self.head.kind != "regression"
        return classes if "age" in self.tasks and grouped else ()  # type: ignore[return-value]
