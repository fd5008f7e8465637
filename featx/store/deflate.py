"""gzip's chunks, compressed and restored in threads: HDF5 does one at a time.

What is stored is what HDF5's own deflate filter reads, whatever the number of threads.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

try:
    from isal import isal_zlib
except ImportError:  # there are no wheels for this platform
    isal_zlib = None  # type: ignore[assignment]

T = TypeVar("T")

#: CRC-32, with ISA-L at the speed of memory.
crc32: Callable[..., int] = zlib.crc32 if isal_zlib is None else isal_zlib.crc32

#: The filters that a chunk has not gone through (HDF5's mask), and its bytes as stored.
Chunk = tuple[int, bytes]


def threads() -> ThreadPoolExecutor:
    """Return as many threads as there are processors that this process may use, at most 8."""
    return ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0))))


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, each when the next one has been asked for: threads are at work on that."""
    iterator = iter(items)
    for former in iterator:
        for item in iterator:
            yield former
            former = item
        yield former


def compress(rows: np.ndarray, size: int, level: int) -> bytes:
    """Compress a chunk of `size` rows as HDF5's deflate filter reads it.

    Level 1 is Intel's ISA-L, several times as fast as zlib, or where that is missing zlib looking
    for runs only: on activations faster than its default strategy and smaller, for behind a ReLU
    zeros are all that repeats.
    """
    stream: Any
    if level > 1:
        stream = zlib.compressobj(level)
    elif isal_zlib is not None:
        stream = isal_zlib.compressobj(1)
    else:
        stream = zlib.compressobj(1, strategy=zlib.Z_RLE)
    parts = [stream.compress(np.ascontiguousarray(rows).data)]
    missing = (size - len(rows)) * rows.shape[1] * rows.itemsize  # the last chunk is stored whole
    return b"".join([*parts, stream.compress(bytes(missing)), stream.flush()])


def restore(stored: Chunk, size: int) -> bytes:
    """Return the bytes of a chunk, which are `size` ones.

    Raises
    ------
    OSError
        Where HDF5's filter would fail, or the size is another.
    """
    mask, data = stored
    if mask:  # it was stored without the filter
        return data
    library: Any = isal_zlib or zlib
    stream = library.decompressobj()
    try:
        restored: bytes = stream.decompress(data, size + 1)
    except library.error as error:
        raise OSError(f"a chunk cannot be decompressed: {error}") from None
    if not stream.eof or len(restored) != size:
        raise OSError("a chunk has another size than its variable says")
    return restored
