"""Where a table is cut, and what the parts are called."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featx import shards
from featx.devices import BATCH_SIZES
from featx.errors import FeatxError
from featx.shards import Shard, cut
from featx.store.netcdf import CHUNK_ROWS


@given(rows=st.integers(1, 200_000), count=st.integers(1, 300))
@example(rows=1002, count=8)
def test_every_row_is_in_one_shard_and_shards_are_of_about_one_length(rows, count):
    if rows < count:
        with pytest.raises(FeatxError, match="use fewer shards"):
            cut(rows, count)
        return
    parts = cut(rows, count)
    assert [part.number for part in parts] == list(range(1, count + 1))
    edges = [(part.first, part.stop) for part in parts]
    assert edges[0][0] == 0
    assert edges[-1][1] == rows
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))
    lengths = [len(part) for part in parts]
    assert min(lengths) >= 1
    assert max(lengths) <= 1.25 * rows / count + 1


def test_cuts_are_at_multiples_of_batches_and_chunks():
    assert all(shards.CUT_ROWS % size == 0 for size in (*BATCH_SIZES.values(), CHUNK_ROWS))
    for rows, count, size in [
        (1002, 8, 16),
        (8192, 8, 256),
        (23_707, 16, 256),
        (1_000_000, 64, 256),
    ]:
        assert all(part.first % size == 0 for part in cut(rows, count)), (rows, count)


def test_fgnet_in_eight_shards():
    """The cut is a promise: shards made by one version must fit those made by the next."""
    edges = [part.first for part in cut(1002, 8)]
    assert edges == [0, 112, 240, 368, 496, 624, 752, 880]


@pytest.mark.parametrize(("text", "first"), [("1/8", 0), ("8/8", 880), (" 2/8 ", 112)])
def test_a_shard_by_its_text(text, first):
    shard = shards.find(text, 1002)
    assert shard.first == first
    assert str(shard) == text.strip()


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "3/0", "-1/8", "a/b", "1/8/2", "1.0/8"])
def test_what_is_no_shard(text):
    with pytest.raises(FeatxError, match=r"--shard .*give K/N"):
        shards.find(text, 1002)


def test_names_sort_as_rows_do():
    names = [part.path("out/fgnet.h5").name for part in cut(1002, 12)]
    assert names[0] == "fgnet.shard-01-of-12.h5"
    assert names == sorted(names)


def test_told_is_what_was_described():
    shard = Shard(3, 8, 240, 368, 1002, "abc")
    assert Shard.told({"shard": shard.describe(), "backbone": "vgg16"}) == shard
    assert shard.describe()["first_row"] == 241
    assert shard.describe()["last_row"] == 368
    assert Shard.told({"backbone": "vgg16"}) is None


def test_shards_of_another_cut_are_found(tmp_path):
    whole = tmp_path / "a.h5"
    old = [part.path(whole) for part in cut(100, 4)]
    for path in (*old[:2], *(part.path(whole) for part in cut(100, 3)), tmp_path / "b.h5"):
        path.touch()
    (tmp_path / f"{old[3].name}.partial").touch()
    found = [(path, 4) for path in (*old[:2], tmp_path / f"{old[3].name}.partial")]
    assert shards.others(whole, 3) == found
    assert shards.others(tmp_path / "nowhere" / "a.h5", 3) == []
