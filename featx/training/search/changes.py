"""What a search's settings change in its cascade, and whether they can."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from featx.backbones import Option, get_backbone, with_options
from featx.errors import FeatxError
from featx.training.config.cascade_file import Cascade, read_cascade
from featx.training.config.yaml_lines import read_yaml
from featx.training.images.stage_data import beside
from featx.training.search.file import Search
from featx.training.search.space import Range, Value, Values

#: What stands before the name of an option of the backbone.
OPTION = "backbone."


def searched(search: Search) -> tuple[Cascade, int]:
    """Read the cascade of a search and see whether its settings can be changed as the space says.

    Returns
    -------
    Cascade
        As its file has it.
    int
        Which stage is searched, from 0.

    Raises
    ------
    FeatxError
        If the cascade is malformed, or the search names no stage, setting or option of it.
    """
    cascade = read_cascade(beside(search.file.parent, search.cascade))
    number = _stage_number(search, cascade)
    _check_options(search, cascade, number)
    first = {
        key: values.low if isinstance(values, Range) else values[0]
        for key, values in search.space.items()
    }
    read_cascade(cascade.file, [*changes(cascade, number, first), f"stages.{number}.epochs=1"])
    if cascade.stages[number].data.validation is None:
        raise FeatxError(
            f"{search.file}: stage {cascade.stages[number].name} has no validation set to judge by"
        )
    return cascade, number


def changes(cascade: Cascade, number: int, settings: Mapping[str, Value]) -> list[str]:
    """Return what brings settings into the stage of that number, as `read_cascade` takes it."""
    given: dict[str, Any] = {
        f"stages.{number}.{key}": value
        for key, value in settings.items()
        if not key.startswith(OPTION)
    }
    options: dict[str, Any] = {
        key.removeprefix(OPTION): value for key, value in settings.items() if key.startswith(OPTION)
    }
    if options:
        name = with_options(_backbone(cascade, number), options)
        given["backbone" if _starts(cascade, number) else f"stages.{number}.backbone"] = name
    return [f"{key}={json.dumps(value)}" for key, value in given.items()]


def changes_start(search: Search, cascade: Cascade, number: int) -> bool:
    """Tell whether the network that the cascade starts from differs between trials."""
    return _starts(cascade, number) and any(key.startswith(OPTION) for key in search.space)


def _starts(cascade: Cascade, number: int) -> bool:
    """Tell whether a stage has the backbone that the cascade starts from."""
    return number == 0 and cascade.stages[0].backbone is None


def _backbone(cascade: Cascade, number: int) -> str:
    return cascade.stages[number].backbone or cascade.backbone


def _stage_number(search: Search, cascade: Cascade) -> int:
    names = [stage.name for stage in cascade.stages]
    if search.stage is None:
        return len(names) - 1
    if search.stage not in names:
        raise FeatxError(
            f"{search.file}: {search.cascade} has no stage {search.stage!r}; it has "
            f"{', '.join(names)}"
        )
    return names.index(search.stage)


def _check_options(search: Search, cascade: Cascade, number: int) -> None:
    """See whether the stage's backbone has the options of the space, and all of their values."""
    stages = cascade.stages
    backbone = _backbone(cascade, number)
    for key, values in search.space.items():
        if not key.startswith(OPTION):
            continue
        try:
            if number and stages[number].backbone is None:
                raise FeatxError(
                    f"stage {stages[number].name} goes on with the network of the stage before "
                    f"it; search {stages[0].name}, or give the stage a backbone of its own"
                )
            _check_values(backbone, key.removeprefix(OPTION), values)
        except FeatxError as error:
            _, lines = read_yaml(search.file)
            raise FeatxError(f"{search.file}, line {lines['space', key]}: {key}: {error}") from None


def _check_values(backbone: str, name: str, values: Values | Range) -> None:
    tried = (values.low, values.high) if isinstance(values, Range) else values
    for value in tried:
        with_options(backbone, {name: value})  # type: ignore[dict-item]
    if isinstance(values, Range) and not _every_number(get_backbone(backbone).options[name]):
        allowed = get_backbone(backbone).options[name].describe()
        raise FeatxError(f"backbone {backbone} takes {allowed}; give a list of them")


def _every_number(option: Option) -> bool:
    return isinstance(option.allowed, range) and option.allowed.step == 1
