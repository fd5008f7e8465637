"""Folding batch normalisations changes rounding only, and nothing that is asked for."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import weight_norm

from featx.extraction.engine import Engine
from featx.inference.folding import fold
from featx.layers import LayerReader, resolve
from featx.weights import load_network

SIZES = {"resnet18": 20, "mobilefacenet": 50, "senet50": 53, "inception_resnet_v1": 111, "vgg16": 0}


def normalisations(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def off(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def settled(network):
    """Give normalisations statistics as training leaves them."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


@pytest.mark.parametrize(("name", "count"), SIZES.items())
def test_registered_networks_give_the_same_with_fewer_modules(name, count):
    loaded = load_network(name, "random")
    network = settled(loaded.module)
    before = normalisations(network)
    images = torch.rand(2, 3, *loaded.preprocessing.input_size)
    with torch.inference_mode():
        wanted = network(images)
        folded = fold(network, ())
        assert off(folded(images), wanted) < 1e-5
        assert torch.equal(network(images), wanted)  # itself unchanged
    assert before - normalisations(folded) == count
    assert normalisations(network) == before
    names = {name for name, _ in network.named_modules()}
    assert {name for name, _ in folded.named_modules()} == names
    if not count:
        assert folded is network


def test_the_weights_are_those_of_torchs_own_folding():
    network = settled(load_network("resnet18", "random").module)
    theirs = dict(fuse(network).named_parameters())
    for name, weights in fold(network, ()).named_parameters():
        assert torch.allclose(weights, theirs[name], rtol=1e-5, atol=1e-7), name


@pytest.mark.parametrize("layer", ["conv1:flat", "layer1.0.conv2:flat", "bn1:flat", "layer4:avg"])
def test_layers_are_what_they_are_without_folding(layer):
    loaded = load_network("resnet18", "random")
    settled(loaded.module)
    requests = resolve([layer], loaded.backbone, loaded.module)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    reader = LayerReader(loaded.module, requests)
    requests = reader.probe(torch.zeros(1, 3, 224, 224))
    found = Engine(loaded, requests, torch.device("cpu"))(pixels, ["a", "b"])
    pre = loaded.preprocessing
    mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (pre.mean, pre.std))
    with torch.inference_mode():
        wanted = reader((pixels.permute(0, 3, 1, 2).float() - mean) / std)
    for name, values in wanted.items():
        assert off(torch.from_numpy(found[name]), values) < 1e-5


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of weight_norm, which old networks have
def test_a_network_that_cannot_be_copied_stays_as_it_is():
    network = nn.Sequential(weight_norm(nn.Conv2d(3, 4, 3)), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    assert fold(network.eval(), ()) is network


class Net(nn.Module):
    """A convolution, a normalisation, and what may be in the way of folding them."""

    def __init__(self, way):
        super().__init__()
        if way == "another name":
            self.alias = nn.Conv2d(3, 4, 3)
            self.conv = self.alias
        elif way == "two names":
            self.conv = nn.Conv2d(3, 4, 3)
            self.body = nn.Sequential(self.conv)
        else:
            self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, track_running_stats=way != "no statistics")
        self.way = way

    def forward(self, x):
        y = self.conv(x)
        if self.way == "used twice":
            return self.norm(y) + y
        if self.way == "run twice":
            return self.norm(y) + self.norm(self.conv(x + 1))
        if self.way == "values decide" and x.sum() > 0:
            return self.norm(y) * 2
        return self.norm(y)


@pytest.mark.parametrize(
    "way",
    ["another name", "two names", "no statistics", "used twice", "run twice", "values decide"],
)
def test_what_is_in_the_way_leaves_the_network_as_it_is(way):
    network = settled(Net(way)) if way != "no statistics" else Net(way).eval()
    assert fold(network, ()) is network


def test_a_plain_pair_is_folded_but_not_where_it_is_asked_for():
    network = settled(Net("plain"))
    images = torch.rand(2, 3, 8, 8)
    folded = fold(network, ())
    assert normalisations(folded) == 0
    with torch.inference_mode():
        assert off(folded(images), network(images)) < 1e-6
    assert fold(network, ["conv"]) is network
    assert normalisations(fold(network, ["norm"])) == 0
    wrapped = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3)), settled(nn.BatchNorm2d(4)), nn.ReLU()
    )
    wrapped.eval()
    assert fold(wrapped, ["0"]) is wrapped  # its output is the convolution's
    assert normalisations(fold(wrapped, ["2"])) == 0
