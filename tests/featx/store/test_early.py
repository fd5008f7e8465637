"""Chunks compressed while rows are appended: the same file, byte by byte, and less left to do."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.store import FeaturesFile, FeaturesWriter, Layer, deflate
from featx.store.writing import early
from featx.store.writing.journal import Journal
from featx.store.writing.records import Deflated, Record, pack, unpack

from .conftest import LAYERS, PROVENANCE, cut, make_rows, make_table
from .writers import Write


@pytest.mark.parametrize("compression", ["gzip", "gzip-4", "lzf", "none"])
@pytest.mark.parametrize("batch", [5, 16, 32, 100])
def test_the_file_is_the_same(
    write: Write, monkeypatch: pytest.MonkeyPatch, compression: str, batch: int
) -> None:
    monkeypatch.setattr("featx.store.writing.writer.datetime", Noon)
    one, other = (
        write(100, batch, f"{begun}.h5", compression=compression, early=begun).read_bytes()
        for begun in (False, True)
    )
    assert one == other


class Noon:
    """datetime, where it is always noon."""

    UTC = None

    class datetime:
        @staticmethod
        def now(_: None) -> Noon:
            return Noon()

    def isoformat(self, **_: str) -> str:
        return "2026-01-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("batch", "left"), [(16, [4]), (40, [16, 4]), (100, [4]), (5, [16] * 6 + [4])]
)
def test_what_is_left_to_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, left: list[int]
) -> None:
    """Chunks that no batch held whole: of 40 rows the third chunk has some of two batches."""
    compress, compressed = deflate.compress, []

    def compressing(rows: np.ndarray, *given: int) -> bytes:
        compressed.append(len(rows))
        return compress(rows, *given)

    monkeypatch.setattr(deflate, "compress", compressing)
    layer, rows = Layer("gap", 8, (8,)), make_rows(100)["gap"]
    with FeaturesWriter(tmp_path / "f.h5", make_table(100), [layer], {}, early=True) as writer:
        for start in range(0, 100, batch):
            writer.append({"gap": rows[start : start + batch]})
        before = len(compressed)
        writer.finish()
    assert sum(compressed) == 100
    assert sorted(compressed[before:]) == sorted(left)


@pytest.mark.parametrize("then", ["gzip-9", "lzf", "none"])
def test_a_run_may_go_on_with_another_compression(
    write: Write, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    monkeypatch.setattr("featx.store.writing.writer.datetime", Noon)
    path = write(70, compression=then)
    other, rows = path.with_name("other.h5"), make_rows(70)
    for stop, compression in ((37, "gzip"), (70, then)):
        with FeaturesWriter(
            other, make_table(70), LAYERS, PROVENANCE,
            compression=compression, resume=True, early=True,
        ) as writer:  # fmt: skip
            writer.append(cut(rows, writer.rows_done, stop))
            if stop == 70:
                writer.finish()
    assert path.read_bytes() == other.read_bytes()


@given(st.lists(st.integers(1, 70), min_size=1, max_size=8), st.sampled_from(["<f4", "<f2"]))
def test_parts_hold_the_rows(counts: list[int], dtype: str) -> None:
    """Also once they have been the journal's bytes."""
    rows = {name: values.astype(dtype) for name, values in make_rows(sum(counts)).items()}
    compressor = early.Compressor(LAYERS, np.dtype(dtype).name, 1)
    first = 0
    for count in counts:
        given_rows = cut(rows, first, first + count)
        parts = {name: list(compressor.begin(name, v, first)) for name, v in given_rows.items()}
        record = Record(["ok"] * count, [""] * count, parts)
        kept = unpack(pack(record))
        assert kept.status == record.status
        for name, values in given_rows.items():
            assert sum(map(len, kept.features[name])) == count
            units, kind = values.shape[1], np.dtype(dtype).name
            restored = [
                part if isinstance(part, np.ndarray) else part.values(units, kind)
                for part in kept.features[name]
            ]
            np.testing.assert_array_equal(np.concatenate(restored), values)
        first += count
    compressor.close()


def test_rows_that_failed_and_came_again_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, rows = Layer("gap", 8, (8,)), make_rows(64)["gap"]
    append = Journal.append

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with FeaturesWriter(tmp_path / "f.h5", make_table(64), [layer], {}, early=True) as writer:
        monkeypatch.setattr(Journal, "append", full)
        with pytest.raises(FeatxError, match="No space"):
            writer.append({"gap": rows[:32] + 1})
        monkeypatch.setattr(Journal, "append", append)
        writer.append({"gap": rows[:32]})
        writer.append({"gap": rows[32:]})
        writer.finish()
    with FeaturesFile(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file.read("gap"), rows)


def test_chunks_are_cut_between_them() -> None:
    part = Deflated([b"a", b"b", b"c"], 8, 1)
    assert len(part) == 24
    for start, stop in itertools.combinations((0, 8, 16, 24), 2):
        assert part[start:stop].chunks == [b"a", b"b", b"c"][start // 8 : stop // 8]
