"""MobileFaceNet: a face network of a million parameters."""

from __future__ import annotations

import torch
from torch import nn

from featx.backbones._registry import Preprocessing, Weights, register_backbone

CITATION = (
    "S. Chen, Y. Liu, X. Gao, Z. Han: MobileFaceNets: Efficient CNNs for Accurate Real-Time Face "
    "Verification on Mobile Devices. CCBR 2018, arXiv:1804.07573"
)

#: Expansion, channels, repeats and first stride of each row of bottlenecks (Table 1).
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))

ALIGNED_112X96 = Preprocessing(
    input_size=(112, 96), mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0)
)


class ConvolutionBlock(nn.Module):
    """Convolution, batch normalisation and, unless linear, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = None if linear else nn.PReLU(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h', w')."""
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class Bottleneck(nn.Module):
    """The inverted residual of MobileNetV2 with PReLU in place of ReLU6."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileFaceNet(nn.Module):
    """The network of Table 1 for inputs of 112 × 96 pixels.

    The global depthwise convolution weighs every place of the last 7 × 6 feature map by itself,
    so inputs of another size do not fit.
    """

    def __init__(self, embedding: int = 128, classes: int | None = None) -> None:
        super().__init__()
        self.conv1 = ConvolutionBlock(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = ConvolutionBlock(64, 64, 3, padding=1, depthwise=True)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, outputs, repeats, stride in BOTTLENECKS:
            for repeat in range(repeats):
                first = stride if repeat == 0 else 1
                blocks.append(Bottleneck(channels, outputs, first, expansion))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvolutionBlock(channels, 512, 1)
        self.linear7 = ConvolutionBlock(512, 512, (7, 6), depthwise=True, linear=True)
        self.linear1 = ConvolutionBlock(512, embedding, 1, linear=True)
        self.classifier = nn.Linear(embedding, classes) if classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, 112, 96) to class scores, or to embeddings (n, 128), not normalised."""
        x = self.blocks(self.dw_conv1(self.conv1(x)))
        x = self.linear1(self.linear7(self.conv2(x)))
        return self.classifier(x.flatten(1))


@register_backbone(
    "mobilefacenet",
    first_conv="conv1",
    last_conv="conv2",
    embedding="linear1",
    classifier="classifier",
    preprocessing=ALIGNED_112X96,
    citation=CITATION,
    weights={
        "casia-webface": Weights(
            file="mobilefacenet_casia.safetensors",
            preprocessing=ALIGNED_112X96,
            sha256="eac5b929f1660e60772080de05d711e13a2ab179a2251be259b8ef61e1bd91d3",
            trained_on="CASIA-WebFace, ArcFace loss, five-point aligned faces",
            citation=CITATION,
        )
    },
)
def mobilefacenet(classes: int | None = None) -> nn.Module:
    """Build MobileFaceNet, with a classifier on the embedding only if `classes` is given."""
    return MobileFaceNet(classes=classes)
