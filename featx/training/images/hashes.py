"""The hashes that a table lacks: without them no picture could be found on two sides."""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from featx.archives import open_binary
from featx.cluster import available_cores
from featx.errors import FeatxError


def fill_hashes(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return a table whose usable rows all have a `sha256`.

    Tables of `featx prepare` have them; those made by hand need not. What is hashed is the source
    file, as there, and where that is gone the crop.

    Parameters
    ----------
    table : pandas.DataFrame
        An image table.
    folder : Path
        What its relative paths start from.

    Raises
    ------
    FeatxError
        If neither file of a row can be read.
    """
    lacking = np.flatnonzero(((table["status"] == "ok") & (table["sha256"] == "")).to_numpy())
    if not len(lacking):
        return table
    rows = table.iloc[lacking]
    files = [
        [folder / name for name in (path, crop) if name]
        for path, crop in zip(rows["path"], rows["crop"], strict=True)
    ]
    with ThreadPoolExecutor(available_cores()) as pool:
        hashes = list(pool.map(_first_readable, rows["image"], files))
    filled = table["sha256"].to_numpy(object, copy=True)
    filled[lacking] = hashes
    return table.assign(sha256=filled)


def _first_readable(image: str, files: list[Path]) -> str:
    reason = "it has no path"
    for file in files:
        try:
            return _sha256(str(file), _stamp(file))
        except (OSError, FeatxError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            reason = f"{file}: {reason}"
    raise FeatxError(
        f"image {image!r} has no sha256, and none can be taken ({reason}): it could not be told "
        "from a test image; mend its path, or give the row another status than ok"
    )


def _stamp(file: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):  # in an archive
        status = file.stat()
        return status.st_mtime_ns, status.st_size
    return None


@lru_cache(maxsize=1 << 20)
def _sha256(file: str, stamp: tuple[int, int] | None) -> str:
    """Hash a file once a process: a search reads its tables for every trial."""
    with open_binary(file) as stream:
        return hashlib.sha256(stream.read()).hexdigest()
