"""Many folds' reports in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def summarise(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise what the regressors of many folds told of themselves.

    Parameters
    ----------
    reports : sequence of dict
        ``report_`` of each fold's regressor; nested dicts are followed, lists are left out.

    Returns
    -------
    dict
        For each entry: of numbers the ``sum``, ``min``, ``median`` and ``max``; of texts and
        switches how often each value occurred.
    """
    values: dict[str, list[Any]] = {}
    for report in reports:
        for name, value in _leaves(report):
            values.setdefault(name, []).append(value)
    return {name: _summary(found) for name, found in values.items()}


def _leaves(report: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for name, value in report.items():
        if isinstance(value, dict):
            leaves.extend(_leaves(value, f"{prefix}{name}."))
        elif isinstance(value, str | bool | int | float):
            leaves.append((prefix + name, value))
    return leaves


def _summary(values: list[Any]) -> dict[str, Any]:
    if any(isinstance(value, str | bool) for value in values):
        return {"counts": dict(Counter(map(str, values)).most_common())}
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = (ordered[middle] + ordered[~middle]) / 2
    return {"sum": sum(ordered), "min": ordered[0], "median": median, "max": ordered[-1]}
