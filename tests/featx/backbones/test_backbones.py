"""Backbones against published numbers and against their own libraries."""

import pytest
import torch
from facenet_pytorch import InceptionResnetV1

from featx.backbones import create, get_backbone, list_backbones
from featx.errors import FeatxError
from featx.layers import LayerReader, resolve

# torchvision's model pages and timm's results table, 1,000 classes
PUBLISHED = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "senet50": 28_088_024,
    "vgg16": 138_357_544,
}

LAST_CONV = {
    "agenet": (1024, 8, 8),
    "inception_resnet_v1": (1792, 3, 3),
    "lenet": (120, 25, 25),
    "levi_hassner": (384, 6, 6),
    "levi_hassner_e2e": (384, 6, 6),
    "levi_hassner_manual1_fc1": (384, 6, 6),
    "levi_hassner_manual1_fc2": (384, 6, 6),
    "levi_hassner_manual2_fc1": (384, 6, 6),
    "levi_hassner_manual2_fc2": (384, 6, 6),
    "levi_hassner_no_embedding": (384, 6, 6),
    "mobilefacenet": (512, 7, 6),
    "multitask_cnn": (64, 8, 8),
    "onet": (128, 3, 3),
    "residual_attention": (2048, 7, 7),
    "resnet18": (512, 7, 7),
    "resnet50": (2048, 7, 7),
    "senet50": (2048, 7, 7),
    "shallow_gender": (64, 8, 8),
    "vgg16": (512, 7, 7),
}
FIRST_CONV = {
    "agenet": 64,
    "inception_resnet_v1": 32,
    "lenet": 6,
    "levi_hassner": 96,
    "levi_hassner_e2e": 96,
    "levi_hassner_manual1_fc1": 96,
    "levi_hassner_manual1_fc2": 96,
    "levi_hassner_manual2_fc1": 96,
    "levi_hassner_manual2_fc2": 96,
    "levi_hassner_no_embedding": 96,
    "mobilefacenet": 64,
    "multitask_cnn": 32,
    "onet": 32,
    "residual_attention": 64,
    "resnet18": 64,
    "resnet50": 64,
    "senet50": 64,
    "shallow_gender": 32,
    "vgg16": 64,
}
EMBEDDING = {
    "agenet": 128,
    "inception_resnet_v1": 512,
    "lenet": 84,
    "levi_hassner": 512,
    "levi_hassner_e2e": 3072,
    "levi_hassner_manual1_fc1": 512,
    "levi_hassner_manual1_fc2": 512,
    "levi_hassner_manual2_fc1": 1024,
    "levi_hassner_manual2_fc2": 1024,
    "levi_hassner_no_embedding": 512,
    "mobilefacenet": 128,
    "multitask_cnn": 100,
    "onet": 256,
    "residual_attention": 2048,
    "resnet18": 512,
    "resnet50": 2048,
    "senet50": 2048,
    "shallow_gender": 100,
    "vgg16": 4096,
}


def on_meta(name, classes=None):
    with torch.device("meta"):
        return create(name, classes)


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_registry_lists_all():
    assert list_backbones() == sorted(LAST_CONV)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    assert n_parameters(on_meta(name)) == PUBLISHED[name]


def test_mobilefacenet_parameters_add_up_from_the_papers_table():
    def block(inputs, outputs, kernel, groups=1, prelu=True):  # convolution, norm, activation
        return inputs // groups * outputs * kernel + 2 * outputs + (outputs if prelu else 0)

    table = [(2, 64, 5), (4, 128, 1), (2, 128, 6), (4, 128, 1), (2, 128, 2)]
    total, channels = block(3, 64, 9) + block(64, 64, 9, 64), 64
    for expansion, outputs, repeats in table:
        for _ in range(repeats):
            width = channels * expansion
            total += block(channels, width, 1) + block(width, width, 9, width)
            total += block(width, outputs, 1, prelu=False)
            channels = outputs
    total += block(128, 512, 1) + block(512, 512, 42, 512, prelu=False)
    total += block(512, 128, 1, prelu=False)
    network = on_meta("mobilefacenet")
    assert n_parameters(network) == total
    assert 0.9e6 < total < 1.1e6  # "less than 1 million" without the batch normalisations


