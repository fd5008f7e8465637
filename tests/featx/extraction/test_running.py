"""Extraction: the right rows, the same values however it is run, nothing lost to a kill."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from featx import extraction
from featx.devices import resolve_device
from featx.errors import FeatxError
from featx.extraction.engine import Engine
from featx.layers import LayerReader, resolve
from featx.loading import Crops, batches
from featx.store import FeaturesFile
from featx.weights import load_network
from tests.featx.made_crops import make_table

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("FEATX_DATA", ROOT.parent / "shared"))
LAYERS = ["gap", "gmp", "first_conv", "flattened", "embedding"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("crops"))


def extract(table, out, **options):
    usual = {"backbone": "mobilefacenet", "weights": "random", "layers": LAYERS}
    return extraction.extract(table, out, **usual | {"workers": 0, "mirror": False} | options)


@pytest.fixture(scope="module")
def reference(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "features.h5"
    done = extract(table, path, batch_size=8)
    return path, done


def assert_near(got, wanted):
    """Equal to float32's rounding along a network: 1e-5 of the layer's largest value."""
    scale = np.nanmax(np.abs(wanted))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * scale)


def values_of(path):
    with h5py.File(path) as file:
        return {name: file[name][:] for name in LAYERS if name in file}


def test_every_row_is_there_with_its_status(reference, table):
    path, done = reference
    with FeaturesFile(path) as file:
        images = file.images
    assert list(images["image"]) == [f"im{i}" for i in range(30)]
    assert images["status"][3] == "no_face"
    assert images["status"][8] == "duplicate"
    assert list(images["status"][11:14]) == ["corrupt"] * 3
    assert "empty" in images["reason"][12]
    assert "not there" in images["reason"][13]
    assert images["reason"][9] == "two faces; largest taken"
    assert done.statuses == {"ok": 25, "corrupt": 3, "no_face": 1, "duplicate": 1}
    assert done.images == 25
    empty = {3, 8, 11, 12, 13}
    for values in values_of(path).values():
        for row in range(30):
            assert np.isnan(values[row]).all() if row in empty else np.isfinite(values[row]).all()


def test_features_are_those_of_the_network_fed_by_hand(reference, table):
    network = load_network("mobilefacenet", "random:0").module
    for row in (0, 14, 29):
        pixels = np.asarray(Image.open(table.parent / f"{row}.png"))[:, 8:104].astype(np.float32)
        images = torch.from_numpy((pixels - 127.5) / 128).permute(2, 0, 1)[None]
        with torch.inference_mode():
            x = network.conv1(images)
            last = network.conv2(network.blocks(network.dw_conv1(x)))
            wanted = {
                "gap": last.mean((2, 3)),
                "gmp": last.amax((2, 3)),
                "first_conv": x.mean((2, 3)),
                "flattened": last.flatten(1),
                "embedding": network(images),
            }
        got = values_of(reference[0])
        for name in LAYERS:
            assert_near(got[name][row], wanted[name][0].numpy())


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (5, 2), (64, 0)])
def test_batches_and_workers_change_rounding_at_most(
    reference, table, tmp_path, batch_size, workers
):
    extract(table, tmp_path / "o.h5", batch_size=batch_size, workers=workers)
    got, wanted = values_of(tmp_path / "o.h5"), values_of(reference[0])
    for name in LAYERS:
        assert_near(got[name], wanted[name])


def test_mirror_is_the_mean_over_image_and_mirror_image(reference, table, tmp_path):
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    for path in table.parent.glob("*.png"):
        if path.name in ("11.png", "12.png"):
            (mirrored / path.name).write_bytes(path.read_bytes())
        else:
            image = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image.save(mirrored / path.name)
    (mirrored / "images.csv").write_bytes(table.read_bytes())
    extract(table, tmp_path / "both.h5", mirror=True)
    extract(mirrored / "images.csv", tmp_path / "other.h5")
    one, other = values_of(reference[0]), values_of(tmp_path / "other.h5")
    both = values_of(tmp_path / "both.h5")
    for name in LAYERS:
        mean = (one[name] + other[name]) / 2
        assert_near(both[name], mean)
    assert not np.allclose(one["gap"], other["gap"], equal_nan=True)


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from featx import extraction
    from featx.store import FeaturesWriter

    append = FeaturesWriter.append

    def append_or_die(self, *args, **kwargs):
        global left
        append(self, *args, **kwargs)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    FeaturesWriter.append = append_or_die
    table, *outs = sys.argv[1:]
    for left, out in enumerate(outs, start=1):  # processes of one parent, for imports take long
        child = os.fork()
        if child == 0:
            extraction.extract(
                table, out, backbone="mobilefacenet", weights="random", mirror=False,
                workers=2, batch_size=8,
                layers=["gap", "gmp", "first_conv", "flattened", "embedding"],
            )
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
    """
)


