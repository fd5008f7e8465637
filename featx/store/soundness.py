"""Whether HDF5 comes through a file's structures, tried first by a process that may be lost."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py

from featx.cluster.fresh import end_with_caller
from featx.errors import FeatxError
from featx.memory import resident_memory

#: Seconds of a processor, however slow the disk, and for how many bytes of a file one more;
#: structures are a small part of it, and most are read in milliseconds.
LIMIT, BYTES = 5, 100_000_000

#: Bytes of this process above which another Python reads the file: a fork would for a moment count
#: once more in what Slurm sums up for a job.
LARGE = 300 << 20

_REMEDY = "extract it again or take a whole copy"
#: What has come through in this process: device, inode, size, time of change.
_SOUND: set[tuple[int, ...]] = set()


def check_sound(
    path: Path, opened: Callable[[], contextlib.AbstractContextManager[h5py.File]] | None = None
) -> None:
    """Read a file's structures, but no layer's values, in a process that may be lost.

    HDF5 trusts what it reads there: some damage makes it go round for ever, in which no thread
    runs and no Ctrl-C is heard, or ends the process. A file that has come through is not tried
    again while it stays the same. Elsewhere than on Linux nothing is tried.

    Parameters
    ----------
    path : Path
        An HDF5 file.
    opened : callable, optional
        Opens it, where it is not opened as usual.

    Raises
    ------
    FeatxError
        If HDF5 breaks off or comes to no end. What it refuses with an error is no finding here.
    """
    key = _key(path)
    if key in _SOUND or sys.platform != "linux":
        return
    limit = LIMIT + path.stat().st_size // BYTES
    if opened is None and resident_memory() > LARGE:
        ended = _in_python(path, limit)
    else:
        opening = opened or partial(h5py.File, path, "r")
        ended = _in_fork(lambda: _walk(opening()), limit)
    if ended == signal.SIGXCPU:
        raise FeatxError(f"{path} is damaged so that HDF5 comes to no end; {_REMEDY}")
    if ended:
        raise FeatxError(f"{path} is damaged so that HDF5 breaks off; {_REMEDY}")
    _SOUND.add(key)


def trust(path: Path) -> None:
    """Take a file that this process has written for sound."""
    _SOUND.add(_key(path))


def _key(path: Path) -> tuple[int, ...]:
    told = path.stat()
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns


def _walk(opening: contextlib.AbstractContextManager[h5py.File]) -> None:
    """Read every group, attribute, dimension and index of chunks, and what is not in chunks."""

    def visit(_: str, item: h5py.Group | h5py.Dataset) -> None:
        dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            for dimension in item.dims:
                dimension.keys()
            if item.chunks:
                item.id.chunk_iter(_chunk)
            else:
                item[()]

    with opening as file:
        dict(file.attrs)
        file.visititems(visit)


def _chunk(found: h5py.h5d.StoreInfo) -> None:
    """Take notice of a chunk; returning None asks for the next one."""


def _in_python(path: Path, limit: int) -> int:
    """Do as `_in_fork` in a Python of its own, which takes half a second."""
    command = [sys.executable, "-m", __name__, str(path.absolute()), str(limit), str(os.getpid())]
    quiet = subprocess.DEVNULL
    try:
        ended = subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False)
    except OSError:  # no memory for it: nothing is known
        return 0
    return max(0, -ended.returncode)


def _limit(caller: int, limit: int) -> None:
    """End this process with its caller and after some time, and leave nothing of it behind."""
    end_with_caller(caller)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def _in_fork(act: Callable[[], None], limit: int) -> int:
    """Return the signal that ended a fork of this process, 0 if none did, SIGXCPU if time did."""
    caller = os.getpid()
    try:
        with warnings.catch_warnings():  # that a copied lock may be held: h5py sees to its own
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except OSError:  # no memory for a copy: nothing is known
        return 0
    if child == 0:
        try:
            _limit(caller, limit)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            faulthandler.disable()
            act()
        finally:
            os._exit(0)  # also after what HDF5 refused
    try:
        _, status = os.waitpid(child, 0)
    except BaseException:  # Ctrl-C
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    _limit(int(sys.argv[3]), int(sys.argv[2]) + 5)  # importing takes some
    _walk(h5py.File(sys.argv[1], "r"))
