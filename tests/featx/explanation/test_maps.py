"""Stages and masks are those of the architectures, and their values those of the modules."""

import pytest
import torch

from featx.backbones import create, get_backbone
from featx.explanation.maps import attention_maps, attention_modules, most_varied, stage_maps


def blank(name, n=1):
    torch.manual_seed(0)
    return torch.randn(n, 3, *get_backbone(name).preprocessing.input_size)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        (
            "agenet:filters=8",
            "conv1.relu 128, conv2.relu 64, conv3.relu 32, conv4.relu 16, conv5 8",
        ),
        ("levi_hassner", "conv1.relu 56, conv2.relu 28, conv3.relu 14"),
        ("resnet18", "relu 112, layer1 56, layer2 28, layer3 14, layer4 7"),
        ("resnet50", "relu 112, layer1 56, layer2 28, layer3 14, layer4 7"),
        ("lenet", "c1 124, c3 58, c5 25"),
        (
            "residual_attention:input=64",
            "relu 32, attention1 16, attention2 8, attention3 4, final 2",
        ),
    ],
)
def test_stages_of_convolution(name, stages):
    found = stage_maps(create(name), blank(name))
    assert ", ".join(f"{key} {maps.shape[2]}" for key, maps in found.items()) == stages


@pytest.mark.parametrize("name", ["vgg16", "mobilefacenet", "onet", "multitask_cnn", "senet50"])
def test_the_last_stage_is_the_last_convolution(name):
    network, images = create(name), blank(name)
    kept = []
    last = network.get_submodule(get_backbone(name).last_conv)
    last.register_forward_hook(lambda module, given, output: kept.append(output))
    found = stage_maps(network, images)
    channels = kept[0].shape[1]
    assert list(found.values())[-1].shape[1] == channels
    sizes = [maps.shape[2] for maps in found.values()]
    assert sizes == sorted(set(sizes), reverse=True)
    assert len(sizes) >= 3


def test_stages_are_what_the_modules_give():
    network, images = create("resnet18"), blank("resnet18", 2)
    found = stage_maps(network, images)
    kept = {}
    for name in found:
        network.get_submodule(name).register_forward_hook(
            lambda module, given, output, name=name: kept.update({name: output.detach().clone()})
        )
    with torch.no_grad():
        network(images)
    for name, maps in found.items():
        torch.testing.assert_close(maps, kept[name])


def test_the_masks_of_attention():
    name = "residual_attention:input=64"
    network, images = create(name), blank(name, 2)
    assert attention_modules(network) == [f"attention{n}.mask" for n in (1, 2, 3)]
    maps = attention_maps(network, images)
    assert [tuple(each.shape) for each in maps.values()] == [(2, 16, 16), (2, 8, 8), (2, 4, 4)]
    assert all(((each > 0) & (each < 1)).all() for each in maps.values())
    x = network.stage1(network.maxpool(network.relu(network.bn1(network.conv1(images)))))
    with torch.no_grad():
        wanted = network.attention1.mask(network.attention1.before(x)).mean(1)
    torch.testing.assert_close(maps["attention1.mask"], wanted)


@pytest.mark.parametrize("name", ["resnet18", "senet50", "onet"])
def test_other_networks_have_no_attention(name):
    assert attention_modules(create(name)) == []


def test_the_most_varied_channels():
    maps = torch.zeros(4, 3, 3)
    maps[1, 0, 0], maps[2], maps[3, 1, 1] = 5, 9, -7
    assert most_varied(maps, 2).tolist() == [3, 1]
    assert most_varied(maps, 9).tolist() == [3, 1, 0, 2]
