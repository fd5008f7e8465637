"""Short names that tell the methods of a comparison apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from regress.predictions import Run


def display_names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return a unique name for each run: its method, and what sets it apart where that is shared.

    Tried in order, each only where it differs among runs of one name: protocol, features file,
    backbone, weights, seed, the regressor's parameters, and at last the folder.
    """
    names = [run.method for run in runs]
    for describe in _QUALIFIERS:
        count = Counter(names)
        shared = {name for name in names if count[name] > 1}
        if not shared:
            break
        told = [describe(run) for run in runs]
        names = [
            f"{name} · {text}" if text and name in shared and _differs(name, names, told) else name
            for name, text in zip(names, told, strict=True)
        ]
    count = Counter(names)
    if max(count.values()) > 1:
        names = _parameters(runs, names, count)
    count = Counter(names)
    return tuple(
        f"{name} · {run.folder}" if count[name] > 1 else name
        for run, name in zip(runs, names, strict=True)
    )


def _differs(name: str, names: Sequence[str], told: Sequence[str]) -> bool:
    return len({text for other, text in zip(names, told, strict=True) if other == name}) > 1


def _provenance(key: str) -> Callable[[Run], str]:
    def describe(run: Run) -> str:
        value = run.info.get("features", {}).get("provenance", {}).get(key)
        return "" if value is None else Path(str(value)).stem if key == "weights" else str(value)

    return describe


_QUALIFIERS: tuple[Callable[[Run], str], ...] = (
    lambda run: str(run.info.get("protocol", "")),
    lambda run: Path(str(run.info.get("features", {}).get("file", ""))).stem,
    _provenance("backbone"),
    _provenance("weights"),
    lambda run: f"seed {run.info.get('seed')}",
)


def _parameters(runs: Sequence[Run], names: list[str], count: Counter[str]) -> list[str]:
    """Append the parameters whose values differ among the runs of one name."""
    renamed = []
    for run, name in zip(runs, names, strict=True):
        same = [
            other.info.get("parameters", {})
            for other, theirs in zip(runs, names, strict=True)
            if theirs == name
        ]
        own = run.info.get("parameters", {})
        varied = [
            f"{key}={value}"
            for key, value in own.items()
            if len({json.dumps(p.get(key), sort_keys=True, default=str) for p in same}) > 1
        ]
        short = ", ".join(varied)
        renamed.append(f"{name} · {short}" if count[name] > 1 and 0 < len(short) <= 80 else name)
    return renamed
