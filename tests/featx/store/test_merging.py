"""Shards joined: equal to the single file, whatever the cut; and what is refused."""

from __future__ import annotations

import datetime
import itertools
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.manifest import STATUSES
from featx.shards import Shard, cut
from featx.store import FeaturesFile, FeaturesWriter, Layer, blocks, deflate, schema
from featx.store.tools import merging
from featx.store.tools.merging import merge
from featx.store.tools.shard_set import read_shards
from featx.store.writing import assembly, writer
from tests.featx.file_contents import contents

from .conftest import LAYERS, PROVENANCE, make_rows, make_table


class Noon(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Noon:
        return cls(2020, 1, 1, 12, tzinfo=tz)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer.datetime, "datetime", Noon)


def write(
    path: Path,
    n: int,
    *,
    shard: Shard | None = None,
    layers: Sequence[Layer] = LAYERS,
    rows: dict[str, np.ndarray] | None = None,
    status: Sequence[str] | None = None,
    provenance: dict[str, Any] = PROVENANCE,
    dtype: str = "float32",
    **options: Any,
) -> Path:
    """Write a features file of n rows, or that of a shard of them."""
    table, rows = make_table(n), rows or make_rows(n)
    told = dict(provenance)
    if shard is not None:
        whole = schema.config_hash(table, layers, schema.plain(provenance), dtype)
        told["shard"] = replace(shard, config_hash=whole).describe()
    first, stop = (shard.first, shard.stop) if shard else (0, n)
    part = table.iloc[first:stop]
    with FeaturesWriter(path, part, layers, told, dtype=dtype, **options) as out:
        values = {name: given[first:stop] for name, given in rows.items()}
        out.append(values, status[first:stop] if status else None)
        out.finish()
    return path


def write_shards(folder: Path, n: int, cuts: Sequence[Shard], **options: Any) -> list[Path]:
    return [write(s.path(folder / "f.h5"), n, shard=s, **options) for s in cuts]


edges = st.integers(1, 90).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n), max_size=6).map(sorted))
)


@settings(max_examples=25, deadline=None)
@given(
    cut_at=edges,
    dtype=st.sampled_from(["float32", "float16"]),
    compression=st.sampled_from(["gzip", "gzip-4", "lzf", "none"]),
    seed=st.integers(0, 99),
)
def test_merged_equals_single_wherever_it_is_cut(
    cut_at: tuple[int, list[int]], dtype: str, compression: str, seed: int
) -> None:
    n, inner = cut_at
    bounds = list(itertools.pairwise([0, *(edge for edge in inner if edge < n), n]))
    parts = [Shard(k + 1, len(bounds), *ends, n) for k, ends in enumerate(bounds)]
    draw = np.random.default_rng(seed)
    given_: dict[str, Any] = {
        "rows": make_rows(n, seed),
        "status": [STATUSES[k] for k in draw.integers(0, len(STATUSES), n)],
        "dtype": dtype,
        "compression": compression,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_shards(folder, n, parts, **given_)
        single = write(folder / "single.h5", n, **given_)
        joined = read_shards(draw.permutation(paths).tolist())
        assert merge(joined, folder / "merged.h5")
        assert contents(folder / "merged.h5") == contents(single)
        if compression.startswith("gzip"):
            assert (folder / "merged.h5").read_bytes() == single.read_bytes()
        assert {path.name for path in folder.iterdir()} == {
            *(path.name for path in paths), "single.h5", "merged.h5",
        }  # fmt: skip


def test_chunks_are_copied_as_they_are_where_cuts_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_shards(tmp_path, 200, cut(200, 3))  # at multiples of 16
    write(tmp_path / "single.h5", 200)
    monkeypatch.setattr(deflate, "compress", lambda *args: pytest.fail("compressed again"))
    merge(read_shards(paths), tmp_path / "merged.h5")
    assert contents(tmp_path / "merged.h5") == contents(tmp_path / "single.h5")


def test_layers_with_chunks_of_their_own(tmp_path: Path) -> None:
    """One row a chunk, four, and sixteen; blocks of sixteen rows, over several shards."""
    layers = [Layer("one", 300_000, (300_000,)), Layer("four", 50_000, (50_000,)), LAYERS[0]]
    draw = np.random.default_rng(0)
    rows = {layer.name: np.zeros((39, layer.units), np.float32) for layer in layers}
    for values in rows.values():
        values[:, :8] = draw.normal(size=(39, 8))
    given_ = {"layers": layers, "rows": rows}
    bounds = itertools.pairwise([0, 4, 17, 20, 39])
    parts = [Shard(k + 1, 4, *ends, 39) for k, ends in enumerate(bounds)]
    paths = write_shards(tmp_path, 39, parts, **given_)
    single = write(tmp_path / "single.h5", 39, **given_)
    merge(read_shards(paths), tmp_path / "merged.h5")
    assert (tmp_path / "merged.h5").read_bytes() == single.read_bytes()


def test_only_dates_and_context_may_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = [
        {"device": "A100", "threads": 4, "versions": {"torch": "2.14", "numpy": "2.4"}},
        {"device": "V100", "threads": 4, "versions": {"torch": "2.14", "numpy": "2.3"}},
        {"device": "A100", "threads": 4, "versions": {"torch": "2.14", "numpy": "2.4"}, "seed": 0},
    ]
    paths = []
    for hour, shard, context in zip((9, 8, 10), cut(60, 3), contexts, strict=True):
        monkeypatch.setattr(
            Noon, "now", classmethod(lambda cls, tz=None, h=hour: cls(2020, 1, 1, h, tzinfo=tz))
        )
        paths.append(write(shard.path(tmp_path / "f.h5"), 60, shard=shard, context=context))
    single = contents(write(tmp_path / "single.h5", 60, context=contexts[0]))
    merge(read_shards(paths), tmp_path / "merged.h5")
    merged = contents(tmp_path / "merged.h5")
    differ = {key for key, value in merged["/"].items() if single["/"].get(key) != value}
    assert differ == {"created", "context"}
    assert set(merged["/"]) == set(single["/"])
    assert {**merged, "/": None} == {**single, "/": None}
    with FeaturesFile(tmp_path / "merged.h5") as file:
        assert file.provenance == PROVENANCE
        assert file.hdf5.attrs["created"] == "2020-01-01T08:00:00+00:00"
        assert file.context == {
            "device": ["A100", "V100"],
            "threads": 4,
            "versions": {"torch": "2.14", "numpy": ["2.4", "2.3"]},
            "seed": 0,
        }


def test_the_merged_file_is_what_an_extraction_would_go_on_with(tmp_path: Path) -> None:
    merge(read_shards(write_shards(tmp_path, 60, cut(60, 3))), tmp_path / "merged.h5")
    with FeaturesWriter(
        tmp_path / "merged.h5", make_table(60), LAYERS, PROVENANCE, resume=True
    ) as out:
        assert out.complete


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 20)
    layers = [Layer("flattened", 4096, (64, 8, 8))]
    peaks = []
    for n in (512, 2048):  # 8 and 32 MiB
        rows = {"flattened": np.zeros((n, 4096), np.float32)}
        rows["flattened"][:, ::7] = np.random.default_rng(0).normal(size=(n, 586))
        folder = tmp_path / str(n)
        folder.mkdir()
        joined = read_shards(write_shards(folder, n, cut(n, 4), layers=layers, rows=rows))
        del rows
        tracemalloc.start()
        merge(joined, folder / "merged.h5")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 6 << 20
    assert peaks[1] < peaks[0] + (2 << 20)  # the images' texts


