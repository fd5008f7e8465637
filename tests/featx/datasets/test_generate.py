"""Made-up faces: FG-NET's layout, the same bytes for a seed, and ages that can be seen."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from featx.datasets.fgnet import read_fgnet
from featx.datasets.generate import (
    Identity,
    Pose,
    draw_face,
    face_landmarks,
    generate_fgnet,
    random_identity,
    random_pose,
)
from featx.datasets.generate.growth import ageing, grown, proportions
from featx.errors import FeatxError

SMALL = (128, 128)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "images").iterdir()
    }


def person(seed: int) -> Identity:
    return random_identity(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    return generate_fgnet(tmp_path_factory.mktemp("fgnet"), size=SMALL)


def test_layout_is_fgnet_s(collection):
    assert [path.name for path in collection.iterdir()] == ["images"]
    names = sorted(path.name for path in (collection / "images").iterdir())
    assert len(names) == 12 * 8
    parsed = [re.fullmatch(r"(\d{3})A(\d{2})([a-z]?)\.JPG", name) for name in names]
    assert all(parsed)
    subjects = np.array([match[1] for match in parsed])
    ages = np.array([int(match[2]) for match in parsed])
    assert sorted(set(subjects)) == [f"{number:03d}" for number in range(1, 13)]
    assert all((subjects == subject).sum() == 8 for subject in set(subjects))
    assert ages.min() >= 0
    assert ages.max() <= 69
    # Every person is seen as a child and well into adulthood.
    for subject in set(subjects):
        assert ages[subjects == subject].min() < 10
        assert ages[subjects == subject].max() > 45


def test_fgnet_s_reader_reads_it(collection):
    table = read_fgnet(collection)
    assert len(table) == 12 * 8
    assert (table["status"] == "ok").all()
    assert table["subject"].nunique() == 12
    assert [f"{age:02.0f}" for age in table["age"]] == [name[4:6] for name in table["image"]]


def test_pictures_of_one_age_are_lettered(tmp_path):
    folder = generate_fgnet(tmp_path, subjects=1, images_per_subject=60, size=(64, 64))
    names = sorted(path.stem for path in (folder / "images").iterdir())
    assert len(names) == 60
    letters: dict[str, str] = {}
    for name in names:
        letters[name[:6]] = letters.get(name[:6], "") + (name[6:] or "-")
    assert any(len(seen) > 1 for seen in letters.values())
    for seen in letters.values():
        assert seen == ("-" if len(seen) == 1 else "abcdefgh"[: len(seen)])


def test_same_seed_same_bytes(tmp_path):
    small = {"subjects": 2, "images_per_subject": 3, "size": (96, 96)}
    first = digests(generate_fgnet(tmp_path / "a", seed=3, **small))
    assert digests(generate_fgnet(tmp_path / "b", seed=3, **small)) == first
    assert digests(generate_fgnet(tmp_path / "a", seed=3, **small)) == first  # over itself
    other = digests(generate_fgnet(tmp_path / "c", seed=4, **small))
    assert not set(other.values()) & set(first.values())


def test_a_person_does_not_depend_on_how_many_there_are(tmp_path):
    few = digests(generate_fgnet(tmp_path / "a", subjects=1, images_per_subject=3, size=(96, 96)))
    more = digests(generate_fgnet(tmp_path / "b", subjects=2, images_per_subject=3, size=(96, 96)))
    assert few.items() < more.items()


def test_some_pictures_are_grey_and_qualities_vary(collection):
    modes, tables = [], set()
    for path in (collection / "images").iterdir():
        with Image.open(path) as image:
            assert image.format == "JPEG"
            modes.append(image.mode)
            tables.add(tuple(image.quantization[0]))
    assert set(modes) == {"RGB", "L"}
    assert 0.03 < modes.count("L") / len(modes) < 0.35
    assert len(tables) > 5


def test_no_two_pictures_are_the_same(collection):
    assert len(set(digests(collection).values())) == 12 * 8


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"subjects": 0}, "subjects is 0; give 1 to 999"),
        ({"subjects": 1000}, "subjects is 1000"),
        ({"images_per_subject": 0}, "images_per_subject is 0"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"size": (20, 400)}, "size is 20"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, arguments, named):
    with pytest.raises(FeatxError, match=named):
        generate_fgnet(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_other_pictures_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "images").mkdir()
    photograph = tmp_path / "images" / "holiday.jpg"
    photograph.write_bytes(b"mine")
    with pytest.raises(FeatxError, match=r"holiday\.jpg"):
        generate_fgnet(tmp_path, subjects=1, images_per_subject=1)
    assert list((tmp_path / "images").iterdir()) == [photograph]
    assert photograph.read_bytes() == b"mine"


@settings(max_examples=15, deadline=None)
@given(
    age=st.floats(0, 110),
    seed=st.integers(0, 10_000),
    width=st.integers(64, 160),
    height=st.integers(64, 160),
)
def test_any_person_of_any_age_can_be_drawn(age, seed, width, height):
    rng = np.random.default_rng(seed)
    image = draw_face(age, rng, pose=random_pose(rng), rng=rng, size=(width, height))
    assert image.mode == "RGB"
    assert image.size == (width, height)
    pixels = np.asarray(image)
    assert pixels.std() > 10  # neither blank nor burnt out
    assert (pixels == 255).all(axis=2).mean() < 0.2


@pytest.mark.parametrize("age", [-1, float("nan")])
def test_impossible_ages_are_refused(age):
    with pytest.raises(ValueError, match="not a number of years"):
        draw_face(age, person(0))


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), age=st.floats(0, 60), years=st.floats(1, 10))
def test_growth_goes_one_way(seed, age, years):
    who = person(seed)
    before, after = proportions(age, who), proportions(age + years, who)
    assert grown(age) < grown(age + years) < 1
    # Ramanathan and Chellappa (2006): the eyes rise, the face below them lengthens and narrows.
    assert after.eye_y < before.eye_y
    assert after.width < before.width
    assert (1 - after.eye_y) / after.width > (1 - before.eye_y) / before.width
    assert after.iris < before.iris
    old, older = ageing(age, who), ageing(age + years, who)
    for sign in ("lines", "folds", "bags", "sagging", "spots", "grey", "bald", "beard"):
        assert 0 <= getattr(old, sign) <= getattr(older, sign) <= 1


def test_landmarks_follow_roll_scale_and_shift():
    who, size = person(1), (400, 300)
    plain = face_landmarks(30, who, pose=Pose(), size=size)
    assert plain[0, 0] < plain[1, 0] < size[0]
    assert plain[:2, 1].max() < plain[2, 1] < plain[3:, 1].min()
    centre = np.array([199.5, 149.5])
    turned = face_landmarks(30, who, pose=Pose(roll=90, scale=0.18, shift=(0.1, 0.0)), size=size)
    clockwise = np.array([[0, 1], [-1, 0]])
    expected = centre + [40, 0] + (plain - centre) @ clockwise * 0.5
    np.testing.assert_allclose(turned, expected, atol=1e-9)


def test_irises_are_where_the_landmarks_say():
    # Pupils are the darkest small discs in a fair, blonde person's face.
    fair = Identity(
        masculine=False, skin=(0.94, 0.80, 0.72), hair=(0.66, 0.50, 0.28), eyes=(0.28, 0.42, 0.52)
    )
    for pose in (Pose(), Pose(roll=8.0, turn=0.08, shift=(0.03, -0.02))):
        grey = np.asarray(draw_face(25, fair, pose=pose).convert("L"), float)
        for x, y in face_landmarks(25, fair, pose=pose)[:2]:
            row, column = round(y), round(x)
            pupil = grey[row - 3 : row + 4, column - 3 : column + 4].min()
            cheek = grey[row + 30 : row + 37, column - 3 : column + 4].mean()
            assert pupil < 0.5 * cheek


def test_ages_can_be_learned_across_people():
    """Pixels of upright faces give the age of people never seen, far better than the mean."""
    crops, ages, people = [], [], []
    for number in range(10):
        who = person(number)
        rng = np.random.default_rng([7, number])
        for age in (1, 5, 10, 18, 30, 42, 55, 68):
            pose = Pose(light=random_pose(rng).light, smile=float(rng.uniform(-0.2, 1)))
            face = draw_face(age, who, pose=pose, rng=rng, size=SMALL).convert("L")
            left, right, *_ = face_landmarks(age, who, pose=pose, size=SMALL)
            middle, half = (left + right) / 2, 1.35 * (right[0] - left[0])
            box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
            crops.append(
                np.asarray(face.crop(tuple(map(round, box))).resize((20, 20)), float).ravel()
            )
            ages.append(age)
            people.append(number)
    pixels = np.array(crops)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels /= pixels.std(axis=1, keepdims=True)
    target = np.array(ages, float)
    ridge = RidgeCV(alphas=np.logspace(0, 4, 9))
    predicted = cross_val_predict(ridge, pixels, target, groups=people, cv=LeaveOneGroupOut())
    error = np.abs(predicted - target).mean()
    by_mean = np.abs(target - target.mean()).mean()  # every person has the same ages
    assert error < 0.5 * by_mean


def test_detector_finds_faces_and_landmarks():
    facenet = pytest.importorskip("facenet_pytorch", reason="MTCNN comes with facenet-pytorch")
    detector = facenet.MTCNN(keep_all=True, device="cpu")
    errors, drawn = [], 0
    for number in range(5):
        for age in (1, 8, 25, 65):
            rng = np.random.default_rng([11, number, age])
            pose, who = random_pose(rng), person(100 + number)
            image = draw_face(age, who, pose=pose, rng=rng, size=(240, 240))
            drawn += 1
            boxes, _, points = detector.detect(image, landmarks=True)
            if boxes is None:
                continue
            areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
            truth = face_landmarks(age, who, pose=pose, size=(240, 240))
            off = np.asarray(points[int(np.argmax(areas))], float) - truth
            eyes_apart = np.linalg.norm(truth[1] - truth[0])
            errors.append(np.linalg.norm(off, axis=1) / eyes_apart)
    assert drawn == 20
    assert len(errors) >= 0.9 * drawn
    # In units of the distance between the eyes.
    assert np.median(errors, axis=0).max() < 0.15
