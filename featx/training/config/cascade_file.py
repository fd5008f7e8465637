"""The cascade file: everything that a cascade and its stages have, validated with line numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from featx.errors import FeatxError
from featx.training.config.stage import Stage
from featx.training.config.yaml_changes import apply_change
from featx.training.config.yaml_errors import refuse_own_fields, tell_errors
from featx.training.config.yaml_lines import read_yaml
from featx.training.config.yaml_part import Part


class Cascade(Part):
    """A network to start from, and the stages it goes through; the last is the target.

    Under a protocol each fold trains the stage `each_fold` and those after it for itself, by
    default the last alone; the stages before are trained once.
    """

    backbone: str
    weights: str
    seed: Annotated[int, Field(ge=0)] = 0
    each_fold: str | None = None
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

    @property
    def n_early(self) -> int:
        """How many stages are trained once, whatever the folds."""
        names = [stage.name for stage in self.stages]
        return len(names) - 1 if self.each_fold is None else names.index(self.each_fold)

    @model_validator(mode="after")
    def _each_fold_is_a_stage(self) -> Cascade:
        names = [stage.name for stage in self.stages]
        if self.each_fold is not None and self.each_fold not in names:
            raise ValueError(f"each_fold: there is no stage {self.each_fold!r}")
        return self

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
    refuse_own_fields(path, data, lines, Cascade, changed)
    try:
        return Cascade.model_validate({**data, "file": path})
    except ValidationError as error:
        raise tell_errors(path, error, lines, Cascade, changed) from None
