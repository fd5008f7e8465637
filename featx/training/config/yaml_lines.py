"""YAML files as plain data that remembers its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from featx.errors import FeatxError

#: Larger files are no cascade, and aliases within this size cannot grow without bound.
MAX_BYTES = 1 << 20

Location = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with numbers and truths as YAML 1.2 reads them.

    YAML 1.1 takes ``1e-3`` for text, ``012`` for ten, ``off`` for false and ``12:30`` for a number.
    """


_NUMBERS: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _NUMBERS:
    _Loader.add_implicit_resolver(
        _tag, re.compile(rf"^(?:{_pattern})$"), [c if c != "\0" else "" for c in _first]
    )


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _real(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _real)


def parse_value(text: str) -> Any:
    """Read one YAML value, such as ``0.001``, ``[1, 2]`` or ``{name: sgd}``.

    Raises
    ------
    yaml.YAMLError
        If it is malformed.
    """
    return yaml.load(text, Loader=_Loader)  # a SafeLoader  # nosec B506


def read_yaml(path: Path) -> tuple[Any, dict[Location, int]]:
    """Read a YAML file.

    Returns
    -------
    data : object
        Mappings, lists and scalars.
    lines : dict
        The line, from 1, of each value (of its key, in a mapping) by its location: a tuple of keys
        and indices.

    Raises
    ------
    FeatxError
        If the file cannot be read or is malformed; with the line, and for a key that stands twice.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise FeatxError(f"{path} is not there; check the path") from None
    except UnicodeDecodeError:
        raise FeatxError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise FeatxError(f"cannot read {path}: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise FeatxError(f"{path} has {len(content):,} bytes; that is no cascade file")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise FeatxError(f"{path} is empty")
        lines: dict[Location, int] = {(): 1}
        for location, line in _walk(node, (), path, set()):
            lines[location] = line
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}" if mark else ""
        hint = "; indent with spaces" if "\\t" in str(error.problem) else ""
        raise FeatxError(f"{path}{where}: {error.problem or error}{hint}") from None
    except yaml.YAMLError as error:
        raise FeatxError(f"{path}: {' '.join(str(error).split())}") from None


def _walk(
    node: yaml.Node, location: Location, path: Path, above: set[int]
) -> Iterator[tuple[Location, int]]:
    if id(node) in above:
        raise FeatxError(f"{path}, line {node.start_mark.line + 1}: an alias that holds itself")
    above = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise FeatxError(f"{path}, line {line}: a key is a name, not a list or a mapping")
            name = str(key.value)
            if name in seen:
                raise FeatxError(f"{path}, line {line}: {name!r} stands twice in one place")
            seen.add(name)
            yield (*location, name), line
            yield from _walk(value, (*location, name), path, above)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*location, index), value.start_mark.line + 1
            yield from _walk(value, (*location, index), path, above)
