"""Reading a features file, rows by rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from featx.errors import FeatxError, unknown
from featx.shards import Shard
from featx.store import netcdf, schema
from featx.store.hashing import changed_columns, hash_rows, stored_rows
from featx.store.opening import open_features, reading
from featx.store.schema import Layer

#: Bytes read at a time where only some rows are wanted.
_RUN_BYTES = 16 << 20


class FeaturesFile:
    """A finished features file, open for reading; use it as a context manager.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    FeatxError
        If it is not there, unfinished, truncated, no features file, or of another version; the
        methods raise it where the file is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file."""
        self.path = Path(path)
        self.hdf5 = open_features(path)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; reading from it ends."""
        self.hdf5.close()

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row an image: `IMAGE_COLUMNS`, text "" where unknown, age float64 (years) or NaN."""
        with reading(self.path):
            images = netcdf.read_images(self.hdf5)
            changed = changed_columns(self.hdf5, images)
        if changed:
            raise FeatxError(
                f"{self.path}: {changed[0]} differs from its sha256; take a whole copy, or extract "
                "again (if you changed it yourself, remove its attribute sha256)"
            )
        return images

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, in the order of extraction."""
        with reading(self.path):
            return netcdf.read_layers(self.hdf5)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What decided the features, as given to the writer."""
        with reading(self.path):
            return netcdf.read_provenance(self.hdf5)

    @property
    def shard(self) -> Shard | None:
        """Which shard of a features file it is; None for a whole one."""
        with reading(self.path):
            return Shard.told(self.provenance)

    @cached_property
    def context(self) -> dict[str, Any]:
        """What was noted beside the provenance; it decided nothing."""
        with reading(self.path):
            return dict(schema.decode_attribute(self.hdf5.attrs["context"]))

    @property
    def config_hash(self) -> str:
        """SHA-256 of everything that decided the file's content."""
        with reading(self.path):
            return str(self.hdf5.attrs["config_hash"])

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self.layers:
            raise unknown(f"layer of {self.path}", name, self.layers)
        return self.hdf5[name]

    def layer_sha256(self, name: str) -> str:
        """Return the SHA-256 of the layer's rows, row-major as stored (little-endian)."""
        dataset = self._dataset(name)
        with reading(self.path):
            return str(dataset.attrs["sha256"])

    def check(self, name: str) -> None:
        """Check a layer's rows against their hash.

        Raises
        ------
        FeatxError
            If they are not those that were written.
        """
        dataset = self._dataset(name)
        with reading(self.path):
            self._compare(dataset, hash_rows(dataset))

    def read_checked(self, name: str, keep: np.ndarray) -> np.ndarray:
        """Return rows of a layer after comparing all of them with their hash, in one reading.

        Parameters
        ----------
        name : str
            The layer.
        keep : array of bool, shape (n_images,)
            Which rows.

        Returns
        -------
        ndarray of shape (n, units), dtype float32

        Raises
        ------
        FeatxError
            As `read` and `check`.
        """
        dataset = self._dataset(name)
        out = np.empty((int(keep.sum()), dataset.shape[1]), dtype=np.float32)
        hasher, end = hashlib.sha256(), 0
        with reading(self.path):
            for first, values in stored_rows(dataset):
                hasher.update(values.data)
                wanted = values[keep[first : first + len(values)]]
                out[end : end + len(wanted)] = wanted
                end += len(wanted)
            self._compare(dataset, hasher.hexdigest())
        return out

    def _compare(self, dataset: h5py.Dataset, digest: str) -> None:
        if digest != dataset.attrs["sha256"]:
            layer = dataset.name.lstrip("/")
            raise FeatxError(
                f"{self.path}: layer {layer} differs from its sha256; take a whole copy, or "
                "extract again"
            )

    def read(self, name: str, rows: ArrayLike | None = None) -> np.ndarray:
        """Return rows of a layer.

        Parameters
        ----------
        name : str
            The layer.
        rows : array of bool, shape (n_images,), or of int, shape (n,), optional
            Which rows, in which order; all by default. Memory beyond the result stays below
            about 16 MiB or one chunk, whichever is more.

        Returns
        -------
        ndarray of shape (n, units), dtype float32

        Raises
        ------
        FeatxError
            If there is no such layer (with near matches), or the file is damaged.
        IndexError
            If a row is out of range, or a mask has another length.
        """
        dataset = self._dataset(name)
        if rows is None:
            with reading(self.path):
                whole: np.ndarray = dataset.astype(np.float32)[:]
                return whole
        wanted = _row_numbers(rows, dataset.shape[0])
        out = np.empty((len(wanted), dataset.shape[1]), dtype=np.float32)
        order = np.argsort(wanted, kind="stable")
        with reading(self.path):
            for run in _runs(wanted[order], dataset):
                numbers = wanted[order[run]]
                low = int(numbers[0])
                block = dataset.astype(np.float32)[low : int(numbers[-1]) + 1]
                out[order[run]] = block[numbers - low]
        return out


def _row_numbers(rows: ArrayLike, n: int) -> np.ndarray:
    numbers = np.asarray(rows)
    if numbers.dtype == bool:
        if numbers.shape != (n,):
            raise IndexError(f"a mask of shape {numbers.shape} for {n} rows")
        return np.flatnonzero(numbers)
    if numbers.size == 0:
        return np.empty(0, dtype=np.intp)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise IndexError(f"rows of dtype {numbers.dtype} and shape {numbers.shape}")
    numbers = numbers.astype(np.intp)
    if numbers.min() < -n or numbers.max() >= n:
        raise IndexError(f"row {numbers.min()} to {numbers.max()} of {n} rows")
    return np.where(numbers < 0, numbers + n, numbers)


def _runs(numbers: np.ndarray, dataset: h5py.Dataset) -> Iterator[slice]:
    """Cut sorted row numbers where a chunk needn't be read, or enough is read at once."""
    if len(numbers) == 0:
        return
    per_chunk = dataset.chunks[0] if dataset.chunks else 1
    per_run = max(1, _RUN_BYTES // (per_chunk * dataset.shape[1] * 4))
    chunks = numbers // per_chunk
    start = 0
    for end in range(1, len(numbers) + 1):
        if (
            end == len(numbers)
            or chunks[end] - chunks[end - 1] > 1
            or (chunks[end] != chunks[end - 1] and chunks[end] - chunks[start] >= per_run)
        ):
            yield slice(start, end)
            start = end