def test_killed_and_resumed_equals_uninterrupted(reference, table, tmp_path):
    outs = [tmp_path / f"killed_after_{k}.h5" for k in (1, 2, 3)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(table), *map(str, outs)]
    subprocess.run(command, env=environment, check=True)
    for out in outs:
        assert not out.exists()
        done = extract(table, out, batch_size=8, resume=True)
        assert done.statuses == reference[1].statuses
        got, wanted = values_of(out), values_of(reference[0])
        for name in LAYERS:
            np.testing.assert_array_equal(got[name], wanted[name])
        with FeaturesFile(out) as file, FeaturesFile(reference[0]) as other:
            pd.testing.assert_frame_equal(file.images, other.images)


@pytest.mark.parametrize("stop_after", [1, 2])
def test_stopped_inside_a_batch_and_resumed(reference, table, tmp_path, monkeypatch, stop_after):
    """Stopped by an exception the file holds rows that are no multiple of its blocks."""
    out, seen = tmp_path / "o.h5", []

    def advance(self, pixels, names):
        if len(seen) == stop_after:
            raise KeyboardInterrupt
        seen.append(1)
        return original(self, pixels, names)

    original = Engine.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "__call__", advance)
        with pytest.raises(KeyboardInterrupt):
            extract(table, out, batch_size=9)
    extract(table, out, batch_size=7, resume=True)  # batches that straddle the rows that are there
    got, wanted = values_of(out), values_of(reference[0])
    for name in LAYERS:
        assert_near(got[name], wanted[name])
    again = extract(table, out, batch_size=7, resume=True)
    assert again.images == 0


def test_provenance_tells_how_it_was_made(table, tmp_path):
    (table.parent / "prepare.json").write_text('{"crop": "aligned", "margin": 0.4}')
    try:
        extract(table, tmp_path / "o.h5", layers=["blocks.3:max"], mirror=True)
    finally:
        (table.parent / "prepare.json").unlink()
    network = load_network("mobilefacenet", "random:0")
    with FeaturesFile(tmp_path / "o.h5") as file:
        told = file.provenance
        assert file.context["table"] == str(table)
    assert told["backbone"] == "mobilefacenet"
    assert told["weights"] == "random:0"
    assert told["weights_sha256"] == network.sha256
    assert told["taps"] == [["blocks.3_max", "blocks.3", "max"]]
    assert told["mirror"] is True
    assert told["precision"] == "fp32"
    assert told["preprocessing"]["input_size"] == [112, 96]
    assert told["prepare"] == {"crop": "aligned", "margin": 0.4}


def test_another_configuration_is_not_resumed(reference, table, tmp_path):
    out = tmp_path / "o.h5"
    extract(table, out, layers=["gap"])
    with pytest.raises(FeatxError):
        extract(table, out, layers=["gap"], weights="random:1", resume=True)


def test_low_precision_is_near(reference, table, tmp_path):
    extract(table, tmp_path / "o.h5", precision="bf16", layers=["gap"])
    got, wanted = values_of(tmp_path / "o.h5")["gap"], values_of(reference[0])["gap"]
    ok = np.isfinite(wanted[:, 0])
    error = np.linalg.norm(got[ok] - wanted[ok]) / np.linalg.norm(wanted[ok])
    assert 1e-6 < error < 0.05


def test_layer_that_is_not_finite_names_image_and_layer(table, tmp_path, monkeypatch):
    forward = LayerReader.__call__

    def overflowing(self, images):
        features = forward(self, images)
        features["gap"][-1, 5] = float("inf")
        return features

    monkeypatch.setattr(LayerReader, "__call__", overflowing)
    with pytest.raises(FeatxError, match=r"layer gap of image 'im7' holds NaN or infinite"):
        extract(table, tmp_path / "o.h5", batch_size=8, layers=["gmp", "gap"])


