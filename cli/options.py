"""Options that several commands share, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType):
    """Seconds, or a number with a unit: ``90``, ``90s``, ``10m``, ``12h``."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the duration in seconds."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        unit = text[-1:] if text[-1:].isalpha() else ""
        try:
            seconds = float(text.removesuffix(unit)) * _UNITS[unit]
        except (ValueError, KeyError):
            self.fail(f"{value!r} is not a duration; write 90, 90s, 10m or 12h", param, ctx)
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is not a duration above zero", param, ctx)
        return seconds


def long_work(command: F) -> F:
    """Add ``--resume``, ``--dry-run``, ``--seed`` and ``-v``, which all long work has."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Show tracebacks and more detail."),
        click.option("--seed", type=int, default=0, show_default=True, help="Random seed."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and stop."),
        click.option("--resume", is_flag=True, help="Go on with an earlier, unfinished run."),
    ):
        command = option(command)
    return command
