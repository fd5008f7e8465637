"""Layers read by hooks, against the same network run by hand."""

import pytest
import torch
from facenet_pytorch import InceptionResnetV1
from torch import nn
from torch.nn import functional as F

from featx.backbones import Backbone, Preprocessing, create, get_backbone
from featx.errors import FeatxError
from featx.layers import LayerReader, pool, resolve


class Tiny(nn.Module):
    """Two convolutions, of which the ReLUs work in place, and a head."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 4, 3, padding=1)
        self.r1 = nn.ReLU(inplace=True)
        self.c2 = nn.Conv2d(4, 5, 3, stride=2)
        self.r2 = nn.ReLU(inplace=True)
        self.fc = nn.Linear(5, 3)
        self.unused = nn.Linear(1, 1)
        self.head_runs = 0

    def forward(self, x):
        x = self.r2(self.c2(self.r1(self.c1(x))))
        x = self.r2(x)
        self.head_runs += 1
        return self.fc(x.mean((2, 3)))


TINY = Backbone(
    name="tiny",
    build=lambda classes: Tiny(),
    first_conv="r1",
    last_conv="c2",
    embedding=None,
    classifier="fc",
    head="fc",
    preprocessing=Preprocessing((9, 7), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    citation="",
)


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny().eval()


@torch.inference_mode()
def test_layers_are_those_of_the_network_run_by_hand(tiny):
    images = torch.randn(4, 3, 9, 7).contiguous(memory_format=torch.channels_last)
    names = ["gap", "gmp", "flattened", "first_conv", "first_conv_max", "softmax", "c1:flat"]
    got = LayerReader(tiny, resolve(names, TINY, tiny))(images)
    conv1 = F.conv2d(images, tiny.c1.weight, tiny.c1.bias, padding=1)
    conv2 = F.conv2d(conv1.clamp(min=0), tiny.c2.weight, tiny.c2.bias, stride=2)
    scores = conv2.clamp(min=0).mean((2, 3)) @ tiny.fc.weight.T + tiny.fc.bias
    wanted = {
        "gap": conv2.mean((2, 3)),
        "gmp": conv2.flatten(2).max(2).values,
        "flattened": torch.stack([image.contiguous().reshape(-1) for image in conv2]),
        "first_conv": conv1.clamp(min=0).mean((2, 3)),
        "first_conv_max": conv1.clamp(min=0).flatten(2).max(2).values,
        "softmax": scores.exp() / scores.exp().sum(1, keepdim=True),
        "c1_flat": conv1.contiguous().reshape(4, -1),  # before the ReLU that works in place
    }
    assert got.keys() == wanted.keys()
    for name, values in wanted.items():
        torch.testing.assert_close(got[name], values, rtol=1e-5, atol=1e-6)
    assert (got["c1_flat"] < 0).any()


@torch.inference_mode()
def test_resnet_by_hand():
    torch.manual_seed(1)
    network = create("resnet50")
    images = torch.randn(2, 3, 64, 64)
    names = ["first_conv", "gap", "embedding", "softmax", "layer3.2:max"]
    got = LayerReader(network, resolve(names, get_backbone("resnet50"), network))(images)
    x = network.relu(network.bn1(network.conv1(images)))
    first = x.mean((2, 3))
    x = network.layer2(network.layer1(network.maxpool(x)))
    middle = network.layer3[2](network.layer3[1](network.layer3[0](x)))
    last = network.layer4(network.layer3(x))
    torch.testing.assert_close(got["first_conv"], first)
    torch.testing.assert_close(got["layer3.2_max"], middle.amax((2, 3)))
    torch.testing.assert_close(got["gap"], last.mean((2, 3)))
    torch.testing.assert_close(got["embedding"], got["gap"])
    torch.testing.assert_close(got["softmax"], network(images).softmax(1))


@torch.inference_mode()
def test_inception_embedding_normalised_is_facenet_pytorchs_output():
    torch.manual_seed(2)
    network = create("inception_resnet_v1")
    images = torch.randn(2, 3, 160, 160)
    backbone = get_backbone("inception_resnet_v1")
    got = LayerReader(network, resolve(["embedding"], backbone, network))(images)
    published = InceptionResnetV1(pretrained=None, classify=False).eval()
    published.load_state_dict(network.state_dict())
    torch.testing.assert_close(F.normalize(got["embedding"]), published(images))


@torch.inference_mode()
def test_nothing_behind_the_last_layer_is_run(tiny):
    reader = LayerReader(tiny, resolve(["first_conv"], TINY, tiny))
    reader(torch.zeros(1, 3, 9, 7))
    assert tiny.head_runs == 0
    assert not any(module._forward_hooks for module in tiny.modules())


@torch.inference_mode()
def test_probe_measures_shapes(tiny):
    requests = resolve(["flattened", "gap", "fc"], TINY, tiny)
    probed = LayerReader(tiny, requests).probe(torch.zeros(1, 3, 9, 7))
    assert [(r.name, r.shape, r.units) for r in probed] == [
        ("flattened", (5, 4, 3), 60),
        ("gap", (5,), 5),
        ("fc_avg", (3,), 3),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gapp"], "did you mean gap"),
        (["gap:average"], "unknown"),
        (["c1:mean"], "did you mean max|known: avg, flat, max"),
        (["c3"], "did you mean .*c[12]"),
        (["embedding"], "has no embedding"),
        ([], "no layer asked for"),
    ],
)
def test_unknown_layers_are_told(tiny, names, message):
    with pytest.raises(FeatxError, match=message):
        resolve(names, TINY, tiny)


def test_softmax_needs_a_head_that_was_loaded(tiny):
    with pytest.raises(FeatxError, match="classifier"):
        resolve(["softmax"], TINY, tiny, has_head=False)
    assert [request.module for request in resolve(["softmax"], TINY, tiny)] == ["fc"]


@pytest.mark.parametrize(("name", "times"), [("r2", "runs 2 times"), ("unused", "runs 0 times")])
def test_modules_that_do_not_run_exactly_once_are_refused(tiny, name, times):
    reader = LayerReader(tiny, resolve([name], TINY, tiny))
    with torch.inference_mode(), pytest.raises(FeatxError, match=times):
        reader.probe(torch.zeros(1, 3, 9, 7))


def test_names_in_the_file(tiny):
    network = create("mobilefacenet")
    backbone = get_backbone("mobilefacenet")
    asked = ["gap", "gap", "blocks.3", "blocks.3:avg", "blocks.3:flatten", "first_conv:max"]
    got = [(r.name, r.module, r.pool) for r in resolve(asked, backbone, network)]
    assert got == [
        ("gap", "conv2", "avg"),
        ("blocks.3_avg", "blocks.3", "avg"),
        ("blocks.3_flat", "blocks.3", "flat"),
        ("first_conv_max", "conv1", "max"),
    ]


def test_pooling_half_precision_is_done_in_float32():
    big = torch.full((1, 1, 300, 300), 60000.0, dtype=torch.float16)
    assert pool(big, "avg").item() == 60000.0
    assert pool(big, "max").dtype == torch.float32
