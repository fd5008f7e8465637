"""Figures and raw maps of the faces in pictures."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from featx.backbones import Preprocessing
from featx.errors import FeatxError
from featx.explanation.choice import choose
from featx.explanation.figures import COLOURS, COVER, overlay, panels
from featx.explanation.run import enlarge, explain_images
from featx.explanation.sides import Side, rgb, sides
from featx.heads import GENDERS, HeadSpec
from featx.prediction.crop_choice import choose_crops
from featx.prediction.faces import see
from featx.prediction.images import list_images

from .made_networks import untrained


def run(model, images, out, *given, before=None, **options):
    explaining = choose(model, *given)
    both = sides(model, explaining, before)
    counts, records = explain_images(
        model,
        both,
        list_images(images),
        out,
        choose_crops(model.network),
        explaining,
        **options,
    )
    told = json.loads((out / "explanations.json").read_text())
    assert told["images"] == records
    return counts, told


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
        assert Image.open(tmp_path / "out" / name).convert("RGB").width > 200
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

    image = Image.new("RGB", (64, 64), (250, 10, 20))
    crops = choose_crops(
        untrained(tmp_path, "onet", HeadSpec("regression")).network, detector="none"
    )
    (face,) = see(image, Bgr, crops.settings).faces
    shown = rgb(face.pixels[None], Bgr.preprocessing)
    assert shown.shape == (1, 48, 48, 3)
    assert shown[0, 0, 0].tolist() == [250, 10, 20]
    given = Side("", Bgr, torch.device("cpu"), {}).input(shown)
    assert given[0, :, 0, 0].tolist() == [20, 10, 250]


def test_before_and_after_are_of_the_same_face_and_scale(model, album, tmp_path):
    out = tmp_path / "out"
    given = (["features", "grad-cam"], ["age", "male"], 1)
    _, told = run(model, [album / "a25.png"], out, *given, before="random:7")
    assert told["settings"]["before"]["weights"] == "random:7"
    maps = maps_of(out, told["images"][0])
    for name in ("grad-cam/age", "grad-cam/male", "features/prelu1"):
        assert maps[name].shape == maps[f"before/{name}"].shape
        assert not np.allclose(maps[name], maps[f"before/{name}"])
    _alone, told = run(model, [album / "a25.png"], tmp_path / "alone", *given)
    for name, wanted in maps_of(tmp_path / "alone", told["images"][0]).items():
        np.testing.assert_array_equal(maps[name], wanted)
    with pytest.raises(FeatxError, match="made with another before"):
        run(model, [album / "a25.png"], out, *given, resume=True)


def test_the_network_itself_before_changes_nothing(model, album, tmp_path):
    out = tmp_path / "out"
    _, told = run(model, [album / "a25.png"], out, [], [], 2, before=str(model.path.parent))
    maps = maps_of(out, told["images"][0])
    for name, values in maps.items():
        if name.startswith("before/"):
            np.testing.assert_array_equal(values, maps[name.removeprefix("before/")])
    with np.load(out / "filters.npz") as file:
        np.testing.assert_array_equal(file["before/weights"], file["weights"])


def test_maps_of_one_name_have_one_scale():
    low, high = np.zeros((2, 2)), np.full((2, 2), 3.0)
    (one,), (other, more) = panels({"before": {"m": low}, "after": {"m": high, "n": high}})
    assert (one.low, one.high) == (other.low, other.high) == (0, 3)
    assert (more.low, more.high) == (3, 3)
    assert one.title == "before: m\n0 to 3, this one to 0"
    assert more.title == "after: n\nnowhere"
    ((alone,),) = panels({"": {"m": high}}, from_zero=True)
    assert (alone.low, alone.title) == (0, "m\n0 to 3")


def test_the_page_shows_every_figure_and_says_what_files_are(model, album, tmp_path):
    out = tmp_path / "out"
    _, told = run(model, [album / "a25.png", album / "none.png"], out)
    page = (out / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sorted(named) == sorted(told["images"][0]["files"] + ["filters.png"])
    assert all((out / name).is_file() for name in named)
    assert "no face found" in page
    for file in ("filters.png", "features.png", "grad-cam.png", "maps.npz", "explanations.json"):
        assert f"<dt>{file}</dt>" in page
    assert "<dt>attention.png</dt>" not in page


def test_what_a_network_cannot_be_explained_by(model, tmp_path):
    assert choose(model).methods == ("filters", "features", "grad-cam")
    assert [target.name for target in choose(model).targets] == ["age"]
    assert choose(model, ["features"]).targets == ()
    with pytest.raises(FeatxError, match="onet has no modules of attention"):
        choose(model, ["attention"])
    with pytest.raises(FeatxError, match="did you mean features"):
        choose(model, ["feature"])
    with pytest.raises(FeatxError, match="did you mean logit"):
        choose(model, score="logits")
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
