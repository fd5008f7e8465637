"""Levi and Hassner's small network as Aminian and Noubir use it, for age or for gender."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from featx.backbones._options import Option
from featx.backbones._plain_head import plain_head
from featx.backbones._registry import Preprocessing, register_backbone

CITATION = (
    "G. Levi, T. Hassner: Age and Gender Classification Using Convolutional Neural Networks. CVPR "
    "Workshops 2015; A. Aminian, G. Noubir: Deep Cross-modal Age Estimation. CVC 2019"
)

#: Pixels 0 to 255 minus the mean colour of Adience, as Levi and Hassner's released networks are
#: given them (theirs come as BGR: 78.4263, 87.7689, 114.8958). The input is a crop of 227 from 256.
LEVI_HASSNER_227 = Preprocessing(
    input_size=(227, 227),
    mean=(114.895847746, 87.7689143744, 78.4263377603),
    std=(1.0, 1.0, 1.0),
    frame=(256, 256),
)

#: The modules of the trunk, in the order of the forward pass.
TRUNK = ("conv1", "conv2", "conv3", "fc1", "fc2")

#: Adience's age groups.
GROUPS = 8

#: Units of every fully connected layer.
UNITS = 512

#: The input's height and width, in pixels; 227 is the paper's.
OPTIONS = {"input": Option(227, range(67, 452, 16))}


def resized(input: int) -> Mapping[str, Any]:  # the option's own name
    """Return the preprocessing of another input size, a crop of as large a part of its frame."""
    whole, side = LEVI_HASSNER_227.decoded_size[0], LEVI_HASSNER_227.input_size[0]
    frame = round(input * whole / side)
    changed = replace(LEVI_HASSNER_227, input_size=(input, input), frame=(frame, frame))
    return {"preprocessing": changed}


def gaussian(layer: nn.Conv2d | nn.Linear, bias: float) -> nn.Module:
    """Draw a layer's weights with a standard deviation of 0.01, and set its biases."""
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, bias)
    return layer


def _convolution(layer: nn.Conv2d, bias: float, *, ceil: bool, norm: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=gaussian(layer, bias), relu=nn.ReLU(), pool=nn.MaxPool2d(3, 2, ceil_mode=ceil)
    )
    if norm:
        # as Caffe's, PyTorch's alpha is divided by the number of channels in the sum
        parts["norm"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    return nn.Sequential(parts)


def _last_side(side: int) -> int:
    """Return the height and width of conv3's volume."""
    side = (side - 7) // 4 + 1
    for _ in range(2):  # ceil mode
        side = -(-(side - 3) // 2) + 1
    return (side - 3) // 2 + 1


def dense(inputs: int) -> nn.Sequential:
    """Return a fully connected layer of 512 units with ReLU and dropout, in its initial state."""
    return nn.Sequential(gaussian(nn.Linear(inputs, UNITS), 1.0), nn.ReLU(), nn.Dropout(0.5))


class Trunk(nn.Module):
    """Three convolutions and two fully connected layers.

    The volumes are those that Aminian and Noubir give in section 4.1: 96 × 28 × 28,
    256 × 14 × 14 and 384 × 6 × 6. Their text has two sizes for the first filters; 7 × 7 is Levi and
    Hassner's and, with stride 4 and no padding, gives 96 × 56 × 56, which the pooling halves. Only
    pooling that keeps an incomplete last window (Caffe's) comes to 28 and 14, and only pooling that
    drops it comes to 6; Levi and Hassner's own third volume is 7 × 7.

    Weights are drawn with a standard deviation of 0.01 in all layers, as the paper says. It says
    nothing of biases: they are Levi and Hassner's, 1 in conv2, fc1 and fc2 and 0 elsewhere.

    Parameters
    ----------
    side : int
        The input's height and width, in pixels; with another than 227 fc1 alone differs.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv1 = _convolution(nn.Conv2d(3, 96, 7, 4), 0.0, ceil=True, norm=True)
        self.conv2 = _convolution(nn.Conv2d(96, 256, 5, padding=2), 1.0, ceil=True, norm=True)
        self.conv3 = _convolution(nn.Conv2d(256, 384, 3, padding=1), 0.0, ceil=False, norm=False)
        self.fc1 = dense(384 * _last_side(side) ** 2)
        self.fc2 = dense(UNITS)

    def embeddings(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map images (n, 3, side, side) to what fc1 and fc2 give, each (n, 512)."""
        fc1 = self.fc1(self.conv3(self.conv2(self.conv1(x))).flatten(1))
        return {"fc1": fc1, "fc2": self.fc2(fc1)}


class LeviHassner(Trunk):
    """The trunk with a head on fc2."""

    def __init__(self, side: int, head: nn.Module) -> None:
        super().__init__(side)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, side, side) to class scores."""
        return self.head(self.embeddings(x)["fc2"])


def new_head(inputs: int, classes: int | None, *, hidden: bool = False) -> nn.Module:
    """Return a classifier in its initial state, with a third layer of 512 units or without."""
    classes = classes or GROUPS
    if not hidden:
        return gaussian(nn.Linear(inputs, classes), 0.0)
    head = plain_head(inputs, (UNITS,), classes, dropout=0.5)
    for module in head.modules():
        if isinstance(module, nn.Linear):
            gaussian(module, 0.0 if module is head.get_submodule("output") else 1.0)
    return head


def copy_trunk(target: nn.Module, source: nn.Module) -> None:
    """Copy the trunk of one network into another's."""
    for name in TRUNK:
        target.get_submodule(name).load_state_dict(source.get_submodule(name).state_dict())


@register_backbone(
    "levi_hassner",
    first_conv="conv1",
    last_conv="conv3",
    embedding="fc2",
    classifier="head",
    preprocessing=LEVI_HASSNER_227,
    citation=CITATION,
    options=OPTIONS,
    adapt=resized,
)
def levi_hassner(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the network that gender is told with first; 8 classes (Adience's) by default."""
    return LeviHassner(input, new_head(UNITS, classes))
