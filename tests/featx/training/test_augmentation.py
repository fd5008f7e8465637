"""Augmentation: torchvision's own geometry and colours, and draws that belong to the image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from featx.training.config.stage import Augmentation
from featx.training.images.augmentation import Augment

EVERYTHING = Augmentation(
    flip=0.5,
    rotation=20,
    shift=0.1,
    scale=(0.8, 1.2),
    crop=(0.5, 1.0),
    colour_jitter=0.4,
    grey=0.3,
    erasing=0.5,
)


def pictures(n=3, height=24, width=18, seed=0):
    noise = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return (F.gaussian_blur(noise, [5, 5]) * 255).to(torch.uint8)


def changed(images, seed=7, rows=None, epoch=0, **options):
    rows = range(len(images)) if rows is None else rows
    return Augment(Augmentation(**options), seed)(images, rows, epoch)


def drawn(n, seed=7, epoch=0):
    return Augment(Augmentation(), seed).draws(range(n), epoch)


def test_nothing_asked_for_changes_nothing():
    images = pictures()
    got = changed(images)
    assert got.dtype == torch.float32
    assert torch.equal(got, images.float())


@settings(deadline=None, max_examples=25)
@given(
    order=st.permutations(range(6)),
    cut=st.integers(1, 5),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_change_belongs_to_the_row_and_not_to_the_batch(order, cut, epoch, seed):
    images = pictures(6)
    augment = Augment(EVERYTHING, seed)
    together = augment(images, range(6), epoch)
    for part in (list(order[:cut]), list(order[cut:])):
        assert torch.equal(augment(images[part], part, epoch), together[part])


def test_epochs_and_seeds_draw_anew():
    images = pictures()
    first = Augment(EVERYTHING, 7)(images, range(3), 0)
    assert not torch.equal(first, Augment(EVERYTHING, 7)(images, range(3), 1))
    assert not torch.equal(first, Augment(EVERYTHING, 8)(images, range(3), 0))


def test_the_callers_pixels_are_left_alone():
    images = pictures()
    before = images.clone()
    Augment(EVERYTHING, 7)(images, range(3), 0)
    assert torch.equal(images, before)


def test_a_certain_flip_is_the_mirror_image():
    images = pictures()
    torch.testing.assert_close(changed(images, flip=1.0), images.flip(3).float())


def test_half_of_the_images_are_flipped():
    images = pictures(1).expand(400, -1, -1, -1)
    got = changed(images, flip=0.5)
    mirrored = images[0].flip(2).float()
    share = np.mean([torch.allclose(each, mirrored, atol=1e-3) for each in got])
    assert 0.4 < share < 0.6


def inside(images, **move):
    """Return torchvision's move and where no pixel from beyond the edge has a part in it."""
    options = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]} | move
    options["interpolation"] = v2.InterpolationMode.BILINEAR
    moved = F.affine(images.float(), **options)
    return moved, F.affine(torch.ones_like(images, dtype=torch.float32), **options) > 0.9999


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(12, 40), st.integers(12, 40)),
    rotation=st.floats(0, 60),
    low=st.floats(0.6, 1.0),
    high=st.floats(1.0, 1.5),
    seed=st.integers(0, 1000),
)
def test_turning_and_scaling_are_torchvisions_affine(size, rotation, low, high, seed):
    images = pictures(2, *size)
    got = changed(images, seed, rotation=rotation, scale=(low, high))
    for image, own, u in zip(images, got, drawn(2, seed), strict=True):
        angle = -rotation * (2 * u[1] - 1)
        expected, known = inside(image, angle=angle, scale=low + (high - low) * u[4])
        torch.testing.assert_close(own[known], expected[known], atol=0.2, rtol=0)


@settings(deadline=None, max_examples=20)
@given(shift=st.floats(0, 0.3), seed=st.integers(0, 1000))
def test_shifting_by_whole_pixels_is_torchvisions(shift, seed):
    images = pictures(2)
    got = changed(images, seed, shift=shift)
    for image, own, u in zip(images, got, drawn(2, seed), strict=True):
        across, down = (-shift * (2 * u[2:4] - 1) * [18, 24]).tolist()
        expected, known = inside(image, translate=[across, down])
        torch.testing.assert_close(own[known], expected[known], atol=0.2, rtol=0)


@settings(deadline=None, max_examples=30)
@given(least=st.floats(0.2, 1.0), seed=st.integers(0, 1000))
def test_a_crop_stays_inside_the_image_and_keeps_the_area(least, seed):
    height, width = 40, 30
    down, across = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing="ij")
    images = torch.stack([across, down, torch.zeros(40, 30)])[None].to(torch.uint8)
    got = changed(images, seed, crop=(least, 1.0))[0]
    # each pixel shows where in the image it was taken from
    columns, rows = got[0], got[1]
    assert 0 <= columns.min() <= columns.max() <= width - 1
    assert 0 <= rows.min() <= rows.max() <= height - 1
    shown = ((columns[20, -2] - columns[20, 1]) / 27) * ((rows[-2, 15] - rows[1, 15]) / 37)
    u = drawn(1, seed)[0]
    asked = least + (1 - least) * u[5]
    assert shown <= asked + 0.03  # less where the drawn proportion did not fit into the image
    assert shown >= 0.7 * asked - 0.03


def test_beyond_the_edge_the_edge_goes_on():
    images = torch.full((1, 3, 20, 20), 77, dtype=torch.uint8)
    got = changed(images, rotation=90, shift=0.5, scale=(0.5, 0.6))
    torch.testing.assert_close(got, images.float(), atol=1e-3, rtol=0)


def test_colours_are_torchvisions():
    images = pictures()
    got = changed(images, colour_jitter=0.4)
    for image, own, u in zip(images, got, drawn(3), strict=True):
        brightness, contrast, saturation = (1 + 0.4 * (2 * u[9:12] - 1)).tolist()
        expected = F.adjust_brightness(image.float() / 255, brightness)
        expected = F.adjust_saturation(F.adjust_contrast(expected, contrast), saturation) * 255
        torch.testing.assert_close(own, expected)
        assert 0 <= own.min() <= own.max() <= 255


def test_certain_grey_has_equal_channels_of_the_images_luminance():
    images = pictures()
    got = changed(images, grey=1.0)
    torch.testing.assert_close(got, F.rgb_to_grayscale(images.float(), num_output_channels=3))


def test_an_erased_patch_is_one_grey_rectangle_of_the_stated_area():
    images = torch.zeros(50, 3, 40, 30, dtype=torch.uint8)
    got = changed(images, erasing=1.0)
    for image in got:
        erased = (image == 127.5).all(0)
        assert torch.equal(image != 0, erased.expand(3, -1, -1))
        rows, columns = erased.any(1).nonzero(), erased.any(0).nonzero()
        box = erased[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert box.all()
        assert 0.01 < box.numel() / (40 * 30) < 0.22
    assert len({tuple(image.flatten().tolist()) for image in got}) > 40


@pytest.mark.parametrize("option", ["flip", "grey", "erasing"])
def test_an_option_leaves_the_others_draws_as_they_were(option):
    images = pictures(8)
    plain = changed(images, rotation=15)
    got = changed(images, rotation=15, **{option: 1e-9})
    assert torch.equal(got, plain)
