"""Two ways of doing the same, timed in turns in one run on one machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Turns:
    """What the turns took, seconds, the first of each left out: it warms up."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times as long theirs took, turn by turn."""
        return [their / our for our, their in zip(self.ours, self.theirs, strict=True)]

    def row(self, times: float = 1.0) -> str:
        """Return cells of a Markdown table: both medians, and the ratio with its spread.

        Parameters
        ----------
        times : float
            What theirs is multiplied by, where only a sample of it was timed.
        """
        ratios = [times * ratio for ratio in self.ratios]
        ours, theirs = statistics.median(self.ours), times * statistics.median(self.theirs)
        spread = f"{min(ratios):,.2f} to {max(ratios):,.2f}"
        return f"{ours:,.3f} | {theirs:,.3f} | {statistics.median(ratios):,.2f} ({spread})"


def take_turns(ours: Callable[[], object], theirs: Callable[[], object], turns: int) -> Turns:
    """Time both, one after the other, `turns` times after a first that does not count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns + 1):
        for way, taken in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            way()
            taken.append(time.perf_counter() - start)
    return Turns(seconds[0][1:], seconds[1][1:])


def machine() -> str:
    """Return the processor, the cores that may be used and Python's version, in words."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}"
