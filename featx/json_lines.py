"""A journal of JSON values, a line each, appended to and locked, so that a killed run can go on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from featx.errors import FeatxError


def complete_lines(path: Path) -> tuple[list[Any], int]:
    """Return the values of a journal's complete lines, and how many bytes these have.

    What follows the first line that is no JSON was being written when the run was killed.
    """
    entries, whole = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        entries.append(entry)
        whole += len(line)
    return entries, whole


class JsonLines:
    """A journal that is open for appending; only one run at a time may have it.

    Parameters
    ----------
    path : Path
        The journal; its folder is made.
    whole : int
        Bytes of its complete lines; what follows is cut off.

    Raises
    ------
    FeatxError
        If another run is writing to the folder, or the journal cannot be written.
    """

    def __init__(self, path: Path, whole: int) -> None:
        """Open and lock it."""
        self._path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("ab")
            try:
                _lock(self._stream, path.parent)
                self._stream.truncate(whole)
            except BaseException:
                self._stream.close()
                raise

    def write(self, entry: Mapping[str, Any], *, allow_nan: bool = True) -> None:
        """Append a line, which is with the system when this returns.

        Parameters
        ----------
        entry : mapping
            Of what JSON can hold.
        allow_nan : bool
            As of `json.dumps`.

        Raises
        ------
        FeatxError
            If it cannot be written.
        """
        line = json.dumps(entry, allow_nan=allow_nan).encode() + b"\n"
        with self._told():
            self._stream.write(line)
            self._stream.flush()

    def close(self) -> None:
        """Close it; a line that could not be written, which was told then, is not told again."""
        with contextlib.suppress(OSError):  # the buffer is flushed once more
            self._stream.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FeatxError(f"cannot write {self._path}: {error.strerror or error}") from error


def _lock(stream: IO[bytes], folder: Path) -> None:
    """Keep other runs from writing to a folder while its open journal lives."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise FeatxError(f"another run is writing to {folder}; wait for it to end") from None
        # A file system without locks: nothing to be done about it.
