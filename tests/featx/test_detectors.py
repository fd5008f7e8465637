"""`featx prepare` with each detector: the same pictures, a row and its reason for every one."""

import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli.prepare import prepare as command
from featx.datasets import read_dataset
from featx.datasets.generate import draw_face, face_landmarks, random_identity
from featx.errors import FeatxError
from featx.faces import detector_names
from featx.faces._registry import detector_entry
from featx.manifest import LANDMARKS, read_table
from featx.preparation import CropSettings, prepare

NEEDS = {
    "mtcnn": ("facenet_pytorch", "featx[extract]"),
    "haar": ("cv2", "featx[haar]"),
    "dlib": ("dlib", "featx[dlib]"),
    "dlib-cnn": ("dlib", "featx[dlib]"),
}
SIZE = (300, 300)
PEOPLE = {age: random_identity(np.random.default_rng(age)) for age in (8, 25, 40)}
POINTS = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
BOX = [f"box_{side}" for side in ("left", "top", "right", "bottom")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of three faces, a picture of noise and a damaged file."""
    folder = tmp_path_factory.mktemp("pictures")
    for age, person in PEOPLE.items():
        (folder / str(age)).mkdir()
        draw_face(age, person, size=SIZE).save(folder / str(age) / f"aged{age}.png")
    noise = np.random.default_rng(0).integers(100, 140, (150, 150, 3), np.uint8)
    Image.fromarray(noise).save(folder / "40/noise.png")
    (folder / "8/cut.png").write_bytes((folder / "8/aged8.png").read_bytes()[:2000])
    return folder


@pytest.fixture(params=sorted(NEEDS))
def detector(request):
    need(request.param)
    return request.param


def need(detector):
    module, extra = NEEDS[detector]
    pytest.importorskip(module, reason=f"{module} comes with {extra}")
    if module == "dlib" and importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip(f"face_recognition_models comes with {extra}")


def test_every_detector_is_tested():
    assert detector_names() == sorted(NEEDS)


def test_rows_boxes_and_crops(folder, detector, tmp_path):
    settings = CropSettings("margin", (96, 96), 0.2, detector)
    table = prepare(
        read_dataset("folder", folder), tmp_path / "out", settings, device="cpu", jobs=1
    )
    assert table["image"].tolist() == ["aged25", "aged40", "noise", "aged8", "cut"]
    assert table["status"].tolist() == ["ok", "ok", "no_face", "ok", "corrupt"]
    assert table["reason"][2] == "no face found"
    assert table.loc[2, [*BOX, *POINTS, "face_score"]].isna().all()

    faces = table[table["status"] == "ok"]
    has_landmarks = detector_entry(detector).landmarks
    for row in faces.to_dict("records"):
        assert Image.open(tmp_path / "out" / row["crop"]).convert("RGB").size == (96, 96)
        truth = face_landmarks(row["age"], PEOPLE[int(row["age"])], size=SIZE)
        left, top, right, bottom = (row[side] for side in BOX)
        assert (truth[:3] > [left, top]).all()
        assert (truth[:3] < [right, bottom]).all()
        if has_landmarks:
            found = np.array([row[point] for point in POINTS]).reshape(5, 2)
            eyes = np.linalg.norm(truth[1] - truth[0])
            assert np.median(np.linalg.norm(found - truth, axis=1)) < 0.15 * eyes
    assert faces[POINTS].notna().all(axis=None) == has_landmarks
    assert faces[POINTS].isna().all(axis=None) == (not has_landmarks)
    assert faces["face_score"].between(0, 1).all() == (detector != "haar")
    assert faces["face_score"].isna().all() == (detector == "haar")

    written = json.loads((tmp_path / "out/prepare.json").read_text())
    assert written["device"] == "cpu"
    assert written["settings"]["detector"] == detector
    assert written["settings"]["detector_settings"]["detection_side"] == 1280
    assert set(detector_entry(detector).libraries) < set(written["versions"])


def test_aligned_crops_put_the_eyes_where_they_belong(folder, detector, tmp_path):
    if not detector_entry(detector).landmarks:
        with pytest.raises(FeatxError, match="use --crop margin, or --detector dlib"):
            CropSettings("aligned", None, 0.4, detector)
        return
    settings = CropSettings("aligned", (112, 112), detector=detector)
    table = read_dataset("folder", folder)
    done = prepare(table[table["image"] == "aged25"], tmp_path, settings, device="cpu")
    grey = np.asarray(Image.open(tmp_path / done["crop"][0]).convert("L"), float)
    cheek = grey[66:72, 34:42].mean()
    for x, y in ((38, 52), (74, 52)):  # the reference's eyes, in whole pixels
        assert grey[y - 4 : y + 5, x - 4 : x + 5].min() < 0.6 * cheek


@pytest.mark.parametrize("detector", ["haar", "dlib"])
def test_processes_and_resuming_change_nothing(folder, detector, tmp_path):
    need(detector)
    table = read_dataset("folder", folder)
    settings = CropSettings("margin", (64, 64), detector=detector)
    prepare(table, tmp_path / "one", settings, jobs=1)
    prepare(table[:2], tmp_path / "two", settings, jobs=2)
    prepare(table, tmp_path / "two", settings, jobs=2, resume=True)
    for path in (tmp_path / "one").rglob("*.*"):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )


def check(crop, source, box):
    """Compare a crop with a part of its source in a wide frame, resized by Pillow."""
    framed = np.pad(np.asarray(Image.open(source)), ((200, 200), (200, 200), (0, 0)), mode="edge")
    crop = Image.open(crop)
    expected = Image.fromarray(framed).resize(
        crop.size, Image.Resampling.BICUBIC, box=tuple(200 + side for side in box)
    )
    difference = np.abs(np.asarray(crop).astype(int) - np.asarray(expected))
    assert difference[2:-2, 2:-2].max() <= 1  # at the edge the filter sees beyond the box, or not


def test_agenet_s_preprocessing(folder, tmp_path):
    """A box of dlib's CNN, 40 % more on every side, 256 x 256 (Section 3.2 of the paper)."""
    need("dlib-cnn")
    arguments = ["folder", str(folder), "-o", str(tmp_path / "out"), "--jobs", "1"]
    arguments += ["--detector", "dlib-cnn", "--crop", "margin", "--margin", "0.4", "--size", "256"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "5 images, 3 ok" in done.output
    assert "no_face: 1 (1 no face found)" in done.output
    row = read_table(tmp_path / "out").set_index("image").loc["aged25"]
    left, top, right, bottom = row[BOX].astype(float)
    by = 0.9 * max(right - left, bottom - top)  # half of 180 %
    x, y = (left + right) / 2, (top + bottom) / 2
    check(tmp_path / "out" / row["crop"], row["path"], (x - by, y - by, x + by, y + by))


def test_the_multi_task_paper_s_preprocessing(folder, tmp_path):
    """The box of Viola and Jones, as it is, 128 x 128."""
    need("haar")
    arguments = ["folder", str(folder), "-o", str(tmp_path / "out"), "--jobs", "1"]
    arguments += ["--detector", "haar", "--crop", "margin", "--margin", "0", "--size", "128"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "5 images, 3 ok" in done.output
    assert done.exit_code == 0
    row = read_table(tmp_path / "out").set_index("image").loc["aged25"]
    check(tmp_path / "out" / row["crop"], row["path"], row[BOX].astype(float))


def test_aligned_crops_by_haar_are_refused_before_anything_is_read(tmp_path):
    arguments = ["folder", str(tmp_path / "not there"), "-o", str(tmp_path / "out")]
    with pytest.raises(FeatxError, match="haar finds none") as error:
        CliRunner().invoke(command, [*arguments, "--detector", "haar"], catch_exceptions=False)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("detector", ["haar", "dlib", "dlib-cnn"])
def test_only_mtcnn_runs_on_a_gpu(folder, detector, tmp_path):
    settings = CropSettings("margin", detector=detector)
    with pytest.raises(FeatxError, match=f"detector {detector} runs on the CPU; use --device cpu"):
        prepare(read_dataset("folder", folder), tmp_path / "out", settings, device="cuda")
    with pytest.raises(FeatxError, match="unknown device"):
        prepare(read_dataset("folder", folder), tmp_path / "out", settings, device="gpu")
