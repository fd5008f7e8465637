"""Opening a features file that was cut off: HDF5 refuses one that is shorter than it was told."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from featx.store.soundness import check_sound

#: In HDF5's superblock of version 0, which the default `libver` writes.
_SIGNATURE, _END_OFFSET = b"\x89HDF\r\n\x1a\n\x00", 40


def told_size(path: Path) -> int:
    """Return the size that an HDF5 file tells that it has; 0 where it doesn't."""
    with path.open("rb") as stream:
        head = stream.read(_END_OFFSET + 8)
    if len(head) < _END_OFFSET + 8 or not head.startswith(_SIGNATURE):
        return 0
    return int(struct.unpack_from("<Q", head, _END_OFFSET)[0])


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[h5py.File, int | None]]:
    """Open an HDF5 file for reading, even if its end is missing.

    Yields
    ------
    h5py.File
        Zeros stand for what is missing.
    int or None
        The bytes that are there, where some are missing.

    Raises
    ------
    FeatxError
        If HDF5 breaks off or comes to no end on it.
    """
    size = path.stat().st_size
    if size >= told_size(path):
        check_sound(path)
        with h5py.File(path, "r") as file:
            yield file, None
        return
    check_sound(path, lambda: _padded(path))
    with _padded(path) as file:
        yield file, size


@contextlib.contextmanager
def _padded(path: Path) -> Iterator[h5py.File]:
    with _Padded(path, told_size(path)) as stream, h5py.File(stream, "r") as file:
        yield file


class _Padded(io.RawIOBase):
    """A file with zeros behind its end, as h5py's ``fileobj`` driver reads it."""

    def __init__(self, path: Path, size: int) -> None:
        self._stream = path.open("rb", buffering=0)
        self._size = size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = 0
        while count < len(view) and (read := self._stream.readinto(view[count:])):
            count += read
        view[count:] = bytes(len(view) - count)
        self._stream.seek(len(view) - count, io.SEEK_CUR)
        return len(view)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset, whence = self._size + offset, io.SEEK_SET
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._stream.close()
        super().close()
