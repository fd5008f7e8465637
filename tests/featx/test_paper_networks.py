"""König's three networks, counted: our own from closed forms, the paper's as far as they add up."""

import itertools

import pytest
import torch
from torch import nn

from featx.backbones import create, get_backbone
from featx.heads import HeadSpec, attach_heads

PAPER = {"vgg16": 27_717_184, "resnet50": 23_867_786, "senet50": 26_296_944}
OUTPUTS = (91, 63, 8, 3)  # IMDB and AgeDB, FG-NET, Adience, Adience in three groups


def network(name, outputs):
    backbone = get_backbone(name)
    spec = HeadSpec(
        kind="softmax",
        classes=tuple(float(age) for age in range(outputs)),
        groups=(),
        hidden=backbone.hidden,
        dropout=0.0,
    )
    with torch.device("meta"):
        built = create(name)
        attach_heads(built, backbone, [spec])
    return built


def count(built):
    return sum(parameter.numel() for parameter in built.parameters())


def running_statistics(built):
    norms = [module for module in built.modules() if isinstance(module, nn.BatchNorm2d)]
    return sum(norm.running_mean.numel() + norm.running_var.numel() for norm in norms)


def convolutions_of_vgg16():
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    return sum(9 * a * b + b for a, b in itertools.pairwise(widths))


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_vgg16_has_fully_connected_layers_of_512_and_256(outputs):
    built = network("vgg16", outputs)
    dense = [module for module in built.modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [
        (512 * 7 * 7, 512),
        (512, 256),
        (256, outputs),
    ]
    closed = convolutions_of_vgg16() + 25_088 * 512 + 512 + 512 * 256 + 256 + 257 * outputs
    assert count(built) == closed


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize(("name", "published"), [("resnet50", 25_557_032), ("senet50", 28_088_024)])
def test_of_the_residual_networks_only_the_last_layer_changes(name, published, outputs):
    built = network(name, outputs)
    dense = [module for module in built.modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(2048, outputs)]
    assert count(built) == published - 2049 * 1000 + 2049 * outputs


def test_the_papers_counts_are_those_of_100_outputs_without_biases():
    """As docs/networks.md explains; ResNet-50's is 101,834 more than that, unexplained."""
    assert count(network("vgg16", 100)) - 100 == PAPER["vgg16"]
    senet = network("senet50", 100)
    assert count(senet) - 100 + running_statistics(senet) == PAPER["senet50"]
    resnet = network("resnet50", 100)
    assert PAPER["resnet50"] - (count(resnet) - 100 + running_statistics(resnet)) == 101_834