# What is refused, in one line that names the files.


def refused(paths: Sequence[Path]) -> str:
    with pytest.raises(FeatxError) as error:
        read_shards(paths)
    told = str(error.value)
    assert "\n" not in told
    return told


def test_missing_shards(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 4))
    told = refused([paths[0], paths[3]])
    assert "shard 2/4 is missing (so are 3): " in told
    assert f"{paths[1]} was not given; give it too" in told
    partial = paths[1].with_name(f"{paths[1].name}.partial")
    paths[1].rename(partial)
    told = refused([paths[0], *paths[2:]])
    assert f"{partial} did not finish; go on with `featx extract --shard 2/4` and --resume" in told
    partial.unlink()
    assert f"{paths[1]} is not there; make it with `featx extract --shard 2/4`" in refused(
        [paths[0], *paths[2:]]
    )
    shutil.move(paths[0], tmp_path / "renamed.h5")
    told = refused([tmp_path / "renamed.h5", *paths[2:]])
    assert told == "shard 2/4 is missing: make it with `featx extract --shard 2/4`"
    assert "no shard was given" in refused([])


def test_a_shard_twice(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 4))
    shutil.copy(paths[1], tmp_path / "copy.h5")
    told = refused([*paths, tmp_path / "copy.h5"])
    assert told.startswith("shard 2/4 is given twice: ")
    assert str(paths[1]) in told
    assert str(tmp_path / "copy.h5") in told


def test_files_that_are_no_finished_shards(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 2))
    single = write(tmp_path / "single.h5", 60)
    assert f"{single} is no shard but a whole features file" in refused([single])
    assert "is not there" in refused([tmp_path / "nothing.h5"])
    partial = tmp_path / "x.h5.partial"
    partial.touch()
    assert f"{partial} is an extraction that did not finish" in refused([paths[0], partial])
    paths[0].write_bytes(paths[0].read_bytes()[:5000])
    assert f"{paths[0]} is truncated" in refused(paths)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"provenance": {**PROVENANCE, "weights_sha256": "ff"}},
            "its weights_sha256 is 'ff', the other's None",
        ),
        (
            {"provenance": {**PROVENANCE, "table_sha256": "ff"}},
            "its table_sha256 is 'ff', the other's None",
        ),
        ({"layers": LAYERS[:2]}, "its layers are gap, flattened, the other's gap, flattened, so"),
        (
            {"layers": [replace(LAYERS[0], pool="max"), *LAYERS[1:]]},
            "its layer gap has pool 'max', the other's 'avg'",
        ),
        ({"dtype": "float16"}, "its dtype is float16, the other's float32"),
        ({"compression": "gzip-9"}, "its compression is gzip-9, the other's gzip-1"),
    ],
)
def test_shards_of_different_extractions(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 3))
    paths[1].unlink()
    rows = make_rows(60)
    rows = {layer.name: rows[layer.name] for layer in options.get("layers", LAYERS)}
    write(paths[1], 60, shard=cut(60, 3)[1], rows=rows, **options)
    message = refused(paths)
    assert message.startswith(f"{paths[1]} and {paths[0]} are not of one extraction: ")
    assert told in message


