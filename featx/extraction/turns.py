"""Some batches of an extraction, in which a few images take turns, timed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.extraction.planning import Plan
from featx.extraction.running import fill, open_writer
from featx.memory import family, private_memory
from featx.store import FeaturesFile


@dataclass(frozen=True)
class Taken:
    """What some batches took.

    Attributes
    ----------
    path : Path
        The features file.
    rows : int
        Of the file.
    seconds : float
        Until the last batch was written.
    stamps : list of tuple
        Of each batch: when it was written, from the beginning, and its rows.
    finish : float
        Seconds of making the file.
    decoders : int
        Bytes of the processes that decode, where these were watched.
    """

    path: Path
    rows: int
    seconds: float
    stamps: list[tuple[float, int]]
    finish: float
    decoders: int

    def per_image(self) -> tuple[float, float, float]:
        """Return seconds an image, on average, least and most; the first of several warms up."""
        if len(self.stamps) == 1:
            return (self.seconds / self.rows,) * 3
        moments, rows = np.array(self.stamps).T
        taken = np.diff(moments)
        each = taken / rows[1:]
        return float(taken.sum() / rows[1:].sum()), float(each.min()), float(each.max())

    def features(self, count: int) -> dict[str, np.ndarray]:
        """Return the first rows of each layer."""
        with FeaturesFile(self.path) as file:
            return {name: file.read(name, rows=np.arange(count)) for name in file.layers}


class Turns:
    """Extracts rows in which some images take turns.

    Parameters
    ----------
    settled : Plan
        The extraction.
    chosen : sequence of int
        Rows of the images.
    folder : Path
        Where the features file is written, anew each time.
    written : dict
        ``dtype``, ``compression`` and ``max_pixels`` of `featx.extraction.run`.
    """

    def __init__(
        self, settled: Plan, chosen: Sequence[int], folder: Path, written: dict[str, Any]
    ) -> None:
        self._settled, self._chosen = settled, chosen
        self._folder, self._written = folder, written

    def take(self, count: int, *, batch_size: int | None = None, watching: bool = False) -> Taken:
        """Extract so many rows; `watching` looks at the processes that decode, too."""
        rows = np.resize(self._chosen, count).tolist()
        settled = replace(
            self._settled,
            table=self._settled.table.iloc[rows].reset_index(drop=True),
            paths=self._settled.paths[rows],
            batch_size=batch_size or self._settled.batch_size,
            shard=None,
        )
        path = self._folder / "probe.h5"
        path.unlink(missing_ok=True)
        stamps: list[tuple[float, int]] = []
        decoders = 0

        def advance(count: int) -> None:
            nonlocal decoders
            stamps.append((time.monotonic() - start, count))
            if watching:
                children = family(os.getpid())[1:]
                decoders = max(decoders, sum(map(private_memory, children)))

        form = {name: self._written[name] for name in ("dtype", "compression")}
        with open_writer(settled, path, **form) as writer:
            start = time.monotonic()
            fill(writer, settled, self._written["max_pixels"], advance)
            seconds = time.monotonic() - start
            writer.finish()
            finish = time.monotonic() - start - seconds
        return Taken(path, count, seconds, stamps, finish, decoders)
