"""Files that are either wholly there or not at all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from featx.errors import FeatxError


def publish(partial: Path, final: Path) -> None:
    """Give a finished file its name: fsync, rename over `final`, fsync the folder."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(final)
    with contextlib.suppress(OSError):  # some network file systems refuse to open a folder
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes that name only if the block succeeds.

    The first that this process writes into a folder also removes what killed ones left there.

    Raises
    ------
    FeatxError
        If the folder cannot be written or the disk is full; a former file at `path` survives.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path.parent.absolute())
        prefix = f".{path.name}.{owner()}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".partial", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        # 0600, which mkstemp and some writers of their own make it, shuts colleagues out
        temporary.chmod(0o666 & ~mask)
        publish(temporary, path)
    except OSError as error:
        raise FeatxError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _place() -> str:
    """Return what tells a process's number from the same number elsewhere.

    On another machine, or in another container, it is another process's.
    """
    try:
        numbered_in = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no Linux, or none that tells
        numbered_in = 0
    text = f"{socket.gethostname()}:{numbered_in}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def owner() -> str:
    """Return what names this process in the names of its temporary files and folders."""
    return f"{_place()}-{os.getpid()}"


def is_abandoned(name: str) -> bool:
    """Tell whether the process that another call of `owner` named is no more.

    One that cannot be seen from here, on another machine or in another container, may run.
    """
    place, _, number = name.partition("-")
    return place == _place() and number.isdigit() and not _runs(int(number))


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files of `writing` whose writers are no more.

    A file's name tells the process that writes it. Those of processes that run, or that cannot be
    seen from here, stay: another job may be at work in the same folder.
    """
    for leftover in folder.glob(".*.partial"):
        found = re.search(r"\.([0-9a-f]{8}-\d+)\.[^.]*\.partial$", leftover.name)
        if found and is_abandoned(found[1]):
            with contextlib.suppress(OSError):  # somebody else's
                leftover.unlink()


@functools.cache
def _tidy(folder: Path) -> None:
    """Remove leftovers from a folder, once in the life of this process: it may hold many files."""
    remove_leftovers(folder)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    r"""Write UTF-8 text atomically; a byte of a file's name that is no UTF-8 as ``\udcNN``."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN is refused, for JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
