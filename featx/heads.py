"""What stands on a backbone to tell ages: hidden layers, an output, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from featx.backbones import Backbone
from featx.errors import FeatxError

Kind = Literal["softmax", "coral", "corn", "regression"]


@dataclass(frozen=True)
class HeadSpec:
    """What a head is made of; saved in every checkpoint.

    Attributes
    ----------
    kind : {"softmax", "coral", "corn", "regression"}
        What its outputs mean, see `Head`.
    classes : tuple of float
        The value of each class in years, increasing: true ages, or the middle of age groups; empty
        for plain regression.
    groups : tuple of str
        The classes' names where they are age groups, such as ``15-20``; else empty.
    hidden : tuple of int
        Units of the fully connected layers before the output.
    dropout : float
        Of each hidden layer's output, or of the input where there is none.
    """

    kind: Kind
    classes: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    @property
    def outputs(self) -> int:
        """The number of raw outputs."""
        if self.kind == "regression":
            return 1
        return len(self.classes) - (self.kind != "softmax")

    def describe(self) -> dict[str, Any]:
        """Return plain data that `from_description` reads back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_description(cls, given: Mapping[str, Any]) -> HeadSpec:
        """Read what `describe` returned.

        Raises
        ------
        FeatxError
            If it is malformed.
        """
        try:
            spec = cls(
                kind=given["kind"],
                classes=tuple(float(value) for value in given["classes"]),
                groups=tuple(str(name) for name in given["groups"]),
                hidden=tuple(int(units) for units in given["hidden"]),
                dropout=float(given["dropout"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FeatxError(f"malformed description of a head: {error!r}") from None
        if spec.kind not in get_args(Kind) or (
            spec.groups and len(spec.groups) != len(spec.classes)
        ):
            raise FeatxError(f"malformed description of a head: {given}")
        return spec


class Head(nn.Module):
    """Fully connected layers on a backbone's features.

    The outputs, by kind: ``softmax``, class scores (n, K); ``coral`` and ``corn``, scores of being
    older than each class but the last (n, K - 1), of Cao, Mirjalili and Raschka 2020 and of Shi,
    Cao and Raschka 2021; ``regression``, the age in years (n, 1).

    New weights are drawn as He et al. 2015 (normal, fan in), biases are zero; CORAL's output has
    the initial values of its authors.

    Parameters
    ----------
    inputs : int
        Features an image.
    spec : HeadSpec
        Layers and classes.
    """

    def __init__(self, inputs: int, spec: HeadSpec) -> None:
        super().__init__()
        self.spec = spec
        layers: list[nn.Module] = []
        for units in spec.hidden:
            layers += [nn.Linear(inputs, units), nn.ReLU()]
            inputs = units
            if spec.dropout:
                layers.append(nn.Dropout(spec.dropout))
        if spec.dropout and not spec.hidden:
            layers.append(nn.Dropout(spec.dropout))
        self.hidden = nn.Sequential(*layers)
        self.years: torch.Tensor
        if spec.kind == "coral":
            from coral_pytorch.layers import CoralLayer  # of the extra `finetune`

            self.output: nn.Module = CoralLayer(inputs, len(spec.classes))
        else:
            self.output = nn.Linear(inputs, spec.outputs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.register_buffer("years", torch.tensor(spec.classes, dtype=torch.float32))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (n, inputs) or (n, channels, height, width) to raw outputs."""
        return self.output(self.hidden(features.flatten(1)))

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Map raw outputs to class probabilities, float32 (n, K), each row summing to 1.

        Of CORAL and CORN from the probabilities of being older than each class; a class that would
        be negative (CORAL's may be, its biases need not fall) counts as 0.

        Raises
        ------
        FeatxError
            If the head is of plain regression.
        """
        outputs = outputs.float()
        if self.spec.kind == "softmax":
            return outputs.softmax(1)
        if self.spec.kind == "regression":
            raise FeatxError("a head of plain regression (loss l1) has no class probabilities")
        older = outputs.sigmoid()
        if self.spec.kind == "corn":  # each is given that the one before it holds
            older = older.cumprod(1)
        ones, zeros = torch.ones_like(older[:, :1]), torch.zeros_like(older[:, :1])
        steps = torch.cat([ones, older], 1) - torch.cat([older, zeros], 1)
        clipped = steps.clamp(min=0)
        return clipped / clipped.sum(1, keepdim=True)

    def ages(self, outputs: torch.Tensor) -> torch.Tensor:
        """Map raw outputs to ages in years, float32 (n,): the expected value of the classes."""
        if self.spec.kind == "regression":
            return outputs.float()[:, 0]
        return self.probabilities(outputs) @ self.years


def attach_head(network: nn.Module, backbone: Backbone, spec: HeadSpec) -> Head:
    """Put a new head in its place in a network, drawn from torch's random numbers.

    Parameters
    ----------
    network : torch.nn.Module
        Of the backbone's architecture; it is changed.
    backbone : Backbone
        Says where the head goes.
    spec : HeadSpec
        What it is.

    Returns
    -------
    Head
        The head, in its place.
    """
    parent, _, name = backbone.head.rpartition(".")
    head = Head(_inputs(network, backbone), spec)
    setattr(network.get_submodule(parent), name, head)
    return head


def _inputs(network: nn.Module, backbone: Backbone) -> int:
    """Return how many features reach the head, measured on a blank image without its numbers."""
    seen: list[int] = []

    def note(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen.append(given[0][0].numel())

    place = network.get_submodule(backbone.head)
    training = network.training
    device = next(network.parameters()).device
    hook = place.register_forward_pre_hook(note)
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, *backbone.preprocessing.input_size, device=device))
    finally:
        hook.remove()
        network.train(training)
    return seen[0]
