"""Whether a cascade will fit, and what it will take, from trials of its stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.memory import free_memory
from featx.shortage import Shortage, free_disk
from featx.training.images.pixels import MEMORY_SHARE
from featx.training.probing import StageCost


@dataclass(frozen=True)
class Budget:
    """What a cascade will take; bytes and seconds.

    Attributes
    ----------
    once, each : list of StageCost
        Of the stages that are trained once, and of those that every fold trains, on all images.
    folds : int
        How many there are.
    passes : float
        The folds' training images, all together, over all images.
    jobs : int
        Folds at a time.
    kept : int
        How often the networks of a fold are kept.
    free_disk, free_memory : int
        Bytes.
    """

    once: Sequence[StageCost]
    each: Sequence[StageCost]
    folds: int
    passes: float
    jobs: int
    kept: int
    free_disk: int
    free_memory: int

    @classmethod
    def of(
        cls,
        costs: Sequence[StageCost],
        out: Path,
        *,
        once: int,
        folds: int = 0,
        passes: float = 0.0,
        jobs: int = 1,
        keep: bool = False,
    ) -> Budget:
        """Return the budget on this machine as it is now.

        Parameters
        ----------
        costs : sequence of StageCost
            Of all stages, in order.
        out : Path
            The folder that will be written.
        once : int
            How many of them, the first ones, are trained once.
        folds, passes, jobs
            As of the class.
        keep : bool
            Whether the folds' networks stay.
        """
        at_a_time = max(1, min(jobs, folds))
        kept = folds if keep else at_a_time if folds else 0
        free = free_disk(out), free_memory()
        return cls(costs[:once], costs[once:], folds, passes, at_a_time, kept, *free)

    @property
    def seconds(self) -> tuple[float, float, float]:
        """The likely time, the shortest and the longest."""
        likely, least, most = (
            sum(stage.seconds[way] for stage in self.once)
            + sum(
                self.folds * stage.start + self.passes * stage.epochs * stage.epoch[way]
                for stage in self.each
            )
            / self.jobs
            for way in range(3)
        )
        return likely, least, most

    @property
    def memory(self) -> int:
        """Bytes of memory at the peak, of all processes."""
        return self._memory(self.jobs)

    def _memory(self, jobs: int) -> int:
        stages = [*self.once, *self.each]
        pixels = max(stage.pixels for stage in stages)
        if jobs * pixels > MEMORY_SHARE * self.free_memory:  # decoded again each time
            pixels = 0
        return jobs * (max(stage.process for stage in stages) + pixels)

    @property
    def disk(self) -> int:
        """Bytes of the networks' files."""
        return sum(stage.network for stage in self.once) + self.kept * sum(
            stage.network for stage in self.each
        )

    @property
    def shortages(self) -> list[Shortage]:
        """What does not suffice, with what would make it fit."""
        found = []
        if self.disk > self.free_disk:
            found.append(Shortage.of("disk", self.disk, self.free_disk, self._fewer_networks()))
        if self.memory > self.free_memory:
            found.append(Shortage.of("memory", self.memory, self.free_memory, self._fewer_jobs()))
        return found

    def _fewer_networks(self) -> Iterator[tuple[str, int]]:
        if self.kept > self.jobs:
            once = sum(stage.network for stage in self.once)
            each = sum(stage.network for stage in self.each)
            yield "no --keep-networks", once + self.jobs * each

    def _fewer_jobs(self) -> Iterator[tuple[str, int]]:
        for jobs in range(self.jobs - 1, 0, -1):
            yield f"--jobs {jobs}", self._memory(jobs)

    def describe(self) -> dict[str, Any]:
        """Return all of it, as values that JSON can hold: bytes and seconds."""
        likely, least, most = self.seconds
        return {
            "stages": [
                {**stage.describe(), "each_fold": each}
                for each, stages in ((False, self.once), (True, self.each))
                for stage in stages
            ],
            "folds": self.folds,
            "jobs": self.jobs,
            "disk": {"networks_bytes": self.disk, "free_bytes": self.free_disk},
            "memory": {"peak_bytes": self.memory, "free_bytes": self.free_memory},
            "seconds": {"likely": likely, "least": least, "most": most},
            "fits": not self.shortages,
            "shortages": [each.describe() for each in self.shortages],
        }
