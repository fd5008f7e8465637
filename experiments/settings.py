"""How an experiment is run here: where its data lies, where results go, what differs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """How an experiment is run here.

    Attributes
    ----------
    data : Path
        The folder below which the rows' relative paths lie.
    out : Path
        Where everything goes; several experiments share trained stages there.
    changes : tuple of str
        Departures from the cascade files, as for ``featx finetune --set``; ``backbone`` and
        ``weights`` hold for networks without a cascade too.
    options : dict
        Departures from the rows' options of regressors.
    folds : tuple of str
        Only these folds.
    smoke : bool
        One short epoch a stage, and one fold; see `experiments.smoke`.
    finished : bool
        Shared stages must be there; none is trained.
    """

    data: Path
    out: Path
    changes: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    folds: tuple[str, ...] = ()
    device: str = "auto"
    jobs: int = 1
    say: Callable[[str], None] = print
    smoke: bool = False
    finished: bool = False

    def command(self, experiment: str, rows: Sequence[str]) -> list[str]:
        """Return the words of the command that makes some rows of an experiment so."""
        words = ["featx", "experiment", "run", experiment]
        words += ["--smoke"] if self.smoke else ["--data", str(self.data)]
        words += [word for row in rows for word in ("--row", row)]
        words += [word for fold in self.folds for word in ("--fold", fold)]
        words += [word for change in self.changes for word in ("--set", change)]
        return [*words, "-o", str(self.out)]


def slug(name: str) -> str:
    """Return a row's name as one of a folder: lower-case letters and digits, joined by dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