def test_inception_resnet_is_facenet_pytorchs():
    with torch.device("meta"):
        theirs = InceptionResnetV1()
    assert n_parameters(on_meta("inception_resnet_v1")) == n_parameters(theirs)
    with_head = on_meta("inception_resnet_v1", 8631)
    assert n_parameters(with_head) - n_parameters(theirs) == 8631 * 513


@pytest.mark.parametrize("name", list_backbones())
def test_named_layers_have_their_shapes(name):
    backbone = get_backbone(name)
    network = on_meta(name)
    names = ["gap", "gmp", "first_conv", "first_conv_max", "flattened", "embedding"]
    requests = resolve(names, backbone, network)
    blank = torch.empty(2, 3, *backbone.preprocessing.input_size, device="meta")
    shapes = {r.name: r.shape for r in LayerReader(network, requests).probe(blank)}
    channels = LAST_CONV[name][0]
    assert shapes == {
        "gap": (channels,),
        "gmp": (channels,),
        "first_conv": (FIRST_CONV[name],),
        "first_conv_max": (FIRST_CONV[name],),
        "flattened": LAST_CONV[name],
        "embedding": (EMBEDDING[name],),
    }


@pytest.mark.parametrize("name", list_backbones())
def test_published_weights_are_named_as_the_hub_names_them(name):
    for weights in get_backbone(name).weights.values():
        assert weights.url is None or weights.url.endswith(f"/{weights.file}")
        assert all(digit in "0123456789abcdef" for digit in weights.sha256)
        if weights.url and weights.sha256:  # the hub puts the first digits into the name
            assert weights.sha256 in weights.file
        assert weights.preprocessing.input_size == get_backbone(name).preprocessing.input_size
        assert all(0 < value < 255 for value in weights.preprocessing.mean)
        assert all(0 < value < 255 for value in weights.preprocessing.std)


@pytest.mark.parametrize("name", list_backbones())
def test_number_of_classes(name):
    backbone = get_backbone(name)
    network = on_meta(name, 101)
    assert network.get_submodule(backbone.classifier).out_features == 101


def test_bad_names():
    with pytest.raises(FeatxError, match="did you mean resnet50"):
        create("resnet5")


def test_imagenet_preprocessing_is_torchvisions():
    from torchvision.models import ResNet18_Weights, ResNet50_Weights, VGG16_Weights

    published = {"vgg16": VGG16_Weights, "resnet18": ResNet18_Weights, "resnet50": ResNet50_Weights}
    for name, theirs in published.items():
        transform = theirs.IMAGENET1K_V1.transforms()
        ours = get_backbone(name).weights["imagenet"]
        assert ours.url == theirs.IMAGENET1K_V1.url
        assert [m / 255 for m in ours.preprocessing.mean] == pytest.approx(transform.mean)
        assert [s / 255 for s in ours.preprocessing.std] == pytest.approx(transform.std)
        assert list(ours.preprocessing.input_size) == transform.crop_size * 2
    theirs = ResNet50_Weights.IMAGENET1K_V2.url
    assert get_backbone("resnet50").weights["imagenet-v2"].url == theirs


def test_senet_weights_are_timms():
    import timm

    config = timm.create_model("legacy_seresnet50", pretrained=False).pretrained_cfg
    ours = get_backbone("senet50").weights["imagenet"]
    assert ours.url == config["url"]
    assert [m / 255 for m in ours.preprocessing.mean] == pytest.approx(config["mean"])
    assert [s / 255 for s in ours.preprocessing.std] == pytest.approx(config["std"])
