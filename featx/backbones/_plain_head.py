"""The classifier that a network is built with, until a stage puts its own head in its place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn


def plain_head(
    inputs: int, hidden: Sequence[int], classes: int, dropout: float = 0.0
) -> nn.Sequential:
    """Return fully connected layers with ReLU as `hidden`, and the linear layer `output`.

    Parameters
    ----------
    inputs : int
        Features an image.
    hidden : sequence of int
        Units of the layers before the output.
    classes : int
        Outputs.
    dropout : float
        Of each hidden layer's output.
    """
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = units
    return nn.Sequential(
        OrderedDict(hidden=nn.Sequential(*layers), output=nn.Linear(inputs, classes))
    )


def draw_he(network: nn.Module) -> None:
    """Draw all weights as He et al. 2015 (normal, fan in), with biases of zero, as heads are.

    For architectures whose papers say nothing of their initial values.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
