"""AgeNet: a plain deep network whose structure was searched for, so that it has options."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from featx.backbones._options import Option
from featx.backbones._plain_head import draw_he, plain_head
from featx.backbones._registry import Preprocessing, register_backbone

CITATION = (
    "A. Kjærran, C. B. Vennerød, E. S. Bugge: Facial Age Estimation using Convolutional Neural "
    "Networks. arXiv:2105.06746"
)

#: Pixels 0 to 1. The authors' scripts give their network pixels 0 to 255: what scales them is
#: inside it and not published.
UNIT_256 = Preprocessing(input_size=(256, 256), mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))

#: Of whole activations, after every convolution.
DROPOUT = 0.187

#: Fully connected layers before the output.
HIDDEN = (256, 128)

#: The paper's age bins.
BINS = 10

OPTIONS = {
    "conv_layers": Option(5, range(2, 8)),
    "filters": Option(64, range(4, 129)),  # of the first convolution
    "kernel": Option(3, range(3, 8, 2)),
    "input": Option(256, range(64, 513, 64)),  # height and width, in pixels
}


class AgeNet(nn.Module):
    """Convolutions with twice the filters each time, the first with stride 2.

    ReLU follows each, max pooling over 2 × 2 pixels all but the last, and dropout each. Padding
    keeps the size, so that five layers end with 1,024 × 8 × 8 values; the paper does not say
    whether it does, nor how weights are drawn (here as He et al. 2015, biases 0).

    Parameters
    ----------
    classes : int
        Of the classifier.
    conv_layers : int
        How many convolutions: the modules ``conv1`` to ``conv5`` where there are five.
    filters : int
        Of the first.
    kernel : int
        Height and width of all filters, in pixels; odd.
    side : int
        Height and width of the input, in pixels; a multiple of 64.
    """

    def __init__(
        self, classes: int, conv_layers: int, filters: int, kernel: int, side: int
    ) -> None:
        super().__init__()
        self.conv_layers = conv_layers
        channels, size = 3, side // 2
        for number in range(1, conv_layers + 1):
            stride = 2 if number == 1 else 1
            parts: OrderedDict[str, nn.Module] = OrderedDict(
                conv=nn.Conv2d(channels, filters, kernel, stride, kernel // 2), relu=nn.ReLU()
            )
            if number < conv_layers:
                parts["pool"] = nn.MaxPool2d(2)
                size //= 2
            parts["dropout"] = nn.Dropout(DROPOUT)
            self.add_module(f"conv{number}", nn.Sequential(parts))
            channels, filters = filters, 2 * filters
        self.head = plain_head(channels * size * size, HIDDEN, classes)
        draw_he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, side, side) to class scores."""
        for number in range(1, self.conv_layers + 1):
            x = self.get_submodule(f"conv{number}")(x)
        return self.head(x.flatten(1))


def _adapt(conv_layers: int, input: int, **others: int) -> Mapping[str, Any]:
    return {
        "last_conv": f"conv{conv_layers}",
        "preprocessing": replace(UNIT_256, input_size=(input, input)),
    }


@register_backbone(
    "agenet",
    first_conv="conv1.relu",
    last_conv="conv5",
    embedding="head.hidden",
    classifier="head.output",
    head="head",
    hidden=HIDDEN,
    preprocessing=UNIT_256,
    citation=CITATION,
    options=OPTIONS,
    adapt=_adapt,
)
def agenet(
    classes: int | None = None,
    *,
    conv_layers: int = 5,
    filters: int = 64,
    kernel: int = 3,
    input: int = 256,
) -> nn.Module:
    """Build AgeNet, by default as the search left it, with 10 classes (the paper's bins)."""
    return AgeNet(classes or BINS, conv_layers, filters, kernel, input)