def test_shards_of_another_table_or_cut(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 3))
    other = write(tmp_path / "other.h5", 61, shard=cut(61, 3)[1])
    assert "its config hash is" in refused([paths[0], other, paths[2]])
    other = write(tmp_path / "four.h5", 60, shard=cut(60, 4)[1])
    told = refused([*paths, other])
    assert "is shard 1/3" in told
    assert "is shard 2/4" in told


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ([(0, 20), (24, 60)], r"b\.h5 begins with row 25, but .*a\.h5 ends with row 20"),
        ([(0, 20), (16, 60)], r"b\.h5 begins with row 17, but .*a\.h5 ends with row 20"),
        ([(4, 20), (20, 60)], r"a\.h5 begins with row 5, but .* ends with row 0"),
        ([(0, 20), (20, 56)], r"b\.h5 ends with row 56 of 60"),
    ],
)
def test_gaps_and_overlaps(tmp_path: Path, bounds: list[tuple[int, int]], told: str) -> None:
    paths = [
        write(tmp_path / f"{name}.h5", 60, shard=Shard(k + 1, 2, *ends, 60))
        for k, (name, ends) in enumerate(zip("ab", bounds, strict=True))
    ]
    with pytest.raises(FeatxError, match=told):
        read_shards(paths)


def test_a_changed_shard_is_noticed_and_nothing_is_left(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 3), compression="none")
    with h5py.File(paths[1], "r+") as file:
        file["flattened"][2, 3] += 1
    joined = read_shards(paths)
    with pytest.raises(FeatxError, match=r"shard-2-of-3\.h5: layer flattened differs.*--shard 2/3"):
        merge(joined, tmp_path / "merged.h5")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}


def test_filters_that_featx_does_not_write(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, cut(60, 3))
    with h5py.File(paths[1], "r+") as file:
        values, kept = file["gap"][:], dict(file["gap"].attrs)
        del file["gap"]
        file.create_dataset("gap", data=values, compression="gzip", shuffle=True, chunks=(16, 8))
        file["gap"].attrs["sha256"] = kept["sha256"]
    assert f"{paths[1]} is damaged" in refused(paths)


def test_a_finished_file_is_kept(tmp_path: Path) -> None:
    joined = read_shards(write_shards(tmp_path, 60, cut(60, 3)))
    out = tmp_path / "merged.h5"
    merge(joined, out)
    before = out.stat()
    with pytest.raises(FeatxError, match=r"never overwritten.*--resume"):
        merge(joined, out)
    assert merge(joined, out, resume=True) is False
    assert os.path.samestat(out.stat(), before)
    out.unlink()
    write(out, 60, provenance={**PROVENANCE, "seed": 4})
    with pytest.raises(FeatxError, match="its seed is 4, now 3"):
        merge(joined, out, resume=True)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = read_shards(write_shards(tmp_path, 60, cut(60, 3)))
    before = sorted(tmp_path.iterdir())
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(merging.shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(FeatxError, match=r"merged\.h5 needs about .* has 1,000; make room"):
            merge(joined, tmp_path / "merged.h5")
    monkeypatch.setattr(assembly.Sink, "write", full(assembly.Sink.write))
    with pytest.raises(FeatxError, match=r"cannot write .*merged\.h5: No space left on device"):
        merge(joined, tmp_path / "merged.h5")
    assert sorted(tmp_path.iterdir()) == before


def full(write: Any) -> Any:
    """Return a sink's method that finds the disk full at its fifth call."""
    calls = itertools.count()

    def fails(sink: Any, data: Any) -> int:
        if next(calls) >= 5:
            sink.error = sink.error or OSError(28, "No space left on device")
            return len(memoryview(data).cast("B"))
        return int(write(sink, data))

    return fails


def test_two_merges_that_both_finish_keep_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined, out = read_shards(write_shards(tmp_path, 60, cut(60, 3))), tmp_path / "merged.h5"
    assemble = merging.assemble

    def slow(*args: Any) -> None:
        assemble(*args)
        out.write_text("somebody else's")

    monkeypatch.setattr(merging, "assemble", slow)
    with pytest.raises(FeatxError, match="made by another run meanwhile"):
        merge(joined, out)
    assert out.read_text() == "somebody else's"
