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
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._events = None
        else:
            self._events = SummaryWriter(str(folder / "tensorboard"))

    def write(self, history: Sequence[dict[str, float]]) -> None:
        """Write the history so far, of which the last row is new."""
        self._write_table(history)
        if self._events is not None:
            for name, value in history[-1].items():
                if name != "epoch":
                    step = int(history[-1]["epoch"])
                    self._events.add_scalar(name.replace("_", "/", 1), value, step)
            self._events.flush()

    def finish(self, history: Sequence[dict[str, float]]) -> None:
        """Write the whole history, whatever was killed before it was written; end the events."""
        self._write_table(history)
        if self._events is not None:
            self._events.close()

    def _write_table(self, history: Sequence[dict[str, float]]) -> None:
        with writing(self._folder / "history.csv") as temporary:
            pd.DataFrame(list(history)).to_csv(temporary, index=False, lineterminator="\n")
