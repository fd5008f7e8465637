"""A network that was trained on images of the table: a warning, and its features tell so."""

import hashlib
from dataclasses import replace

import pandas as pd
import pytest

from featx import extraction
from featx.extraction import planning
from featx.manifest import read_table
from featx.store import FeaturesFile
from featx.trained_on import TrainedOn
from featx.weights import load_network
from tests.featx.made_crops import make_table

OPTIONS = {"backbone": "onet", "weights": "random", "layers": ["gap"], "workers": 0}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = make_table(tmp_path_factory.mktemp("crops"))
    images = pd.read_csv(path)
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in images["image"]]
    images.assign(sha256=digests, subject="").to_csv(path, index=False)
    return path


def trained_on(monkeypatch, known):
    """Let the network tell that it was trained on something, or, with None, tell nothing."""

    def load(*args, **kwargs):
        return replace(load_network(*args, **kwargs), trained_on=known)

    monkeypatch.setattr(planning, "load_network", load)


def test_images_are_told(table, tmp_path, monkeypatch, caplog):
    usable = read_table(table).query("status == 'ok'")
    trained_on(monkeypatch, TrainedOn.of(usable.iloc[[1, 3]]))
    done = extraction.extract(table, tmp_path / "f.h5", **OPTIONS)
    with FeaturesFile(done.path) as file:
        seen = file.provenance["weights_have_seen"]
    assert seen.startswith(f"2 of these {len(usable)} images (such as {usable['image'].iloc[1]}")
    assert f"random:0: this network was trained on {seen}; methods on its" in caplog.text


@pytest.mark.parametrize("rows", [None, slice(0), "not ok"])
def test_nothing_is_told_of_others(table, monkeypatch, caplog, rows):
    images = read_table(table)
    if rows == "not ok":
        known = TrainedOn.of(images[images["status"].isin(["duplicate", "no_face"])])
    else:
        known = None if rows is None else TrainedOn.of(images[rows])
    trained_on(monkeypatch, known)
    plan = extraction.plan(table, **OPTIONS)
    assert "weights_have_seen" not in plan.provenance
    assert "this network was trained on" not in caplog.text


def test_shards_are_told_of_the_whole_table(table, monkeypatch):
    usable = read_table(table).query("status == 'ok'")
    trained_on(monkeypatch, TrainedOn.of(usable.iloc[[0]]))
    plans = [extraction.plan(table, **OPTIONS, shard=shard) for shard in ("1/2", "2/2")]
    assert plans[0].provenance == plans[1].provenance
    assert "weights_have_seen" in plans[0].provenance
