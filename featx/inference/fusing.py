"""A convolution, the sum with a shortcut and the activation behind it in one operation of oneDNN.

Each for itself, they read and write a whole map for one sum or comparison a value; on a CPU that
takes up to half of a forward pass in bfloat16. oneDNN does them while the convolution's values are
at hand (its post-ops). Torch has these operations for its compiler, which needs a C++ compiler and
half a minute; here they are called as they are. Features change by rounding only.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Interpreter, Node, Proxy, Tracer

from featx.inference.fused_convolution import FusedConvolution, possible
from featx.inference.fusible import Finder, Fusion, source
from featx.precision import TOLERANCES

logger = logging.getLogger(__name__)


def fuse(
    network: nn.Module, taps: Collection[str], images: torch.Tensor, at_once: int
) -> nn.Module:
    """Return a network whose convolutions do what follows them, where nobody can tell.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode, on the CPU, float32 or narrowed (see `narrowing`); it is not changed.
    taps : collection of str
        Modules whose outputs are wanted. In the result they are modules that give the same; its
        other modules have other names.
    images : torch.Tensor
        Some input with which to try it; call this within the autocast that it is to run in, and
        `torch.inference_mode`.
    at_once : int
        Images that it will mostly be given; other numbers take longer.

    Returns
    -------
    torch.nn.Module
        It shares other tensors with `network`; `network` itself where it cannot be read, where
        there is nothing to fuse, where this machine or release of torch has no such operations,
        or where they give something else.
    """
    if not possible(network):
        return network
    tracer = _Tracer(taps)
    try:
        graph = tracer.trace(network)
        outputs = {tap: _only(tracer.given[tap]) for tap in taps}
        _pass_over_identities(graph, network, outputs)
        kinds = _Kinds(network, graph)
        kinds.run(images)
        fusions = list(Finder(graph, network, set(outputs.values()), kinds.found).fusions())
        if not fusions:
            return network
        fused = _built(graph, network, fusions, outputs, at_once)
        right = _agree(_outputs(fused, images, taps), _outputs(network, images, taps))
        return fused if right else network
    except Exception as error:  # whatever a network's own code, or a machine's oneDNN, makes of it
        logger.debug("convolutions are not fused: %s: %s", type(error).__name__, error)
        return network


class _Tracer(Tracer):
    """Goes into what holds convolutions or taps, and notes what each module gives."""

    def __init__(self, taps: Collection[str]) -> None:
        super().__init__()
        self.given: dict[str, list[Any]] = {}
        self._taps = taps

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        inside = f"{module_qualified_name}."
        return isinstance(m, nn.Conv2d) or not (
            any(isinstance(each, nn.Conv2d) for each in m.modules())
            or any(tap.startswith(inside) for tap in self._taps)
        )

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        given = super().call_module(m, forward, args, kwargs)
        self.given.setdefault(self.path_of_module(m), []).append(given)
        return given


def _only(given: list[Any]) -> Node:
    (one,) = given
    assert isinstance(one, Proxy)
    return one.node


def _pass_over_identities(graph: Graph, network: nn.Module, outputs: dict[str, Node]) -> None:
    """Take out what folded normalisations have left."""
    for node in list(graph.nodes):
        if (
            node.op == "call_module"
            and type(network.get_submodule(str(node.target))) is nn.Identity
        ):
            (before,) = node.all_input_nodes
            node.replace_all_uses_with(before)
            graph.erase_node(node)
            outputs.update({tap: before for tap, output in outputs.items() if output is node})


class _Kinds(Interpreter):
    """Runs a graph and notes size and type of every tensor."""

    def __init__(self, network: nn.Module, graph: Graph) -> None:
        super().__init__(network, graph=graph)
        self.found: dict[Node, tuple[torch.Size, torch.dtype]] = {}

    def run_node(self, n: Node) -> Any:
        given = super().run_node(n)
        if isinstance(given, torch.Tensor):
            self.found[n] = (given.shape, given.dtype)
        return given


def _built(
    graph: Graph,
    network: nn.Module,
    fusions: list[Fusion],
    outputs: dict[str, Node],
    at_once: int,
) -> GraphModule:
    """Return the network of a graph, changed by the fusions."""
    parts: dict[str, Any] = {}
    for number, fusion in enumerate(fusions):
        convolution = network.get_submodule(str(fusion.convolution.target))
        assert isinstance(convolution, nn.Conv2d)
        name = f"fused_{number}"
        size = torch.Size((at_once, *fusion.size[1:]))
        parts[name] = FusedConvolution(convolution, size, fusion.activation)
        node = _replace(graph, fusion, name)
        outputs.update({tap: node for tap, output in outputs.items() if output is fusion.last})
    for number, node in enumerate(list(graph.nodes)):
        target = str(node.target)
        kept = node.op == "call_module" and outputs.get(target) is node
        if node.op not in ("call_module", "get_attr") or target in parts:
            continue
        owner, _, attribute = target.rpartition(".")
        node.target = target if kept else f"part_{number}"
        parts[node.target] = getattr(network.get_submodule(owner), attribute)
    for tap, node in outputs.items():
        if tap not in parts:  # it was taken over, or is made of several
            parts[tap] = nn.Identity()
            with graph.inserting_after(node):
                graph.call_module(tap, (node,))
    return GraphModule(parts, graph).eval()


def _replace(graph: Graph, fusion: Fusion, name: str) -> Node:
    """Put a fused convolution in the place of the nodes that it takes over."""
    given = [source(fusion.convolution)]
    if fusion.sum:
        given += [each for each in fusion.sum.all_input_nodes if each is not fusion.convolution]
    with graph.inserting_after(fusion.last):
        node = graph.call_module(name, tuple(given))
    fusion.last.replace_all_uses_with(node)
    for gone in dict.fromkeys((fusion.last, fusion.sum or fusion.last, fusion.convolution)):
        graph.erase_node(gone)
    return node


def _outputs(
    network: nn.Module, images: torch.Tensor, taps: Collection[str]
) -> dict[str, torch.Tensor]:
    """Return what some modules give, each once, in a pass."""
    found: dict[str, torch.Tensor] = {}

    def hook(tap: str) -> Any:
        return lambda module, given, output: found.update({tap: output.clone()})

    handles = [network.get_submodule(tap).register_forward_hook(hook(tap)) for tap in taps]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _agree(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    """Whether tensors are equal within the numerical contract."""
    limit = TOLERANCES["bf16" if torch.is_autocast_enabled("cpu") else "fp32"]
    return all(
        bool((found[tap].float() - right.float()).norm() <= limit * right.float().norm())
        for tap, right in wanted.items()
    )
