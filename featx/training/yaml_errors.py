"""What pydantic finds wrong with a YAML file, told with the lines of the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from featx.errors import FeatxError
from featx.training.yaml_lines import Location


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
    told = [_tell(problem, places, model) for problem in problems]
    more = f" (and {len(told) - 3} more)" if len(told) > 3 else ""
    return FeatxError(f"{path}, {'; '.join(told[:3])}{more}")


def _follows(problem: Any, problems: list[Any]) -> bool:
    """Tell whether a list is too short only because what stands in it is wrong."""
    above = problem["loc"]
    return problem["type"] == "too_short" and any(
        other["loc"][: len(above)] == above and len(other["loc"]) > len(above) for other in problems
    )


def _tell(problem: Any, places: Mapping[Location, str], model: type[BaseModel]) -> str:
    """Say what is wrong with a value, after where it stands."""
    # pydantic puts the names of a union's members into the location: those are no keys
    location: Location = ()
    for key in problem["loc"]:
        if (*location, key) in places:
            location = (*location, key)
        elif problem["type"] == "missing" and key == problem["loc"][-1]:
            return f"{places[location]}: {_dotted((*location, key))}: missing"
    place = f"{places[location]}: {_dotted(location)}:"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _keys(location, model), n=1, cutoff=0.5)
        return f"{place} unknown key" + (f"; did you mean {near[0]}?" if near else "")
    text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
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
    return [key for each in models for key in each.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, such as ``tuple[Stage, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
