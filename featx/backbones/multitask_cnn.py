"""Kang, Jiang and Li's shallow networks: one for gender, one that age and gender share."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from featx.backbones._grey import UNIT_128, Grey
from featx.backbones._plain_head import draw_he, plain_head
from featx.backbones._registry import register_backbone

CITATION = (
    "H. Kang, H. Jiang, B. Li: Multi-task learning based on Convolutional Neural Network for Age "
    "and Gender Classification; code at github.com/htkang369/age_gender_classification"
)

#: Fully connected layers of each task, before its output.
HIDDEN = (512, 100)

#: Channels in the sum of the local response normalisation. The paper names none of its numbers
#: (k, n, α, β); its published code leaves n and k at TensorFlow's defaults, five channels to each
#: side and 1, and sets α to 1e-4 and β to 0.75.
NEIGHBOURS = 11


class ShallowCNN(nn.Module):
    """Convolutions of 32, 64 and 64 filters of 7 × 7, 5 × 5 and 3 × 3 on a grey picture.

    For each convolution the paper states "stride 2 and padding 2" and volumes of 64 × 64, 32 × 32
    and 16 × 16, which the pooling halves: 32 × 32 × 32, 64 × 16 × 16 and 64 × 8 × 8. On an input of
    128 these cannot all be true. Stride 2 halves what the pooling has halved already, so the
    second and third would be 16 × 16 and less; and two pixels to every side make the first 63 × 63.
    The volumes follow from strides 2, 1, 1 and padding that keeps the size ("same"): 2 pixels above
    and 3 below in the first, 2 in the second, 1 in the third. That is what the paper's published
    code has, and its pooling, 3 × 3 with stride 2, the last window cut short at the edge. (The
    filters' stated depth of 64 in the second is 32, that of its input.)

    Weights are drawn as He et al. 2015, biases are 0: the paper does not say, and its code's
    deviation of 0.1 is far too large for 4,096 inputs.

    Parameters
    ----------
    classes : int
        Of the classifier.
    normalised : int
        How many of the convolutions a local response normalisation follows, after the pooling.
    """

    def __init__(self, classes: int, normalised: int) -> None:
        super().__init__()
        self.grey = Grey()
        self.pad = nn.ZeroPad2d((2, 3, 2, 3))
        self.conv1 = _convolution(nn.Conv2d(1, 32, 7, 2), norm=normalised > 0)
        self.conv2 = _convolution(nn.Conv2d(32, 64, 5, padding=2), norm=normalised > 1)
        self.conv3 = _convolution(nn.Conv2d(64, 64, 3, padding=1), norm=normalised > 2)
        self.head = plain_head(64 * 8 * 8, HIDDEN, classes, dropout=0.5)
        draw_he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, 128, 128) to class scores."""
        x = self.conv1(self.pad(self.grey(x)))
        return self.head(self.conv3(self.conv2(x)).flatten(1))


def _convolution(layer: nn.Conv2d, *, norm: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=layer, relu=nn.ReLU(), pool=nn.MaxPool2d(3, 2, ceil_mode=True)
    )
    if norm:
        # PyTorch divides alpha by the number of channels, the paper's equation 6 does not
        parts["norm"] = nn.LocalResponseNorm(NEIGHBOURS, alpha=NEIGHBOURS * 1e-4, beta=0.75, k=1.0)
    return nn.Sequential(parts)


@register_backbone(
    "shallow_gender",
    first_conv="conv1",
    last_conv="conv3",
    embedding="head.hidden",
    classifier="head.output",
    head="head",
    hidden=HIDDEN,
    preprocessing=UNIT_128,
    citation=CITATION,
)
def shallow_gender(classes: int | None = None) -> nn.Module:
    """Build the network for gender alone, normalised after the first two; 2 classes by default.

    The paper gives the filters and "two fully connected layers" under the classifier; strides,
    pooling and the layers' widths (512 and 100) are those of its multi-task network, as in the
    description that comes with its published code.
    """
    return ShallowCNN(classes or 2, normalised=2)


@register_backbone(
    "multitask_cnn",
    first_conv="conv1",
    last_conv="conv3",
    embedding="head.hidden",
    classifier="head.output",
    head="head",
    hidden=HIDDEN,
    preprocessing=UNIT_128,
    citation=CITATION,
)
def multitask_cnn(classes: int | None = None) -> nn.Module:
    """Build the network that two tasks share, normalised after all three; 4 classes by default.

    FC6 of 512 and FC7 of 100 belong to each task's head, as the paper has it ("parallel with each
    other"); its published code shares FC6.
    """
    return ShallowCNN(classes or 4, normalised=3)
