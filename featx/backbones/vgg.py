"""VGG-16, from torchvision."""

from __future__ import annotations

from torch import nn
from torchvision.models import vgg16 as torchvision_vgg16

from featx.backbones._registry import Preprocessing, Weights, register_backbone

CITATION = (
    "K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image "
    "Recognition. ICLR 2015, arXiv:1409.1556"
)

#: The mean and standard deviation of ImageNet's training images, as torchvision uses them.
IMAGENET_224 = Preprocessing(
    input_size=(224, 224), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)


@register_backbone(
    "vgg16",
    first_conv="features.1",  # the ReLU behind the first convolution
    last_conv="features",  # pool5 included: 512 × 7 × 7, the 25,088 units of the papers
    embedding="classifier.4",  # fc7 with its ReLU, 4,096 units
    classifier="classifier.6",
    head="classifier",  # all of the fully connected layers
    hidden=(512, 256),  # as the cascaded fine-tuning paper has it
    preprocessing=IMAGENET_224,
    citation=CITATION,
    weights={
        "imagenet": Weights(
            file="vgg16-397923af.pth",
            preprocessing=IMAGENET_224,
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            sha256="397923af",
            trained_on="ImageNet-1k (torchvision IMAGENET1K_V1)",
            licence="BSD-3-Clause",
            citation=CITATION,
        )
    },
)
def vgg16(classes: int | None = None) -> nn.Module:
    """Build VGG-16 without batch normalisation (configuration D), 1,000 classes by default."""
    return torchvision_vgg16(weights=None, num_classes=classes or 1000)
