"""The values that a search may try, as the file gives them and as Optuna takes them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from featx.training.config.yaml_part import Part

if TYPE_CHECKING:
    import optuna

#: One value of a list: also a list by itself, such as the units of a head's hidden layers.
Value = float | int | str | bool | tuple[float | int | str | bool, ...]

Values = tuple[Value, ...]

#: By the setting's place in the stage.
Space = Mapping[str, "Values | Range"]

Bound = Annotated[int | float, Field(allow_inf_nan=False)]


class Range(Part):
    """Numbers from `low` to `high`, whole where both are; on a logarithmic scale with `log`."""

    low: Bound
    high: Bound
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic scale starts above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)


def label(value: Value) -> str | float | bool:
    """Return what stands for a value in Optuna, tables and TensorBoard: a list becomes its JSON."""
    return json.dumps(value) if isinstance(value, tuple) else value


def settings_of(params: Mapping[str, Any], space: Space) -> dict[str, Value]:
    """Return the values that a trial's parameters stand for."""
    settings: dict[str, Value] = {}
    for key, given in params.items():
        values = space[key]
        listed = () if isinstance(values, Range) else values
        settings[key] = next((value for value in listed if label(value) == given), given)
    return settings


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Let a trial's sampler choose a value for every setting."""
    for key, values in space.items():
        if not isinstance(values, Range):
            trial.suggest_categorical(key, [label(value) for value in values])
        elif values.whole:
            trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
        else:
            trial.suggest_float(key, values.low, values.high, log=values.log)
    return settings_of(trial.params, space)


def grid(space: Space, most: int | None = None) -> Iterator[dict[str, Value]]:
    """Yield every combination of a grid's values, in the file's order, `most` at the most."""
    lists = [values for values in space.values() if not isinstance(values, Range)]
    for combination in itertools.islice(itertools.product(*lists), most):
        yield dict(zip(space, combination, strict=True))


def grid_size(space: Space) -> int:
    """Return how many combinations a grid has."""
    return math.prod(len(values) for values in space.values() if not isinstance(values, Range))


def in_words(values: Values | Range) -> str:
    """Return values as a person reads them."""
    if isinstance(values, Range):
        form = "d" if values.whole else ".6g"
        scale = ", logarithmic" if values.log else ""
        return f"{values.low:{form}} to {values.high:{form}}{scale}"
    return ", ".join(str(label(value)) for value in values)
