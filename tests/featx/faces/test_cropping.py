"""Margin crops and whole images against arithmetic done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.faces import crop_with_margin, fit

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def test_forty_per_cent_on_every_side():
    # A box of 20 x 10 grows to 36 x 18, and the longer side makes the square.
    crop = crop_with_margin(Image.fromarray(NOISE), np.array([30, 25, 50, 35.0]), 0.4, 36)
    assert (np.asarray(crop) == NOISE[12:48, 22:58]).all()


def test_a_fraction_of_a_pixel_counts():
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    whole = crop_with_margin(Image.fromarray(ramp), np.array([20, 20, 40, 40.0]), 0.5, 40)
    half = crop_with_margin(Image.fromarray(ramp), np.array([20.5, 20, 40.5, 40.0]), 0.5, 40)
    difference = np.asarray(half).astype(int) - np.asarray(whole)
    assert (difference[:, 2:-2] == 1).all()  # half a pixel of a slope of 2


def test_beyond_the_image_its_edge_is_repeated():
    crop = crop_with_margin(Image.fromarray(NOISE), np.array([-5, -5, 15, 15.0]), 0.0, 20)
    expected = np.pad(NOISE, ((5, 0), (5, 0), (0, 0)), mode="edge")[:20, :20]
    assert (np.asarray(crop) == expected).all()


@given(
    box=st.tuples(*[st.floats(-200, 200)] * 2, *[st.floats(0.5, 300)] * 2),
    margin=st.floats(0, 2),
)
@settings(max_examples=50, deadline=None)
def test_any_box_gives_a_square(box, margin):
    left, top, width, height = box
    corners = np.array([left, top, left + width, top + height])
    crop = crop_with_margin(Image.fromarray(NOISE), corners, margin, 24)
    assert crop.size == (24, 24)
    assert crop.mode == "RGB"


def test_fit_keeps_proportions_by_cutting_the_sides():
    image = Image.fromarray(NOISE)
    assert fit(image, None) is image
    assert (np.asarray(fit(image, (60, 60))) == NOISE[:, 10:70]).all()
    assert fit(image, (112, 96)).size == (96, 112)


@pytest.mark.parametrize("side", [7, 30])
def test_reduced_crops_are_antialiased(side):
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = crop_with_margin(Image.fromarray(stripes), np.array([60, 60, 240, 240.0]), 0.1, side)
    assert np.asarray(crop).std() < 4
