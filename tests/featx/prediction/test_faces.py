"""What the network is shown is, to the bit, what it is trained on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from featx.backbones import get_backbone
from featx.datasets import read_dataset
from featx.faces.cropper import CropSettings
from featx.images import read_rgb
from featx.loading import Crops
from featx.prediction.faces import see
from featx.preparation import prepare


@pytest.mark.parametrize(
    ("settings", "backbone"),
    [
        (CropSettings("aligned"), "mobilefacenet"),
        (CropSettings("aligned", (112, 96)), "mobilefacenet"),
        (CropSettings("margin", (224, 224), 0.4), "senet50"),
        (CropSettings("margin", (256, 256), 0.1), "levi_hassner"),
        (CropSettings(detector="none"), "onet"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.crop,
)
def test_pixels_are_those_of_prepared_crops(settings, backbone, album, tmp_path):
    (tmp_path / "set" / "30").mkdir(parents=True)
    for name in ("a25.png", "both.png"):
        (tmp_path / "set" / "30" / name).write_bytes((album / name).read_bytes())
    table = prepare(
        read_dataset("folder", tmp_path / "set"), tmp_path / "work", settings, device="cpu", jobs=1
    )
    preprocessing = get_backbone(backbone).preprocessing
    files = [str(tmp_path / "work" / crop) for crop in table["crop"]]
    stored = Crops(files, np.ones(2, bool), preprocessing)
    model = SimpleNamespace(preprocessing=preprocessing, device=torch.device("cpu"))
    for row, path in enumerate(table["path"]):
        seen = see(read_rgb(path), model, settings)
        assert seen.status == "ok"
        assert (seen.faces[0].pixels == stored[row][1]).all()
        left = table["box_left"][row]
        if settings.detector != "none":
            assert seen.faces[0].face.box[0] == pytest.approx(left, abs=1e-3)


def test_a_face_that_cannot_be_aligned_is_left_out_and_counted(monkeypatch):
    from featx.faces.face import Face
    from featx.prediction import faces

    good = np.array([[30.0, 50], [60, 50], [45, 70], [33, 90], [60, 90]])
    found = [
        Face(np.array([0.0, 0, 90, 90]), 0.9, good),
        Face(np.array([0.0, 0, 50, 50]), 0.8, np.ones((5, 2))),
    ]
    monkeypatch.setattr(faces, "find_faces", lambda *given: found)
    model = SimpleNamespace(
        preprocessing=get_backbone("mobilefacenet").preprocessing, device=torch.device("cpu")
    )
    seen = see(Image.new("RGB", (100, 100)), model, CropSettings("aligned"))
    assert (seen.status, len(seen.faces)) == ("ok", 1)
    assert seen.reason == "1 more left out, no alignment: the landmarks fall on one point"
    found.pop(0)
    seen = see(Image.new("RGB", (100, 100)), model, CropSettings("aligned"))
    assert (seen.status, seen.faces) == ("no_face", [])


def test_one_picture_that_a_detector_fails_on_stops_no_run(monkeypatch):
    from featx.prediction import faces

    def fail(*given):
        raise RuntimeError("odd\npicture")

    monkeypatch.setattr(faces, "find_faces", fail)
    model = SimpleNamespace(device=torch.device("cpu"))
    seen = see(Image.new("RGB", (9, 9)), model, CropSettings())
    assert (seen.status, seen.reason) == ("no_face", "detector failed: odd")
