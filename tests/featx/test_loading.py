"""Crops in batches, by processes."""

import gc
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.backbones import Preprocessing
from featx.loading import Crops, batches
from tests.featx.made_crops import make_table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def crops(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    as_trained = Preprocessing((4, 4), (0, 0, 0), (1, 1, 1))
    return Crops([str(tmp_path / "a.png")] * 6, np.ones(6, dtype=bool), as_trained)


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
