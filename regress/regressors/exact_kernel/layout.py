"""The order of rows in which those of a group, and groups of one size, lie together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from regress.regressors.exact_kernel.kernels import BLOCK_BYTES, blocks


@dataclass(frozen=True)
class Chunk:
    """Consecutive groups of one size.

    Attributes
    ----------
    rows, groups : slice
        Its range of rows and of groups, in the order of the layout.
    shape : tuple of int
        Groups in the chunk, rows a group.
    """

    rows: slice
    groups: slice
    shape: tuple[int, int]


class Layout:
    """Rows put in order so that groups of one size lie together, the small ones first.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
        The group of each row, 0 to G − 1, each occurring.

    Attributes
    ----------
    order : ndarray of shape (n,)
        Row of the input at each place of the layout.
    groups : ndarray of shape (G,)
        Group at each place of the layout.
    sizes : ndarray of shape (G,)
        Rows of the group at each place.
    chunks : list of Chunk
        Each of one group, or within `BLOCK_BYTES` when as wide as n.
    """

    def __init__(self, codes: np.ndarray) -> None:
        """Order the rows; see the class."""
        counts = np.bincount(codes)
        self.groups = np.argsort(counts, kind="stable")
        self.sizes = counts[self.groups]
        place = np.empty_like(self.groups)
        place[self.groups] = np.arange(len(counts))
        self.order = np.argsort(place[codes], kind="stable")
        self.chunks = list(self._chunks(len(codes)))

    def _chunks(self, n: int) -> Iterator[Chunk]:
        first = row = 0
        for size, count in zip(*np.unique(self.sizes, return_counts=True), strict=True):
            for part in blocks(int(count), int(size) * n, BLOCK_BYTES):
                groups = part.stop - part.start
                stop = row + groups * int(size)
                yield Chunk(slice(row, stop), slice(first, first + groups), (groups, int(size)))
                first, row = first + groups, stop
