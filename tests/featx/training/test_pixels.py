"""Pixels in training are those of extraction, from memory or decoded each time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featx.backbones import Preprocessing
from featx.errors import FeatxError
from featx.loading import fit
from featx.training.images import pixels
from featx.training.images.pixels import PixelStore

ROOT = Path(__file__).parents[3]
PREPROCESSING = Preprocessing((24, 20), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(150):
        size = rng.integers(16, 48, 2)
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:03d}.png")
    return [str(path) for path in sorted(tmp_path.glob("*.png"))]


def by_hand(files, rows):
    images = [fit(Image.open(files[row]), PREPROCESSING.input_size) for row in rows]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images])


@pytest.mark.parametrize("memory", [None, 0], ids=["from memory", "each time"])
def test_pixels_are_those_of_extraction_in_the_order_asked_for(files, memory):
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, len(files), n) for n in (7, 1, 64, 20)]
    with PixelStore(files, PREPROCESSING, memory=memory) as store:
        assert store.fits == (memory is None)
        advanced = []
        store.load(advanced.append)
        assert sum(advanced) == (len(files) if store.fits else 0)
        assert len(store) == len(files)
        for rows, got in zip(batches, store.batches(batches), strict=True):
            assert got.dtype == torch.uint8
            assert torch.equal(got, by_hand(files, rows))
            assert torch.equal(store.take(rows), got)


def test_decoding_ahead_ends_with_the_caller(files):
    with PixelStore(files, PREPROCESSING, memory=0) as store:
        taken = store.batches([[row] for row in range(150)])
        next(taken)
        taken.close()  # must neither hang nor go on decoding
        assert torch.equal(store.take([3]), by_hand(files, [3]))


# what a stage that a signal stops may leave to the end: its frames, in a circle of references
LEFT = """
import gc
import sys
import time
from featx.training.images.pixels import PixelStore
from tests.featx.training.test_pixels import PREPROCESSING

gc.set_threshold(0)  # only at the end
store = PixelStore(sys.argv[1:], PREPROCESSING)
circle = [store.batches([[row] for row in range(150)])]
next(circle[0])
time.sleep(1)  # as much is decoded ahead as there may be
circle.append(circle)
store.close()
del circle
"""


def test_decoding_ahead_that_nobody_ended_does_not_keep_the_program(files):
    subprocess.run([sys.executable, "-c", LEFT, *files], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("memory", [None, 0], ids=["from memory", "each time"])
def test_an_image_that_cannot_be_read_is_named(files, memory):
    Path(files[70]).write_bytes(b"no image")

    def read_all(store):
        store.load()
        return list(store.batches([[1, 2], [70]]))

    told = pytest.raises(FeatxError, match=r"070\.png: .*prepare the images again")
    with PixelStore(files, PREPROCESSING, memory=memory) as store, told:
        read_all(store)


def test_the_limit_is_the_pixels_bytes(files):
    needed = len(files) * 24 * 20 * 3
    assert PixelStore(files, PREPROCESSING, memory=needed).fits
    assert not PixelStore(files, PREPROCESSING, memory=needed - 1).fits


def test_processes_side_by_side_share_the_memory(files, monkeypatch):
    needed = len(files) * 24 * 20 * 3
    monkeypatch.setattr(pixels, "free_memory", lambda: 4 * needed)
    assert PixelStore(files, PREPROCESSING, sharers=2).fits
    assert not PixelStore(files, PREPROCESSING, sharers=3).fits
