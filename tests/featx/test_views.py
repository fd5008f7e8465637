"""The crops of a picture that a network is shown, against plain slices."""

import numpy as np
import pytest
import torch
from torchvision.transforms import CenterCrop, FiveCrop

from featx.training.config.stage import Augmentation
from featx.training.images.augmentation import Augment
from featx.views import crops

PICTURES = torch.randint(0, 256, (3, 3, 20, 17), dtype=torch.uint8)


def test_the_centre_is_torchvisions():
    (middle,) = crops(PICTURES, (15, 12))
    # torchvision rounds half a pixel to the even one; these margins are whole where it matters
    assert middle.shape == (3, 3, 15, 12)
    (even,) = crops(PICTURES, (16, 13))
    torch.testing.assert_close(even, CenterCrop((16, 13))(PICTURES))


def test_the_five_are_torchvisions_middle_first():
    top_left, top_right, bottom_left, bottom_right, middle = FiveCrop((16, 13))(PICTURES)
    expected = [middle, top_left, top_right, bottom_left, bottom_right]
    found = crops(PICTURES, (16, 13), "five")
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("view", ["centre", "five"])
def test_a_picture_of_the_inputs_size_is_one_view(view):
    (whole,) = crops(PICTURES, (20, 17), view)
    assert whole is PICTURES


def test_training_cuts_at_random_places_whole_pixels():
    augment = Augment(Augmentation(), 0, (16, 13))
    cut = augment(PICTURES, [0, 1, 2], epoch=0)
    assert cut.shape == (3, 3, 16, 13)
    places = set()
    for number, picture in enumerate(PICTURES.float()):
        windows = picture.unfold(1, 16, 1).unfold(2, 13, 1)  # every place it may come from
        same = (windows == cut[number][:, None, None]).all(0).flatten(2).all(2)
        assert same.sum() == 1
        places.add(tuple(np.argwhere(same.numpy())[0].tolist()))
    again = augment(PICTURES, [0, 1, 2], epoch=1)
    assert len(places) > 1 or not torch.equal(cut, again)
