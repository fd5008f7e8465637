"""Options that several commands share, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli import completion

F = TypeVar("F", bound=Callable[..., Any])


def examples(*lines: str) -> str:
    """Return lines of a terminal as the end of a command's help; what follows a # is a comment."""
    return "\n  ".join(("\b\nExamples:", *lines))


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


def pixels(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Read a size: ``224``, or height x width as ``112x96``."""
    if text is None:
        return None
    sides = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    if sides is None or not int(sides[1]) or (sides[2] and not int(sides[2])):
        raise click.BadParameter("give pixels, as 224, or height x width, as 112x96")
    return int(sides[1]), int(sides[2] or sides[1])


def crop_options(command: F) -> F:
    """Add what says how a fine-tuned network's faces are cropped, by default as in training."""
    for option in (
        click.option(
            "--max-pixels",
            type=click.IntRange(1),
            default=89_478_485,
            show_default=True,
            help="Larger images are refused.",
        ),
        click.option(
            "--size",
            callback=pixels,
            metavar="N|HxW",
            help="Pixels of the crop. [default: as in training]",
        ),
        click.option(
            "--margin",
            type=float,
            help="With --crop margin: on every side, as a part of the box. [default: as in "
            "training, else 0.4]",
        ),
        click.option(
            "--crop",
            type=click.Choice(["aligned", "margin"]),
            help="[default: as in training, else by the network's input]",
        ),
        click.option(
            "--detector",
            shell_complete=completion.one_of(completion.DETECTORS),
            help="mtcnn, haar, dlib or dlib-cnn; none for images that are crops already. "
            "[default: as in training, else mtcnn]",
        ),
    ):
        command = option(command)
    return command


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
