"""Compressing rows while they are appended, for a device that computes them meanwhile.

Where the processor computes the features, compressing them can wait for `finish`: it takes the same
cores. Where a GPU does, those cores have nothing else to do, and `finish` would keep the GPU
waiting. The file is the same, byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from featx.store import deflate
from featx.store.netcdf import CHUNK_ROWS, chunk_rows
from featx.store.schema import Layer
from featx.store.writing.records import Deflated, Part


class Compressor:
    """Compresses the whole chunks among rows, in threads.

    Parameters
    ----------
    layers : sequence of Layer
        Of the file.
    dtype : str
        As stored.
    level : int
        Of gzip.
    """

    def __init__(self, layers: Iterable[Layer], dtype: str, level: int) -> None:
        self._sizes = {layer.name: chunk_rows(layer, dtype) for layer in layers}
        self._level = level
        self._pool = deflate.threads()

    def begin(self, name: str, values: np.ndarray, first: int) -> Iterator[Part]:
        """Let threads begin with a layer's rows, of which the first is the file's row `first`.

        Returns
        -------
        iterator of Part
            The rows, for which the threads are waited for. Those of chunks that begin before them
            or end behind are as they were given: the next rows may not come before the process is
            killed.
        """
        start = -first % CHUNK_ROWS
        stop = start + (len(values) - start) // CHUNK_ROWS * CHUNK_ROWS
        if stop <= start:
            return iter([values])
        size = self._sizes[name]
        chunks = [values[row : row + size] for row in range(start, stop, size)]
        compressed = self._pool.map(
            lambda chunk: deflate.compress(chunk, size, self._level), chunks
        )
        return self._around(values[:start], compressed, size, values[stop:])

    def _around(
        self, before: np.ndarray, compressed: Iterator[bytes], size: int, behind: np.ndarray
    ) -> Iterator[Part]:
        if len(before):
            yield before
        yield Deflated(list(compressed), size, self._level)
        if len(behind):
            yield behind

    def close(self) -> None:
        """End the threads, and what they have not begun."""
        self._pool.shutdown(cancel_futures=True)
