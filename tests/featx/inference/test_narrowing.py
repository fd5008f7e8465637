"""Weights rounded once give what autocast gives by rounding them each time, bit by bit."""

import pytest
import torch
from torch import nn
from torch.nn.utils import weight_norm
from torch.nn.utils.parametrizations import spectral_norm

from featx.inference.narrowing import narrow
from featx.precision import PRECISIONS, casting
from featx.weights import load_network

CPU = torch.device("cpu")


def run(network, images, precision):
    with torch.inference_mode(), casting(CPU, precision):
        return network(images)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["mobilefacenet", "resnet18", "inception_resnet_v1", "vgg16"])
def test_registered_networks_give_the_same_bits(name, precision):
    loaded = load_network(name, "random", seed=3)
    network = loaded.module
    before = {name: values.clone() for name, values in network.state_dict().items()}
    narrowed = narrow(network, PRECISIONS[precision])
    images = torch.rand(2, 3, *loaded.preprocessing.input_size)
    wanted = run(network, images, precision)
    assert torch.equal(run(narrowed, images, precision), wanted)
    assert not torch.equal(wanted, run(network, images, "fp32"))
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    kept = [each for each in narrowed.parameters() if each.dtype == torch.float32]
    assert sum(each.numel() for each in kept) < 0.03 * sum(map(torch.numel, network.parameters()))


def test_without_a_precision_it_is_the_same_network():
    network = nn.Linear(2, 2)
    assert narrow(network, PRECISIONS["fp32"]) is network


class Cosine(nn.Linear):
    """Uses its weights in its own way, as the heads of face networks do."""

    def forward(self, given):
        return nn.functional.linear(given, nn.functional.normalize(self.weight), self.bias)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, given):
        return self.attention(given[:, None], given[:, None], given[:, None])[0]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of weight_norm, which old networks have
@pytest.mark.parametrize(
    "make",
    [
        lambda: Cosine(8, 8),
        lambda: weight_norm(nn.Linear(8, 8)),
        lambda: spectral_norm(nn.Linear(8, 8)),
        lambda: nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.PReLU(8), nn.Softmax(dim=1)),
        Attention,
    ],
)
def test_weights_that_others_use_stay_as_they_are(make):
    torch.manual_seed(0)
    network = make().eval()
    given = torch.rand(4, 8)
    narrowed = narrow(network, torch.bfloat16)
    assert torch.equal(run(narrowed, given, "bf16"), run(network, given, "bf16"))
