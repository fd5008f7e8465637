"""Rows on their way into the journal: checked, of the stored type, and compressed if early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from featx.errors import FeatxError
from featx.store.hashing import RowHash
from featx.store.netcdf import chunk_rows
from featx.store.schema import Layer
from featx.store.writing.early import Compressor
from featx.store.writing.records import Part


class Incoming:
    """What is done to the rows of every `FeaturesWriter.append`.

    Parameters
    ----------
    layers : sequence of Layer
        Of the file.
    dtype : str
        As stored.
    images : pandas.Series
        The names of the file's rows.
    level : int or None
        Of gzip, where chunks are to be compressed already.
    """

    def __init__(
        self, layers: Sequence[Layer], dtype: str, images: pd.Series, level: int | None
    ) -> None:
        self._units = {layer.name: layer.units for layer in layers}
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._images = images
        self._compressor = None if level is None else Compressor(layers, dtype, level)
        self._hashers = {layer.name: RowHash(chunk_rows(layer, dtype)) for layer in layers}
        self._hashed = 0

    def count(self, features: Mapping[str, np.ndarray], first: int) -> int:
        """Return how many rows are given, of which the first is the file's row `first`.

        Raises
        ------
        ValueError
            If layers, shapes or the number of rows are not those of the file.
        """
        if set(features) != set(self._units):
            raise ValueError(f"layers {sorted(features)} given, {sorted(self._units)} expected")
        counts = {len(features[name]) for name in self._units}
        if len(counts) != 1:
            raise ValueError(f"layers differ in rows: {sorted(counts)}")
        k = counts.pop()
        for name, units in self._units.items():
            if np.shape(features[name]) != (k, units):
                raise ValueError(
                    f"{name} has shape {np.shape(features[name])}, expected {(k, units)}"
                )
        if first + k > len(self._images):
            raise ValueError(f"{first + k} rows for a table of {len(self._images)}")
        return k

    def parts(
        self, features: Mapping[str, np.ndarray], missing: np.ndarray, first: int
    ) -> dict[str, list[Part]]:
        """Return rows as the journal takes them, NaN where `missing`, whatever is given.

        Raises
        ------
        FeatxError
            If a value does not fit the stored type.
        """
        stored = {
            name: self._converted(name, features[name], missing, first) for name in self._units
        }
        if self._compressor is None:
            return {name: [values] for name, values in stored.items()}
        begun = {
            name: self._compressor.begin(name, values, first) for name, values in stored.items()
        }
        # while threads compress; not again once an append has failed, or was left in between
        follow, self._hashed = first == self._hashed, -1
        if follow:
            for name, values in stored.items():
                self._hashers[name].update(values)
            self._hashed = first + len(missing)
        return {name: list(parts) for name, parts in begun.items()}

    @property
    def hashes(self) -> dict[str, RowHash] | None:
        """The hash of each layer's rows, where all came compressed and in this process."""
        return self._hashers if self._hashed == len(self._images) else None

    def close(self) -> None:
        """End what works beside the caller."""
        if self._compressor is not None:
            self._compressor.close()

    def _converted(
        self, name: str, given: np.ndarray, missing: np.ndarray, first: int
    ) -> np.ndarray:
        values = np.asarray(given)
        with np.errstate(over="ignore"):
            stored = values.astype(self._dtype)
        stored[missing] = np.nan
        if np.can_cast(values.dtype, self._dtype):  # nothing is lost
            return stored
        lost = np.isinf(stored) & np.isfinite(values)
        if lost.any():
            row, unit = np.argwhere(lost)[0]
            raise FeatxError(
                f"layer {name} of image {self._images.iloc[first + row]!r} holds "
                f"{values[row, unit]:g}, too large for {self._dtype}; extract with --dtype float32"
            )
        return stored
