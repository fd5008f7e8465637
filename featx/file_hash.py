"""The SHA-256 of a file, by which it is known again wherever it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

from featx.errors import FeatxError


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits.

    Raises
    ------
    FeatxError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FeatxError(f"cannot read {path}: {error.strerror or error}") from None
