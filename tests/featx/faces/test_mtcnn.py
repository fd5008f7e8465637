"""Detection of made-up faces whose landmarks are known, and of images that break MTCNN."""

import numpy as np
import pytest
from PIL import Image

from featx.datasets.generate import draw_face, face_landmarks, random_identity
from featx.errors import FeatxError
from featx.faces import create_detector

pytest.importorskip("facenet_pytorch")

PERSON = random_identity(np.random.default_rng(3))
LANDMARKS = face_landmarks(25, PERSON)


@pytest.fixture(scope="module")
def detector():
    return create_detector("mtcnn", "cpu")


@pytest.fixture(scope="module")
def picture():
    return draw_face(25, PERSON)


def test_landmarks_in_their_order(detector, picture):
    face = detector(picture)[0]
    eyes = np.linalg.norm(LANDMARKS[1] - LANDMARKS[0])
    assert np.linalg.norm(face.landmarks - LANDMARKS, axis=1).max() < 0.25 * eyes
    left, top, right, bottom = face.box
    inside = (face.landmarks > [left, top]) & (face.landmarks < [right, bottom])
    assert inside.all()
    assert 0.7 < face.score <= 1


def test_a_large_image_gives_the_same_face_in_its_own_pixels(detector, picture):
    small = detector(picture)[0]
    scale = 3000 / picture.width
    large = detector(picture.resize((3000, round(picture.height * scale))))[0]
    assert large.landmarks / scale == pytest.approx(small.landmarks, abs=0.03 * picture.width)
    assert large.box / scale == pytest.approx(small.box, abs=0.05 * picture.width)


def test_the_largest_face_comes_first(detector, picture):
    both = Image.new("RGB", (700, 420), "grey")
    both.paste(picture.resize((160, 160)), (20, 20))
    both.paste(picture, (250, 10))
    faces = detector(both)
    assert len(faces) >= 2
    assert faces[0].landmarks[:, 0].min() > 250
    areas = [np.prod(face.box[2:] - face.box[:2]) for face in faces]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (19, 500), (12, 12), (20, 20), (9000, 3), (64, 64)])
def test_no_face_and_no_failure(detector, size):
    assert detector(Image.new("RGB", size, "grey")) == []


def test_a_face_cut_tightly_keeps_its_landmarks(detector, picture):
    whole = detector(picture)[0]
    eyes = np.linalg.norm(LANDMARKS[1] - LANDMARKS[0])
    inside = whole.box.round().astype(int) + np.array([12, 12, -12, -12])
    cut = detector(picture.crop(tuple(inside.tolist())))[0]
    moved = np.linalg.norm(cut.landmarks + inside[:2] - whole.landmarks, axis=1)
    assert moved.max() < 0.15 * eyes


def test_unknown_detector():
    with pytest.raises(FeatxError, match="did you mean mtcnn"):
        create_detector("mtcn")
