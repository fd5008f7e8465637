"""Writing a features file row by row, so that a kill at any moment loses only the batch in hand."""

from __future__ import annotations

import contextlib
import datetime
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from featx.atomic import publish
from featx.errors import FeatxError
from featx.manifest import STATUSES
from featx.store import comparison, schema
from featx.store.schema import Layer
from featx.store.writing import assembly
from featx.store.writing.framing import UnusableError, read_head
from featx.store.writing.incoming import Incoming
from featx.store.writing.journal import Journal, beside, left_beside
from featx.store.writing.records import Record

logger = logging.getLogger(__name__)


class FeaturesWriter:
    """Write a features file; use it as a context manager.

    Each `append` goes to the journal ``NAME.partial`` and is safe from a kill when it returns;
    `finish` makes the HDF5 file of it, checks it and gives it its name. Left without `finish`, by
    an exception or Ctrl-C, the journal stays for ``resume=True``. While `finish` runs, the disk
    holds the rows twice.

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
    early : bool
        Compress with gzip in `append`, not in `finish`; see `featx.store.writing.early`.

    Attributes
    ----------
    rows_done : int
        Rows that are stored: ``[0, rows_done)``; `append` brings the next ones.
    complete : bool
        Whether the finished file is there; if already on entering, nothing is left to do.

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
        early: bool = False,
    ) -> None:
        """Check the arguments; files are opened on entering the context."""
        if dtype not in ("float32", "float16"):
            raise FeatxError(f"dtype {dtype!r}: use float32 or float16")
        schema.check_layers(layers)
        self.path = Path(path)
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        self.layers = {layer.name: layer for layer in layers}
        self.rows_done = 0
        self.complete = False
        self._filters = schema.filters(compression)
        self._images = schema.image_columns(table)
        self._outcome = {name: self._images[name].tolist() for name in ("status", "reason")}
        self._dtype = dtype
        self._resume = resume
        provenance = schema.plain(provenance)
        self._plan = {
            "format": schema.FORMAT,
            "config_hash": schema.config_hash(table, layers, provenance, dtype),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "context": schema.plain(context or {}),
            "provenance": provenance,
            "dtype": dtype,
            "layers": [asdict(layer) for layer in layers],
            "images": schema.columns_to_json(self._images),
        }
        self._journal: Journal | None = None
        level = self._filters.get("compression_opts") if early else None
        self._incoming = Incoming(layers, dtype, self._images["image"], level)

    @property
    def config_hash(self) -> str:
        """SHA-256 of everything that decides the file's content."""
        return str(self._plan["config_hash"])

    @property
    def head(self) -> dict[str, Any]:
        """All that is settled before the first row: attributes, provenance, layers."""
        return self._plan

    @property
    def images(self) -> pd.DataFrame:
        """The per-image variables, with status and reason as the image table has them."""
        return self._images

    def finished(self) -> bool:
        """Return whether the finished file is there; its rows are not read.

        Raises
        ------
        FeatxError
            If it or its partial is there and not to be resumed, or was made otherwise.
        """
        if self.path.exists():
            comparison.refuse_overwriting(self.path, resume=self._resume)
            comparison.check_plan(self.path, self._plan)
            return True
        if self.partial.exists():
            self._refuse_unless_resumed()
            try:
                with contextlib.suppress(UnusableError), self.partial.open("rb") as stream:
                    self._check(read_head(stream))
            except FileNotFoundError:  # another process finished it in between
                return self.finished()
        return False

    def __enter__(self) -> Self:
        """Begin the file, or go on with it."""
        if self.path.exists():
            comparison.refuse_overwriting(self.path, resume=self._resume)
            comparison.check_complete(self.path, self._plan)
            self.rows_done, self.complete = len(self._images), True
            return self
        if self.partial.exists():
            self._refuse_unless_resumed()
            self._take_up()
        if self._journal is None:
            try:
                self._journal = Journal.create(self.partial, self._plan)
            except OSError as error:
                raise self._stopped(error) from error
        del self._plan["images"]  # written, and compared: of two copies one is enough
        return self

    def _refuse_unless_resumed(self) -> None:
        if not self._resume:
            raise FeatxError(
                f"{self.partial} is there already, from a run that did not finish; "
                "give --resume to go on with it, or remove it"
            )

    def _check(self, head: dict[str, Any]) -> None:
        comparison.compare(self.partial, head, self._plan)

    def _take_up(self) -> None:
        """Go on with the journal; where nothing in it can be used, put it out of the way."""
        try:
            self._journal = Journal.resume(self.partial, self._check)
        except UnusableError as error:
            logger.warning("%s cannot be resumed (%s): starting anew", self.partial, error)
            self.partial.unlink()
            return
        try:
            self._plan = self._journal.head  # keeps the date of the beginning
            for leftover in [*left_beside(self.path), *left_beside(self.partial)]:
                leftover.unlink(missing_ok=True)  # of a run that was killed, or stops now
            for record in self._journal.records():
                self._note(record.status, record.reason)
        except BaseException:
            self._journal.close()
            raise

    def _note(self, status: Sequence[str], reason: Sequence[str]) -> None:
        rows = slice(self.rows_done, self.rows_done + len(status))
        # one object for equal texts, of which there are few
        self._outcome["status"][rows] = map(sys.intern, status)
        self._outcome["reason"][rows] = map(sys.intern, reason)
        self.rows_done = rows.stop

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
        journal = self._open_journal()
        k = self._incoming.count(features, self.rows_done)
        rows = slice(self.rows_done, self.rows_done + k)
        statuses = self._texts("status", rows, status)
        reasons = self._texts("reason", rows, reason)
        if odd := set(statuses) - set(STATUSES):
            raise ValueError(f"status {sorted(odd)}: use {', '.join(STATUSES)}")
        bad = np.array([text != "ok" for text in statuses], dtype=bool)
        parts = self._incoming.parts(features, bad, rows.start)
        try:
            journal.append(Record(statuses, reasons, parts))
        except OSError as error:
            raise self._stopped(error) from error
        self._note(statuses, reasons)

    def finish(self) -> None:
        """Make the HDF5 file, check it against what was appended and give it its name.

        Raises
        ------
        FeatxError
            If rows are missing, the disk is full, or somebody else made the final file meanwhile
            or took the journal over; the journal stays.
        """
        if self.complete:
            return
        journal, n = self._open_journal(), len(self._images)
        journal.check()
        if self.rows_done != n:
            raise FeatxError(
                f"{self.path} has {self.rows_done} of {n} rows; append the rest before finish"
            )
        # of its own, for another process may have taken this one's journal over and build it too
        building = beside(self.path)
        try:
            layers = list(self.layers.values())
            level = self._filters.get("compression_opts")
            blocks = assembly.regrouped(journal.records(), layers, self._dtype, level)
            images = self._images.assign(**self._outcome)
            assembly.assemble(
                building, self._plan, images, layers, self._filters, blocks, self._incoming.hashes
            )
            if self.path.exists():
                raise FeatxError(
                    f"{self.path} was made by another run meanwhile; {self.partial} holds this one"
                )
            journal.check()
            publish(building, self.path)
            if journal.named:
                self.partial.unlink()
        except (OSError, RuntimeError) as error:
            raise self._stopped(error) from error
        finally:
            with contextlib.suppress(OSError):
                building.unlink(missing_ok=True)
        self.complete = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the journal; unless finished, it stays to be resumed."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._incoming.close()

    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise ValueError(f"{self.path} is not open for writing")
        return self._journal

    def _texts(self, column: str, rows: slice, given: Sequence[str] | None) -> list[str]:
        """Return the outcome as given, or else as the image table has it."""
        if given is None:
            return self._outcome[column][rows]
        if len(given) != rows.stop - rows.start:
            raise ValueError(f"{rows.stop - rows.start} rows, but {len(given)} of {column}")
        return [schema.clean_text(str(text)) for text in given]

    def _stopped(self, error: Exception) -> FeatxError:
        return FeatxError(
            f"cannot write {self.path}: {schema.cause(error)}; {self.rows_done} of "
            f"{len(self._images)} rows are kept in {self.partial.name}, go on with --resume"
        )
