"""Shards: the same rows as in one file, bit for bit, whatever the cut and the batches."""

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from featx import extraction, shards
from featx.cluster import local
from featx.errors import FeatxError
from featx.extraction.engine import Engine
from featx.extraction.side_by_side import extract_side_by_side, share
from featx.shards import Shard
from featx.store import FeaturesFile, FeaturesWriter
from featx.store.tools.merging import merge
from featx.store.tools.shard_set import read_shards
from tests.featx.file_contents import contents
from tests.featx.made_crops import make_table

USUAL = {
    "backbone": "mobilefacenet",
    "weights": "random",
    "layers": ["gap", "flattened"],
    "workers": 0,
    "mirror": False,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("crops"))


def extract(table, out, **options):
    return extraction.extract(table, out, **USUAL | options)


def side_by_side(table, out, **options):
    return extract_side_by_side(table, out, **USUAL | {"jobs": 2} | options)


@pytest.fixture
def of_one_thread(monkeypatch):
    """A thread in this process, and in each of two beside it: sums are rounded alike."""
    monkeypatch.setattr(local, "available_cores", lambda: 2)
    with threadpool_limits(1):
        yield


def undated(path):
    found = contents(path)
    del found["/"]["created"]
    return found


@pytest.mark.parametrize(("count", "batch_size"), [(4, 8), (3, 7), (8, 16), (1, 8)])
def test_merged_shards_equal_a_single_file_bit_for_bit(table, tmp_path, count, batch_size):
    one = extract(table, tmp_path / "single.h5", batch_size=batch_size)
    parts = [
        extract(table, tmp_path / "f.h5", batch_size=batch_size, shard=f"{number}/{count}")
        for number in range(1, count + 1)
    ]
    assert [part.path for part in parts] == [
        s.path(tmp_path / "f.h5") for s in shards.cut(30, count)
    ]
    joined = read_shards([part.path for part in reversed(parts)])
    merge(joined, tmp_path / "f.h5")
    assert undated(tmp_path / "f.h5") == undated(tmp_path / "single.h5")
    assert joined.statuses == one.statuses == {"ok": 25, "corrupt": 3, "no_face": 1, "duplicate": 1}
    again = extract(table, tmp_path / "f.h5", batch_size=batch_size, resume=True)
    assert again.images == 0


class Seen(Exception):
    """As many batches as were wanted."""


def by_batch(self, pixels, names):
    """Features that tell each image, its place in its batch, and the batch."""
    batch = len(names) + sum("".join(names).encode())
    told = np.zeros((len(names), 4), np.float32)
    for place, image in enumerate(pixels):
        told[place] = float(image.float().mean()), image[0, 0, 0], place, batch
    return {each.name: np.resize(told, (len(names), each.units)) for each in self._requests}


@pytest.fixture(scope="module")
def settled(table):
    return extraction.plan(table, **USUAL | {"layers": ["gap"]})


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 30), size=st.integers(1, 12), data=st.data())
def test_any_cut_and_any_batch_size(settled, n, size, data):
    """Also cuts inside batches, and shards that are stopped after any batch and taken up."""
    inner = data.draw(st.sets(st.integers(1, n), max_size=5).map(sorted))
    bounds = list(itertools.pairwise([0, *(edge for edge in inner if edge < n), n]))
    stops = data.draw(st.lists(st.integers(0, 4), min_size=len(bounds), max_size=len(bounds)))
    whole = replace(
        settled, table=settled.table[:n], paths=settled.paths[:n], batch_size=size, shard=None
    )
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder, files = Path(name), []
        patch.setattr(Engine, "__call__", by_batch)
        extraction.run(whole, folder / "single.h5")
        for number, (ends, stop) in enumerate(zip(bounds, stops, strict=True), start=1):
            part = replace(whole, shard=Shard(number, len(bounds), *ends, n))
            left = itertools.count(stop, -1)

            def stopped(self, pixels, names, left=left):
                if not next(left):
                    raise Seen
                return by_batch(self, pixels, names)

            with patch.context() as inside:
                inside.setattr(Engine, "__call__", stopped)
                try:
                    extraction.run(part, folder / "f.h5")
                except Seen:
                    assert not part.path(folder / "f.h5").exists()
            files.append(extraction.run(part, folder / "f.h5", resume=True).path)
        merge(read_shards(files), folder / "f.h5")
        assert undated(folder / "f.h5") == undated(folder / "single.h5")


@pytest.mark.usefixtures("of_one_thread")
def test_side_by_side_equals_one_process(table, tmp_path):
    one = extract(table, tmp_path / "single.h5", batch_size=4)
    done = side_by_side(table, tmp_path / "f.h5", batch_size=4, progress=True, workers=1)
    assert undated(tmp_path / "f.h5") == undated(tmp_path / "single.h5")
    assert done.path == tmp_path / "f.h5"
    assert done.statuses == one.statuses
    assert done.layers == one.layers
    assert done.images >= one.images
    assert {path.name for path in tmp_path.iterdir()} == {"f.h5", "single.h5"}
    again = side_by_side(table, tmp_path / "f.h5", batch_size=4, resume=True)
    assert again.images == 0
    with pytest.raises(FeatxError, match=r"f\.h5 is there already and is never overwritten"):
        side_by_side(table, tmp_path / "f.h5")


