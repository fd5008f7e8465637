"""Writing a features file row by row, so that a kill at any moment loses almost nothing."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd

from featx.atomic import publish
from featx.errors import FeatxError
from featx.manifest import STATUSES
from featx.store import resuming, schema
from featx.store.schema import BLOCK_ROWS, Layer

logger = logging.getLogger(__name__)


class FeaturesWriter:
    """Write a features file; use it as a context manager.

    Rows go to ``NAME.partial``, in blocks of `BLOCK_ROWS`; `finish` gives the file its name. If
    the block is left without `finish`, by an exception or Ctrl-C, all rows that were appended are
    kept for ``resume=True``; a kill loses at most the batch in hand and `BLOCK_ROWS` - 1 rows.

    Parameters
    ----------
    path : str or Path
        The final name. It must not exist, except to be resumed.
    table : pandas.DataFrame
        An image table (`featx.manifest`); all its n rows are rows of the file, in order.
    layers : sequence of Layer
        What each `append` brings.
    provenance : mapping of str to JSON values
        What decides the features: backbone, weights, preprocessing, precision and so on. Each
        becomes a root attribute and counts in the config hash.
    dtype : {"float32", "float16"}
        Type as stored. float16 halves the file, but netCDF4-python cannot read it (it may end the
        whole process); h5py and xarray's h5netcdf engine can.
    compression : str
        ``gzip`` (level 1), ``gzip-1`` to ``gzip-9``, ``lzf`` (h5py only) or ``none``.
    resume : bool
        Go on with ``NAME.partial`` if it is there and of the same configuration.
    context : mapping of str to JSON values, optional
        What is worth knowing but decides nothing: library versions, dates. Not hashed.

    Attributes
    ----------
    rows_done : int
        Rows that need not be appended any more: ``[0, rows_done)``.
    complete : bool
        Whether the finished file was there already, wholly as asked for; nothing is left to do.

    Raises
    ------
    FeatxError
        If the file or its partial is there and not to be resumed, was made otherwise, is being
        written by somebody else, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        table: pd.DataFrame,
        layers: Sequence[Layer],
        provenance: Mapping[str, Any],
        *,
        dtype: str = "float32",
        compression: str = "gzip",
        resume: bool = False,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        if dtype not in ("float32", "float16"):
            raise FeatxError(f"dtype {dtype!r}: use float32 or float16")
        schema.filters(compression)
        schema.check_layers(layers)
        self.path = Path(path)
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        self.layers = {layer.name: layer for layer in layers}
        self.complete = False
        self._images = schema.image_columns(table)
        self._provenance = schema.plain(provenance)
        self._context = schema.plain(context or {})
        self._dtype = dtype
        self._compression = compression
        self._resume = resume
        self._hash = schema.config_hash(table, layers, self._provenance, dtype)
        self._file: h5py.File | None = None
        self._hashers = {name: hashlib.sha256() for name in self.layers}
        self._pending: dict[str, np.ndarray] = {}
        self._written = 0  # rows on disk
        self._held = 0  # rows in `_pending`, not yet a whole block
        self._failed = False

    @property
    def rows_done(self) -> int:
        """Rows that need not be appended any more."""
        return self._written + self._held

    @property
    def config_hash(self) -> str:
        """SHA-256 of everything that decides the file's content."""
        return self._hash

    def __enter__(self) -> Self:
        """Open or resume the file."""
        n = len(self._images)
        if self.path.exists():
            if not self._resume:
                raise FeatxError(
                    f"{self.path} is there already and is never overwritten; remove it, "
                    "choose another name, or give --resume to check and keep it"
                )
            resuming.check_complete(self.path, self._expected())
            self.complete, self._written = True, n
            return self
        self._pending = {
            name: np.empty((BLOCK_ROWS, layer.units), dtype=np.dtype(self._dtype).newbyteorder("<"))
            for name, layer in self.layers.items()
        }
        if self.partial.exists():
            if not self._resume:
                raise FeatxError(
                    f"{self.partial} is there already, from a run that did not finish; "
                    "give --resume to go on with it, or remove it"
                )
            self._take_up()
        if self._file is None:
            self._begin()
        return self

    def _expected(self) -> resuming.Expected:
        return resuming.Expected(
            self._hash, self._images, list(self.layers.values()), self._provenance, self._dtype
        )

    def _begin(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(self.partial, "x")
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            root = self._file.attrs
            root["format"] = schema.FORMAT
            root["title"] = "Features of face images, one row an image"
            root["config_hash"] = self._hash
            root["created"] = now
            root["context"] = json.dumps(self._context, sort_keys=True)
            root["rows_done"] = np.int64(0)
            for key, value in self._provenance.items():
                root[key] = schema.encode_attribute(value)
            layers = list(self.layers.values())
            schema.lay_out(self._file, self._images, layers, self._dtype, self._compression)
            self._checkpoint()
        except (OSError, RuntimeError) as error:
            raise self._stopped(error) from error

    def _take_up(self) -> None:
        """Go on with the partial file; where nothing in it can be used, put it out of the way."""
        try:
            state = resuming.open_partial(self.partial, self._expected())
        except resuming.UnusableError as error:
            logger.warning("%s cannot be resumed (%s): starting anew", self.partial, error)
            self.partial.unlink()
            return
        self._file, self._hashers = state.file, state.hashers
        self._written, self._held = state.rows, state.held
        for name, tail in state.tails.items():
            self._pending[name][: self._held] = tail
        try:
            self._restore_columns(state.images)
            self._checkpoint()
        except (OSError, RuntimeError) as error:
            raise self._stopped(error) from error

    def _restore_columns(self, stored: pd.DataFrame) -> None:
        """Keep the status of rows that are done; the others get the table's again."""
        assert self._file is not None
        for column in ("status", "reason"):
            wanted = self._images[column].to_numpy().copy()
            wanted[: self.rows_done] = stored[column].to_numpy()[: self.rows_done]
            for row in np.flatnonzero(wanted != stored[column].to_numpy()):
                self._file[column][row] = wanted[row]
            self._images[column] = wanted

    def append(
        self,
        features: Mapping[str, np.ndarray],
        status: Sequence[str] | None = None,
        reason: Sequence[str] | None = None,
    ) -> None:
        """Store the next k rows of every layer.

        Parameters
        ----------
        features : mapping of str to array of shape (k, units)
            All layers. Rows whose status isn't ``ok`` are stored as NaN, whatever is given.
        status, reason : sequence of k str, optional
            Outcome of each row; without them the image table's.

        Raises
        ------
        FeatxError
            If the disk is full or a value does not fit the stored type.
        ValueError
            If layers, shapes or the number of rows are not those of the file.
        """
        k = self._checked_rows(features)
        rows = slice(self.rows_done, self.rows_done + k)
        try:
            self._record("status", rows, status)
            self._record("reason", rows, reason)
            bad = self._images["status"].to_numpy()[rows] != "ok"
            stored = {name: self._converted(name, features[name], bad) for name in self.layers}
            for first in range(-self._held, k, BLOCK_ROWS):
                taken = slice(max(first, 0), min(first + BLOCK_ROWS, k))
                held = self._held + taken.stop - taken.start
                for name, values in stored.items():
                    self._pending[name][self._held : held] = values[taken]
                self._held = held
                if held == BLOCK_ROWS:
                    self._write_block()
            self._checkpoint()
        except (OSError, RuntimeError) as error:
            raise self._stopped(error) from error

    def finish(self) -> None:
        """Write what is held, make everything durable and give the file its final name.

        Raises
        ------
        FeatxError
            If rows are missing, the disk is full, or somebody else made the final file meanwhile.
        """
        if self.complete:
            return
        file, n = self._open_file(), len(self._images)
        if self.rows_done != n:
            raise FeatxError(
                f"{self.path} has {self.rows_done} of {n} rows; append the rest before finish"
            )
        try:
            self._write_block()
            self._checkpoint()
            for name, hasher in self._hashers.items():
                schema.write_fixed(file[name], "sha256", hasher.hexdigest(), 64)
            file.close()
            self._file = None
            if self.path.exists():
                raise FeatxError(
                    f"{self.path} was made by another run meanwhile; {self.partial} holds this one"
                )
            publish(self.partial, self.path)
        except (OSError, RuntimeError) as error:
            raise self._stopped(error) from error
        self.complete = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Keep what was appended, unless `finish` has done so or the disk refuses."""
        if self._file is None:
            return
        try:
            if not self._failed:
                self._write_block()
                self._checkpoint()
                self._file.close()
        except (OSError, RuntimeError) as failure:
            if error is None:
                raise self._stopped(failure) from failure
            logger.warning("%s", self._stopped(failure))
        finally:
            self._release()

    def _open_file(self) -> h5py.File:
        if self._file is None:
            raise ValueError(f"{self.path} is not open for writing")
        return self._file

    def _checked_rows(self, features: Mapping[str, np.ndarray]) -> int:
        self._open_file()
        if set(features) != set(self.layers):
            raise ValueError(f"layers {sorted(features)} given, {sorted(self.layers)} expected")
        counts = {len(features[name]) for name in self.layers}
        if len(counts) != 1:
            raise ValueError(f"layers differ in rows: {sorted(counts)}")
        k = counts.pop()
        for name, layer in self.layers.items():
            if np.shape(features[name]) != (k, layer.units):
                raise ValueError(
                    f"{name} has shape {np.shape(features[name])}, expected {(k, layer.units)}"
                )
        if self.rows_done + k > len(self._images):
            raise ValueError(f"{self.rows_done + k} rows for a table of {len(self._images)}")
        return k

    def _record(self, column: str, rows: slice, given: Sequence[str] | None) -> None:
        """Store what differs from the table; texts that stay are never rewritten."""
        if given is None:
            return
        if len(given) != rows.stop - rows.start:
            raise ValueError(f"{rows.stop - rows.start} rows, but {len(given)} of {column}")
        texts = np.array([str(value) for value in given], dtype=object)
        if column == "status" and (odd := set(texts) - set(STATUSES)):
            raise ValueError(f"status {sorted(odd)}: use {', '.join(STATUSES)}")
        values = self._images[column].to_numpy(copy=True)
        for offset in np.flatnonzero(values[rows] != texts):
            self._open_file()[column][rows.start + offset] = texts[offset]
        values[rows] = texts
        self._images[column] = values

    def _converted(self, name: str, given: np.ndarray, bad: np.ndarray) -> np.ndarray:
        """Return rows as stored: NaN where the status isn't ok."""
        values = np.asarray(given)
        with np.errstate(over="ignore"):
            stored = values.astype(np.dtype(self._dtype).newbyteorder("<"))
        stored[bad] = np.nan
        lost = np.isinf(stored) & np.isfinite(values)
        if lost.any():
            row, unit = np.argwhere(lost)[0]
            image = self._images["image"].iloc[self.rows_done + row]
            raise FeatxError(
                f"layer {name} of image {image!r} holds {values[row, unit]:g}, too large for "
                f"{self._dtype}; extract with --dtype float32"
            )
        return stored

    def _write_block(self) -> None:
        if self._held == 0:
            return
        file, rows = self._open_file(), slice(self._written, self._written + self._held)
        for name, pending in self._pending.items():
            file[name][rows] = pending[: self._held]
            self._hashers[name].update(pending[: self._held].tobytes())
        self._written += self._held
        self._held = 0

    def _checkpoint(self) -> None:
        """Make the written rows count: first the rows reach the file, then their number."""
        file = self._open_file()
        file.flush()
        schema.write_checkpoint(file, self._written, self._hashers)
        file.attrs.modify("rows_done", np.int64(self._written))
        file.flush()

    def _stopped(self, error: Exception) -> FeatxError:
        """Give the file up and say why, and what of it is kept."""
        self._failed = True
        self._release()
        if resuming.is_locked(error):
            return resuming.locked(self.partial)
        return FeatxError(
            f"cannot write {self.partial}: {schema.cause(error)}; {self._written} of "
            f"{len(self._images)} rows are kept, go on with --resume"
        )

    def _release(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._file.close()
            self._file = None
