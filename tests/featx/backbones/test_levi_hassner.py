"""Levi and Hassner's network: the volumes of Aminian and Noubir, and Krizhevsky's normalisation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from featx.backbones import create, get_backbone
from featx.layers import LayerReader, resolve


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create("levi_hassner")


def volumes(name):
    with torch.device("meta"):
        built = create(name)
    layers = [
        f"{module}:flat" for module in ("conv1.conv", "conv1", "conv2", "conv3", "fc1", "fc2")
    ]
    requests = resolve(layers, get_backbone(name), built)
    blank = torch.empty(1, 3, 227, 227, device="meta")
    return [request.shape for request in LayerReader(built, requests).probe(blank)]


def test_volumes_are_those_of_the_papers_section_4_1(network):
    expected = [(96, 56, 56), (96, 28, 28), (256, 14, 14), (384, 6, 6), (512,), (512,)]
    assert volumes("levi_hassner") == expected
    assert network.fc1[0].in_features == 384 * 6 * 6 == 13_824


def test_no_other_way_of_pooling_gives_these_volumes():
    found = []
    for rounds in itertools.product([math.ceil, math.floor], repeat=3):
        size, sizes = (227 - 7) // 4 + 1, []
        for half in rounds:
            size = half((size - 3) / 2) + 1
            sizes.append(size)
        if sizes == [28, 14, 6]:
            found.append(rounds)
    assert found == [(math.ceil, math.ceil, math.floor)]
    pools = [create_on_meta().get_submodule(f"conv{number}.pool") for number in (1, 2, 3)]
    assert [pool.ceil_mode for pool in pools] == [True, True, False]


def create_on_meta():
    with torch.device("meta"):
        return create("levi_hassner")


def test_parameters_add_up_from_the_papers_layers(network):
    layers = [(3 * 7 * 7, 96), (96 * 5 * 5, 256), (256 * 3 * 3, 384), (13_824, 512), (512, 512)]
    trunk = sum(inputs * outputs + outputs for inputs, outputs in layers)
    assert trunk == 8_855_040
    assert sum(p.numel() for p in network.parameters()) == trunk + 512 * 8 + 8


def test_normalisation_is_krizhevskys_sum_over_five_channels(network):
    values = torch.randn(2, 96, 3, 4, generator=torch.Generator().manual_seed(1)) * 100
    ours = network.conv1.norm(values)
    by_hand = torch.empty_like(values)
    for channel in range(96):
        near = range(max(0, channel - 2), min(96, channel + 3))
        squares = sum(values[:, other] ** 2 for other in near)
        by_hand[:, channel] = values[:, channel] / (1 + 1e-4 / 5 * squares) ** 0.75
    torch.testing.assert_close(ours, by_hand)
    assert not torch.allclose(ours, values, rtol=0.05)


def test_weights_are_drawn_with_a_deviation_of_a_hundredth(network):
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    }
    biases = {}
    for name, layer in layers.items():
        assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.03)
        assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=5e-4)
        biases[name] = set(layer.bias.detach().tolist())
    assert biases == {
        "conv1.conv": {0.0},
        "conv2.conv": {1.0},
        "conv3.conv": {0.0},
        "fc1.0": {1.0},
        "fc2.0": {1.0},
        "head": {0.0},
    }


def test_dropout_is_a_half_behind_both_fully_connected_layers(network):
    dropouts = {n: m.p for n, m in network.named_modules() if isinstance(m, nn.Dropout)}
    assert dropouts == {"fc1.2": 0.5, "fc2.2": 0.5}


def test_input_is_pixels_minus_the_mean_of_the_released_networks():
    preprocessing = get_backbone("levi_hassner").preprocessing
    assert preprocessing.std == (1.0, 1.0, 1.0)
    # as OpenCV's examples with the released networks give it, blue before red
    assert preprocessing.mean[::-1] == (78.4263377603, 87.7689143744, 114.895847746)
