"""Levi and Hassner's network fed with what a frozen network of the other task sees in the image.

Aminian and Noubir (Deep Cross-modal Age Estimation, section 4.2) tell age with the help of gender,
and, refining, gender with the help of age. All of their networks are the trunk of `levi_hassner`, a
second one that stays frozen (`other`), and a place where the two are joined:

- ``manual1``: FC2 and the embedding go into a third layer of 512 units, then the output;
- ``manual2``: FC3 of 512 units stands on FC2; it and the embedding go into the output;
- ``e2e``: all four combinations at once;
- ``no_embedding``: FC3 and no other network, which is what the others are to be held against.

The embedding is what the other network's FC1 or FC2 gives (after ReLU; its dropout is off).

In ``manual1`` and ``no_embedding`` FC3 is the hidden layer of the head, so that a stage's head
brings it.

What the paper leaves open of ``e2e`` is how "the last FC layer sets proper weights for each
variation", and what the four copies after the convolutions (Figure 5) share. Here the four share
FC1 and FC2, since the paper says that most computations are shared and that the number of
parameters does not grow significantly (four FC1 would add 21 million); each has an FC3 of its own.
What each variant would give to its output layer is put side by side, and one linear layer, the
head, stands on all of it. Its scores are a sum of four linear layers, one a variant: it holds every
weighting of the four variants' scores, and can weigh class by class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from featx.backbones._registry import register_backbone
from featx.backbones.levi_hassner import (
    CITATION,
    LEVI_HASSNER_227,
    OPTIONS,
    UNITS,
    LeviHassner,
    Trunk,
    copy_trunk,
    dense,
    new_head,
    resized,
)

#: Where an embedding is taken from.
EMBEDDINGS = ("fc1", "fc2")

NAMES = (
    *(f"levi_hassner_manual{place}_{layer}" for place in (1, 2) for layer in EMBEDDINGS),
    "levi_hassner_e2e",
    "levi_hassner_no_embedding",
)

#: Networks whose trunk can become part of one of these: that of the first round, and, for the
#: refinement, all of these.
PARENTS = ("levi_hassner", *NAMES)


class Join(nn.Module):
    """Features side by side, as a module so that they can be taken as a layer."""

    def forward(self, *features: torch.Tensor) -> torch.Tensor:
        """Map tensors (n, a), (n, b), … to (n, a + b + …)."""
        return torch.cat(features, 1)


class Manual1(Trunk):
    """FC2 joined with the other network's embedding, under a head with FC3."""

    def __init__(self, side: int, embedding: str, classes: int | None) -> None:
        super().__init__(side)
        self.embedding = embedding
        self.other = Trunk(side)
        self.join = Join()
        self.head = new_head(2 * UNITS, classes, hidden=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, side, side) to class scores."""
        own, other = self.embeddings(x), self.other.embeddings(x)
        return self.head(self.join(own["fc2"], other[self.embedding]))


class Manual2(Trunk):
    """FC3 joined with the other network's embedding, under a head that is an output alone."""

    def __init__(self, side: int, embedding: str, classes: int | None) -> None:
        super().__init__(side)
        self.embedding = embedding
        self.other = Trunk(side)
        self.fc3 = dense(UNITS)
        self.join = Join()
        self.head = new_head(2 * UNITS, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, side, side) to class scores."""
        own, other = self.embeddings(x), self.other.embeddings(x)
        return self.head(self.join(self.fc3(own["fc2"]), other[self.embedding]))


class EndToEnd(Trunk):
    """The four variants side by side under one linear layer; see the module."""

    def __init__(self, side: int, classes: int | None) -> None:
        super().__init__(side)
        self.other = Trunk(side)
        self.early = nn.ModuleDict({layer: dense(2 * UNITS) for layer in EMBEDDINGS})
        self.late = nn.ModuleDict({layer: dense(UNITS) for layer in EMBEDDINGS})
        self.join = Join()
        self.head = new_head(2 * UNITS + 2 * 2 * UNITS, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (n, 3, side, side) to class scores."""
        own, other = self.embeddings(x)["fc2"], self.other.embeddings(x)
        features: list[torch.Tensor] = []
        for layer in EMBEDDINGS:
            features.append(self.early[layer](torch.cat([own, other[layer]], 1)))
        for layer in EMBEDDINGS:
            features += [self.late[layer](own), other[layer]]
        return self.head(self.join(*features))


def _into_both(network: nn.Module, parent: nn.Module) -> None:
    """Start the network where the parent is, and let it see what the parent sees."""
    copy_trunk(network, parent)
    copy_trunk(network.get_submodule("other"), parent)


def _adapt(growth: Callable[[nn.Module, nn.Module], None], input: int) -> Mapping[str, Any]:
    """Let a network of another input size grow out of those of the same size."""
    parents = [f"{parent}:input={input}" for parent in PARENTS]
    return {**resized(input), "grown_from": dict.fromkeys(parents, growth)}


_register = partial(
    register_backbone,
    first_conv="conv1",
    last_conv="conv3",
    preprocessing=LEVI_HASSNER_227,
    citation=CITATION,
    head="head",
    options=OPTIONS,
)
_register_joined = partial(
    _register,
    frozen=("other",),
    grown_from=dict.fromkeys(PARENTS, _into_both),
    adapt=partial(_adapt, _into_both),
)


@_register_joined(
    "levi_hassner_manual1_fc1",
    embedding="head.hidden",
    classifier="head.output",
    hidden=(UNITS,),
)
def manual1_fc1(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the first architecture on the other network's FC1; 8 classes by default."""
    return Manual1(input, "fc1", classes)


@_register_joined(
    "levi_hassner_manual1_fc2",
    embedding="head.hidden",
    classifier="head.output",
    hidden=(UNITS,),
)
def manual1_fc2(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the first architecture on the other network's FC2; 8 classes by default."""
    return Manual1(input, "fc2", classes)


@_register_joined("levi_hassner_manual2_fc1", embedding="join", classifier="head")
def manual2_fc1(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the second architecture on the other network's FC1; 8 classes by default."""
    return Manual2(input, "fc1", classes)


@_register_joined("levi_hassner_manual2_fc2", embedding="join", classifier="head")
def manual2_fc2(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the second architecture on the other network's FC2; 8 classes by default."""
    return Manual2(input, "fc2", classes)


@_register_joined("levi_hassner_e2e", embedding="join", classifier="head")
def e2e(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the end-to-end architecture, all four variants in one; 8 classes by default."""
    return EndToEnd(input, classes)


@_register(
    "levi_hassner_no_embedding",
    embedding="head.hidden",
    classifier="head.output",
    hidden=(UNITS,),
    grown_from=dict.fromkeys(PARENTS, copy_trunk),
    adapt=partial(_adapt, copy_trunk),
)
def no_embedding(classes: int | None = None, *, input: int = 227) -> nn.Module:
    """Build the trunk under a head with FC3, without another network; 8 classes by default."""
    return LeviHassner(input, new_head(UNITS, classes, hidden=True))
