"""Inception-ResNet-v1 as FaceNet uses it, from facenet-pytorch."""

from __future__ import annotations

from facenet_pytorch import InceptionResnetV1
from torch import nn

from featx.backbones._registry import Preprocessing, Weights, register_backbone

CITATION = (
    "F. Schroff, D. Kalenichenko, J. Philbin: FaceNet. CVPR 2015, arXiv:1503.03832; C. Szegedy et "
    "al.: Inception-v4, Inception-ResNet. AAAI 2017, arXiv:1602.07261; weights of D. Sandberg's "
    "facenet, converted by T. Esler (facenet-pytorch)"
)
RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"

#: facenet-pytorch's `fixed_image_standardization`, on crops of 160 × 160 pixels.
FACENET_160 = Preprocessing(
    input_size=(160, 160), mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0)
)


class FaceNet(InceptionResnetV1):
    """facenet-pytorch's network with a classifier or without, its output not normalised."""

    def __init__(self, classes: int | None = None) -> None:
        """Build the network with random weights."""
        super().__init__(classify=False)
        self.classify = True  # in facenet-pytorch: apply `logits` rather than normalise
        self.logits = nn.Linear(512, classes) if classes else nn.Identity()


def _facenet(file: str, trained_on: str) -> Weights:
    return Weights(
        file=file,
        preprocessing=FACENET_160,
        url=f"{RELEASE}/{file}",
        trained_on=trained_on,
        licence="MIT",
        citation=CITATION,
    )


@register_backbone(
    "inception_resnet_v1",
    first_conv="conv2d_1a",
    last_conv="block8",
    embedding="last_bn",  # 512 units, before facenet-pytorch's L2 normalisation
    classifier="logits",
    preprocessing=FACENET_160,
    citation=CITATION,
    weights={
        "vggface2": _facenet("20180402-114759-vggface2.pt", "VGGFace2, 8,631 people"),
        "casia-webface": _facenet(
            "20180408-102900-casia-webface.pt", "CASIA-WebFace, 10,575 people"
        ),
    },
)
def inception_resnet_v1(classes: int | None = None) -> nn.Module:
    """Build Inception-ResNet-v1, with the classifier `logits` only if `classes` is given."""
    return FaceNet(classes)
