"""Opening a features file, and saying in a line why it cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py

from featx.errors import FeatxError
from featx.store import schema
from featx.store.soundness import check_sound

_REMEDY = "extract it again, take a whole copy, or save what it holds with `featx repair`"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 says about a broken file into one clear line."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FeatxError(f"{path} is damaged: {schema.cause(error)}; {_REMEDY}") from error


def open_features(path: str | Path) -> h5py.File:
    """Open a features file for reading, after checking that it is one.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    FeatxError
        If it is not there, unfinished, truncated, damaged so that HDF5 breaks off or comes to no
        end, no features file, or of another version.
    """
    path = Path(path)
    if path.suffix == ".partial" and path.exists() and not h5py.is_hdf5(path):
        raise FeatxError(
            f"{path} is an extraction that did not finish; go on with `featx extract --resume`"
        )
    if path.is_dir():
        raise FeatxError(f"{path} is a folder; give the features file itself")
    if not path.exists():
        unfinished = path.with_name(f"{path.name}.partial")
        if unfinished.exists():
            raise FeatxError(
                f"{path} is not there, only {unfinished.name}: the extraction did not finish; "
                "go on with `featx extract --resume`"
            )
        raise FeatxError(f"{path} is not there; check the path")
    try:
        check_sound(path)
        file = h5py.File(path, "r")
    except OSError as error:
        raise FeatxError(_unreadable(path, error)) from None
    try:
        check_format(file, path)
    except BaseException:
        file.close()
        raise
    return file


def _unreadable(path: Path, error: OSError) -> str:
    text = str(error)
    if isinstance(error, FileNotFoundError) or not path.exists():
        return f"{path} was removed while it was being opened"
    if isinstance(error, PermissionError):
        return f"cannot read {path}: no permission"
    if isinstance(error, BlockingIOError) or "unable to lock file" in text:
        return (
            f"{path} is being written by another process, or its file system knows no locks "
            "(then set HDF5_USE_FILE_LOCKING=FALSE)"
        )
    if "truncated file" in text:
        return f"{path} is truncated; {_REMEDY}"
    if path.stat().st_size == 0:
        return f"{path} is empty; extract it again or take a whole copy"
    if "signature not found" in text and _is_journal(path):
        return (
            f"{path} is an extraction that did not finish; name it NAME.partial again and go on "
            "with `featx extract --resume`"
        )
    if "signature not found" in text:
        return f"{path} is not an HDF5 file; give a features file, as `featx extract` writes it"
    return f"{path} is damaged: {schema.cause(error)}; {_REMEDY}"


def _is_journal(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(schema.JOURNAL_MAGIC)) == schema.JOURNAL_MAGIC


def check_format(file: h5py.File, path: Path) -> None:
    """Refuse an open HDF5 file that is no features file of this version.

    Raises
    ------
    FeatxError
        If it isn't.
    """
    with reading(path):
        stored = file.attrs.get("format", "")
        stored = stored.decode("utf-8", "replace") if isinstance(stored, bytes) else stored
        if not isinstance(stored, str) or not stored.startswith("featx-features/"):
            stored = ""
    if not stored:
        raise FeatxError(
            f"{path} is HDF5 but not a features file; give one that `featx extract` wrote"
        )
    if stored != schema.FORMAT:
        raise FeatxError(
            f"{path} has the format {stored}, this version reads {schema.FORMAT}; "
            "install the matching featx, or extract again"
        )
