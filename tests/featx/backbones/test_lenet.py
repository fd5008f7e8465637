"""LeNet: the paper's sizes and counts, and grey as Pillow makes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from featx.backbones import create, get_backbone
from featx.backbones._grey import UNIT_128, Grey
from featx.layers import LayerReader, resolve

FORMS = ["lenet", "lenet:pooling=sum"]


def made(name):
    with torch.device("meta"):
        return create(name)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", FORMS)
def test_maps_have_the_papers_sizes(name):
    network = made(name)
    places = ["grey", "c1", "s2", "c3", "s4", "c5"]
    requests = resolve([f"{place}:flat" for place in places], get_backbone(name), network)
    blank = torch.empty(1, 3, 128, 128, device="meta")
    shapes = [request.shape for request in LayerReader(network, requests).probe(blank)]
    assert shapes == [
        (1, 128, 128),
        (6, 124, 124),
        (6, 62, 62),
        (16, 58, 58),
        (16, 29, 29),
        (120, 25, 25),
    ]


@pytest.mark.parametrize("name", FORMS)
def test_parameters_are_the_papers_where_it_counts_them(name):
    network = made(name)
    assert count(network.c1) == 156
    assert count(network.c1) * 124 * 124 == 2_398_656  # the paper's links
    assert count(network.s2) == (12 if name.endswith("sum") else 0)
    assert count(network.c3) == 16 * (6 * 25 + 1)
    assert 16 * (25 + 1) == 416  # what the paper has: a filter that sees one map
    assert count(network.c5) == 120 * (16 * 25 + 1)
    assert count(network.head) == 75_000 * 84 + 84 + 84 * 4 + 4


def test_summed_pooling_is_the_papers_sentence():
    torch.manual_seed(0)
    network = create("lenet:pooling=sum")
    with torch.no_grad():
        network.s2.weight.normal_()
        network.s2.bias.normal_()
        given = torch.randn(2, 6, 4, 6)
        got = network.s2(given)
        for image, channel, row, column in np.ndindex(2, 6, 2, 3):
            area = given[
                image, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2
            ].double()
            value = area.sum() * network.s2.weight[channel] + network.s2.bias[channel]
            expected = 1 / (1 + np.exp(-float(value)))
            assert float(got[image, channel, row, column]) == pytest.approx(expected, abs=1e-5)


def test_grey_is_pillows():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    theirs = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float64)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    ours = Grey()(planes)
    assert ours.shape == (1, 1, 40, 30)
    assert np.abs(ours[0, 0].numpy() - theirs).max() <= 0.51  # Pillow rounds
    mean, std = UNIT_128.mean[0], UNIT_128.std[0]
    normalised = Grey()((planes - mean) / std)
    torch.testing.assert_close(normalised, (ours - mean) / std)
