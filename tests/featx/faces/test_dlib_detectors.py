"""dlib's detectors on made-up faces whose landmarks are known, and against dlib's own calls."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from featx.datasets.generate import draw_face, face_landmarks, random_identity
from featx.errors import FeatxError
from featx.faces import create_detector

dlib = pytest.importorskip("dlib", reason="dlib comes with featx[dlib]")
_package = importlib.util.find_spec("face_recognition_models")
if _package is None:
    pytest.skip("face_recognition_models comes with featx[dlib]", allow_module_level=True)
MODELS = Path(_package.submodule_search_locations[0]) / "models"

PERSON = random_identity(np.random.default_rng(3))
SIZE = (240, 240)
LANDMARKS = face_landmarks(25, PERSON, size=SIZE)
EYES = np.linalg.norm(LANDMARKS[1] - LANDMARKS[0])


@pytest.fixture(scope="module", params=["dlib", "dlib-cnn"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def detector(name):
    return create_detector(name)


@pytest.fixture(scope="module")
def picture():
    return draw_face(25, PERSON, size=SIZE)


def own_call(name, pixels):
    """Return dlib's rectangle and score for the one face."""
    if name == "dlib":
        (rectangle,), (score,), _ = dlib.get_frontal_face_detector().run(pixels, 0)
        return rectangle, score
    found = dlib.cnn_face_detection_model_v1(str(MODELS / "mmod_human_face_detector.dat"))(pixels)
    return found[0].rect, found[0].confidence


def test_landmarks_in_their_order(detector, picture):
    (face,) = detector(picture)
    off = np.linalg.norm(face.landmarks - LANDMARKS, axis=1)
    assert off[:2].max() < 0.08 * EYES
    assert off.max() < 0.2 * EYES
    left, top, right, bottom = face.box
    assert ((face.landmarks > [left, top]) & (face.landmarks < [right, bottom])).all()
    assert 0.5 < face.score < 1


def test_boxes_scores_and_points_are_dlib_s(name, detector, picture):
    pixels = np.asarray(picture)
    rectangle, score = own_call(name, pixels)
    (face,) = detector(picture)
    left, top, right, bottom = face.box
    assert (left, top) == (rectangle.left(), rectangle.top())
    assert (right - left, bottom - top) == (rectangle.width(), rectangle.height())
    assert face.score == pytest.approx(expit(score))

    if name == "dlib-cnn":
        return  # its points are of another rectangle: see the next test
    shape = dlib.shape_predictor(str(MODELS / "shape_predictor_68_face_landmarks.dat"))(
        pixels, rectangle
    )
    # The scheme's figure counts from 1: eyes 37 to 42 and 43 to 48, nose's tip 31, mouth 49 and 55.
    six = [sum((shape.part(i) for i in range(36, 42)), dlib.point(0, 0))]
    six += [sum((shape.part(i) for i in range(42, 48)), dlib.point(0, 0))]
    expected = [[p.x / 6, p.y / 6] for p in six]
    expected += [[shape.part(i).x, shape.part(i).y] for i in (30, 48, 54)]
    assert face.landmarks == pytest.approx(np.array(expected))


def test_the_cnn_s_points_are_those_of_a_rectangle_as_hog_would_give(picture):
    (hog,), (cnn,) = create_detector("dlib")(picture), create_detector("dlib-cnn")(picture)
    assert np.linalg.norm(cnn.landmarks - hog.landmarks, axis=1).max() < 0.1 * EYES

    detector = create_detector("dlib-cnn")
    pixels = np.asarray(picture)
    left, top, right, bottom = hog.box
    points = detector._points(pixels, dlib.rectangle(*map(int, (left, top, right - 1, bottom - 1))))
    around = detector._around(points)
    side = right - left  # comes in steps of a sixth, and in this picture is a large one
    assert around.width() == pytest.approx(side, rel=0.25)
    assert around.center().x == pytest.approx((left + right) / 2, abs=0.12 * side)
    assert around.center().y == pytest.approx((top + bottom) / 2, abs=0.12 * side)


def test_a_small_face_is_found_at_the_second_look(detector, picture):
    small = Image.new("RGB", (200, 120), "grey")
    small.paste(picture.resize((80, 80), Image.Resampling.LANCZOS), (90, 20))
    faces = detector(small)
    assert len(faces) == 1
    truth = (LANDMARKS + 0.5) / 3 - 0.5 + [90, 20]
    assert np.linalg.norm(faces[0].landmarks - truth, axis=1).max() < 0.2 * EYES / 3


def test_a_large_image_gives_the_same_face_in_its_own_pixels(detector, picture):
    large = Image.new("RGB", (3000, 800), "grey")
    large.paste(picture.resize((720, 720)), (1500, 40))
    face = detector(large)[0]
    truth = (LANDMARKS + 0.5) * 3 - 0.5 + [1500, 40]
    assert np.linalg.norm(face.landmarks - truth, axis=1).max() < 0.2 * EYES * 3
    assert face.box[2] - face.box[0] == pytest.approx(3 * 110, rel=0.3)


def test_the_largest_face_comes_first(detector, picture):
    both = Image.new("RGB", (520, 300), "grey")
    both.paste(picture.resize((170, 170)), (10, 10))
    both.paste(picture.resize((300, 300)), (200, 0))
    faces = detector(both)
    assert len(faces) == 2
    assert faces[0].box[0] > 200
    areas = [np.prod(face.box[2:] - face.box[:2]) for face in faces]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize(
    "size", [(1, 1), (39, 500), (40, 40), (9000, 3), (3, 9000), (40, 1280), (64, 64)]
)
def test_no_face_and_no_failure(detector, size):
    assert detector(Image.new("RGB", size, "grey")) == []


def test_without_dlib(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(FeatxError, match=r"needs dlib .*pip install 'featx\[dlib\]'"):
        create_detector(name)


def test_without_the_models(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FeatxError, match=r"needs shape_predictor_68.*pip install 'featx\[dlib\]'"):
        create_detector(name)


def test_with_a_damaged_model(name, monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/shape_predictor_68_face_landmarks.dat").write_bytes(b"cut")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(FeatxError, match=r"cannot load .*68.*--force-reinstall"):
        create_detector(name)
