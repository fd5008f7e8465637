"""AgeNet as the search left it, and as its options make it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from featx.backbones import create, get_backbone, with_options
from featx.checkpoints import write_checkpoint
from featx.errors import FeatxError
from featx.heads import HeadSpec, attach_heads
from featx.layers import LayerReader, resolve
from featx.weights import load_network

SEARCHED = "agenet:conv_layers=4,filters=8,kernel=5"


def made(name):
    with torch.device("meta"):
        return create(name)


def volumes(name):
    backbone, network = get_backbone(name), made(name)
    convolutions = [m for m, _ in network.named_modules() if m.endswith(".conv")]
    layers = [f"{module}:flat" for module in convolutions]
    requests = resolve([*layers, "flattened"], backbone, network)
    blank = torch.empty(1, 3, 256, 256, device="meta")
    return [request.shape for request in LayerReader(network, requests).probe(blank)]


def test_default_is_the_papers_table_2():
    assert volumes("agenet") == [
        (64, 128, 128),
        (128, 64, 64),
        (256, 32, 32),
        (512, 16, 16),
        (1024, 8, 8),
        (1024, 8, 8),
    ]
    network = made("agenet")
    pools = [n for n, m in network.named_modules() if isinstance(m, nn.MaxPool2d)]
    assert pools == [f"conv{number}.pool" for number in (1, 2, 3, 4)]
    dropouts = {n: m.p for n, m in network.named_modules() if isinstance(m, nn.Dropout)}
    assert dropouts == {f"conv{number}.dropout": 0.187 for number in (1, 2, 3, 4, 5)}
    dense = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert dense == [(65_536, 256), (256, 128), (128, 10)]


def closed_form(layers, filters, kernel, size, outputs=10):
    total, channels = 0, 3
    for _ in range(layers):
        total += kernel * kernel * channels * filters + filters
        channels, filters = filters, 2 * filters
    widths = [channels * size * size, 256, 128, outputs]
    return total + sum(a * b + b for a, b in itertools.pairwise(widths))


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("agenet", closed_form(5, 64, 3, 8)),
        (SEARCHED, closed_form(4, 8, 5, 16)),
        ("agenet:conv_layers=2", closed_form(2, 64, 3, 64)),
        ("agenet:conv_layers=7,filters=4", closed_form(7, 4, 3, 2)),
    ],
)
def test_parameters_add_up(name, counted):
    assert sum(parameter.numel() for parameter in made(name).parameters()) == counted


def test_layers_follow_the_options():
    assert volumes(SEARCHED) == [
        (8, 128, 128),
        (16, 64, 64),
        (32, 32, 32),
        (64, 16, 16),
        (64, 16, 16),
    ]
    assert get_backbone(SEARCHED).last_conv == "conv4"
    assert get_backbone("agenet:conv_layers=6").last_conv == "conv6"


def test_names_are_normalised():
    assert get_backbone("agenet:kernel=5, filters=8,conv_layers=4").name == SEARCHED
    assert get_backbone("agenet:kernel=3,conv_layers=5").name == "agenet"
    assert get_backbone("agenet:kernel=3,conv_layers=6").name == "agenet:conv_layers=6"


def test_wrong_options_are_told():
    with pytest.raises(FeatxError, match="did you mean filters"):
        create("agenet:filter=3")
    with pytest.raises(FeatxError, match="kernel=4 is not possible; give 3 to 7 in steps of 2"):
        create("agenet:kernel=4")
    with pytest.raises(FeatxError, match="conv_layers=9 is not possible; give 2 to 7"):
        create("agenet:conv_layers=9")


def test_options_can_be_changed_in_a_name():
    assert (
        with_options("agenet", {"kernel": 5, "conv_layers": 4}) == "agenet:conv_layers=4,kernel=5"
    )
    assert with_options(SEARCHED, {"filters": 16, "kernel": 3}) == "agenet:conv_layers=4,filters=16"
    assert with_options(SEARCHED, {}) == SEARCHED
    assert with_options("lenet", {"pooling": "sum"}) == "lenet:pooling=sum"
    assert with_options("vgg16", {}) == "vgg16"
    with pytest.raises(
        FeatxError, match="unknown option of backbone agenet 'filter': did you mean"
    ):
        with_options(SEARCHED, {"filter": 16})
    with pytest.raises(FeatxError, match="kernel=4 is not possible; give 3 to 7 in steps of 2"):
        with_options("agenet", {"kernel": 4})
    with pytest.raises(FeatxError, match="backbone vgg16 has no options"):
        with_options("vgg16", {"kernel": 3})


def test_a_checkpoint_is_found_again_however_its_name_is_written(tmp_path):
    spec = HeadSpec("softmax", (1.0, 20.0, 60.0), hidden=(16,))
    backbone = get_backbone(SEARCHED)
    torch.manual_seed(0)
    network = create(SEARCHED)
    attach_heads(network, backbone, [spec])
    description = {
        "backbone": backbone.name,
        "heads": [spec.describe()],
        "preprocessing": {
            "input_size": [256, 256],
            "mean": [0.0] * 3,
            "std": [255.0] * 3,
            "channels": "RGB",
            "frame": None,
        },
    }
    path = tmp_path / "network.safetensors"
    write_checkpoint(path, network.state_dict(), description)
    loaded = load_network("agenet:kernel=5,filters=8,conv_layers=4", str(path))
    assert loaded.backbone.name == SEARCHED
    assert loaded.backbone.last_conv == "conv4"
    images = torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(loaded.module(images), network.eval()(images))
    with pytest.raises(FeatxError, match=f"use --backbone {SEARCHED}"):
        load_network("agenet", str(path))
