"""Fused convolutions give what the operations give one by one, wherever they are fused."""

import operator

import pytest
import torch
from torch import nn

from featx.inference import fusing
from featx.inference.folding import fold
from featx.inference.fused_convolution import NONE, FusedConvolution, possible
from featx.inference.fusing import fuse
from featx.inference.narrowing import narrow
from featx.layers import LayerReader, resolve
from featx.weights import load_network
from tests.featx.inference.test_folding import off, settled

pytestmark = pytest.mark.skipif(
    not possible(nn.Conv2d(3, 4, 3)), reason="torch has no fused operations here"
)
BF16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 here"
    ),
)


def left(network):
    return sum(isinstance(module, nn.Conv2d) for module in network.modules())


def fusions(network):
    return [module for module in network.modules() if isinstance(module, FusedConvolution)]


def images(*size, n=2):
    noise = torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0)) * 4 - 2
    return noise.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [None, BF16])
@pytest.mark.parametrize(
    ("name", "convolutions", "ends"),
    # convolutions, and those of them with an activation
    [
        ("vgg16", 13, 13),
        ("resnet18", 20, 17),
        ("resnet50", 53, 49),
        ("senet50", 85, 49),
        ("mobilefacenet", 50, 0),
        ("inception_resnet_v1", 132, 111),
    ],
)
def test_layers_of_registered_networks_are_as_without(name, convolutions, ends, dtype):
    loaded = load_network(name, "random")
    folded = narrow(fold(settled(loaded.module), ()), dtype).to(memory_format=torch.channels_last)
    requests = resolve(["first_conv", "gap", "embedding"], loaded.backbone, loaded.module)
    given = images(*loaded.preprocessing.input_size)
    cast = torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None)
    with torch.inference_mode(), cast:
        fused = fuse(folded, {request.module for request in requests}, given[:1], 2)
        wanted, found = LayerReader(folded, requests)(given), LayerReader(fused, requests)(given)
    assert (left(fused), len(fusions(fused))) == (0, convolutions)
    assert sum(each._activation != NONE for each in fusions(fused)) == ends
    assert left(folded) == convolutions  # itself unchanged
    for layer, values in wanted.items():
        assert off(found[layer], values) < (5e-2 if dtype else 1e-5), layer


def test_every_module_of_a_network_may_be_asked_for():
    network = settled(load_network("resnet18", "random").module)
    given, names = images(64, 64), [name for name, _ in network.named_modules() if name]
    calls = {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda module, x, y, name=name: calls.setdefault(name, []).append(y.clone())
        )
    with torch.inference_mode():
        network(given)
    for module in network.modules():
        module._forward_hooks.clear()
    looked = [name for name in names if len(calls[name]) == 1]
    assert len(looked) > 50
    with torch.inference_mode():
        for tap in looked:
            fused, found = fuse(network, {tap}, given, 2), []
            fused.get_submodule(tap).register_forward_hook(
                lambda module, x, y, found=found: found.append(y.clone())
            )
            fused(given)
            assert fusions(fused)
            assert len(found) == 1
            assert off(found[0], calls[tap][0]) < 1e-5, tap
        several = set(looked[::5])
        fused = fuse(network, several, given, 2)
        found = fusing._outputs(fused, given, several)
    assert all(off(found[tap], calls[tap][0]) < 1e-5 for tap in several)


def test_what_runs_more_than_once_cannot_be_asked_for_of_a_fused_network():
    network = settled(load_network("resnet18", "random").module)
    with torch.inference_mode():
        assert fuse(network, {"layer1.0.relu"}, images(64, 64), 2) is network


