"""Folders of pictures: every image and face told of, as the network tells them elsewhere."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from featx.datasets import read_dataset
from featx.errors import FeatxError
from featx.faces import create_detector
from featx.prediction.crop_choice import choose_crops
from featx.prediction.images import list_images, output_names, predict_images
from featx.prediction.model import load_model
from featx.preparation import CropSettings, prepare
from featx.training.images.pixels import PixelStore
from featx.training.inference import predict


def run(model, folder, out, **options):
    crops = options.pop("crops", None) or choose_crops(model.network)
    done = predict_images(model, list_images([folder]), out, crops, **options)
    return done, json.loads((out / "predictions.json").read_text())


def test_every_image_and_face_is_told_of(model, album, tmp_path):
    done, told = run(model, album, tmp_path / "out", batch_size=2)
    by_name = {image["image"]: image for image in told["images"]}
    assert list(by_name) == ["a25.png", "both.png", "cut.png", "more/b40.png", "none.png"]
    assert [len(image["faces"]) for image in by_name.values()] == [1, 2, 0, 1, 0]
    assert done.counts == {"images": 5, "ok": 3, "no_face": 1, "corrupt": 1, "faces": 4}
    assert told["counts"] == done.counts
    assert (done.pictures, done.faces) == (5, 4)
    assert by_name["cut.png"]["status"] == "corrupt"
    assert by_name["cut.png"]["reason"].startswith("damaged")
    assert by_name["none.png"]["reason"] == "no face found"
    found = create_detector("mtcnn")(Image.open(album / "both.png").convert("RGB"))
    for face, wanted in zip(by_name["both.png"]["faces"], found, strict=True):
        np.testing.assert_allclose(face["box"], wanted.box, atol=0.01)
        assert face["score"] == pytest.approx(wanted.score, abs=1e-5)
        assert face["age_low"] <= face["age"] <= face["age_high"]
        assert 0 < face["age_sd"] < 40
        assert face["gender"] in ("female", "male")
        assert 0.5 <= face["gender_probability"] <= 1
        assert face["age_group"] is None

    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [(row["image"], row["face"]) for row in rows] == [
        ("a25.png", "1"), ("both.png", "1"), ("both.png", "2"), ("cut.png", ""),
        ("more/b40.png", "1"), ("none.png", ""),
    ]  # fmt: skip
    assert float(rows[1]["age"]) == by_name["both.png"]["faces"][0]["age"]
    assert float(rows[2]["box_left"]) == by_name["both.png"]["faces"][1]["box"][0]
    assert rows[5]["reason"] == "no face found"


def test_ages_are_those_of_the_network_on_prepared_crops(model, album, tmp_path):
    settings = CropSettings("margin", (48, 48), 0.4)
    for name in ("30", "30/more"):  # a set with ages, for `featx prepare folder`
        (tmp_path / "set" / name).mkdir(parents=True)
    for name in ("a25.png", "both.png", "more/b40.png"):
        (tmp_path / "set" / "30" / name).write_bytes((album / name).read_bytes())
    table = prepare(
        read_dataset("folder", tmp_path / "set"), tmp_path / "work", settings, device="cpu", jobs=1
    )
    files = [str(tmp_path / "work" / crop) for crop in table["crop"]]
    with PixelStore(files, model.preprocessing) as store:
        wanted = predict(
            model.network.module, model.heads, model.preprocessing, store, np.arange(3),
            device=torch.device("cpu"),
        )  # fmt: skip

    _, told = run(model, tmp_path / "set", tmp_path / "out")
    assert told["crops"]["settings"] == settings.describe()
    faces = [image["faces"][0] for image in told["images"]]
    assert [face["age"] for face in faces] == pytest.approx(list(wanted["age"].ages), abs=1e-4)
    assert len({face["age"] for face in faces}) == 3
    male = wanted["gender"].probabilities[:, 1]
    for face, probability in zip(faces, male, strict=True):
        own = face["gender_probability"]
        assert (own if face["gender"] == "male" else 1 - own) == pytest.approx(
            probability, abs=1e-4
        )


def test_crops_are_taken_whole_without_a_detector(model, album, tmp_path):
    crops = choose_crops(model.network, detector="none")
    _, told = run(model, album, tmp_path / "out", crops=crops)
    (face,) = told["images"][-1]["faces"]
    assert face["box"] == [0, 0, 120, 90]
    assert face["score"] is None
    assert told["settings"]["crops"]["crop"] == "whole"


def test_pictures_are_drawn_on_and_can_be_left_out(model, album, tmp_path):
    _, told = run(model, album, tmp_path / "out")
    drawn = {image["image"]: image.get("files", [None])[0] for image in told["images"]}
    assert drawn["cut.png"] is None
    assert drawn["none.png"] is None
    before = np.asarray(Image.open(album / "a25.png").convert("RGB"), int)
    after = np.asarray(Image.open(tmp_path / "out" / drawn["a25.png"]), int)
    changed = np.abs(after - before).max(2) > 40
    left, top, right, bottom = (round(v) for v in told["images"][0]["faces"][0]["box"])
    side = changed[top : bottom + 1, left - 1 : left + 2].any(1)  # the box's, below its text
    assert side.mean() > 0.9
    inside = changed[top + 30 : bottom - 5, left + 5 : right - 5]
    assert inside.mean() < 0.02

    _, told = run(model, album, tmp_path / "plain", pictures=False)
    assert not (tmp_path / "plain" / "pictures").exists()
    assert "files" not in told["images"][0]


def test_age_groups(groups_file, album, tmp_path):
    _, told = run(load_model(groups_file), album, tmp_path / "out")
    face = told["images"][0]["faces"][0]
    assert face["age_group"] in ("0-12", "15-30", "31-60")
    assert face["age_low"] in (0, 15, 31)
    assert face["age_high"] in (12, 30, 60)
    assert face["gender"] is None


def test_a_killed_run_goes_on(model, album, tmp_path, monkeypatch):
    whole, wanted = run(model, album, tmp_path / "whole", batch_size=1)

    class Killed(BaseException):
        pass

    def die(number):
        if number and not seen:
            seen.append(number)
        elif number:
            raise Killed

    seen = []
    with pytest.raises(Killed):
        run(model, album, tmp_path / "out", batch_size=1, advance=die)
    assert not (tmp_path / "out" / "predictions.json").exists()
    with pytest.raises(FeatxError, match="add --resume"):
        run(model, album, tmp_path / "out", batch_size=1)
    done, told = run(model, album, tmp_path / "out", batch_size=1, resume=True)
    assert told == wanted
    assert 0 < done.pictures < whole.pictures
    done, told = run(model, album, tmp_path / "out", resume=True)
    assert (done.pictures, told) == (0, wanted)
    crops = choose_crops(model.network, margin=0.2)
    with pytest.raises(FeatxError, match="made with another crops"):
        run(model, album, tmp_path / "out", crops=crops, resume=True)


def test_names_of_outputs_are_short_where_they_may_be():
    assert output_names(["/x/a.png", "/x/b.jpg"]) == ["a", "b"]
    assert output_names(["/x/a.png", "/x/a.jpg"]) == ["a.png", "a.jpg"]
    same = output_names(["/x/a.png", "/y/A.png"])
    assert len({name.lower() for name in same}) == 2
    assert all(name.startswith("_") and "/" not in name for name in same)


def test_what_is_missing_or_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    with pytest.raises(FeatxError, match="holds no images"):
        list_images([tmp_path / "empty"])
    with pytest.raises(FeatxError, match="is not there; give an image"):
        list_images([tmp_path / "nowhere.png"])


def test_what_is_no_fine_tuned_network(tmp_path, network_file):
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "plain.safetensors")
    with pytest.raises(FeatxError, match="is no fine-tuned network"):
        load_model(tmp_path / "plain.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(network_file.read_bytes()[:100])
    with pytest.raises(FeatxError, match="is damaged"):
        load_model(tmp_path / "cut.safetensors")
    with pytest.raises(FeatxError, match="is not there"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(FeatxError, match=r"folder without network\.safetensors"):
        load_model(tmp_path)
    (tmp_path / "x.pt").touch()
    with pytest.raises(FeatxError, match="is no safetensors file"):
        load_model(tmp_path / "x.pt")
    assert load_model(network_file.parent).path == network_file
