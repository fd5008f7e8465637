"""Sizes of what is looked at, and the order of what is found."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from featx.faces.face import Face, largest_first
from featx.faces.scaling import DETECTION_SIDE, back_to, rescaled


@given(width=st.integers(1, 4000), height=st.integers(1, 400), enlarge=st.sampled_from([1, 2]))
def test_no_copy_is_larger_than_the_bound(width, height, enlarge):
    image = Image.new("L", (width, height))
    copy = rescaled(image, enlarge)
    scale = min(enlarge, DETECTION_SIDE / max(width, height))
    assert copy.size == (max(1, round(width * scale)), max(1, round(height * scale)))
    assert (back_to(image, copy) * copy.size).round(6).tolist() == [width, height]


def test_what_need_not_change_is_not_copied():
    image = Image.new("L", (DETECTION_SIDE, 3))
    assert rescaled(image) is image
    assert rescaled(image, 2) is image
    assert rescaled(Image.new("L", (50, 30)), 2).size == (100, 60)


def test_the_largest_box_is_first_and_equal_ones_are_in_their_places():
    boxes = [[5, 0, 7, 2], [0, 0, 2, 2], [1, 1, 9, 9]]
    faces = [Face(np.array(box, float), 0.5) for box in boxes]
    for order in (faces, faces[::-1]):
        assert [face.box[0] for face in largest_first(order)] == [1, 0, 5]
