"""The pixels that a stage trains on, decoded once where memory allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from featx.backbones import Preprocessing
from featx.cluster import available_cores
from featx.errors import FeatxError
from featx.loading import Crops
from featx.memory import free_memory

#: The part of the free memory that decoded pixels may take.
MEMORY_SHARE = 0.5

#: Images that a thread decodes at a time.
_CHUNK = 64


class PixelStore:
    """Images as a network's input wants them, by row.

    Where all of them fit into memory they are decoded once; otherwise they are decoded each time
    that they are asked for. Threads decode, for the decoders release Python's lock.

    Parameters
    ----------
    files : sequence of str
        An image file a row.
    preprocessing : Preprocessing
        For the size and the order of channels; the pixels are those that extraction takes.
    memory : int, optional
        Bytes that decoded images may take; half of what is free by default.
    sharers : int
        Processes on this machine that each keep such a store: they share that half.
    """

    def __init__(
        self,
        files: Sequence[str],
        preprocessing: Preprocessing,
        *,
        memory: int | None = None,
        sharers: int = 1,
    ) -> None:
        self._files = list(files)
        self._crops = Crops(self._files, np.ones(len(files), bool), preprocessing)
        self._shape = (*preprocessing.decoded_size, 3)
        self._pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="featx-decode")
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="featx-decode-ahead")
        self._decoded: np.ndarray | None = None
        allowed = int(free_memory() * MEMORY_SHARE) // sharers if memory is None else memory
        self.fits = len(files) * int(np.prod(self._shape)) <= allowed

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._files)

    def __enter__(self) -> PixelStore:
        """Return the store, to be closed at the block's end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """End the threads and let go of the pixels."""
        self._ahead.shutdown(cancel_futures=True)  # first, for what it does is done by the others
        self._pool.shutdown(cancel_futures=True)
        self._decoded = None

    def load(self, advance: Callable[[int], None] = lambda n: None) -> None:
        """Decode all images now, if they fit into memory.

        Parameters
        ----------
        advance : callable
            Told how many images more are decoded.

        Raises
        ------
        FeatxError
            If an image cannot be read; its file is named.
        """
        if not self.fits or self._decoded is not None:
            return
        decoded = np.empty((len(self), *self._shape), np.uint8)

        def decode(start: int) -> int:
            rows = range(start, min(start + _CHUNK, len(self)))
            for row in rows:
                decoded[row] = self._decode(row)
            return len(rows)

        for n in self._pool.map(decode, range(0, len(self), _CHUNK)):
            advance(n)
        self._decoded = decoded

    def take(self, rows: np.ndarray | Sequence[int]) -> torch.Tensor:
        """Return some rows: uint8, shape (n, 3, height, width), channels last in memory.

        Raises
        ------
        FeatxError
            If an image cannot be read; its file is named.
        """
        if self._decoded is not None:
            pixels = self._decoded[np.asarray(rows, dtype=int)]
        else:
            found = list(self._pool.map(self._decode, rows))
            pixels = np.stack(found) if found else np.empty((0, *self._shape), np.uint8)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def batches(
        self, batches: Sequence[np.ndarray | Sequence[int]], ahead: int = 2
    ) -> Iterator[torch.Tensor]:
        """Yield `take` of each set of rows, in order; the next `ahead` are made meanwhile.

        Raises
        ------
        FeatxError
            As `take`.
        """
        todo = (self._ahead.submit(self.take, rows) for rows in batches)
        coming = deque(islice(todo, ahead))
        while coming:
            pixels = coming.popleft().result()
            coming.extend(islice(todo, 1))
            yield pixels

    def _decode(self, row: int) -> np.ndarray:
        _, pixels, reason = self._crops[row]
        if pixels is None:
            raise FeatxError(
                f"{self._files[row]}: {reason}; prepare the images again, or give the row another "
                "status than ok"
            )
        return pixels
