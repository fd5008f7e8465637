"""The K-th of N parts of some tasks, as the tasks of an array take them. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from featx.errors import FeatxError

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Every N-th task, beginning with the K-th: all parts together are all tasks, each once.

    Attributes
    ----------
    number, count : int
        K, from 1 to N, and N.
    """

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> Part:
        """Return the part that ``--part K/N`` names.

        Raises
        ------
        FeatxError
            If the text is not K/N with K from 1 to N.
        """
        read = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text.strip())
        if read is None or int(read[1]) > int(read[2]):
            raise FeatxError(f"--part {text}: give K/N, the K-th of N parts, with K from 1 to N")
        return cls(int(read[1]), int(read[2]))

    def __str__(self) -> str:
        """Return it as ``--part`` takes it."""
        return f"{self.number}/{self.count}"

    def of(self, tasks: Sequence[T]) -> list[T]:
        """Return this part of some tasks; none where there are fewer tasks than parts before it."""
        return list(tasks[self.number - 1 :: self.count])
