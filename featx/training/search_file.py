"""The search file: which values of a stage are tried, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from featx.errors import FeatxError
from featx.training.yaml_errors import refuse_own_fields, tell_errors
from featx.training.yaml_lines import read_yaml
from featx.training.yaml_part import Part

Value = float | int | str | bool


class Range(Part):
    """Numbers from `low` to `high`, whole where both are; on a logarithmic scale with `log`."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic scale starts above 0")
        return self


class Search(Part):
    """A search over a stage's settings.

    Attributes
    ----------
    cascade : str
        The cascade file, relative to this one.
    stage : str
        Which of its stages; by default the last.
    sampler : {"grid", "random", "tpe"}
        How settings are chosen.
    trials : int or None
        How many are tried; all of a grid by default.
    epochs : int
        Of each trial.
    pruner : {"none", "median", "hyperband"}
        How hopeless trials are stopped early.
    space : mapping
        Lists of values, or `Range`, by the setting's place in the stage, such as
        ``optimiser.learning_rate``.
    """

    cascade: str
    stage: str | None = None
    sampler: Literal["grid", "random", "tpe"] = "grid"
    trials: Annotated[int, Field(ge=1)] | None = None
    epochs: Annotated[int, Field(ge=1)] = 1
    pruner: Literal["none", "median", "hyperband"] = "none"
    seed: Annotated[int, Field(ge=0)] = 0
    space: Annotated[dict[str, tuple[Value, ...] | Range], Field(min_length=1)]
    file: Path = Field(default=Path("search.yaml"), exclude=True)

    @field_validator("space", mode="before")
    @classmethod
    def _tuples(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}

    @model_validator(mode="after")
    def _consistent(self) -> Search:
        ranges = [key for key, values in self.space.items() if isinstance(values, Range)]
        if self.sampler == "grid" and ranges:
            raise ValueError(f"a grid needs a list of values, not a range, for {ranges[0]}")
        if self.sampler != "grid" and self.trials is None:
            raise ValueError(f"give the number of trials of the sampler {self.sampler}")
        empty = [key for key, values in self.space.items() if values == ()]
        if empty:
            raise ValueError(f"no value for {empty[0]}")
        return self


def read_search(path: str | Path) -> Search:
    """Read a search file.

    Raises
    ------
    FeatxError
        If it is malformed, naming line and key.
    """
    path = Path(path)
    data, lines = read_yaml(path)
    if not isinstance(data, dict):
        raise FeatxError(f"{path}, line 1: give a mapping with cascade and space")
    refuse_own_fields(path, data, lines, Search)
    try:
        return Search.model_validate({**data, "file": path})
    except ValidationError as error:
        raise tell_errors(path, error, lines, Search) from None
