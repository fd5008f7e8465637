"""What a stage's file says of its heads: classes, layers, losses, and their weights."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from featx.heads import Kind
from featx.training.config.yaml_part import Part

#: The kind of head that each loss (`featx.training.losses`) is for.
KIND_OF_LOSS: dict[str, Kind] = {
    "cross-entropy": "softmax",
    "label-distribution": "softmax",
    "dldl-v2": "softmax",
    "mean-variance": "softmax",
    "coral": "coral",
    "corn": "corn",
    "l1": "regression",
}

_AGES = re.compile(r"(\d{1,3})-(\d{1,3})")

#: Layers of a head, by their units.
Hidden = tuple[Annotated[int, Field(ge=1)], ...]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]

#: The losses that use each number of a head, and what it is where it is not given.
_USED_BY: dict[str, dict[str, float]] = {
    "label_sd": {"label-distribution": 2.0, "dldl-v2": 2.0},
    "expected_value_weight": {"label-distribution": 0.0, "dldl-v2": 1.0},
    "mean_weight": {"mean-variance": 0.2},
    "variance_weight": {"mean-variance": 0.05},
}


class HeadConfig(Part):
    """The age head and its loss; see `featx.heads.Head` and `featx.training.losses.make_loss`.

    With `joined` its output layer takes the gender head's probabilities too.
    """

    loss: Literal[
        "cross-entropy", "label-distribution", "dldl-v2", "mean-variance", "coral", "corn", "l1"
    ] = "cross-entropy"
    classes: str | tuple[str, ...] = "0-100"
    hidden: Hidden | None = None
    dropout: Dropout = 0.0
    label_sd: Annotated[float, Field(gt=0)] | None = None
    expected_value_weight: Weight | None = None
    mean_weight: Weight | None = None
    variance_weight: Weight | None = None
    joined: bool = False
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


class GenderConfig(Part):
    """The gender head: a softmax over female and male, trained on cross-entropy."""

    hidden: Hidden | None = None
    dropout: Dropout = 0.0
    keep: bool = True


class Weighting(Part):
    """How the losses of age and gender are weighed against each other.

    See `featx.training.task_losses.TaskLosses`; `age` and `gender` are the weights of ``fixed``,
    and where those of ``linear`` start.
    """

    name: Literal["fixed", "linear", "uncertainty", "softmax"] = "uncertainty"
    age: Weight = 1.0
    gender: Weight = 1.0

    @model_validator(mode="after")
    def _used(self) -> Weighting:
        if self.name not in ("fixed", "linear") and (self.age, self.gender) != (1.0, 1.0):
            raise ValueError(f"weights are not used by {self.name}, which starts even")
        return self
