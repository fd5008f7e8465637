"""Features files with one thing wrong."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np


def flip_in_chunk(path: Path, layer: str, number: int) -> None:
    """Change a byte in the middle of a layer's chunk."""
    with h5py.File(path) as file:
        chunk = file[layer].id.get_chunk_info(number)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)


def reorder(path: Path, *names: str) -> None:
    """Reverse the rows of some variables."""
    with h5py.File(path, "r+") as file:
        for name in names:
            file[name][...] = file[name][:][::-1]


def make_older(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "featx-features/0"


def change(path: Path, layer: str, row: int, value: float) -> None:
    """Set a row and give the layer the hash of its new rows, as somebody's own program might."""
    import hashlib

    with h5py.File(path, "r+") as file:
        file[layer][row] = value
        values = np.ascontiguousarray(file[layer][:])
        file[layer].attrs["sha256"] = hashlib.sha256(values.tobytes()).hexdigest()
