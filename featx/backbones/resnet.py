"""ResNet-18 and ResNet-50, from torchvision."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet18 as torchvision_resnet18
from torchvision.models import resnet50 as torchvision_resnet50

from featx.backbones._any_size import ANY_SIZE, any_size
from featx.backbones._registry import Weights, register_backbone
from featx.backbones.vgg import IMAGENET_224

CITATION = (
    "K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition. CVPR 2016, "
    "arXiv:1512.03385"
)


def _imagenet(file: str, digits: str, version: str) -> Weights:
    return Weights(
        file=file,
        preprocessing=IMAGENET_224,
        url=f"https://download.pytorch.org/models/{file}",
        sha256=digits,
        trained_on=f"ImageNet-1k (torchvision IMAGENET1K_{version})",
        licence="BSD-3-Clause",
        citation=CITATION,
    )


@register_backbone(
    "resnet18",
    first_conv="relu",  # the stem's; blocks have their own
    last_conv="layer4",
    embedding="avgpool",
    classifier="fc",
    preprocessing=IMAGENET_224,
    citation=CITATION,
    weights={"imagenet": _imagenet("resnet18-f37072fd.pth", "f37072fd", "V1")},
    options=ANY_SIZE,
    adapt=any_size,
)
def resnet18(classes: int | None = None, *, input: int = 224) -> nn.Module:
    """Build ResNet-18, 1,000 classes by default; no layer depends on the input's size."""
    return torchvision_resnet18(weights=None, num_classes=classes or 1000)


@register_backbone(
    "resnet50",
    first_conv="relu",  # the stem's; blocks have their own
    last_conv="layer4",
    embedding="avgpool",
    classifier="fc",
    preprocessing=IMAGENET_224,
    citation=CITATION,
    weights={
        "imagenet": _imagenet("resnet50-0676ba61.pth", "0676ba61", "V1"),
        "imagenet-v2": _imagenet("resnet50-11ad3fa6.pth", "11ad3fa6", "V2"),
    },
    options=ANY_SIZE,
    adapt=any_size,
)
def resnet50(classes: int | None = None, *, input: int = 224) -> nn.Module:
    """Build ResNet-50 with the stride in the 3 × 3 convolution (v1.5), 1,000 classes by default.

    The VGGFace2 releases in circulation are Caffe-style instead (stride in the first 1 × 1
    convolution, ceil-mode pooling). Ports with the same key names would load here without an
    error and give other features than they were trained for: they are not registered.
    """
    return torchvision_resnet50(weights=None, num_classes=classes or 1000)
