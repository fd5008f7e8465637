"""The journal of an unfinished features file: appended to, never changed, so safe to kill.

HDF5 keeps an index and a heap that change with every write: killed inside one, or on a full disk,
it may lose rows that were written long before, and it may not say so. Rows are therefore first
appended to ``NAME.partial``, a plain file of records, each with its length and CRC-32; the HDF5
file is made from it in one pass at the end. After a kill, what follows the last whole record is
cut off.

Who goes on with a journal does so in a copy that takes its name. A former writer that is still at
work after all, as on a node that a cluster has given up but that has only lost its network, then
writes to a file without a name, notices, and stops: no lock has to hold across machines.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

from featx.atomic import publish
from featx.errors import FeatxError
from featx.store.schema import JOURNAL_MAGIC
from featx.store.writing.framing import HEAD, ROWS, read_framed, read_head, write_all, write_framed
from featx.store.writing.records import Record, pack, unpack

#: Device and inode of the journals that this process writes.
_OPEN: set[tuple[int, int]] = set()


class Journal:
    """An open, locked journal.

    Parameters
    ----------
    path : Path
        The ``.partial`` file.
    stream : file
        Open for reading and writing, unbuffered.
    head : dict
        What the file is to be: see `create`.
    """

    def __init__(self, path: Path, stream: BinaryIO, head: dict[str, Any]) -> None:
        """Take over an open stream."""
        self.path = path
        self.head = head
        self._stream = stream
        self._identity = _identity(os.fstat(stream.fileno()))
        _OPEN.add(self._identity)
        self._first = self._end = len(JOURNAL_MAGIC)

    @classmethod
    def create(cls, path: Path, head: dict[str, Any]) -> Self:
        """Begin a new journal; the file must not exist.

        Raises
        ------
        OSError
            If it exists or the disk is full.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("x+b", buffering=0)
        try:
            _lock(stream, path)
        except BaseException:
            stream.close()
            path.unlink(missing_ok=True)
            raise
        journal = cls(path, stream, head)
        try:
            write_all(stream, JOURNAL_MAGIC)
            journal._append(HEAD, json.dumps(head).encode())
            journal._first = journal._end
        except BaseException:
            journal.close()
            path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def resume(cls, path: Path, check: Callable[[dict[str, Any]], None]) -> Self:
        """Go on with a journal, in a copy that takes its name; see the module.

        Parameters
        ----------
        path : Path
            The ``.partial`` file.
        check : callable
            Raises an error where what the file is to be is not what is wanted; nothing has
            changed then.

        Raises
        ------
        UnusableError
            If not even its first record is whole.
        FeatxError
            If another process of this machine writes it, or it cannot be opened or copied.
        """
        try:
            if _locking() and _identity(path.stat()) in _OPEN:  # closing it would lift the lock
                raise _taken(path)
            with path.open("r+b", buffering=0) as former:
                _lock(former, path)
                if _identity(path.stat()) != _identity(os.fstat(former.fileno())):
                    raise _taken(path)  # between opening and locking
                head = read_head(former)
                check(head)
                first = former.tell()
                former.seek(0)
                stream = _copy(former, path)
        except OSError as error:
            raise FeatxError(f"cannot write {path}: {error.strerror}") from None
        journal = cls(path, stream, head)
        journal._first = journal._end = first
        return journal

    @property
    def named(self) -> bool:
        """Whether the journal has its name still: else another process has taken it over."""
        try:
            return _identity(self.path.stat()) == self._identity
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Stop a writer whose journal is not its own any more.

        Raises
        ------
        FeatxError
            If another process has taken it over, or it was removed.
        """
        if not self.named:
            raise FeatxError(
                f"{self.path} was taken over by another process, or removed; this process stops, "
                "for each file has one writer"
            )

    def records(self) -> Iterator[Record]:
        """Yield the whole records from the first; appending goes on behind the last one yielded."""
        self._stream.seek(self._first)
        self._end = self._first
        while (payload := read_framed(self._stream, ROWS)) is not None:
            self._end = self._stream.tell()
            yield unpack(payload)
            self._stream.seek(self._end)

    def append(self, record: Record) -> None:
        """Append a record.

        Raises
        ------
        OSError
            If the disk is full; the records before stay whole.
        FeatxError
            As `check`.
        """
        self.check()
        self._append(ROWS, pack(record))

    def _append(self, kind: bytes, payload: bytes) -> None:
        if os.fstat(self._stream.fileno()).st_size != self._end:  # a torn record is in the way
            self._stream.truncate(self._end)
        self._stream.seek(self._end)
        try:
            write_framed(self._stream, kind, payload)
        except OSError:
            self._stream.truncate(self._end)
            raise
        self._end = self._stream.tell()

    def close(self) -> None:
        """Close the file, which unlocks it."""
        _OPEN.discard(self._identity)
        self._stream.close()


def _copy(former: BinaryIO, path: Path) -> BinaryIO:
    """Give a copy of an open file its name, and return the copy, locked."""
    copy = beside(path)
    stream = copy.open("x+b", buffering=0)
    try:
        shutil.copyfileobj(former, stream, 16 << 20)
        _lock(stream, path)
        publish(copy, path)
    except BaseException:
        stream.close()
        copy.unlink(missing_ok=True)
        raise
    return stream


def beside(path: Path) -> Path:
    """Return a new name beside a file, for what is to take its place."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}")


def left_beside(path: Path) -> list[Path]:
    """Return the files that were given a name by `beside`, and did not come to take the place."""
    name = re.compile(rf"{re.escape(path.name)}\.[0-9a-f]{{8}}")
    return [file for file in path.parent.iterdir() if name.fullmatch(file.name)]


def _lock(stream: BinaryIO, path: Path) -> None:
    """Lock against a second writer.

    A POSIX lock belongs to this process: processes forked from it (a loader's, which may outlive a
    kill) don't hold it, nor does it keep a second writer in this one away; `_OPEN` does that.
    """
    if not _locking():
        return
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise _taken(path) from None
        raise FeatxError(
            f"cannot lock {path}: {error.strerror}; set HDF5_USE_FILE_LOCKING=FALSE and make sure "
            "of a single writer"
        ) from None


def _locking() -> bool:
    """Return whether to lock: HDF5's own switch, for file systems without locks, holds here too."""
    return os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0")


def _taken(path: Path) -> FeatxError:
    return FeatxError(
        f"{path} is being written by another process; wait for it to end or stop it "
        "(HDF5_USE_FILE_LOCKING=FALSE switches this check off)"
    )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
