"""Options in a backbone's name: read, refused in one line, and written one way only."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from featx.backbones import Option, _registry, create, get_backbone
from featx.backbones._options import full_name, read_options
from featx.errors import FeatxError

OPTIONS = {
    "layers": Option(5, range(1, 8)),
    "size": Option(224, range(64, 513, 32)),
    "pooling": Option("max", ("max", "sum")),
}


def test_defaults_are_filled_in():
    assert read_options("net", "size=96", OPTIONS) == {"layers": 5, "size": 96, "pooling": "max"}
    assert read_options("net", "pooling=sum, layers = 2", OPTIONS) == {
        "layers": 2,
        "size": 224,
        "pooling": "sum",
    }


@given(
    layers=st.sampled_from(OPTIONS["layers"].allowed),
    size=st.sampled_from(OPTIONS["size"].allowed),
    pooling=st.sampled_from(OPTIONS["pooling"].allowed),
    order=st.permutations(list(OPTIONS)),
)
def test_every_way_of_writing_the_same_has_one_name(layers, size, pooling, order):
    values = {"layers": layers, "size": size, "pooling": pooling}
    written = ",".join(f"{name}={values[name]}" for name in order)
    read = read_options("net", written, OPTIONS)
    assert read == values
    name = full_name("net", read, OPTIONS)
    base, _, rest = name.partition(":")
    assert base == "net"
    assert (read_options("net", rest, OPTIONS) if rest else values) == values
    assert all(f"{n}={o.default}" not in rest.split(",") for n, o in OPTIONS.items())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layer=3", r"unknown option of backbone net 'layer': did you mean layers\?"),
        ("layers=0", "layers=0 is not possible; give 1 to 7"),
        ("layers=8", "give 1 to 7"),
        ("layers=-1", "give 1 to 7"),
        ("layers=2.5", "give 1 to 7"),
        ("layers=", "layers= is not possible"),
        ("layers=²", "give 1 to 7"),
        ("size=100", "give 64 to 512 in steps of 32"),
        ("pooling=mean", "give max or sum"),
        ("layers=2,layers=3", "layers is given twice"),
        ("layers", "'layers' is no option; write net:layers=5,size=224,pooling=max"),
        ("", "is no option"),
        ("layers=2,", "is no option"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(text, told):
    with pytest.raises(FeatxError, match=told) as caught:
        read_options("net", text, OPTIONS)
    assert "\n" not in str(caught.value)


def test_a_backbone_without_options_takes_none():
    with pytest.raises(FeatxError, match="vgg16 has no options; leave out ':depth=2'"):
        get_backbone("vgg16:depth=2")
    with pytest.raises(FeatxError, match="did you mean vgg16"):
        get_backbone("vgg1:depth=2")


def test_the_entry_follows_its_options(monkeypatch):
    monkeypatch.setattr(_registry, "_BACKBONES", dict(_registry._BACKBONES))

    @_registry.register_backbone(
        "stack",
        first_conv="0",
        last_conv="4",
        embedding=None,
        classifier="head",
        preprocessing=get_backbone("resnet50").preprocessing,
        citation="none",
        options=OPTIONS,
        adapt=lambda layers, **rest: {"last_conv": str(layers - 1)},
    )
    def build(classes=None, *, layers=5, size=224, pooling="max"):
        return nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(layers)))

    assert get_backbone("stack:layers=5") is get_backbone("stack")
    entry = get_backbone("stack:pooling=max,layers=3")
    assert (entry.name, entry.last_conv) == ("stack:layers=3", "2")
    with torch.device("meta"):
        assert [len(create(name)) for name in ("stack", "stack:layers=3")] == [5, 3]


@pytest.mark.parametrize(
    "name",
    [
        "agenet:input=128",
        "levi_hassner:input=67",
        "levi_hassner:input=115",
        "levi_hassner_e2e:input=115",
        "levi_hassner_no_embedding:input=131",
        "residual_attention:input=64",
        "resnet18:input=64",
        "resnet50:input=96",
    ],
)
def test_networks_take_images_of_the_size_that_is_asked_for(name):
    entry = get_backbone(name)
    assert entry.name == name
    side = int(name.partition("input=")[2])
    assert entry.preprocessing.input_size == (side, side)
    assert create(name, 3)(torch.zeros(1, 3, side, side)).shape == (1, 3)


def test_published_weights_are_given_images_of_the_size_that_is_asked_for():
    usual, smaller = get_backbone("resnet18"), get_backbone("resnet18:input=64")
    assert usual.weights["imagenet"].preprocessing.input_size == (224, 224)
    assert smaller.weights["imagenet"].preprocessing.input_size == (64, 64)
    assert smaller.weights["imagenet"].sha256 == usual.weights["imagenet"].sha256


def test_a_smaller_frame_stays_in_proportion():
    preprocessing = get_backbone("levi_hassner:input=115").preprocessing
    assert preprocessing.frame == (130, 130)  # 115 · 256 / 227 = 129.7
