"""A file for HDF5 to write to that keeps the first error instead of passing it on."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Sink(io.RawIOBase):
    """A new file as h5py's ``fileobj`` driver wants it.

    HDF5 does not survive a failing write well: h5py drops errors that arise while an object is
    closed, and the library may crash when the file is. So a failed write is only noted in `error`
    here; whoever writes must look at it, and throw the file away.

    Parameters
    ----------
    path : Path
        The file; what was there is lost.

    Attributes
    ----------
    error : OSError or None
        The first error.
    """

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._stream = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except OSError as error:
            self.error = self.error or error
            return None

    def write(self, data: Any) -> int:
        """Write all of the bytes, or note the error."""
        view = memoryview(data).cast("B")
        size = len(view)
        while view and self.error is None:
            written = self._try(lambda view=view: self._stream.write(view))  # type: ignore[misc]
            view = view[written or 0 :]
        return size

    def readinto(self, buffer: Any) -> int:
        """Read what is there; zeros stand for what could not be written."""
        view = memoryview(buffer).cast("B")
        count = self._try(lambda: self._stream.readinto(view)) or 0
        if self.error is not None:
            view[count:] = bytes(len(view) - count)
            return len(view)
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or note the error."""
        self._try(lambda: self._stream.truncate(size))
        return size if size is not None else self.tell()

    def flush(self) -> None:
        """Do nothing; nothing is buffered."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._try(self._stream.close)
        super().close()
