"""Rows as bytes, as the journal holds them."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.store.deflate import restore


@dataclass(frozen=True)
class Deflated:
    """Rows of a layer in chunks that are compressed as the file is to hold them.

    Attributes
    ----------
    chunks : sequence of bytes
        Each a whole one.
    size : int
        Rows a chunk.
    level : int
        Of gzip.
    """

    chunks: Sequence[bytes]
    size: int
    level: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.size * len(self.chunks)

    def __getitem__(self, rows: slice) -> Deflated:
        """Return the chunks of some rows; the slice begins and ends with one."""
        start, stop, _ = rows.indices(len(self))
        return replace(self, chunks=self.chunks[start // self.size : stop // self.size])

    def values(self, units: int, dtype: str) -> np.ndarray:
        """Return the rows as they were before, shape (rows, units).

        Raises
        ------
        OSError
            As `featx.store.deflate.restore`.
        """
        size = self.size * units * np.dtype(dtype).itemsize
        restored = b"".join(restore((0, chunk), size) for chunk in self.chunks)
        return np.frombuffer(restored, np.dtype(dtype).newbyteorder("<")).reshape(-1, units)


#: Consecutive rows of a layer; values have the shape (rows, units).
Part = np.ndarray | Deflated


@dataclass(frozen=True)
class Record:
    """Consecutive rows: their outcome, and each layer's, in one or more parts."""

    status: list[str]
    reason: list[str]
    features: dict[str, list[Part]]


def pack(record: Record) -> bytes:
    """Return the bytes of a record."""
    layers: list[list[Any]] = []
    packed: list[bytes] = []
    for name, parts in record.features.items():
        for part in parts:
            if isinstance(part, Deflated):
                packed.append(b"".join(part.chunks))
                shape = [part.size, part.level]
                told = ["deflate", shape, len(packed[-1]), list(map(len, part.chunks))]
            else:
                packed.append(_without_zeros(part))
                told = [part.dtype.str, list(part.shape), len(packed[-1])]
            layers.append([name, *told])
    index = {"status": record.status, "reason": record.reason, "layers": layers}
    text = json.dumps(index).encode()
    return b"".join([struct.pack("<Q", len(text)), text, *packed])


def unpack(payload: bytes) -> Record:
    """Return the record of some bytes."""
    (size,) = struct.unpack_from("<Q", payload)
    index: Mapping[str, Any] = json.loads(payload[8 : 8 + size])
    features: dict[str, list[Part]] = {}
    start = 8 + size
    for name, kind, shape, length, *lengths in index["layers"]:
        packed = memoryview(payload)[start : start + length]
        part = _chunks(packed, *shape, *lengths) if lengths else _with_zeros(packed, kind, shape)
        features.setdefault(name, []).append(part)
        start += length
    return Record(index["status"], index["reason"], features)


def _chunks(packed: memoryview, size: int, level: int, lengths: list[int]) -> Deflated:
    stops = itertools.accumulate(lengths)
    each = zip(stops, lengths, strict=True)
    return Deflated([bytes(packed[stop - length : stop]) for stop, length in each], size, level)


def _without_zeros(values: np.ndarray) -> bytes:
    """Return a bit for each value, whether it is there, then those that are.

    Many activations behind a ReLU are zero: this saves as much as gzip does, and is faster.
    """
    words = np.ascontiguousarray(values).view(f"<u{values.itemsize}").ravel()
    there = words != 0  # of the words: a negative zero stays one
    return np.packbits(there).tobytes() + np.compress(there, words).tobytes()


def _with_zeros(packed: memoryview, kind: str, shape: list[int]) -> np.ndarray:
    dtype = np.dtype(kind)
    count = math.prod(shape)
    bits = -(-count // 8)
    there = np.unpackbits(np.frombuffer(packed[:bits], np.uint8), count=count).view(bool)
    words = np.zeros(count, dtype=f"<u{dtype.itemsize}")
    values = bytes(packed[bits:])  # a copy is aligned: what is not takes NumPy twice as long
    words[np.flatnonzero(there)] = np.frombuffer(values, dtype=words.dtype)
    return words.view(dtype).reshape(shape)
