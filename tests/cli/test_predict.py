"""`featx predict` as it is typed."""

import json
import re

import numpy as np
import pytest

from cli.main import main


@pytest.fixture
def featx(capfd):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        told = capfd.readouterr()
        return ended.value.code, told.out, told.err

    return call


def test_a_folder(featx, network_file, album, tmp_path):
    out = tmp_path / "out"
    given = ["predict", network_file, album, "-o", out, "--device", "cpu"]
    code, told, err = featx(*given, "--dry-run")
    assert code == 0, err
    assert "network  onet, age (61 classes) and gender" in told
    assert "crops    margin 0.4, 48x48, faces by mtcnn (the default for an input of" in told
    assert "would look at 5 images" in told
    assert not out.exists()
    code, told, err = featx(*given)
    assert code == 0, err
    assert re.search(r"^a25\.png: \d+ ± \d+, (fe)?male \d+ %$", told, re.MULTILINE)
    assert "none.png: no face found" in told
    assert "images   5 (3 with a face, 1 without, 1 unreadable); 4 faces" in told
    assert "faces/s" in told
    assert "predict: 5 of 5 images" in err
    assert (out / "predictions.csv").is_file()
    assert len(list((out / "pictures").iterdir())) == 3
    code, _, err = featx(*given)
    assert code == 1
    assert "is not empty; add --resume" in err
    code, told, _ = featx(*given, "--resume")
    assert code == 0
    assert "nothing was left to do" in told


def test_some_images(featx, network_file, album, tmp_path):
    files = [album / "a25.png", album / "more" / "b40.png"]
    code, _, err = featx(
        "predict", network_file.parent, *files, "-o", tmp_path / "out", "--no-pictures",
        "--device", "cpu", "--margin", 0.2, "--size", 96,
    )  # fmt: skip
    assert code == 0, err
    told = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [image["image"] for image in told["images"]] == [str(file) for file in files]
    assert told["crops"]["settings"]["margin"] == 0.2
    assert told["crops"]["settings"]["size"] == [96, 96]


def test_video_and_camera(featx, network_file, album, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with featx[video]")
    face = cv2.imread(str(album / "a25.png"))
    writer = cv2.VideoWriter(
        str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (240, 240)
    )
    for _ in range(4):
        writer.write(np.ascontiguousarray(face))
    writer.release()
    given = ["predict", network_file, "--device", "cpu"]
    code, told, err = featx(*given, tmp_path / "film.avi", "-o", tmp_path / "a", "--dry-run")
    assert code == 0, err
    assert "video    240 x 240, 5 a second, 4 frames" in told
    code, told, err = featx(*given, tmp_path / "film.avi", "--every", 2, "-o", tmp_path / "a")
    assert code == 0, err
    assert "frames   2 (2 with a face, 0 without, 0 unreadable); 2 faces" in told
    assert "frames/s (2 faces, 4 frames" in told
    assert "predict: 4 of 4 frames" in err
    assert (tmp_path / "a" / "annotated.mp4").is_file()
    code, told, err = featx(
        *given, "--camera", tmp_path / "film.avi", "--frames", 2, "-o", tmp_path / "b"
    )
    assert code == 0, err
    assert "2 faces" in told
    assert "Ctrl-C" in told
    code, _, err = featx(*given, tmp_path / "film.avi", album, "-o", tmp_path / "c")
    assert code == 2
    assert "alone" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.safetensors", "."], "nowhere.safetensors is not there"),
        (["MODEL", "nowhere.png"], "nowhere.png is not there"),
        (["MODEL", "nowhere.mp4"], "nowhere.mp4 is not there; give a video"),
        (["MODEL", "EMPTY"], "holds no images"),
        (["MODEL", "ALBUM", "--detector", "mtcn"], "did you mean mtcnn"),
        (["MODEL", "ALBUM", "--device", "tpu"], "unknown device"),
        (["MODEL", "ALBUM", "--crop", "aligned", "--size", "50x60"], "are not known"),
        (["MODEL", "--camera", "/dev/none"], "give a camera"),
    ],
)
def test_bad_input_is_one_line(featx, network_file, album, tmp_path, arguments, message):
    if "mp4" in arguments[1] or "--camera" in arguments:
        pytest.importorskip("cv2", reason="OpenCV comes with featx[video]")
    (tmp_path / "empty").mkdir()
    places = {"MODEL": network_file, "ALBUM": album, "EMPTY": tmp_path / "empty"}
    code, _, err = featx("predict", *(places.get(a, a) for a in arguments), "-o", tmp_path / "o")
    assert code == 1
    (line,) = err.strip().splitlines()
    assert line.startswith("featx: error: ")
    assert message in line


@pytest.mark.parametrize("sources", [[], ["a.png", "--camera", "0"]])
def test_images_or_a_camera(featx, sources):
    code, _, err = featx("predict", "model.safetensors", *sources, "-o", "out")
    assert code == 2
    assert "or else --camera" in err
