"""What pydantic finds wrong with a YAML file, told with the lines of the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from featx.errors import FeatxError
from featx.training.config.yaml_lines import Location

#: What pydantic says where a mapping should stand, in its names for types and in words.
_NO_MAPPING = ("model_type", "model_attributes_type", "dict_type")
_NAME_OF_MODEL = re.compile(r"a valid dictionary( or instance of \w+)?")


def refuse_own_fields(
    path: Path,
    data: Mapping[str, Any],
    lines: Mapping[Location, int],
    model: type[BaseModel],
    changes: Mapping[Location, str] | None = None,
) -> None:
    """Refuse keys that a model has for itself, such as where its file lies.

    Raises
    ------
    FeatxError
        Naming the first of them.
    """
    for key, told in model.model_fields.items():
        if told.exclude and key in data:
            change = (changes or {}).get((key,))
            place = f"changed by {change}" if change else f"line {lines[(key,)]}"
            raise FeatxError(f"{path}, {place}: {key}: unknown key")


def tell_errors(
    path: Path,
    error: ValidationError,
    lines: Mapping[Location, int],
    model: type[BaseModel],
    changes: Mapping[Location, str] | None = None,
) -> FeatxError:
    """Return pydantic's findings as one line that names the first three places in the file.

    Parameters
    ----------
    path : Path
        The file.
    error : ValidationError
        What pydantic found.
    lines : mapping
        The line of each value, as from `read_yaml`.
    model : type of BaseModel
        What the file was validated as; its keys are suggested for misspelt ones.
    changes : mapping
        The change (``KEY=VALUE``) that put a value where the file has another or none.
    """
    places = {location: f"line {line}" for location, line in lines.items()}
    for location, change in (changes or {}).items():
        for length in range(1, len(location) + 1):
            places.setdefault(location[:length], f"changed by {change}")
        places[location] = f"changed by {change}"
    problems = error.errors()
    problems = [problem for problem in problems if not _follows(problem, problems)]
    problems = [each for each in problems if not _of_another_kind(each, problems, places)]
    told = [_tell(problem, places, model) for problem in problems]
    more = f" (and {len(told) - 3} more)" if len(told) > 3 else ""
    return FeatxError(f"{path}, {'; '.join(told[:3])}{more}")


def _follows(problem: Any, problems: list[Any]) -> bool:
    """Tell whether a list is too short only because what stands in it is wrong."""
    above = problem["loc"]
    return problem["type"] == "too_short" and any(
        other["loc"][: len(above)] == above and len(other["loc"]) > len(above) for other in problems
    )


def _of_another_kind(problem: Any, problems: list[Any], places: Mapping[Location, str]) -> bool:
    """Tell whether a value was meant as another of the kinds that may stand in its place.

    Where a number or a mapping may stand, pydantic finds that a number out of range is no mapping,
    and that a mapping with a slip in it is no number.
    """
    kind = problem["type"]
    mapping = isinstance(problem.get("input"), dict)
    if kind not in _NO_MAPPING and not (mapping and kind.endswith("_type")):
        return False
    place = _location(problem, places)
    for other in problems:
        there = _location(other, places)
        if other["type"] != kind and there[: len(place)] == place:
            if mapping and (len(there) > len(place) or not other["type"].endswith("_type")):
                return True
            if not mapping and there == place and not other["type"].endswith("_type"):
                return True
    return False


def _location(problem: Any, places: Mapping[Location, str]) -> Location:
    """Return where a value stands: pydantic puts the names of a union's members in between."""
    location: Location = ()
    for key in problem["loc"]:
        if (*location, key) in places:
            location = (*location, key)
        elif problem["type"] == "missing" and key == problem["loc"][-1]:
            return (*location, key)
    return location


def _tell(problem: Any, places: Mapping[Location, str], model: type[BaseModel]) -> str:
    """Say what is wrong with a value, after where it stands."""
    location = _location(problem, places)
    if location not in places:
        return f"{places[location[:-1]]}: {_dotted(location)}: missing"
    place = f"{places[location]}: {_dotted(location)}:"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _keys(location, model), n=1, cutoff=0.5)
        return f"{place} unknown key" + (f"; did you mean {near[0]}?" if near else "")
    text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    text = _NAME_OF_MODEL.sub("a mapping", text).replace("a valid tuple", "a list")
    given = problem.get("input")
    shown = "" if isinstance(given, dict | BaseModel) else f" {given!r}:"
    return f"{place}{shown} {text}"


def _dotted(location: Location) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in location)
    return text.removeprefix(".") or "the file"


def _keys(location: Location, model: type[BaseModel]) -> list[str]:
    """Return the keys that may stand where the last one of a location does."""
    models = [model]
    for key in location[:-1]:
        if isinstance(key, str):
            fields = [each.model_fields[key] for each in models if key in each.model_fields]
            models = [below for field in fields for below in _models(field.annotation)]
    return [key for each in models for key, told in each.model_fields.items() if not told.exclude]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, such as ``tuple[Stage, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
