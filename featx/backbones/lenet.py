"""LeNet as Kang, Jiang and Li tell age with it: grey faces of 128 pixels."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from featx.backbones._grey import UNIT_128, Grey
from featx.backbones._options import Option
from featx.backbones._plain_head import draw_he, plain_head
from featx.backbones._registry import register_backbone

CITATION = (
    "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document "
    "Recognition. Proceedings of the IEEE 86(11), 1998; H. Kang, H. Jiang, B. Li: Multi-task "
    "learning based on Convolutional Neural Network for Age and Gender Classification"
)

#: LeNet-5's F6. The paper says of its two fully connected layers only that they are there.
F6 = 84

#: The paper's age intervals.
INTERVALS = 4

OPTIONS = {"pooling": Option("max", ("max", "sum"))}


class TrainedSum(nn.Module):
    """LeNet's subsampling: the sum over 2 × 2 pixels, times a weight, plus a bias, in a sigmoid.

    Weight and bias are one for each map.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((maps, 1, 1), 0.25))  # the mean, to begin with
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))
        self.mean = nn.AvgPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, maps, h, w) to (n, maps, h / 2, w / 2), between 0 and 1."""
        return (4 * self.mean(x) * self.weight + self.bias).sigmoid()


class LeNet(nn.Module):
    """C1, S2, C3, S4 and C5, under two fully connected layers.

    The paper's S2 is "a max-pooling layer" that sums, weighs and squashes, with 12 parameters. It
    cannot be both: by default it is max pooling, and the convolutions have a ReLU, without which
    two of them would be one; with ``pooling=sum`` it is what the sentence describes, LeNet-5's own,
    and the squashing is in it. Of C3 the paper says that it has 416 parameters, which would be
    filters that see one map each; here each of the 16 sees all 6 maps, 2,416 parameters.

    Weights are drawn as He et al. 2015, biases are 0: the paper does not say.
    """

    def __init__(self, classes: int, pooling: str) -> None:
        super().__init__()
        self.grey = Grey()
        self.c1 = _convolution(1, 6, pooling)
        self.s2 = _pool(6, pooling)
        self.c3 = _convolution(6, 16, pooling)
        self.s4 = _pool(16, pooling)
        self.c5 = _convolution(16, 120, "max")
        self.head = plain_head(120 * 25 * 25, (F6,), classes)
        draw_he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, 128, 128) to class scores."""
        x = self.s2(self.c1(self.grey(x)))
        x = self.c5(self.s4(self.c3(x)))
        return self.head(x.flatten(1))


def _convolution(inputs: int, maps: int, pooling: str) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(inputs, maps, 5))
    if pooling == "max":
        parts["relu"] = nn.ReLU()
    return nn.Sequential(parts)


def _pool(maps: int, pooling: str) -> nn.Module:
    return nn.MaxPool2d(2) if pooling == "max" else TrainedSum(maps)


@register_backbone(
    "lenet",
    first_conv="c1",
    last_conv="c5",
    embedding="head.hidden",
    classifier="head.output",
    head="head",
    hidden=(F6,),
    preprocessing=UNIT_128,
    citation=CITATION,
    options=OPTIONS,
)
def lenet(classes: int | None = None, *, pooling: str = "max") -> nn.Module:
    """Build LeNet on 128 × 128 pixels, 4 classes (the paper's intervals) by default."""
    return LeNet(classes or INTERVALS, pooling)
