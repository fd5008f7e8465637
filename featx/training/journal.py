"""What became of each epoch: a table, and TensorBoard's events where it is installed."""

from __future__ import annotations

import contextlib
import functools
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from featx.atomic import writing
from featx.errors import FeatxError


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
            with self._telling():
                self._events = SummaryWriter(str(folder / "tensorboard"))
            _keep_silent()

    def write(self, history: Sequence[dict[str, float]]) -> None:
        """Write the history so far, of which the last row is new."""
        self._write_table(history)
        if self._events is None:
            return
        step = int(history[-1]["epoch"])
        with self._telling():
            for name, value in history[-1].items():
                if name != "epoch":
                    self._events.add_scalar(name.replace("_", "/", 1), value, step)
            self._events.flush()

    def finish(self, history: Sequence[dict[str, float]]) -> None:
        """Write the whole history, whatever was killed before it was written; end the events."""
        self._write_table(history)
        if self._events is not None:
            with self._telling():
                self._events.close()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell in a line what TensorBoard's thread, which writes the events, fails at."""
        try:
            yield
        except OSError as error:
            events = self._folder / "tensorboard"
            raise FeatxError(f"cannot write {events}: {error.strerror or error}") from error
        except UnicodeEncodeError as error:
            raise FeatxError(
                f"{self._folder}: TensorBoard writes below no folder whose name is no UTF-8; "
                "choose another -o"
            ) from error

    def _write_table(self, history: Sequence[dict[str, float]]) -> None:
        with writing(self._folder / "history.csv") as temporary:
            pd.DataFrame(list(history)).to_csv(temporary, index=False, lineterminator="\n")


@functools.cache
def _keep_silent() -> None:
    """Leave what TensorBoard's thread fails at to the next flush, which raises it again."""
    usual = threading.excepthook

    def hook(failure: Any) -> None:
        where = traceback.extract_tb(failure.exc_traceback)[-1].filename
        if not (isinstance(failure.exc_value, OSError) and "tensorboard" in where):
            usual(failure)

    threading.excepthook = hook
