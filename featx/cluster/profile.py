"""What jobs ask of a Slurm cluster: a profile file, one table a kind of work. No torch."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from featx.errors import FeatxError, unknown

#: The kinds of work that can have a table of their own below ``[slurm]``.
WORKS = ("extract", "finetune", "regress", "gather")

_PATTERNS = {
    "gpus": (r"(\w+:)?\d+", "a number, or a kind and a number, as 1 or a100:2"),
    "memory": (r"\d+[KMGT]?", "megabytes, or a number with K, M, G or T, as 16G"),
    "time": (r"(\d+-)?\d+(:\d\d){0,2}", "minutes, H:MM:SS or D-HH:MM:SS, as 12:00:00"),
}


@dataclass(frozen=True)
class Resources:
    """What one job, or each task of an array, asks for; what is left out is the cluster's default.

    Attributes
    ----------
    partition, account, qos : str
        As of ``sbatch``.
    nodes : int
        Machines; above 1 only fine-tuning uses them.
    gpus : str
        On each node, ``"2"`` or ``"a100:2"``.
    cpus : int
        Cores of a task.
    memory : str
        Of a node, ``"16G"``.
    time : str
        Wall time, ``"12:00:00"``.
    throttle : int
        Tasks of an array at a time; 0: as many as there is room for.
    options : tuple of str
        More options of ``sbatch``, each as it would be written after ``#SBATCH``.
    setup : tuple of str
        Lines of shell that run before the work, as ``module load cuda``.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    nodes: int = 1
    gpus: str = ""
    cpus: int = 1
    memory: str = ""
    time: str = ""
    throttle: int = 0
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    @property
    def gpus_a_node(self) -> int:
        """How many GPUs each node gives."""
        return int(self.gpus.rpartition(":")[2] or 0)


_KEYS = {field.name: field.default for field in fields(Resources)}


@dataclass(frozen=True)
class Profile:
    """The content of a profile file.

    Attributes
    ----------
    path : Path or None
        The file; None where there is none.
    common : Resources
        For all work.
    works : mapping of str to Resources
        Of the kinds of work (`WORKS`) that have a table of their own, the common ones filled in.
    """

    path: Path | None
    common: Resources
    works: Mapping[str, Resources]

    def resources(self, work: str, changes: Sequence[str] = ()) -> Resources:
        """Return what a kind of work asks for, with departures given as ``KEY=VALUE``.

        Raises
        ------
        FeatxError
            If a departure is none of a key that there is, or its value is not understood.
        """
        given = {}
        for change in changes:
            key, sign, text = change.partition("=")
            if not sign:
                raise FeatxError(f"--slurm {change}: give KEY=VALUE, as memory=16G")
            if key not in _KEYS:
                raise unknown("key of --slurm", key, _KEYS)
            default = _KEYS[key]
            if isinstance(default, int):
                value: Any = int(text) if text.isdigit() else text
            else:
                value = [text] if isinstance(default, tuple) else text
            given[key] = value
        return _read(given, self.works.get(work, self.common), "--slurm ")


def default_path() -> Path:
    """Return where the user's profile is looked for: ``featx/cluster.toml`` in ~/.config."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "featx" / "cluster.toml"


def read_profile(path: str | Path | None = None) -> Profile:
    """Read a profile file.

    Parameters
    ----------
    path : str or Path, optional
        By default the user's own (`default_path`), which need not be there.

    Raises
    ------
    FeatxError
        If the file given is not there, is no TOML, or holds a table, key or value that is not
        understood; the message names it.
    """
    file = Path(path) if path is not None else default_path()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path is None:
            return Profile(None, Resources(), {})
        raise FeatxError(f"{file} is not there; give a profile file with a table [slurm]") from None
    except (OSError, ValueError) as error:  # TOMLDecodeError tells the line
        raise FeatxError(f"cannot read {file}: {error}") from None
    for name in content:
        if name != "slurm":
            raise FeatxError(f"{file}: the table [{name}] is not known; profiles have [slurm]")
    table = content.get("slurm", {})
    if not isinstance(table, dict):
        raise FeatxError(f"{file}: slurm is no table; write [slurm]")
    own = {key: value for key, value in table.items() if isinstance(value, dict)}
    for work in own:
        if work not in WORKS:
            raise unknown(f"table in {file}, [slurm.…]", work, WORKS)
    shared = {key: value for key, value in table.items() if key not in own}
    common = _read(shared, Resources(), f"{file}, [slurm]: ")
    works = {
        work: _read(values, common, f"{file}, [slurm.{work}]: ") for work, values in own.items()
    }
    return Profile(file, common, works)


def _read(values: Mapping[str, Any], base: Resources, where: str) -> Resources:
    """Return some resources with the values put in that are given, each checked."""
    for key in values:
        if key not in _KEYS:
            raise unknown(f"key, {where.rstrip(': ')},", key, _KEYS)
    return replace(base, **{key: _value(key, value, where) for key, value in values.items()})


def _value(key: str, value: Any, where: str) -> Any:
    default = _KEYS[key]
    if isinstance(default, int):
        least = 0 if key == "throttle" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise FeatxError(f"{where}{key} is {value!r}; give a whole number from {least} on")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
            raise FeatxError(f"{where}{key} is {value!r}; give a list of texts")
        broken = [line for line in value if "\n" in line]
        if broken:
            raise FeatxError(f"{where}{key}: {broken[0]!r} has several lines; give each by itself")
        return tuple(value)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    pattern, example = _PATTERNS.get(key, (r"[^\s]+", "a name without blanks"))
    if not isinstance(text, str) or not re.fullmatch(pattern, text):
        raise FeatxError(f"{where}{key} is {value!r}; give {example}")
    return text
