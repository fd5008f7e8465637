"""What stands on a backbone to tell age and gender: hidden layers, outputs, how to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import nn

from featx.backbones import Backbone
from featx.errors import FeatxError

Kind = Literal["softmax", "coral", "corn", "regression"]

#: What a head tells. In a network with both heads their outputs stand in this order.
Task = Literal["age", "gender"]
TASKS: tuple[Task, ...] = get_args(Task)

#: The classes of gender, in the order of a head's outputs.
GENDERS = ("female", "male")


@dataclass(frozen=True)
class HeadSpec:
    """What the head of one task is made of; saved in every checkpoint.

    Attributes
    ----------
    kind : {"softmax", "coral", "corn", "regression"}
        What its outputs mean, see `Head`.
    classes : tuple of float
        The value of each class in years, increasing: true ages, or the middle of age groups; empty
        for plain regression.
    groups : tuple of str
        The classes' names where they are age groups, such as ``15-20``, or genders; else empty.
    hidden : tuple of int
        Units of the fully connected layers before the output.
    dropout : float
        Of each hidden layer's output, or of the input where there is none.
    task : {"age", "gender"}
        What it tells.
    joined : int
        How many values the output layer takes besides the last hidden layer's: the probabilities
        of the other task's classes.
    """

    kind: Kind
    classes: tuple[float, ...] = ()
    groups: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    task: Task = "age"
    joined: int = 0

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
                task=given["task"],
                joined=int(given["joined"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FeatxError(f"malformed description of a head: {error!r}") from None
        known = spec.kind in get_args(Kind) and spec.task in TASKS
        if not known or (spec.groups and len(spec.groups) != len(spec.classes)):
            raise FeatxError(f"malformed description of a head: {given}")
        return spec


class Head(nn.Module):
    """Fully connected layers on a backbone's features.

    The outputs, by kind: ``softmax``, class scores (n, K); ``coral`` and ``corn``, scores of being
    older than each class but the last (n, K - 1), of Cao, Mirjalili and Raschka 2020 and of Shi,
    Cao and Raschka 2021; ``regression``, the age in years (n, 1).

    New weights are drawn as He et al. 2015 (normal, fan in), biases are zero; CORAL's output layer
    has its authors' initial biases.

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
            # dropout of 0 is a layer too: parameters have the same names at any dropout
            layers += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(spec.dropout)]
            inputs = units
        self.hidden = nn.Sequential(*layers or [nn.Dropout(spec.dropout)])
        self.years: torch.Tensor
        if spec.kind == "coral":
            from coral_pytorch.layers import CoralLayer  # of the extra `finetune`

            self.output: nn.Module = CoralLayer(inputs + spec.joined, len(spec.classes))
        else:
            self.output = nn.Linear(inputs + spec.joined, spec.outputs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.register_buffer("years", torch.tensor(spec.classes, dtype=torch.float32))

    def forward(self, features: torch.Tensor, joined: torch.Tensor | None = None) -> torch.Tensor:
        """Map features (n, inputs) or (n, channels, height, width) to raw outputs.

        Parameters
        ----------
        features : torch.Tensor
            The backbone's.
        joined : torch.Tensor, optional
            Shape (n, spec.joined): what the output layer takes beside the last hidden layer.
        """
        hidden = self.hidden(features.flatten(1))
        return self.output(hidden if joined is None else torch.cat([hidden, joined], 1))

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


class Heads(nn.Module):
    """The heads of a network's tasks, side by side on the same features.

    Where the age head's `joined` says so, its output layer takes the gender head's probabilities
    too (Abdolrashidi et al. 2020, section III: "the predicted output of the gender branch is
    concatenated with the last hidden layer of the age branch"); gradients flow through them.

    Parameters
    ----------
    inputs : int
        Features an image.
    specs : sequence of HeadSpec
        One a task, in the order of `TASKS`.

    Attributes
    ----------
    age, gender : Head
        Those that there are.
    """

    def __init__(self, inputs: int, specs: Sequence[HeadSpec]) -> None:
        super().__init__()
        self.specs = tuple(specs)
        # in the order in which they run: what is joined comes first
        for spec in sorted(specs, key=lambda spec: spec.joined):
            self.add_module(spec.task, Head(inputs, spec))

    def of(self, task: Task) -> Head:
        """Return a task's head."""
        head = self.get_submodule(task)
        assert isinstance(head, Head)
        return head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features to raw outputs (n, outputs): those of all tasks, side by side."""
        given: dict[Task, torch.Tensor] = {}
        for module in self.children():
            assert isinstance(module, Head)
            other = self.of("gender").probabilities(given["gender"]) if module.spec.joined else None
            given[module.spec.task] = module(features, other)
        return torch.cat([given[spec.task] for spec in self.specs], 1)

    def split(self, outputs: torch.Tensor) -> dict[Task, torch.Tensor]:
        """Return each task's own columns of `forward`'s outputs."""
        parts = outputs.split([spec.outputs for spec in self.specs], dim=1)
        return {spec.task: part for spec, part in zip(self.specs, parts, strict=True)}


def attach_heads(network: nn.Module, backbone: Backbone, specs: Sequence[HeadSpec]) -> Heads:
    """Put new heads in their place in a network, drawn from torch's random numbers.

    Parameters
    ----------
    network : torch.nn.Module
        Of the backbone's architecture; it is changed.
    backbone : Backbone
        Says where the heads go.
    specs : sequence of HeadSpec
        What they are.

    Returns
    -------
    Heads
        In their place.
    """
    parent, _, name = backbone.head.rpartition(".")
    heads = Heads(_inputs(network, backbone), specs)
    setattr(network.get_submodule(parent), name, heads)
    return heads


def with_heads(backbone: Backbone, specs: Sequence[HeadSpec]) -> Backbone:
    """Return a backbone's entry with its named places where they are once heads are attached."""
    main = specs[0]
    embedding = backbone.embedding
    if embedding and embedding.startswith(f"{backbone.head}."):  # the heads took its place
        embedding = f"{backbone.head}.{main.task}.hidden" if main.hidden else None
    place = {spec.task: f"{backbone.head}.{spec.task}" for spec in specs}
    return replace(
        backbone,
        embedding=embedding,
        classifier=place[main.task],
        gender_classifier=place.get("gender"),
    )


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
