"""What became of each epoch: a table, and TensorBoard's events where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from featx.atomic import writing


class StageJournal:
    """Writes a stage's history as it grows.

    Parameters
    ----------
    folder : Path
        ``history.csv`` and ``tensorboard/`` go there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[dict[str, float]] = []
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._events = None
        else:
            self._events = SummaryWriter(str(folder / "tensorboard"))

    def __call__(self, row: dict[str, float]) -> None:
        """Take up a finished epoch."""
        if self._events is not None:
            for name, value in row.items():
                if name != "epoch":
                    self._events.add_scalar(name.replace("_", "/", 1), value, int(row["epoch"]))
            self._events.flush()

    def finish(self, history: Sequence[dict[str, float]]) -> None:
        """Write the whole history as CSV and close the events."""
        with writing(self._folder / "history.csv") as temporary:
            pd.DataFrame(list(history)).to_csv(temporary, index=False, lineterminator="\n")
        if self._events is not None:
            self._events.close()
