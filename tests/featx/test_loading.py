"""Crops brought to a network's size, and in batches, by processes."""

import gc
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featx.backbones import Preprocessing
from featx.loading import Crops, batches, fit
from tests.featx.made_crops import make_table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def crops(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    as_trained = Preprocessing((4, 4), (0, 0, 0), (1, 1, 1))
    return Crops([str(tmp_path / "a.png")] * 6, np.ones(6, dtype=bool), as_trained)


def test_aligned_faces_lose_eight_columns_on_each_side():
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    got = fit(Image.fromarray(pixels), (112, 96))
    np.testing.assert_array_equal(got, pixels[:, 8:104])


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    wanted=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_any_size_fits(size, wanted):
    got = fit(Image.new("RGB", size, (10, 20, 30)), wanted)
    assert got.dtype == np.uint8
    assert got.shape == (*wanted, 3)
    assert (got == (10, 20, 30)).all()


@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    wanted=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_resizing_is_pillows_of_the_middle_but_for_rounding(seed, size, wanted):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    high, wide = (
        min(own, max(1, round(other * side / beside)))
        for own, other, side, beside in zip(size, size[::-1], wanted, wanted[::-1], strict=True)
    )
    top, left = (size[0] - high) // 2, (size[1] - wide) // 2
    middle = Image.fromarray(pixels[top : top + high, left : left + wide])
    expected = np.asarray(middle.resize(wanted[::-1], Image.Resampling.BILINEAR)).astype(int)
    assert abs(fit(Image.fromarray(pixels), wanted) - expected).max() <= 1


def test_resize_is_antialiased():
    stripes = np.zeros((224, 224, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    got = fit(Image.fromarray(stripes), (56, 56)).astype(int)
    assert abs(got[:, 2:-2] - 127).max() < 8


def test_channels_in_the_order_of_the_network(tmp_path):
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png")
    for channels, wanted in (("RGB", [1, 2, 3]), ("BGR", [3, 2, 1])):
        as_trained = Preprocessing((4, 4), (0, 0, 0), (1, 1, 1), channels)
        crops = Crops([str(tmp_path / "a.png")], np.array([True]), as_trained)
        assert crops[0][1][0, 0].tolist() == wanted


@given(n=st.integers(1, 40), size=st.integers(1, 12), data=st.data())
def test_batches_are_cut_at_multiples_whichever_rows_are_wanted(n, size, data):
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    as_trained = Preprocessing((1, 1), (0, 0, 0), (1, 1, 1))
    crops = Crops(["nowhere"] * n, np.zeros(n, dtype=bool), as_trained)
    cuts = [cut[:2] for cut in batches(crops, size, rows=range(start, stop))]
    all_cuts = [(first, min(first + size, n)) for first in range(0, n, size)]
    assert cuts == [cut for cut in all_cuts if cut[1] > start and cut[0] < stop]
    assert [cut[:2] for cut in batches(crops, size)] == all_cuts


def test_processes_begin_before_the_first_batch_is_asked_for(crops):
    before = set(multiprocessing.active_children())
    loaded = batches(crops, 2, workers=2)
    assert len(set(multiprocessing.active_children()) - before) == 2
    assert [batch[:2] for batch in loaded] == [(0, 2), (2, 4), (4, 6)]
    assert set(multiprocessing.active_children()) <= before


def test_processes_end_if_no_batch_is_asked_for(crops):
    before = set(multiprocessing.active_children())
    loaded = batches(crops, 2, workers=2)
    del loaded
    gc.collect()
    assert set(multiprocessing.active_children()) <= before


def test_a_long_temporary_folder_stops_no_process(tmp_path):
    table = make_table(tmp_path)
    long = tmp_path / ("t" * 100)
    long.mkdir()
    code = f"""
from featx.extraction import extract
extract({str(table)!r}, {str(tmp_path / "f.h5")!r}, backbone="onet", weights="random",
        layers=["gap"], workers=1, batch_size=4)
"""
    environment = {**os.environ, "TMPDIR": str(long), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert (tmp_path / "f.h5").exists()
    assert not list(long.glob("pymp-*"))
