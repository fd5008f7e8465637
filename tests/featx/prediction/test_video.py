"""A video made here, and a camera that the same file stands in for."""

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from featx.datasets.generate import draw_face
from featx.errors import FeatxError
from featx.prediction.crop_choice import choose_crops
from featx.prediction.drawing import COLOURS
from featx.prediction.frames import Frames, VideoFile
from featx.prediction.video import predict_video
from tests.featx.prediction.made_networks import PEOPLE

cv2 = pytest.importorskip("cv2", reason="OpenCV comes with featx[video]")

# FFmpeg reads it once a process: at the film below, before our own code sets it
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

N = 7


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Return a film of one face that moves to the right, and is gone from frame 5 on."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    face = np.asarray(draw_face(25, PEOPLE[25], size=(200, 200)))[..., ::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (320, 220))
    for number in range(N):
        frame = np.full((220, 320, 3), 90, np.uint8)
        if number < 5:
            frame[10:210, 10 + 20 * number : 210 + 20 * number] = face
        writer.write(frame)
    writer.release()
    return path


def run(model, source, out, **options):
    done = predict_video(model, str(source), out, choose_crops(model.network), **options)
    return done, json.loads((out / "predictions.json").read_text())


def frames_of(path):
    with Frames(str(path)) as frames:
        return [(seconds, np.asarray(image, int)) for seconds, image in frames]


def test_frames_come_in_time_and_colour(tmp_path):
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    with VideoFile(tmp_path / "made", (64, 48), 5.0) as video:
        for colour in colours:
            video.write(Image.new("RGB", (64, 48), colour))
    assert video.path == tmp_path / "made.mp4"
    assert [path.name for path in tmp_path.iterdir()] == ["made.mp4"]
    found = frames_of(video.path)
    assert [seconds for seconds, _ in found] == pytest.approx([0, 0.2, 0.4])
    for (_, pixels), colour in zip(found, colours, strict=True):
        np.testing.assert_allclose(pixels.mean((0, 1)), colour, atol=12)


def test_a_video_that_fails_leaves_no_file(tmp_path):
    video = VideoFile(tmp_path / "v", (64, 48), 5)

    def fail():
        with video:
            video.write(Image.new("RGB", (64, 48)))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_is_slow_is_shown_as_long_as_it_took(tmp_path):
    with VideoFile(tmp_path / "made", (64, 48), 10) as video:
        for at in (0.0, 0.5, 0.6):
            video.write(Image.new("RGB", (64, 48)), at=at)
    assert video.written == 7
    assert len(frames_of(video.path)) == 7


def test_every_frame_is_told_of_and_drawn_on(model, film, tmp_path):
    done, told = run(model, film, tmp_path / "out")
    assert [frame["frame"] for frame in told["frames"]] == list(range(N))
    assert [frame["seconds"] for frame in told["frames"]] == pytest.approx(np.arange(N) / 10)
    assert [len(frame["faces"]) for frame in told["frames"]] == [1, 1, 1, 1, 1, 0, 0]
    assert told["frames"][6]["reason"] == "no face found"
    assert (done.pictures, done.faces) == (N, 5)
    lefts = [frame["faces"][0]["box"][0] for frame in told["frames"][:5]]
    assert np.diff(lefts) == pytest.approx([20] * 4, abs=8)
    size = {"width": 320, "height": 220, "rate": 10, "frames": N}
    assert told["video"] == {"source": str(film), **size}
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == [str(number) for number in range(N)]
    assert float(rows[3]["age"]) == told["frames"][3]["faces"][0]["age"]

    annotated = frames_of(tmp_path / "out" / "annotated.mp4")
    assert len(annotated) == N
    for (_, pixels), frame in zip(annotated, told["frames"], strict=True):
        colours = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS.values()]
        near = [np.abs(pixels - colour).max(2) < 60 for colour in colours]
        assert (np.any(near, 0).sum() > 200) == bool(frame["faces"])


def test_the_ages_are_those_of_the_frames_as_pictures(model, film, tmp_path):
    from featx.prediction.images import list_images, predict_images

    (tmp_path / "set").mkdir()
    for number, (_, pixels) in enumerate(frames_of(film)):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "set" / f"{number}.png")
    crops = choose_crops(model.network)
    predict_images(model, list_images([tmp_path / "set"]), tmp_path / "pictures", crops)
    pictures = json.loads((tmp_path / "pictures" / "predictions.json").read_text())["images"]
    _, told = run(model, film, tmp_path / "out")
    for picture, frame in zip(pictures, told["frames"], strict=True):
        assert len(picture["faces"]) == len(frame["faces"])
        for one, other in zip(picture["faces"], frame["faces"], strict=True):
            assert one["age"] == pytest.approx(other["age"], abs=1e-3)


def test_some_frames_only(model, film, tmp_path):
    done, told = run(model, film, tmp_path / "out", every=3, frames=6)
    assert [frame["frame"] for frame in told["frames"]] == [0, 3]
    assert (done.pictures, done.faces) == (6, 2)
    assert len(frames_of(tmp_path / "out" / "annotated.mp4")) == 6
    run(model, film, tmp_path / "plain", every=3, pictures=False)
    assert not (tmp_path / "plain" / "annotated.mp4").exists()


def test_a_broken_off_film_is_taken_up(model, film, tmp_path, monkeypatch):
    monkeypatch.setattr("featx.prediction.video._TOGETHER", 2)
    _, wanted = run(model, film, tmp_path / "whole")

    def stop(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, film, tmp_path / "out", advance=stop)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".predict.jsonl"]
    done, told = run(model, film, tmp_path / "out", resume=True)
    assert told == wanted
    assert done.faces == 3
    assert len(frames_of(tmp_path / "out" / "annotated.mp4")) == N


def test_a_file_stands_in_for_a_camera(model, film, tmp_path):
    lines = []
    done, told = run(model, film, tmp_path / "out", camera=True, frames=3, say=lines.append)
    assert [len(frame["faces"]) for frame in told["frames"]] == [1, 1, 1]
    assert told["settings"]["source"] == f"camera {film}"
    assert done.pictures == 3
    assert len(lines) == 3
    assert " s: " in lines[0]
    with pytest.raises(FeatxError, match="leave out --resume"):
        run(model, film, tmp_path / "out", camera=True, resume=True)


def test_ctrl_c_ends_a_camera_and_keeps_what_was_seen(model, film, tmp_path):
    def stop(line):
        if line.startswith("0.") and len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(line)

    seen = []
    _, told = run(model, film, tmp_path / "out", camera=True, say=stop)
    assert len(told["frames"]) == 3
    assert (tmp_path / "out" / "annotated.mp4").is_file()


def test_what_cannot_be_opened(model, tmp_path, capfd):
    (tmp_path / "no.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(FeatxError, match=r"no\.mp4 cannot be opened as a video"):
        run(model, tmp_path / "no.mp4", tmp_path / "out")
    with pytest.raises(FeatxError, match="is not there; give a video"):
        run(model, tmp_path / "none.mp4", tmp_path / "out")
    with pytest.raises(FeatxError, match="is not there; give a camera"):
        run(model, "/dev/nowhere", tmp_path / "out", camera=True)
    with pytest.raises(FeatxError, match="camera 97 cannot be opened"):
        run(model, "97", tmp_path / "out", camera=True)
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""


def test_without_opencv(model, film, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(FeatxError, match=r"pip install 'featx\[video\]'"):
        run(model, film, tmp_path / "out")
