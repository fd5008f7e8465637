"""Which convolutions of a network's graph can do what follows them, and what that is."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.fx import Graph, Node

from featx.inference.fused_convolution import NONE, Activation

_RELU: Activation = ("relu", [])
#: Activations in oneDNN's terms.
_ACTIVATIONS = {
    nn.ReLU: lambda _: _RELU,
    nn.ReLU6: lambda _: ("hardtanh", [0.0, 6.0]),
    nn.LeakyReLU: lambda module: ("leaky_relu", [module.negative_slope]),
    nn.SiLU: lambda _: ("swish", []),
}
#: What gives a tensor of its own and changes none.
_OWN = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_RELUS = frozenset({nn.functional.relu, torch.relu, torch.relu_, "relu", "relu_"})
_SUMS = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
_IN_PLACE = frozenset({operator.iadd, "add_"})


@dataclass
class Fusion:
    """A convolution's node and the last that it takes over, with the sum between them if any."""

    convolution: Node
    sum: Node | None
    last: Node
    size: torch.Size
    activation: Activation


class Finder:
    """Finds the convolutions of a graph and what may be done with each."""

    def __init__(
        self,
        graph: Graph,
        network: nn.Module,
        wanted: Collection[Node],
        kinds: dict[Node, tuple[torch.Size, torch.dtype]],
    ) -> None:
        self._nodes = list(graph.nodes)
        self._order = {node: place for place, node in enumerate(self._nodes)}
        self._modules = dict(network.named_modules(remove_duplicate=False))
        self._wanted = wanted
        self._kinds = kinds
        self._taken: set[Node] = set()

    def fusions(self) -> Iterator[Fusion]:
        """Yield them in the order in which they are to be carried out."""
        for node in self._nodes:
            pair = self._summed(node)
            after = self._follower(node)
            if pair:
                convolution = pair[0]
            elif self._convolves(node) and not self._comes_with(node, after):
                convolution = node
            else:
                continue
            activation = self._activation(after)
            last = after if after and activation and self._waits(node, after) else node
            self._taken |= {convolution, node, last}
            yield Fusion(
                convolution,
                node if pair else None,
                last,
                self._kinds[source(convolution)][0],
                activation if activation and last is not node else NONE,
            )

    def _comes_with(self, convolution: Node, after: Node | None) -> bool:
        pair = self._summed(after) if after else None
        return pair is not None and pair[0] is convolution

    def _summed(self, node: Node) -> tuple[Node, Node] | None:
        """Return the convolution and the shortcut that a node is the sum of, if it is."""
        if node.op == "call_module" or node.target not in _SUMS or node.kwargs:
            return None
        first, second = node.args
        pairs = (
            [(first, second)] if node.target in _IN_PLACE else [(first, second), (second, first)]
        )
        for convolution, shortcut in pairs:
            if (
                isinstance(convolution, Node)
                and isinstance(shortcut, Node)
                and self._convolves(convolution)
                and self._follower(convolution) is node
                and self._kinds.get(shortcut) == self._kinds[convolution]
                and shortcut not in (convolution, source(convolution))
                and self._done_with(shortcut, node)
                and self._waits(convolution, node)
            ):
                return convolution, shortcut
        return None

    def _follower(self, node: Node) -> Node | None:
        """Return what alone takes a node's output."""
        return None if node in self._wanted or len(node.users) != 1 else next(iter(node.users))

    def _convolves(self, node: Node) -> bool:
        module = self._module(node)
        return (
            type(module) is nn.Conv2d
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
            and not (module._forward_hooks or module._forward_pre_hooks)
            and len(node.args) == 1
            and not node.kwargs
            and node not in self._taken
        )

    def _done_with(self, shortcut: Node, last: Node) -> bool:
        """Whether a tensor is one of its own, at which only convolutions look before the last."""
        own = isinstance(self._module(shortcut), _OWN)
        return (own or shortcut in self._taken) and all(
            user is last
            or (isinstance(self._module(user), nn.Conv2d) and self._order[user] < self._order[last])
            for user in shortcut.users
        )

    def _waits(self, first: Node, last: Node) -> bool:
        """Whether nothing can have changed a convolution's input by the time of the last node."""
        between = self._nodes[self._order[first] + 1 : self._order[last]]
        return all(
            node in self._taken or isinstance(self._module(node), (*_OWN, nn.BatchNorm2d))
            for node in between
        )

    def _activation(self, node: Node | None) -> Activation | None:
        if node is None:
            return None
        if module := self._module(node):
            found = _ACTIVATIONS.get(type(module))
            hooked = module._forward_hooks or module._forward_pre_hooks
            return found(module) if found and not hooked else None
        return _RELU if node.target in _RELUS and len(node.args) == 1 else None

    def _module(self, node: Node) -> nn.Module | None:
        return self._modules[str(node.target)] if node.op == "call_module" else None


def source(convolution: Node) -> Node:
    """Return what gives a convolution's input."""
    (given,) = convolution.args
    assert isinstance(given, Node)
    return given
