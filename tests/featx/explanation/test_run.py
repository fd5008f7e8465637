"""Figures and raw maps of the faces in pictures."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

from featx.backbones import Preprocessing, create, get_backbone
from featx.checkpoints import write_checkpoint
from featx.errors import FeatxError
from featx.explanation.figures import COLOURS, COVER, overlay
from featx.explanation.run import _input, choose, enlarge, explain_images
from featx.heads import GENDERS, HeadSpec, attach_heads
from featx.prediction.crop_choice import choose_crops
from featx.prediction.faces import see
from featx.prediction.images import list_images
from featx.prediction.model import load_model


def untrained(folder, name, *specs):
    """Return a network as `featx finetune` would write it, with drawn weights."""
    torch.manual_seed(2)
    backbone, network = get_backbone(name), create(name)
    attach_heads(network, backbone, specs)
    description = {
        "backbone": backbone.name,
        "heads": [spec.describe() for spec in specs],
        "preprocessing": asdict(backbone.preprocessing),
        "provenance": {},
    }
    write_checkpoint(folder / "network.safetensors", network.state_dict(), description)
    return load_model(folder)


def run(model, images, out, *given, **options):
    explaining = choose(model, *given)
    counts = explain_images(
        model, list_images(images), out, choose_crops(model.network), explaining, **options
    )
    return counts, json.loads((out / "explanations.json").read_text())


def maps_of(out, record):
    with np.load(out / record["files"][-1]) as file:
        return dict(file)


def test_attention_features_and_grad_cam(album, tmp_path):
    spec = HeadSpec("softmax", tuple(map(float, range(60))))
    model = untrained(tmp_path / "net", "residual_attention:input=64", spec)
    files = [album / "a25.png", album / "none.png", album / "cut.png"]
    counts, told = run(model, files, tmp_path / "out", ["attention", "features", "grad-cam"])
    assert counts == {"images": 3, "ok": 1, "no_face": 1, "corrupt": 1, "faces": 1}
    one, none, cut = told["images"]
    assert [name.rpartition("/")[2] for name in one["files"]] == [
        "attention.png", "features.png", "grad-cam.png", "maps.npz",
    ]  # fmt: skip
    assert none["reason"] == "no face found"
    assert cut["status"] == "corrupt"
    for name in one["files"][:-1]:
        assert Image.open(tmp_path / "out" / name).width > 200
    maps = maps_of(tmp_path / "out", one)
    assert maps["face"].shape == (64, 64, 3)
    assert {k: v.shape for k, v in maps.items() if k.startswith("attention/")} == {
        "attention/attention1.mask": (16, 16),
        "attention/attention2.mask": (8, 8),
        "attention/attention3.mask": (4, 4),
    }
    assert maps["grad-cam/age"].shape == (2, 2)
    assert maps["features/attention2"].shape == (6, 8, 8)
    assert len(set(maps["channels/attention2"])) == 6


def test_the_maps_are_the_network_s_on_the_face_that_predict_sees(model, album, tmp_path):
    out = tmp_path / "out"
    _, told = run(model, [album / "both.png"], out, ["features", "grad-cam"], ["age", "male", "30"])
    (record,) = told["images"]
    assert len(record["faces"]) == 1  # the largest
    maps = maps_of(out, record)
    pre = model.preprocessing
    x = torch.from_numpy(maps["face"].astype(np.float32)).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (pre.mean, pre.std))
    x = (x - mean) / std
    network = model.network.module
    with torch.no_grad():
        first = network.prelu1(network.conv1(x))[0]
        outputs = model.heads.split(network(x))
        age = model.heads.of("age").ages(outputs["age"])
    np.testing.assert_allclose(
        maps["features/prelu1"], first[maps["channels/prelu1"]].numpy(), atol=1e-4
    )
    assert record["faces"][0]["age"] == pytest.approx(float(age), abs=6)  # one of two views
    assert {key for key in maps if key.startswith("grad-cam/")} == {
        "grad-cam/age", "grad-cam/male", "grad-cam/30",
    }  # fmt: skip
    # what speaks for male in a softmax of two is not what speaks for the age
    assert not np.allclose(maps["grad-cam/male"], maps["grad-cam/age"])
    assert (maps["grad-cam/age"] != 0).any()


def test_channels_in_the_order_blue_green_red_are_shown_right(album, tmp_path):
    class Bgr:
        preprocessing = Preprocessing(
            (48, 48), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "BGR", frame=(64, 64)
        )
        device = torch.device("cpu")

    image = Image.new("RGB", (64, 64), (250, 10, 20))
    crops = choose_crops(
        untrained(tmp_path, "onet", HeadSpec("regression")).network, detector="none"
    )
    (face,) = see(image, Bgr, crops.settings).faces
    shown, given = _input(Bgr, face)
    assert shown.shape == (48, 48, 3)
    assert shown[0, 0].tolist() == [250, 10, 20]
    assert given[0, :, 0, 0].tolist() == [20, 10, 250]


def test_what_a_network_cannot_be_explained_by(model, tmp_path):
    assert choose(model).methods == ("features", "grad-cam")
    assert [target.name for target in choose(model).targets] == ["age"]
    assert choose(model, ["features"]).targets == ()
    with pytest.raises(FeatxError, match="onet has no modules of attention"):
        choose(model, ["attention"])
    with pytest.raises(FeatxError, match="did you mean features"):
        choose(model, ["feature"])
    gender = HeadSpec("softmax", (0.0, 1.0), GENDERS, task="gender")
    alone = untrained(tmp_path, "onet", gender)
    assert [target.name for target in choose(alone).targets] == ["female", "male"]


def test_resume(model, album, tmp_path):
    out = tmp_path / "out"
    _, wanted = run(model, [album / "a25.png"], out)
    with pytest.raises(FeatxError, match="add --resume"):
        run(model, [album / "a25.png"], out)
    figure = out / wanted["images"][0]["files"][0]
    before = figure.stat().st_mtime_ns
    _, told = run(model, [album / "a25.png", album / "none.png"], out, resume=True)
    assert told["images"][0] == wanted["images"][0]
    assert len(told["images"]) == 2
    assert figure.stat().st_mtime_ns == before
    figure.unlink()
    run(model, [album / "a25.png"], out, resume=True)
    assert figure.is_file()
    with pytest.raises(FeatxError, match="made with another targets"):
        run(model, [album / "a25.png"], out, (), ["30"], resume=True)


def test_an_overlay_is_a_mean_of_face_and_colour():
    face = np.full((2, 2, 3), 100, np.uint8)
    laid = overlay(face, np.array([[0.0, 1.0], [0.5, 2.0]]), 0, 1)
    blue, red = (np.array(COLOURS(v)[:3]) * 255 for v in (0.0, 1.0))
    np.testing.assert_allclose(laid[0, 0], (1 - COVER) * 100 + COVER * blue, atol=1)
    np.testing.assert_allclose(laid[0, 1], (1 - COVER) * 100 + COVER * red, atol=1)
    assert laid[1, 1].tolist() == laid[0, 1].tolist()
    assert (overlay(face, np.ones((2, 2)), 1, 1) == laid[0, 0]).all()


def test_enlarging_keeps_what_is_even():
    assert enlarge(np.full((3, 2), 0.25, np.float32), (12, 8)).tolist() == [[0.25] * 8] * 12
