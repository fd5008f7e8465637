"""ONet: the last of MTCNN's three networks, small, and installed with its trained weights."""

from __future__ import annotations

from pathlib import Path

import torch
from facenet_pytorch.models import mtcnn
from torch import nn

from featx.backbones._registry import Preprocessing, Weights, register_backbone

CITATION = (
    "K. Zhang, Z. Zhang, Z. Li, Y. Qiao: Joint Face Detection and Alignment Using Multitask "
    "Cascaded Convolutional Networks. IEEE Signal Processing Letters 23(10), 2016, "
    "arXiv:1604.02878"
)

FACE_48X48 = Preprocessing(
    input_size=(48, 48), mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0)
)


class ONet(mtcnn.ONet):
    """facenet-pytorch's ONet as a descriptor of faces.

    Its three outputs (face or not, box, landmarks) stay among the parameters, so that the
    published weights fit as they are, but are not computed. The fully connected layer weighs
    every place of the last 3 × 3 feature map by itself: inputs of another size do not fit.
    """

    def __init__(self, classes: int | None = None) -> None:
        """Build the network with random weights."""
        super().__init__(pretrained=False)
        self.classifier = nn.Linear(256, classes) if classes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, 48, 48) to class scores, or to embeddings (n, 256), not rectified."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x))
        # The weights come from Caffe's MATLAB interface, which holds width before height.
        return self.classifier(self.dense5(x.permute(0, 3, 2, 1).flatten(1)))


@register_backbone(
    "onet",
    first_conv="prelu1",
    last_conv="prelu4",
    embedding="dense5",
    classifier="classifier",
    preprocessing=FACE_48X48,
    citation=CITATION,
    weights={
        "mtcnn": Weights(
            # An absolute path, for the file lies in the installed package, not in the hub's cache.
            file=str(Path(mtcnn.__file__).resolve().parents[1] / "data" / "onet.pt"),
            preprocessing=FACE_48X48,
            sha256="165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
            trained_on="WIDER FACE and CelebA: face or not, box, and landmarks",
            licence="MIT",
            citation=CITATION,
        )
    },
)
def onet(classes: int | None = None) -> nn.Module:
    """Build ONet, with a classifier on the embedding only if `classes` is given."""
    return ONet(classes)