class Net(nn.Module):
    """A convolution and something behind it."""

    def __init__(self, way, activation=None):
        super().__init__()
        self.before = nn.Conv2d(3, 4, 3, padding=1)
        self.between = nn.Conv2d(4, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.after = activation or nn.ReLU()
        self.way = way

    def forward(self, x):
        x = self.before(x)
        y = self.conv(x if self.way == "own input" else self.between(x))
        match self.way:
            case "activation":
                return self.after(y)
            case "function":
                return torch.relu(y)
            case "method":
                return y.relu_()
            case "sum" | "own input":
                return self.after(y + x)
            case "sum in place":
                return self.after(operator.iadd(y, x))
            case "sum, no activation":
                return x + y
            case "shortcut is used again":
                return self.after(y + x) * x
            case "shortcut is changed":
                x += y
                return self.after(x)
            case "shortcut is a view":
                return self.after(y + x.flip(3)) + x
            case "shortcut is of another size":
                return self.after(y + x.mean((2, 3), keepdim=True))
            case "input changes meanwhile":
                z = self.before(x[:, :3])
                x.relu_()
                return self.after(y) + z
            case "shortcut is changed before":
                z = x.relu_()
                return self.after(y + z) + x
            case "name stays":
                z = x
                x += y
                return self.after(x + z)
            case "twice":
                return self.after(y) + y
            case "scaled":
                return self.after(torch.add(y, x, alpha=2))
            case "number":
                return self.after(y + 1)
            case "itself":
                return self.after(y + y)


@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.3), nn.SiLU()]
)
def test_activations(activation):
    network, given = Net("activation", activation).eval(), images(9, 9)
    with torch.inference_mode():
        fused = fuse(network, {"after"}, given, 2)
        assert off(fused(given), network(given)) < 1e-6
    assert [each._activation[0] != "none" for each in fusions(fused)] == [False, False, True]


@pytest.mark.parametrize("activation", [nn.PReLU(4), nn.Tanh(), nn.Softplus()])
def test_other_activations_stay(activation):
    network, given = Net("activation", activation).eval(), images(9, 9)
    with torch.inference_mode():
        fused = fuse(network, {"after"}, given, 2)
        assert torch.allclose(fused(given), network(given), atol=1e-6)
    assert [each._activation[0] for each in fusions(fused)] == ["none", "none", "none"]


@pytest.mark.parametrize(
    ("way", "sums"),
    [
        *(("function", 0), ("method", 0), ("sum", 1), ("sum in place", 1)),
        *(("sum, no activation", 1), ("shortcut is used again", 0), ("shortcut is changed", 1)),
        *(("shortcut is a view", 0), ("shortcut is of another size", 0)),
        *(
            ("input changes meanwhile", 0),
            ("shortcut is changed before", 0),
            ("own input", 0),
            ("twice", 0),
        ),
        *(("scaled", 0), ("number", 0), ("itself", 0)),
    ],
)
def test_sums_and_what_is_in_their_way(way, sums):
    network, given = Net(way).eval(), images(9, 9)
    with torch.inference_mode():
        wanted = network(given)
        fused = fuse(network, (), given, 2)
        assert off(fused(given), wanted) < 1e-6
        assert off(fused(given[:1]), wanted[:1]) < 1e-6  # another number than the weights are for
    taken = [node for node in fused.graph.nodes if "fused" in str(node.target)]
    assert sum(len(node.args) == 2 for node in taken) == sums


def test_a_network_that_cannot_be_read_stays():
    class Undecided(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).relu() if x.sum() > 0 else x

    network = Undecided()
    with torch.inference_mode():
        assert fuse(network, (), images(9, 9), 2) is network
        assert fuse(nn.Sequential(nn.Flatten()), (), images(9, 9), 2)(images(9, 9)).ndim == 2


def test_a_network_that_is_something_else_once_it_is_read_stays():
    network = Net("name stays").eval()  # its reader takes += for a new tensor
    with torch.inference_mode():
        assert fuse(network, ["after"], images(9, 9), 2) is network


def test_operations_that_err_are_not_used(monkeypatch):
    network, given = Net("sum").eval(), images(9, 9)
    right = FusedConvolution.forward
    monkeypatch.setattr(
        FusedConvolution, "forward", lambda self, x, *shortcut: right(self, x, *shortcut) * 1.01
    )
    with torch.inference_mode():
        assert fuse(network, ["after"], given, 2) is network


def test_convolutions_with_hooks_or_odd_padding_stay():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    )
    with torch.inference_mode():
        assert fuse(network, (), images(9, 9), 2) is network
        hooked = Net("activation").eval()
        seen = []
        hooked.conv.register_forward_hook(lambda *given: seen.append(1))
        fused = fuse(hooked, (), images(9, 9), 2)
        seen.clear()
        fused(images(9, 9))
    assert seen == [1]
    assert len(fusions(fused)) == 2
