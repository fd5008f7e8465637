"""The whole file comes and its shards go while somebody looks for them, as a cluster's job may."""

import pytest

from featx import extraction
from featx.cluster import submissions
from featx.cluster.job import Job
from featx.cluster.profile import Resources
from featx.errors import FeatxError
from featx.extraction import on_slurm
from featx.extraction.on_slurm import Sharded
from featx.store.tools import merging
from featx.store.tools.merging import merge, remove_merged
from featx.store.tools.shard_set import read_shards
from tests.featx.made_crops import make_table

WRITTEN = {"dtype": "float32", "compression": "none"}
USUAL = {"backbone": "onet", "weights": "random", "layers": ["gap"], "workers": 0, "mirror": False}


@pytest.fixture
def sharded(tmp_path):
    """The work of two shards, which are there, beside the whole file that is not."""
    table, out = make_table(tmp_path), tmp_path / "f.h5"
    for part in ("1/2", "2/2"):
        extraction.extract(table, out, shard=part, **USUAL, **WRITTEN)
    return Sharded(extraction.plan(table, **USUAL), out, 2, WRITTEN)


def merged(work):
    files = [part.path(work.out) for part in work.parts]
    merge(read_shards(files), work.out)
    return files


def test_shards_that_have_become_the_whole_file_are_not_missing(sharded, monkeypatch):
    assert sharded.unfinished() == {}
    open_writer = on_slurm.open_writer

    def slow(part, *given, **options):
        writer = open_writer(part, *given, **options)
        if part is sharded.parts[1]:
            remove_merged(merged(sharded), sharded.out)
        return writer

    monkeypatch.setattr(on_slurm, "open_writer", slow)
    assert sharded.unfinished() == {}  # though the second is gone


def test_a_shard_that_goes_while_it_is_read_is_not_missing(sharded, monkeypatch):
    def gone(*given, **options):
        remove_merged(merged(sharded), sharded.out)
        raise FeatxError("f.shard-1-of-2.h5: No such file or directory")

    monkeypatch.setattr(on_slurm, "open_writer", gone)
    assert sharded.unfinished() == {}


def test_an_error_of_a_shard_is_told_where_there_is_no_whole_file(sharded):
    shard = sharded.parts[0].path(sharded.out)
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(FeatxError, match=shard.name):
        sharded.unfinished()


def test_two_may_remove_the_same_shards(sharded, monkeypatch):
    files = merged(sharded)
    opened = merging.FeaturesFile

    def removed_before(path):
        if path in files:
            path.unlink()
        return opened(path)

    monkeypatch.setattr(merging, "FeaturesFile", removed_before)
    assert remove_merged(files, sharded.out) == []
    assert not any(file.exists() for file in files)


def test_shards_that_come_as_their_tasks_end_are_not_made_again(tmp_path, monkeypatch):
    table, out = make_table(tmp_path), tmp_path / "f.h5"
    work = Sharded(extraction.plan(table, **USUAL), out, 2, WRITTEN)

    def none_is_live_any_more(folder):
        for part in ("1/2", "2/2"):
            extraction.extract(table, out, shard=part, **USUAL, **WRITTEN)
        return {}

    monkeypatch.setattr(submissions, "live", none_is_live_any_more)
    array, merging = (Job(name, "true", Resources(), tmp_path) for name in ("extract", "gather"))
    assert work.missing(array, merging, resume=True).labels == {}
