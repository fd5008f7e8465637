from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.store import Layer, blocks, deflate, hashing
from featx.store.comparison import check_rows
from featx.store.netcdf import create_layers

from .conftest import make_rows

Write = Callable[..., Path]


def test_items_come_in_order_once_the_next_is_made() -> None:
    made: list[int] = []

    def items(n: int) -> Any:
        for item in range(n):
            made.append(item)
            yield item

    ahead = deflate.one_ahead(items(3))
    assert [(item, len(made)) for item in ahead] == [(0, 2), (1, 3), (2, 3)]
    assert list(deflate.one_ahead(items(1))) == [0]
    assert list(deflate.one_ahead(items(0))) == []


@pytest.mark.parametrize("with_isal", [True, False])
@pytest.mark.parametrize("level", [1, 4])
def test_hdf5_reads_chunks_as_it_reads_its_own(
    tmp_path: Path, level: int, with_isal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last chunk is not full."""
    if not with_isal:
        monkeypatch.setattr(deflate, "isal_zlib", None)
    elif deflate.isal_zlib is None:
        pytest.skip("no isal for this platform")
    rows = make_rows(40)["flattened"]
    layer, filters = Layer("layer", 24, (24,)), {"compression": "gzip", "compression_opts": level}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["image"] = np.arange(40)
        file["image"].make_scale()
        (variable,) = create_layers(file, 40, [layer], "float32", filters).values()
        own = file.create_dataset("own", data=rows, chunks=variable.chunks, **filters)
        for first in range(0, 40, 16):
            chunk = deflate.compress(rows[first : first + 16], 16, level)
            variable.id.write_direct_chunk((first, 0), chunk)
            theirs = own.id.read_direct_chunk((first, 0))
            size = 16 * 24 * 4
            assert deflate.restore((0, chunk), size) == deflate.restore(theirs, size)
        np.testing.assert_array_equal(variable[:], own[:])


@pytest.mark.parametrize("count", [1, 3, 8])
def test_files_do_not_depend_on_the_number_of_threads(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    rows, names = make_rows(100), ("gap", "flattened", "softmax")

    def stored(path: Path) -> list[Any]:
        with h5py.File(path) as file:
            for name in names:
                np.testing.assert_array_equal(file[name][:], rows[name])
            return [
                file[name].id.read_direct_chunk((first, 0))
                for name in names
                for first in range(0, 100, 16)
            ]

    here = stored(write(100, name="here.h5"))
    monkeypatch.setattr(deflate, "threads", lambda: ThreadPoolExecutor(count))
    monkeypatch.setattr("featx.store.writing.assembly.BLOCK_BYTES", 32 * 4 * (8 + 24 + 3))
    assert stored(write(100, name="there.h5")) == here


LAYOUTS: list[dict[str, Any]] = [
    {"chunks": (16, 24), "compression": "gzip", "compression_opts": 1},
    {"chunks": (16, 24), "compression": "gzip", "compression_opts": 9},
    {"chunks": (7, 24), "compression": "gzip"},
    {"chunks": (16, 24), "compression": "gzip", "shuffle": True},
    {"chunks": (16, 24), "compression": "gzip", "fletcher32": True},
    {"chunks": (16, 5), "compression": "gzip"},
    {"chunks": (16, 24), "compression": "lzf"},
    {"chunks": (16, 24)},
    {},
]


@pytest.mark.parametrize("block", [1, 5000, 1 << 20])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_hashed_as_hdf5_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any], block: int
) -> None:
    """However the file was repacked."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    rows = make_rows(100)["flattened"]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        variable = file.create_dataset("layer", data=rows, **layout)
        if "compression_opts" in layout:
            variable.id.write_direct_chunk((32, 0), rows[32:48].tobytes(), 1)  # not compressed
        assert hashing.hash_rows(variable) == hashlib.sha256(variable[:].tobytes()).hexdigest()
        size = layout.get("chunks", (1,))[0]
        wanted = [zlib.crc32(rows[row : row + size].tobytes()) for row in range(0, 100, size)]
        assert list(hashing.chunk_sums(variable)) == wanted


@given(
    counts=st.lists(st.integers(0, 40), max_size=8),
    size=st.integers(1, 16),
    units=st.integers(1, 3),
)
def test_hashes_do_not_depend_on_how_rows_come(counts: list[int], size: int, units: int) -> None:
    edges = np.cumsum([0, *counts])
    rows = np.arange(edges[-1] * units, dtype=np.float32).reshape(-1, units)
    found = hashing.RowHash(size)
    for start, stop in itertools.pairwise(edges):
        found.update(rows[start:stop])
    assert found.hexdigest() == hashlib.sha256(rows.tobytes()).hexdigest()
    chunks = [rows[first : first + size] for first in range(0, len(rows), size)]
    assert list(found.sums) == [zlib.crc32(chunk.tobytes()) for chunk in chunks]


@pytest.mark.parametrize(
    "harm", [lambda chunk: chunk[:-1], lambda chunk: chunk[:-1] + b"?", lambda chunk: b"?" * 9]
)
def test_a_chunk_that_hdf5_cannot_restore_is_told(
    write: Write, harm: Callable[[bytes], bytes]
) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        _, chunk = file["gap"].id.read_direct_chunk((16, 0))
        file["gap"].id.write_direct_chunk((16, 0), harm(chunk))
        with pytest.raises(OSError, match=r"filter|inflate"):
            file["gap"][:]
    with pytest.raises(FeatxError, match="is damaged: a chunk"):
        check_rows(path)


def test_a_chunk_of_another_size_is_refused() -> None:
    chunk = deflate.compress(np.zeros((4, 4), np.float32), 4, 1)
    assert deflate.restore((0, chunk), 64) == bytes(64)
    for size in (63, 65):
        with pytest.raises(OSError, match="another size"):
            deflate.restore((0, chunk), size)


@given(
    level=st.sampled_from([1, 9]),
    place=st.integers(0, 2**16),
    put=st.binary(max_size=8),
    kept=st.integers(0, 2**16),
)
def test_damage_is_noticed_as_zlib_notices_it(
    level: int, place: int, put: bytes, kept: int
) -> None:
    if deflate.isal_zlib is None:
        pytest.skip("no isal for this platform")
    rows = make_rows(16)["flattened"]
    chunk = deflate.compress(rows, 16, level)
    place %= len(chunk)
    harmed = (chunk[:place] + put + chunk[place + len(put) :])[: 1 + kept]

    def restored() -> bytes | None:
        try:
            return deflate.restore((0, harmed), rows.nbytes)
        except OSError:
            return None

    found = restored()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflate, "isal_zlib", None)
        assert found == restored()
    assert found in (None, rows.tobytes())
