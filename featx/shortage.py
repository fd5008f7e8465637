"""What does not suffice, and what would make it. No torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from featx.quantities import in_bytes

#: Remedies that are told, at most.
_TOLD = 3


def free_disk(folder: Path) -> int:
    """Return the bytes that are free to the user where a folder is, or will be made."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class Shortage:
    """What does not suffice.

    Attributes
    ----------
    what : str
        ``disk`` or ``memory``.
    needed, free : int
        Bytes.
    remedies : list of tuple
        What to do about it, in words, and the bytes that are needed then: a few that suffice or,
        if none does, the one that needs least.
    """

    what: str
    needed: int
    free: int
    remedies: list[tuple[str, int]]

    def __str__(self) -> str:
        """Return it in a line."""
        enough = [each for each in self.remedies if each[1] <= self.free]
        told = [f"{words} ({in_bytes(needed)})" for words, needed in enough or self.remedies]
        text = (
            f"{in_bytes(self.needed)} of {self.what} are needed and {in_bytes(self.free)} are free"
        )
        if enough:
            return f"{text}: give {', or '.join(told)}"
        most = f", even with {', or '.join(told)}" if told else ""
        elsewhere = "another place (-o)" if self.what == "disk" else "a machine with more"
        return f"{text}{most}: choose {elsewhere}"

    @classmethod
    def of(cls, what: str, needed: int, free: int, remedies: Iterable[tuple[str, int]]) -> Self:
        """Return a shortage with those of some remedies that are worth telling."""
        known = list(remedies)
        enough = [each for each in known if each[1] <= free]
        return cls(what, needed, free, enough[:_TOLD] or sorted(known, key=itemgetter(1))[:1])

    def describe(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {
            "what": self.what,
            "needed_bytes": self.needed,
            "free_bytes": self.free,
            "remedies": [
                {"give": words, "needed_bytes": needed} for words, needed in self.remedies
            ],
        }
