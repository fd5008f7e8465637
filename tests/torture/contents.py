"""What a command has written, without the times at which it did."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.featx.file_contents import contents

#: Keys of JSON and attributes of HDF5 that tell when, how long, or where something ran.
WHEN = frozenset(
    [
        "created",
        "context",
        "date",
        "seconds",
        "search_seconds",
        "refit_seconds",
        "duration",
        "start_time",
        "end_time",
        "started",
        "ended",
        "finished",
        "hostname",
        "pid",
        "speed",
        "resumed",
        "peak_memory",
    ]
)
#: Files whose bytes are times: TensorBoard's events, and pages that carry a date.
TIMED = ("events.out.tfevents",)


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file below a folder, by its path in it."""
    return {
        str(path.relative_to(folder)): _digest(path, folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(TIMED)
    }


def differing(wanted: dict[str, str], got: dict[str, str]) -> list[str]:
    """Return the files that only one side has or that differ, each with a word."""
    told = [f"{name} is missing" for name in wanted.keys() - got.keys()]
    told += [f"{name} is left over" for name in got.keys() - wanted.keys()]
    told += [f"{name} differs" for name in wanted.keys() & got.keys() if wanted[name] != got[name]]
    return sorted(told)


def _digest(path: Path, folder: Path) -> str:
    if path.suffix == ".h5":
        told = repr(_timeless(contents(path)))
    elif path.suffix == ".json":
        told = repr(_timeless(json.loads(path.read_text(encoding="utf-8"))))
    elif path.suffix == ".csv":
        told = repr(_untimed(path))
    elif path.suffix == ".html":  # it names its own folder
        told = path.read_text(encoding="utf-8")
    else:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(told.replace(str(folder), "OUT").encode()).hexdigest()


def _untimed(path: Path) -> list[list[str]]:
    """Return a table's cells, but for columns of times."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    kept = [number for number, name in enumerate(rows[0]) if name not in WHEN] if rows else []
    return [[row[number] for number in kept] for row in rows]


def _tells_when(key: object) -> bool:
    return str(key).rpartition(".")[2] in WHEN  # `statistics.seconds` too


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _timeless(each) for key, each in value.items() if not _tells_when(key)}
        return sorted(kept.items(), key=lambda item: str(item[0]))
    if isinstance(value, list | tuple):
        return [_timeless(each) for each in value]
    if isinstance(value, str) and value.startswith(("{", "[")):  # JSON in an attribute
        try:
            return _timeless(json.loads(value))
        except ValueError:
            return value
    return value
