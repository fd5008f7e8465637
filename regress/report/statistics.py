"""What the regressors told of their folds, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regress.compare import Comparison
from regress.report.formats import NOTHING
from regress.report.passport import plain


@dataclass(frozen=True)
class StatisticsTable:
    """One regressor's statistics: a row an entry, a column a method.

    Attributes
    ----------
    regressor : str
        The regressor's name, without its parameters.
    methods : list of str
        The methods that use it.
    rows : list of tuple of (str, list of str)
        Entry, and its value for each method.
    """

    regressor: str
    methods: list[str]
    rows: list[tuple[str, list[str]]]


def statistics_tables(comparison: Comparison) -> list[StatisticsTable]:
    """Return one table a regressor that reported anything, auto-sklearn first."""
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, run in zip(comparison.names, comparison.runs, strict=True):
        regressor = str(run.info.get("regressor", "")).partition(":")[0]
        if run.info.get("statistics"):
            groups.setdefault(regressor, []).append((name, run.info["statistics"]))
    found = []
    for regressor, members in sorted(groups.items(), key=lambda item: item[0] != "auto-sklearn"):
        entries = dict.fromkeys(key for _, statistics in members for key in statistics)
        rows = [
            (
                key.removeprefix("statistics.").replace("_", " ").replace(".", ": "),
                [describe(statistics.get(key)) for _, statistics in members],
            )
            for key in entries
        ]
        found.append(StatisticsTable(regressor, [name for name, _ in members], rows))
    return found


def describe(summary: Any) -> str:
    """Write one summary over folds (see `regress.summary`), or any other value, on one line."""
    if summary is None:
        return NOTHING
    if isinstance(summary, dict) and set(summary) == {"counts"}:
        counts = summary["counts"]
        if len(counts) == 1:
            return str(next(iter(counts)))
        return ", ".join(f"{value} ({n})" for value, n in counts.items())
    if isinstance(summary, dict) and {"sum", "min", "median", "max"} <= set(summary):
        low, high = summary["min"], summary["max"]
        if low == high:
            return f"{low:,.5g}" + ("" if summary["sum"] == low else " in every fold")
        middle = f"{summary['median']:,.5g} a fold ({low:,.5g} to {high:,.5g})"
        whole = all(isinstance(summary[key], int) for key in ("sum", "min", "max"))
        return f"{summary['sum']:,} in all, {middle}" if whole else middle
    return plain(summary)
