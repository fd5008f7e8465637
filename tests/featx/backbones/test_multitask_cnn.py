"""The shallow networks: the paper's volumes, what reproduces them, and its equation 6."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from featx.backbones import create, get_backbone
from featx.layers import LayerReader, resolve

NAMES = ["multitask_cnn", "shallow_gender"]

#: Of the paper's three convolutions: kernel, size before, after, and after the pooling.
VOLUMES = ((7, 128, 64, 32), (5, 32, 32, 16), (3, 16, 16, 8))


def made(name):
    with torch.device("meta"):
        return create(name)


@pytest.mark.parametrize("name", NAMES)
def test_volumes_are_the_papers(name):
    network = made(name)
    places = [p for n in (1, 2, 3) for p in (f"conv{n}.conv", f"conv{n}")]
    requests = resolve([f"{place}:flat" for place in places], get_backbone(name), network)
    blank = torch.empty(1, 3, 128, 128, device="meta")
    shapes = [request.shape for request in LayerReader(network, requests).probe(blank)]
    assert shapes == [
        (32, 64, 64),
        (32, 32, 32),
        (64, 32, 32),
        (64, 16, 16),
        (64, 16, 16),
        (64, 8, 8),
    ]
    assert network.head.hidden[0].in_features == 64 * 8 * 8


def test_stated_strides_and_padding_give_none_of_the_volumes_and_which_do():
    """Of strides 1 and 2 and up to 3 pixels of padding, each side its own."""
    ways = []
    for kernel, before, after, _ in VOLUMES:
        found = {
            (stride, above, below)
            for stride, above, below in itertools.product((1, 2), range(4), range(4))
            if (before + above + below - kernel) // stride + 1 == after and above <= below
        }
        assert (2, 2, 2) not in found
        ways.append(found)
    # "same" padding, the extra pixel below, as TensorFlow has it, is among them
    assert (2, 2, 3) in ways[0]
    assert {stride for stride, _, _ in ways[0]} == {2}
    assert (1, 2, 2) in ways[1]
    assert (1, 1, 1) in ways[2]
    assert {stride for way in ways[1:] for stride, _, _ in way} == {1}
    network = made("multitask_cnn")
    assert [network.get_submodule(f"conv{n}.conv").stride for n in (1, 2, 3)] == [
        (2, 2),
        (1, 1),
        (1, 1),
    ]


def test_first_convolution_is_padded_as_tensorflow_does():
    """Output (i, j) sees the pixels from 2 i - 2 to 2 i + 4."""
    torch.manual_seed(0)
    network = create("multitask_cnn")
    grey = torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = network.conv1.conv(network.pad(grey))
        weight, bias = network.conv1.conv.weight, network.conv1.conv.bias
        for row, column in ((0, 0), (1, 2), (31, 40), (63, 63)):
            window = torch.zeros(7, 7)
            for down, right in itertools.product(range(7), range(7)):
                y, x = 2 * row - 2 + down, 2 * column - 2 + right
                if 0 <= y < 128 and 0 <= x < 128:
                    window[down, right] = grey[0, 0, y, x]
            expected = (weight[:, 0] * window).sum((1, 2)) + bias
            torch.testing.assert_close(ours[0, :, row, column], expected, rtol=1e-4, atol=1e-5)


def test_pooling_keeps_the_last_window_cut_short():
    network = made("multitask_cnn")
    values = torch.randn(1, 2, 8, 8)
    whole = functional.pad(values, (0, 1, 0, 1), value=-torch.inf)
    by_hand = whole.unfold(2, 3, 2).unfold(3, 3, 2).amax((-1, -2))
    assert torch.equal(network.conv1.pool(values), by_hand)


def test_normalisation_is_the_papers_equation_6_with_its_codes_numbers():
    norm = create("multitask_cnn").conv1.norm
    values = torch.randn(2, 32, 3, 4, generator=torch.Generator().manual_seed(1)) * 30
    by_hand = torch.empty_like(values)
    for channel in range(32):
        near = range(max(0, channel - 5), min(31, channel + 5) + 1)
        squares = sum(values[:, other] ** 2 for other in near)
        by_hand[:, channel] = values[:, channel] / (1 + 1e-4 * squares) ** 0.75
    torch.testing.assert_close(norm(values), by_hand)


def test_the_gender_network_normalises_the_first_two_only():
    normalised = {}
    for name in NAMES:
        modules = made(name).named_modules()
        normalised[name] = [n for n, m in modules if isinstance(m, nn.LocalResponseNorm)]
    assert normalised == {
        "multitask_cnn": ["conv1.norm", "conv2.norm", "conv3.norm"],
        "shallow_gender": ["conv1.norm", "conv2.norm"],
    }


@pytest.mark.parametrize(("name", "outputs"), [("multitask_cnn", 4), ("shallow_gender", 2)])
def test_parameters_add_up_from_the_papers_layers(name, outputs):
    layers = [(49, 32), (32 * 25, 64), (64 * 9, 64), (4096, 512), (512, 100), (100, outputs)]
    expected = sum(inputs * units + units for inputs, units in layers)
    assert sum(parameter.numel() for parameter in made(name).parameters()) == expected
    assert get_backbone(name).hidden == (512, 100)
