"""Residual Attention Network, Attention-56: residual units, and masks that say where to look."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from featx.backbones._any_size import ANY_SIZE, any_size
from featx.backbones._plain_head import draw_he
from featx.backbones._registry import register_backbone
from featx.backbones.vgg import IMAGENET_224

CITATION = (
    "F. Wang, M. Jiang, C. Qian, S. Yang, C. Li, H. Zhang, X. Wang, X. Tang: Residual Attention "
    "Network for Image Classification. CVPR 2017, arXiv:1704.06904"
)

#: Output channels, first stride, and the mask's poolings of the three stages with attention.
STAGES = ((256, 1, 3), (512, 2, 2), (1024, 2, 1))

#: Residual units in the last stage, which has no attention.
LAST = 3


class ResidualUnit(nn.Module):
    """A bottleneck with normalisation and ReLU before each convolution (He et al. 2016b).

    Where size or channels change, the shortcut is a 1 × 1 convolution of the normalised input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        width = outputs // 4
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        active = self.bn1(x).relu()
        y = self.conv2(self.bn2(self.conv1(active)).relu())
        y = self.conv3(self.bn3(y).relu())
        return y + (x if self.shortcut is None else self.shortcut(active))


class BottomUpTopDown(nn.Module):
    """Down to a coarse map and up again: pooling, a unit, the same once more inside, a unit.

    Beside the inner part runs a skip connection with a unit of its own (r = 1 everywhere); the
    innermost part is a unit alone.
    """

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.down = ResidualUnit(channels, channels)
        self.skip = ResidualUnit(channels, channels) if poolings > 1 else None
        self.inner = BottomUpTopDown(channels, poolings - 1) if poolings > 1 else None
        self.up = ResidualUnit(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, channels, h, w) to the same shape."""
        y = self.down(self.pool(x))
        if self.inner is not None and self.skip is not None:
            y = self.skip(y) + self.inner(y)
        # corners on corners, as in the authors' Caffe
        return functional.interpolate(
            self.up(y), size=x.shape[-2:], mode="bilinear", align_corners=True
        )


class SoftMask(nn.Sequential):
    """The mask branch: a value between 0 and 1 for every place and channel."""

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__(
            BottomUpTopDown(channels, poolings),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Sigmoid(),
        )


class AttentionModule(nn.Module):
    """Attention residual learning, (1 + M) · T, between a unit before and a unit after it (p = 1).

    The trunk branch T has two units (t = 2); the module `mask` gives M.
    """

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__()
        self.before = ResidualUnit(channels, channels)
        self.trunk = nn.Sequential(
            ResidualUnit(channels, channels), ResidualUnit(channels, channels)
        )
        self.mask = SoftMask(channels, poolings)
        self.after = ResidualUnit(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, channels, h, w) to the same shape."""
        x = self.before(x)
        return self.after((1 + self.mask(x)) * self.trunk(x))


class ResidualAttention(nn.Module):
    """Attention-56, for inputs whose sides are multiples of 32.

    The layers are those of Table 2 of the paper and of the authors' published definition of the
    network; the masks of the three modules are ``attention1.mask``, ``attention2.mask`` and
    ``attention3.mask``, at 224 pixels 256 × 56 × 56, 512 × 28 × 28 and 1024 × 14 × 14.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        channels = 64
        for number, (outputs, stride, poolings) in enumerate(STAGES, start=1):
            self.add_module(f"stage{number}", ResidualUnit(channels, outputs, stride))
            self.add_module(f"attention{number}", AttentionModule(outputs, poolings))
            channels = outputs
        units = [ResidualUnit(channels, 2 * channels, 2)]
        units += [ResidualUnit(2 * channels, 2 * channels) for _ in range(LAST - 1)]
        self.stage4 = nn.Sequential(*units)
        self.final = nn.Sequential(nn.BatchNorm2d(2 * channels), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * channels, classes)
        draw_he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, 32 a, 32 b) to class scores."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"stage{number}")(x)
            x = self.get_submodule(f"attention{number}")(x)
        return self.head(self.avgpool(self.final(self.stage4(x))).flatten(1))


@register_backbone(
    "residual_attention",
    first_conv="relu",
    last_conv="final",
    embedding="avgpool",
    classifier="head",
    preprocessing=IMAGENET_224,
    citation=CITATION,
    options=ANY_SIZE,
    adapt=any_size,
)
def residual_attention(classes: int | None = None, *, input: int = 224) -> nn.Module:
    """Build Attention-56, 1,000 classes by default; no layer depends on the input's size."""
    return ResidualAttention(classes or 1000)