def test_processes_that_share_a_terminal_tell_lines(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    extract(table, tmp_path / "f.h5", shard="2/3", progress="lines")
    assert "extract shard 2/3: 10 of 10 images, " in capsys.readouterr().err


def interrupted(table, out, monkeypatch, **options):
    """Begin an extraction that stops after its first batch."""
    append = FeaturesWriter.append

    def stop(self, *args, **kwargs):
        append(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.FeaturesWriter.append", stop)
        with pytest.raises(KeyboardInterrupt):
            extract(table, out, **options)


@pytest.mark.usefixtures("of_one_thread")
def test_side_by_side_goes_on_with_shards_that_are_there(table, tmp_path, monkeypatch):
    out = tmp_path / "f.h5"
    extract(table, tmp_path / "single.h5", batch_size=4)
    extract(table, out, batch_size=4, shard="1/2")
    interrupted(table, out, monkeypatch, batch_size=4, shard="2/2")
    assert sorted(path.name for path in tmp_path.glob("f.*")) == [
        "f.shard-1-of-2.h5",
        "f.shard-2-of-2.h5.partial",
    ]
    with pytest.raises(FeatxError, match=r"f\.shard-\d-of-2\.h5.* is there already.*--resume"):
        side_by_side(table, out, batch_size=4)
    done = side_by_side(table, out, batch_size=4, resume=True)
    assert 0 < done.images < 20
    assert undated(out) == undated(tmp_path / "single.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"f.h5", "single.h5"}


def test_killed_between_merging_and_removing(table, tmp_path):
    out = tmp_path / "f.h5"
    files = [extract(table, out, shard=f"{number}/2").path for number in (1, 2)]
    merge(read_shards(files), out)
    files[1].unlink()
    stranger = extract(table, out, shard="2/2", weights="random:1").path
    assert side_by_side(table, out, resume=True).images == 0
    assert {path.name for path in tmp_path.iterdir()} == {"f.h5", stranger.name}


def test_stale_shards_are_known_by_what_they_hold(table, tmp_path, monkeypatch):
    out = tmp_path / "f.h5"
    extract(table, out, shard="1/2")
    with pytest.raises(FeatxError, match=r"is there already.*--resume"):
        extract(table, out, shard="1/2")
    told = r"shard-1-of-2\.h5 cannot be resumed.* its weights is 'random:0', now 'random:1'"
    with pytest.raises(FeatxError, match=told):
        extract(table, out, shard="1/2", weights="random:1", resume=True)
    interrupted(table, out, monkeypatch, shard="2/2")
    with pytest.raises(FeatxError, match=r"shard-2-of-2\.h5\.partial cannot be resumed.*weights"):
        extract(table, out, shard="2/2", weights="random:1", resume=True)
    with pytest.raises(FeatxError, match=r"cannot be resumed.*its weights is 'random:0'"):
        side_by_side(table, out, weights="random:1", resume=True)


def test_a_table_that_changed_in_the_meantime(table, tmp_path):
    changed = tmp_path / "images.csv"
    changed.write_bytes(table.read_bytes())
    for path in table.parent.glob("*.png"):
        (tmp_path / path.name).symlink_to(path)
    one = extract(changed, tmp_path / "f.h5", shard="1/2")
    text = changed.read_text().splitlines()
    changed.write_text("\n".join([*text[:-1], text[-1].replace(",29,", ",30,")]) + "\n")
    other = extract(changed, tmp_path / "f.h5", shard="2/2")
    with pytest.raises(FeatxError, match=r"are not of one extraction: its table_sha256 is"):
        read_shards([one.path, other.path])
    with pytest.raises(FeatxError, match=r"shard-1-of-2\.h5 cannot be resumed.*table_sha256"):
        extract(changed, tmp_path / "f.h5", shard="1/2", resume=True)


def test_unfinished_work_of_another_cut_is_not_passed_over(table, tmp_path, monkeypatch):
    out = tmp_path / "f.h5"
    other = extract(table, out, shard="1/3").path
    with pytest.raises(FeatxError, match=rf"{other.name} is there, one of 3 shards, not of 2"):
        side_by_side(table, out, resume=True)
    other.unlink()
    interrupted(table, out, monkeypatch)
    with pytest.raises(FeatxError, match=r"f\.h5\.partial is there, from .* without --jobs"):
        side_by_side(table, out, resume=True)


@pytest.mark.parametrize(("device", "devices"), [("auto", [0, 1, 2, 0]), ("cuda:1", [1, 1, 1, 1])])
def test_shards_take_the_gpus_in_turn(monkeypatch, device, devices):
    gpus = ["cuda:0", "cuda:1", "cuda:2"] if device == "auto" else [device]
    monkeypatch.setattr("featx.extraction.side_by_side.spread_devices", lambda name: gpus)
    shared = share(1000, 4, device)
    assert [where for _, where in shared] == [f"cuda:{index}" for index in devices]
    assert [shard for shard, _ in shared] == shards.cut(1000, 4)


def test_one_error_for_all_processes(table, tmp_path):
    with pytest.raises(FeatxError, match="did you mean mobilefacenet"):
        side_by_side(table, tmp_path / "f.h5", backbone="mobilefacenets")
    with pytest.raises(FeatxError, match="31 shards, but the image table has 30 rows"):
        side_by_side(table, tmp_path / "f.h5", jobs=31)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_says_what_it_is(table, tmp_path):
    path = extract(table, tmp_path / "f.h5", shard="2/3").path
    single = extract(table, tmp_path / "single.h5").path
    with FeaturesFile(path) as file, FeaturesFile(single) as whole:
        assert whole.shard is None
        assert file.shard is not None
        assert file.shard.config_hash == whole.config_hash
        assert file.config_hash != whole.config_hash
        assert (file.shard.first, file.shard.stop, file.shard.rows) == (10, 20, 30)
        assert list(file.images["image"]) == [f"im{row}" for row in range(10, 20)]
