"""The pipeline: every row accounted for, whatever happens in between."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from cli.prepare import prepare as command
from featx.datasets import read_dataset
from featx.datasets.generate import draw_face, face_landmarks, random_identity
from featx.errors import FeatxError
from featx.faces import create_detector
from featx.faces.alignment import reference, similarity
from featx.manifest import LANDMARKS, read_table
from featx.preparation import CropSettings, crop_names, prepare
from tests.featx.sources import WHOLE, pictures, tree

PERSON = random_identity(np.random.default_rng(3))


def test_all_kinds_of_rows(tmp_path):
    sources = tmp_path / "in"
    sources.mkdir()
    draw_face(25, PERSON).save(sources / "face.png")
    (sources / "again.png").write_bytes((sources / "face.png").read_bytes())
    draw_face(40, PERSON).save(sources / "other.jpg")
    Image.new("RGB", (90, 90), "grey").save(sources / "grey.png")
    Image.new("L", (1, 1)).save(sources / "dot.png")
    Image.new("1", (10_000, 10_000)).save(sources / "huge.png")
    (sources / "cut.jpg").write_bytes((sources / "other.jpg").read_bytes()[:3000])
    (sources / "zero.png").write_bytes(b"")
    (sources / "zero2.png").write_bytes(b"")
    rows = [
        ("face.png", "25"),
        ("zero.png", "1"),
        ("again.png", "26"),
        ("grey.png", "3"),
        ("huge.png", "3"),
        ("cut.jpg", "3"),
        ("missing.png", "3"),
        ("zero2.png", "2"),
        ("other.jpg", ""),
        ("dot.png", "3"),
    ]
    labels = sources / "labels.csv"
    labels.write_text("path,age\n" + "".join(f"{path},{age}\n" for path, age in rows))
    out = tmp_path / "out"
    table = prepare(read_dataset("csv", labels), out, device="cpu", jobs=1)

    assert table["image"].tolist() == [path for path, _ in rows]
    assert table["status"].tolist() == [
        *("ok", "corrupt", "duplicate", "no_face", "corrupt"),
        *("corrupt", "corrupt", "corrupt", "excluded", "no_face"),
    ]
    told = dict(zip(table["image"], table["reason"], strict=True))
    assert told["face.png"] == "conflicting labels: age 25, 26"
    assert told["again.png"] == "byte-identical: to face.png; conflicting labels: age 25, 26"
    assert told["huge.png"].startswith("too large: 10000 x 10000")
    assert told["cut.jpg"].startswith("damaged: ")
    assert told["missing.png"] == "not there"
    assert told["zero2.png"] == "empty file"
    assert told["other.jpg"] == "no age"
    assert table["duplicate_of"].tolist()[2] == "face.png"
    pd.testing.assert_frame_equal(table, read_table(out))

    ok = table.iloc[0]
    assert Image.open(out / ok["crop"]).convert("RGB").size == (112, 112)
    assert (table["crop"] != "").tolist() == [True] + [False] * 9
    found = np.array([[ok[f"{name}_x"], ok[f"{name}_y"]] for name in LANDMARKS])
    truth = face_landmarks(25, PERSON)
    assert np.linalg.norm(found - truth, axis=1).max() < 0.25 * np.linalg.norm(truth[1] - truth[0])
    assert ok["box_left"] < found[:, 0].min() < found[:, 0].max() < ok["box_right"]

    written = json.loads((out / "prepare.json").read_text())
    assert written["n_total"] == 10
    assert written["n_ok"] == 1
    assert written["status"] == {
        "ok": 1, "no_face": 2, "corrupt": 5, "duplicate": 1, "excluded": 1,
    }  # fmt: skip
    assert written["reasons"]["corrupt"] == {
        "empty file": 2, "too large": 1, "damaged": 1, "not there": 1,
    }  # fmt: skip
    assert written["conflicting_duplicates"] == 1
    assert written["settings"]["detector_settings"]["thresholds"] == [0.6, 0.7, 0.7]
    assert written["versions"]["pillow"]
    assert sorted(p.name for p in out.iterdir()) == ["crops", "images.csv", "prepare.json"]


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path):
    sources = tmp_path / "in"
    sources.mkdir()
    for number in range(4):
        person = random_identity(np.random.default_rng(number))
        draw_face(20, person, size=(240, 240)).save(sources / f"00{number}A20.PNG")
    table = read_dataset("fgnet", sources)
    settings = CropSettings("margin", (64, 64))
    prepare(table, tmp_path / "one", settings, device="cpu", jobs=1)
    prepare(table, tmp_path / "two", settings, device="cpu", jobs=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert len(tree(tmp_path / "one")) > 3


def test_images_that_are_crops_already(tmp_path):
    table = pictures(tmp_path / "in", 2)
    whole = prepare(table, tmp_path / "whole", WHOLE)
    crop = Image.open(tmp_path / "whole" / whole["crop"][0])
    assert (np.asarray(crop) == np.asarray(Image.open(table["path"][0]))).all()
    assert whole["box_left"].isna().all()
    sized = CropSettings(detector="none", size=(20, 10))
    prepare(table, tmp_path / "sized", sized)
    assert Image.open(tmp_path / "sized/crops/000.png").convert("RGB").size == (10, 20)


def test_the_detector_s_failure_is_a_row_s_fate(tmp_path, monkeypatch):
    from featx.faces import cropper

    def fail(name, device):
        raise IndexError("odd\nimage")

    monkeypatch.setattr(cropper, "_detector", fail)
    table = prepare(pictures(tmp_path / "in", 1), tmp_path / "out", device="cpu", jobs=1)
    assert table[["status", "reason"]].values.tolist() == [["no_face", "detector failed: odd"]]


def test_no_memory_for_detecting_stops_the_run(tmp_path, monkeypatch):
    from featx.faces import cropper

    def fail(name, device):
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr(cropper, "_detector", fail)
    with pytest.raises(FeatxError, match="out of memory while detecting faces on cpu; use fewer"):
        prepare(pictures(tmp_path / "in", 1), tmp_path / "out", device="cpu", jobs=1)


def test_names_of_crops():
    ids = [
        "001A02",
        "a/b.png",
        "a_b.png",
        "A_B.png",
        "größe",
        "..",
        "x" * 300,
        "é",
        "e\u0301",
        "語",
    ]
    names = crop_names(pd.Series(ids))
    assert names[0] == "crops/001A02.png"
    assert len({name.lower() for name in names}) == len(ids)
    for name in names:
        folder, _, file = name.partition("/")
        assert folder == "crops"
        assert file.isascii()
        assert "/" not in file
        assert not file.startswith(".")
        assert len(file) < 120


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"crop": "aligne"}, "did you mean aligned"),
        ({"detector": "mtcn"}, "did you mean mtcnn"),
        ({"crop": "margin", "size": (10, 20)}, "square"),
        ({"size": (100, 90)}, "112x96"),
        ({"detector": "haar"}, "haar finds none: use --crop margin, or --detector dlib, dlib-cnn"),
        ({"margin": float("nan")}, "margin"),
        ({"max_pixels": 0}, "no image"),
    ],
)
def test_settings_that_cannot_be(given, message):
    with pytest.raises(FeatxError, match=message):
        CropSettings(**given)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_devices_that_are_not_there(tmp_path, device):
    with pytest.raises(FeatxError, match="device"):
        prepare(pictures(tmp_path / "in", 1), tmp_path / "out", device=device)


def test_the_command(tmp_path):
    pictures(tmp_path / "in", 2)
    labels = tmp_path / "in/labels.csv"
    labels.write_text("path,age\n000.png,1\n001.png,\n")
    arguments = ["csv", str(labels), "-o", str(tmp_path / "out"), "--detector", "none"]
    run = CliRunner().invoke
    planned = run(command, [*arguments, "--dry-run"], catch_exceptions=False)
    assert "2 images, 1 ok" in planned.output
    assert not (tmp_path / "out").exists()
    done = run(command, [*arguments, "--size", "16x12", "-v"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "001.png: excluded, no age" in done.output
    assert "excluded: 1 (1 no age)" in done.output
    assert Image.open(next((tmp_path / "out/crops").iterdir())).convert("RGB").size == (12, 16)
    again = run(command, [*arguments, "--size", "16x12", "--resume"], catch_exceptions=False)
    assert "nothing was missing" in again.output
    assert run(command, [*arguments, "--size", "big"]).exit_code == 2
    with pytest.raises(FeatxError, match="not empty"):
        run(command, arguments, catch_exceptions=False)


@pytest.mark.real
def test_real_faces_are_aligned(tmp_path):
    data = Path(os.environ.get("FEATX_DATA", Path(__file__).parents[2] / "../shared"))
    fgnet = data / "data/fgnet"
    if not fgnet.is_dir():
        pytest.skip(f"no FG-NET under {data} (FEATX_DATA)")
    table = read_dataset("fgnet", fgnet)
    assert len(table) == 1002
    assert table["subject"].nunique() == 82
    assert table["age"].max() == 69
    some = table.iloc[:: len(table) // 12]
    done = prepare(some, tmp_path / "first", device="cpu", jobs=1)
    assert (done["status"] == "ok").sum() >= len(some) - 1
    # Found anew in the crops, the landmarks are where the alignment was to bring them. (MTCNN
    # distorts faces at an image's edge, so the crops get a frame.)
    first = done[done["status"] == "ok"]
    points = first[[f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]].to_numpy()
    detector, distances = create_detector("mtcnn"), []
    for crop, landmarks in zip(first["crop"], points.reshape(-1, 5, 2), strict=True):
        faces = detector(ImageOps.expand(Image.open(tmp_path / "first" / crop), 56))
        to_crop = similarity(landmarks, reference(112, 112))
        meant = landmarks @ to_crop[:, :2].T + to_crop[:, 2]
        distances += [faces[0].landmarks - 56 - meant] if faces else []
    assert len(distances) >= len(first) - 2
    assert np.abs(np.mean(distances, axis=(0, 1))).max() < 2
    assert np.median(np.linalg.norm(distances, axis=2)) < 2.5
