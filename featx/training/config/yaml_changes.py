"""Values of a YAML file replaced from outside: ``stages.0.epochs=1``."""

from __future__ import annotations

from typing import Any

import yaml

from featx.errors import FeatxError
from featx.training.config.yaml_lines import Location, parse_value


def apply_change(data: Any, change: str) -> Location:
    """Replace or add a value in place.

    Parameters
    ----------
    data : dict or list
        As read from YAML.
    change : str
        ``KEY.KEY=VALUE``; an item of a list is named by its index or its ``name``.

    Returns
    -------
    tuple
        The keys and indices of the value.

    Raises
    ------
    FeatxError
        If the change is malformed or leads nowhere.
    """
    keys, equals, text = change.partition("=")
    option = f"--set {change}"
    if not equals:
        raise FeatxError(f"{option}: write KEY=VALUE, as stages.0.epochs=1")
    try:
        value = parse_value(text)
    except yaml.YAMLError:
        raise FeatxError(f"{option}: {text!r} is no YAML value") from None
    *above, last = keys.split(".")
    place = data
    location: list[str | int] = []
    for key in above:
        at = _at(place, key, location, option)
        if isinstance(place, dict) and place.get(at) is None:
            place[at] = {}
        place = place[at]
        location.append(at)
    at = _at(place, last, location, option)
    place[at] = value
    return (*location, at)


def _at(place: Any, key: str, above: list[str | int], option: str) -> str | int:
    """Return the key or index that `key` means in a mapping or a list."""
    if isinstance(place, dict):
        return key
    if not isinstance(place, list):
        raise FeatxError(f"{option}: there is nothing below {above[-1]!r}")
    if key.isdigit() and int(key) < len(place):
        return int(key)
    for index, item in enumerate(place):
        if isinstance(item, dict) and item.get("name") == key:
            return index
    raise FeatxError(f"{option}: there is no {key!r} among {len(place)}")
