"""Alignment against transforms that are known, and other ways to find them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

from featx.errors import FeatxError
from featx.faces.alignment import align, reference, similarity

EYES_OF_ARCFACE = [[38.2946, 51.6963], [73.5318, 51.5014]]  # insightface's arcface_src


def rotation(degrees):
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def test_reference_points():
    assert reference(112, 112)[:2] == pytest.approx(np.array(EYES_OF_ARCFACE))
    assert reference(112, 112) - reference(112, 96) == pytest.approx(np.tile([8, 0], (5, 1)))
    # Twice the size: centres of pixels are half a pixel in.
    assert reference(224, 192) == pytest.approx(2 * reference(112, 96) + 0.5)


@pytest.mark.parametrize("size", [(96, 112), (112, 100), (0, 0)])
def test_no_reference_for_other_shapes(size):
    with pytest.raises(FeatxError, match="112x96"):
        reference(*size)


@given(
    degrees=st.floats(-180, 180),
    scale=st.floats(0.01, 100),
    shift=st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)),
)
def test_a_similarity_is_recovered(degrees, scale, shift):
    source = reference(112, 112)
    linear = scale * rotation(degrees)
    found = similarity(source, source @ linear.T + shift)
    assert found[:, :2] == pytest.approx(linear, abs=1e-6 * scale)
    assert found[:, 2] == pytest.approx(np.array(shift), abs=1e-6 * max(1000, scale))


@pytest.mark.parametrize("seed", range(5))
def test_noisy_points_get_the_least_squares_similarity(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, 5, 2))

    def error(parameters):
        a, b, x, y = parameters
        return ((source @ np.array([[a, b], [-b, a]]) + [x, y] - target) ** 2).sum()

    best = min((minimize(error, rng.normal(size=4)) for _ in range(4)), key=lambda fit: fit.fun)
    found = similarity(source, target)
    assert ((source @ found[:, :2].T + found[:, 2] - target) ** 2).sum() == pytest.approx(best.fun)


def test_a_mirrored_face_is_not_unmirrored():
    source = reference(112, 112)
    found = similarity(source * [-1, 1], source)
    assert np.linalg.det(found[:, :2]) > 0


def test_landmarks_on_one_point():
    with pytest.raises(ValueError, match="one point"):
        align(Image.new("RGB", (50, 50)), np.full((5, 2), 20.0), (112, 112))


def dots(landmarks, size, radius):
    """Return white with a black Gaussian dot on each landmark."""
    y, x = np.mgrid[: size[1], : size[0]]
    dark = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)) for px, py in landmarks)
    grey = np.rint(255 * (1 - np.clip(dark, 0, 1))).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


@pytest.mark.parametrize("scale", [0.5, 1, 1.7, 3, 4.2, 11])
@pytest.mark.parametrize("size", [(112, 112), (112, 96), (224, 224)])
def test_landmarks_land_on_the_reference(scale, size):
    target = reference(*size)
    shrink = scale * 112 / size[0]
    landmarks = (target - target.mean(0)) @ rotation(20).T * scale + [700.3, 690.8]
    picture = dots(landmarks, (1400, 1400), 2.5 * scale)
    crop = 255 - np.asarray(align(picture, landmarks, size).convert("L")).astype(float)
    assert crop.shape == size
    y, x = np.mgrid[: size[0], : size[1]]
    for px, py in target:
        near = (x - px) ** 2 + (y - py) ** 2 < 8**2
        weight = crop * near
        centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
        assert centre == pytest.approx([px, py], abs=0.1), shrink


def test_the_narrow_crop_is_the_middle_of_the_square_one():
    noise = np.random.default_rng(0).integers(0, 256, (500, 400, 3), np.uint8)
    landmarks = reference(112, 112) @ rotation(7).T * 2.3 + [60, 90]
    square = np.asarray(align(Image.fromarray(noise), landmarks, (112, 112)))
    narrow = np.asarray(align(Image.fromarray(noise), landmarks, (112, 96)))
    # The filter of the reduction sees a little beyond the narrow crop's own edge.
    assert (narrow[:, 3:-3] == square[:, 11:-11]).all()


def test_upright_at_its_own_size_nothing_is_resampled():
    noise = np.random.default_rng(1).integers(0, 256, (150, 160, 3), np.uint8)
    crop = align(Image.fromarray(noise), reference(112, 112) + np.array([20, 10]), (112, 112))
    # Pillow's bicubic filter cuts off fractions of a level, where it might round.
    assert np.abs(np.asarray(crop).astype(int) - noise[10:122, 20:132]).max() <= 1


def test_turned_at_its_own_size_agrees_with_scipy():
    y, x = np.mgrid[:200, :200]
    smooth = np.uint8(127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7))
    landmarks = (reference(112, 112) - 56) @ rotation(25).T + [101.2, 98.7]
    crop = np.asarray(align(Image.fromarray(smooth).convert("RGB"), landmarks, (112, 112)))[..., 0]
    rows, columns = np.mgrid[:112, :112]
    source = (np.stack([columns, rows], -1) - 56) @ rotation(25).T + [101.2, 98.7]
    expected = map_coordinates(smooth.astype(float), [source[..., 1], source[..., 0]], order=3)
    assert np.abs(crop - expected).max() <= 3


def test_fine_stripes_turn_grey_and_do_not_alias():
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255  # a period of 2 pixels cannot be shown six times smaller
    landmarks = reference(112, 112) @ rotation(3).T * 6 + [250, 200]
    crop = np.asarray(align(Image.fromarray(stripes), landmarks, (112, 112))).astype(float)
    assert crop.mean() == pytest.approx(127.5, abs=2)
    assert crop.std() < 4


@given(
    landmarks=st.lists(
        st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=5, max_size=5
    )
)
@settings(max_examples=40, deadline=None)
def test_any_landmarks_give_a_crop_or_a_reason(landmarks):
    try:
        crop = align(Image.new("RGB", (40, 30), "red"), np.array(landmarks), (112, 112))
    except ValueError:
        return
    assert crop.size == (112, 112)
