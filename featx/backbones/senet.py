"""SE-ResNet-50, from timm."""

from __future__ import annotations

from torch import nn

from featx.backbones._registry import Weights, register_backbone
from featx.backbones.vgg import IMAGENET_224

CITATION = "J. Hu, L. Shen, G. Sun: Squeeze-and-Excitation Networks. CVPR 2018, arXiv:1709.01507"


@register_backbone(
    "senet50",
    first_conv="layer0",
    last_conv="layer4",
    embedding="global_pool",
    classifier="last_linear",
    preprocessing=IMAGENET_224,
    citation=CITATION,
    weights={
        "imagenet": Weights(
            file="se_resnet50-ce0d4300.pth",
            preprocessing=IMAGENET_224,
            url=(
                "https://github.com/rwightman/pytorch-image-models/releases/download/"
                "v0.1-cadene/se_resnet50-ce0d4300.pth"
            ),
            sha256="ce0d4300",
            trained_on="ImageNet-1k (the authors' Caffe weights, converted by R. Cadene)",
            licence="BSD-3-Clause",
            citation=CITATION,
        )
    },
)
def senet50(classes: int | None = None) -> nn.Module:
    """Build ResNet-50 with squeeze-and-excitation, Caffe-style blocks, 1,000 classes by default."""
    import timm  # takes as long as torch, and no other network needs it

    return timm.create_model("legacy_seresnet50", pretrained=False, num_classes=classes or 1000)
