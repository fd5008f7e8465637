"""Rows some at a time, so that memory stays the same however many there are."""

from __future__ import annotations

from collections.abc import Iterator

#: About so many bytes of rows at a time.
BLOCK_BYTES = 8 << 20


def row_blocks(
    rows: range, row_bytes: int, *, whole: int = 1, size: int | None = None
) -> Iterator[range]:
    """Yield consecutive rows in blocks of about `size` bytes.

    Parameters
    ----------
    rows : range
        All of them.
    row_bytes : int
        What one takes.
    whole : int
        A block has a multiple of so many rows, for example a chunk's; the last may have fewer.
    size : int, optional
        `BLOCK_BYTES` by default; a block has `whole` rows even where they take more.
    """
    step = max(1, (size or BLOCK_BYTES) // (row_bytes * whole)) * whole
    for start in range(rows.start, rows.stop, step):
        yield range(start, min(start + step, rows.stop))
