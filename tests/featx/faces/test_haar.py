"""Viola and Jones's detector on made-up faces whose places are known, and against OpenCV's own."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from featx.datasets.generate import draw_face, face_landmarks, random_identity
from featx.errors import FeatxError
from featx.faces import create_detector

cv2 = pytest.importorskip("cv2", reason="OpenCV comes with featx[haar]")
if not hasattr(cv2, "CascadeClassifier"):
    pytest.skip("this OpenCV has no cascades; featx[haar] brings one", allow_module_level=True)

PERSON = random_identity(np.random.default_rng(3))
LANDMARKS = face_landmarks(25, PERSON)


@pytest.fixture(scope="module")
def detector():
    return create_detector("haar")


@pytest.fixture(scope="module")
def picture():
    return draw_face(25, PERSON)


def test_the_box_holds_the_face(detector, picture):
    (face,) = detector(picture)
    left, top, right, bottom = face.box
    x, y = LANDMARKS.T
    assert left < x.min() < x.max() < right
    assert top < y.min() < y.max() < bottom
    eyes = np.linalg.norm(LANDMARKS[1] - LANDMARKS[0])
    assert eyes < right - left < 4 * eyes
    assert math.isnan(face.score)
    assert face.landmarks is None


def test_boxes_are_opencv_s(detector, picture):
    grey = cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY)
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_default.xml")
    ((x, y, width, height),) = cascade.detectMultiScale(grey, 1.1, 5)
    assert detector(picture)[0].box.tolist() == [x, y, x + width, y + height]


def test_the_largest_face_comes_first(detector, picture):
    both = Image.new("RGB", (700, 420), "grey")
    both.paste(picture.resize((160, 160)), (20, 20))
    both.paste(picture, (250, 10))
    faces = detector(both)
    assert len(faces) >= 2
    assert faces[0].box[0] > 250
    areas = [np.prod(face.box[2:] - face.box[:2]) for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_a_large_image_gives_the_same_face_in_its_own_pixels(detector, picture):
    large = detector(picture.resize((3000, 3000)))[0]
    small = detector(picture)[0]
    assert large.box * (picture.width / 3000) == pytest.approx(small.box, abs=0.03 * picture.width)


@pytest.mark.parametrize("size", [(1, 1), (23, 500), (24, 24), (9000, 3), (3, 9000), (64, 64)])
def test_no_face_and_no_failure(detector, size):
    assert detector(Image.new("RGB", size, "grey")) == []


def test_opencv_s_threads_are_left_as_they_were(detector, picture):
    former = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        detector(picture)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(former)


def test_opencv_s_failure_is_one_of_the_image(detector):
    with pytest.raises(RuntimeError, match="OpenCV"):
        detector._detect(np.zeros((0, 0, 3), np.uint8))


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(FeatxError, match=r"needs OpenCV .*pip install 'featx\[haar\]'"):
        create_detector("haar")


def test_with_opencv_5(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(__version__="5.0.0"))
    with pytest.raises(FeatxError, match=r"OpenCV 5\.0\.0 here has not: pip install"):
        create_detector("haar")


def test_without_the_cascade(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2.data, "haarcascades", f"{tmp_path}/")
    with pytest.raises(FeatxError, match=r"cannot load .*haarcascade_frontalface_default\.xml"):
        create_detector("haar")