def test_out_of_gpu_memory_halves_the_batch(reference, table, monkeypatch):
    settled = extraction.plan(
        table, backbone="mobilefacenet", weights="random", layers=["gap"], batch_size=8
    )
    engine = Engine(settled.network, settled.requests, settled.device, batch_size=8)
    sizes = []
    forward = Engine._forward

    def small(self, pixels):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, pixels)

    monkeypatch.setattr(Engine, "_forward", small)
    crops = Crops(settled.paths, settled.usable, settled.network.preprocessing)
    _, _, pixels, rows, _ = next(iter(batches(crops, 8)))
    got = engine(pixels, [str(row) for row in rows])["gap"]
    assert sizes == [7, 4, 2, 2, 2, 1]
    assert_near(got, values_of(reference[0])["gap"][rows])
    monkeypatch.setattr(
        Engine, "_forward", lambda *args: (_ for _ in ()).throw(torch.OutOfMemoryError())
    )
    with pytest.raises(FeatxError, match="too little memory for one image"):
        engine(pixels, [str(row) for row in rows])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "mobilefacenets"}, "did you mean mobilefacenet"),
        ({"weights": "casia"}, "unknown weights"),
        ({"layers": ["gaq"]}, "did you mean gap"),
        ({"device": "gpu"}, "unknown device"),
        ({"device": "cuda:99"}, "device 'cuda:99'"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"batch_size": "many"}, "whole number"),
        ({"batch_size": 0}, "whole number"),
        ({"workers": -1}, "0 or more"),
        ({"compression": "zip"}, "compression"),
        ({"dtype": "int8"}, "dtype"),
    ],
)
def test_bad_arguments(table, tmp_path, options, message):
    with pytest.raises(FeatxError, match=message):
        extract(table, tmp_path / "o.h5", **options)
    assert list(tmp_path.iterdir()) == []


def test_tables_without_images(tmp_path):
    with pytest.raises(FeatxError, match="is not there"):
        extract(tmp_path / "images.csv", tmp_path / "o.h5")
    table = tmp_path / "images.csv"
    table.write_text("image,path,status\na,a.png,no_face\nb,b.png,corrupt\n")
    with pytest.raises(FeatxError, match=r"no row with status ok .*1 no_face"):
        extract(table, tmp_path / "o.h5")
    table.write_text("image,path\na,a.png\nb,b.png\n")
    with pytest.raises(FeatxError, match="none of the 2 images"):
        extract(table, tmp_path / "o.h5")


def test_damaged_prepare_json(table, tmp_path):
    (table.parent / "prepare.json").write_text("{")
    try:
        with pytest.raises(FeatxError, match=r"prepare.json is damaged"):
            extract(table, tmp_path / "o.h5")
    finally:
        (table.parent / "prepare.json").unlink()


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        assert resolve_device("auto") == torch.device("cuda", 0)
    else:
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(FeatxError, match="no CUDA device here"):
            resolve_device("cuda")


@pytest.mark.real
def test_an_embedding_is_nearest_to_that_of_its_own_mirror_image():
    faces = sorted((DATA / "data" / "fgnet").rglob("*.[jJ][pP][gG]"))[:60:5]
    weights = DATA / "weights" / "mobilefacenet_casia.safetensors"
    if not faces or not weights.is_file():
        pytest.skip(f"no FG-NET or weights under {DATA}; set FEATX_DATA")
    network = load_network("mobilefacenet", str(weights))
    requests = resolve(["embedding"], network.backbone, network.module)
    requests = LayerReader(network.module, requests).probe(torch.zeros(1, 3, 112, 96))
    crops = Crops([str(f) for f in faces], np.ones(len(faces), bool), network.preprocessing)
    pixels = next(iter(batches(crops, len(faces))))[2]
    engine = Engine(network, requests, torch.device("cpu"), batch_size=len(faces))
    names = [face.name for face in faces]
    one = engine(pixels, names)["embedding"]
    other = engine(pixels.flip(2), names)["embedding"]
    one, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other))
    similarity = one @ other.T
    assert (similarity.argmax(axis=1) == np.arange(len(faces))).all()
    assert np.diag(similarity).min() > 0.6
