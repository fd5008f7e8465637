"""Files in folders and, just the same, in archives that are left packed (.zip, .tar).

A file in an archive has the path of the archive with its name joined on, as in
``/data/utkface.zip/utkface/images/1_0_0.jpg``. Names are text everywhere: the bytes of one that is
no UTF-8 are spelled ``\\xe9``, and `open_binary` finds the file by that.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import tarfile
import weakref
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from featx.errors import FeatxError

__all__ = ["Files", "exists", "is_archive", "open_binary"]

# Of a zip entry's flags (APPNOTE.TXT, 4.4.4).
_ENCRYPTED = 0x1

# A byte that is no UTF-8, as `_text` spells it.
_SPELLED = re.compile(rb"\\x([89a-f][0-9a-f])")

_PACKED_WHOLE = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".gz", ".7z", ".rar")


class _Archive(Protocol):
    names: list[str]

    def read(self, name: str) -> bytes: ...


class Files:
    """The files under a folder, or in a ``.zip`` or ``.tar`` that is left packed.

    Parameters
    ----------
    path : str or Path
        The folder or the archive.

    Attributes
    ----------
    names : list of str
        The files' paths relative to `path`, with ``/``, sorted. Hidden files, and what macOS adds
        to archives (``__MACOSX``), are left out.

    Raises
    ------
    FeatxError
        If it is neither, is damaged, or is an archive that cannot be read out of order.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        found = map(_text, _walk(self.path)) if self.path.is_dir() else _open(self.path).names
        self.names = sorted(name for name in found if not _hidden(name))

    def joined(self, name: str) -> str:
        """Return a file's path, which `open_binary` and `featx.images.read_rgb` take."""
        return _text(str(self.path / name))

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        with open_binary(self.path / name) as stream:
            return stream.read()


def is_archive(path: str | Path) -> bool:
    """Tell by its name whether a path is an archive that can be left packed."""
    return Path(path).suffix.lower() in (".zip", ".tar")


def open_binary(path: str | Path) -> BinaryIO:
    """Open a file, on disk or in an archive, to read its bytes.

    Raises
    ------
    OSError
        As `open` does; `FileNotFoundError` also where an archive has no such file.
    FeatxError
        If the archive is damaged as a whole.
    """
    path = _meant(Path(path))
    packed = _split(path)
    if packed is None:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return path.open("rb")
    archive, name = packed
    try:
        return io.BytesIO(_open(archive).read(name))
    except KeyError:
        raise FileNotFoundError(f"{archive} holds no {name}") from None
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise OSError(f"{archive}: {error}") from error


def exists(path: str | Path) -> bool:
    """Tell whether a file is there, on disk or in an archive."""
    path = _meant(Path(path))
    packed = _split(path)
    if packed is None:
        return path.exists()
    archive, name = packed
    return name in _name_set(str(archive), _stamp(archive), os.getpid())


def _text(name: str) -> str:
    """Spell the bytes of a file's name that are no UTF-8, which no table could hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _meant(path: Path) -> Path:
    """Return the path with its spelled bytes as such, where that is what there is."""
    spelled = os.fsencode(path)
    meant = _SPELLED.sub(lambda found: bytes.fromhex(found[1].decode()), spelled)
    return path if meant == spelled or path.exists() else Path(os.fsdecode(meant))


def _walk(root: Path) -> Iterator[str]:
    """Yield the files below a folder, following links, but none back to a folder above."""
    above: dict[str, frozenset[tuple[int, int]]] = {str(root): frozenset()}
    for folder, folders, names in os.walk(root, followlinks=True):
        status, passed = Path(folder).stat(), above.pop(folder)
        identity = status.st_dev, status.st_ino
        if identity in passed:
            folders.clear()
            continue
        above.update((str(Path(folder) / each), passed | {identity}) for each in folders)
        for name in names:
            yield (Path(folder) / name).relative_to(root).as_posix()


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[-1].startswith(".") or "__MACOSX" in parts


def _split(path: Path) -> tuple[Path, str] | None:
    """Split a joined path into the archive and the name in it; None for a path without one."""
    for parent in path.parents:
        if is_archive(parent) and parent.is_file():
            return parent, _text(path.relative_to(parent).as_posix())
    return None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _open(path: Path) -> _Archive:
    if not path.exists():
        raise FeatxError(f"{path} is not there; check the path")
    if path.name.lower().endswith(_PACKED_WHOLE):
        raise FeatxError(
            f"{path} is compressed as a whole, so single images cannot be read from it; unpack it, "
            "or repack it as .tar or .zip"
        )
    if not is_archive(path):
        raise FeatxError(f"{path} is no folder and no archive (.zip, .tar); give one of these")
    return _opened(str(path), _stamp(path), os.getpid())


@lru_cache(maxsize=16)
def _opened(path: str, stamp: tuple[int, int], process: int) -> _Archive:
    """Open an archive once in each process: forked ones would share the place in the file."""
    try:
        return _Zip(path) if path.lower().endswith(".zip") else _Tar(path)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise FeatxError(f"{path} is damaged ({error}); fetch it again") from error
    except OSError as error:
        raise FeatxError(f"cannot read {path}: {error.strerror or error}") from error


@lru_cache(maxsize=16)
def _name_set(path: str, stamp: tuple[int, int], process: int) -> frozenset[str]:
    return frozenset(_opened(path, stamp, process).names)


class _Zip:
    def __init__(self, path: str) -> None:
        self._file = zipfile.ZipFile(path)
        entries = [info for info in self._file.infolist() if not info.is_dir()]
        if any(info.flag_bits & _ENCRYPTED for info in entries):
            raise FeatxError(
                f"{path} is encrypted; unpack it with its password, and give the folder"
            )
        self.names = [info.filename for info in entries]

    def read(self, name: str) -> bytes:
        return self._file.read(name)


class _Tar:
    """An index of an uncompressed tar file, whose members are read without a common position."""

    def __init__(self, path: str) -> None:
        with tarfile.open(path, "r:") as file:
            self._places = {
                _text(entry.name.removeprefix("./")): (entry.offset_data, entry.size)
                for entry in file
                if entry.isreg()
            }
        self.names = list(self._places)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)

    def read(self, name: str) -> bytes:
        start, size = self._places[name]
        data = os.pread(self._file, size, start)
        if len(data) != size:
            raise EOFError(f"{name} is cut short")
        return data
