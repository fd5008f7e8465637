"""First filters are the weights that look at the picture, and are drawn as they are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from featx.explanation.figures import filter_figure
from featx.explanation.filters import Filters, first_filters, relative_change, shades, tiles
from featx.weights import load_network


@pytest.mark.parametrize(
    ("backbone", "module", "shape"),
    [
        ("onet", "conv1", (32, 3, 3, 3)),
        ("mobilefacenet", "conv1.conv", (64, 3, 3, 3)),
        ("resnet18", "conv1", (64, 3, 7, 7)),
        ("lenet", "c1.conv", (6, 1, 5, 5)),
        ("inception_resnet_v1", "conv2d_1a.conv", (32, 3, 3, 3)),
        ("levi_hassner_e2e", "conv1.conv", (96, 3, 7, 7)),
        ("residual_attention:input=64", "conv1", (64, 3, 7, 7)),
        ("agenet:filters=8", "conv1.conv", (8, 3, 3, 3)),
    ],
)
def test_they_are_those_of_the_first_convolution(backbone, module, shape):
    network = load_network(backbone, "random")
    found = first_filters(network)
    assert (found.module, found.weights.shape) == (module, shape)
    weights = dict(network.module.state_dict())[f"{module}.weight"]
    np.testing.assert_array_equal(found.weights, weights)


def test_their_channels_are_red_green_blue():
    network = load_network("onet", "random")
    wanted = first_filters(network).weights
    swapped = replace(network, preprocessing=replace(network.preprocessing, channels="BGR"))
    found = first_filters(swapped).weights
    picture = torch.rand(1, 3, 3, 3)
    # the network sees blue first: its answer is that of the filters as shown to the RGB picture
    answer = functional.conv2d(picture.flip(1), torch.from_numpy(wanted))
    torch.testing.assert_close(functional.conv2d(picture, torch.from_numpy(found)), answer)


def test_shades():
    weights = np.zeros((2, 3, 1, 2), np.float32)
    weights[0, :, 0, 0] = [4, -4, 2]
    lit = shades(weights)
    assert lit[0, 0].tolist() == [[1, 0, 0.75], [0.5, 0.5, 0.5]]
    assert (lit[1] == 0.5).all()
    assert shades(weights, np.array([8.0, 1.0]))[0, 0, 0].tolist() == [0.75, 0.25, 0.625]
    assert shades(weights[:, :1]).shape == (2, 1, 2, 3)


def test_tiles_stand_row_by_row():
    sheet = tiles(np.stack([np.full((2, 3, 3), n / 10) for n in range(5)]))
    assert sheet.shape == (2 * 3 + 1, 3 * 4 + 1, 3)
    assert sheet[1, 1, 0] == 0
    assert sheet[2, 11, 0] == 0.2
    assert sheet[5, 6, 0] == 0.4
    assert sheet[0].min() == sheet[:, 4].min() == sheet[5, 9:].min() == 1


def test_the_change_is_told_with_the_figure():
    weights = np.ones((4, 3, 5, 5), np.float32)
    assert relative_change(weights, 1.5 * weights) == pytest.approx(0.5)
    assert np.isnan(relative_change(0 * weights, weights))
    before, after = Filters("conv", weights), Filters("conv", 1.25 * weights)
    figure = filter_figure({"before": before, "after": after})
    assert "changed by 25.00%" in figure.get_supxlabel()
    assert figure.axes[0].get_title() == "before: conv\n4 filters of 5 x 5, red, green and blue"
    # on one scale: the larger is full light, the other is not
    assert figure.axes[1].images[0].get_array()[1, 1].tolist() == [1, 1, 1]
    assert figure.axes[0].images[0].get_array()[1, 1].tolist() == pytest.approx([0.9] * 3)
