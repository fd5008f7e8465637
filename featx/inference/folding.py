"""Batch normalisation folded into the convolution before it: less to do, the same features.

In evaluation a batch normalisation is a fixed factor and shift of each channel, which the
convolution before it can do by itself. Features change by rounding only.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable

import torch
from torch import nn
from torch.fx import Node, Tracer
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _LeafTracer(Tracer):
    """Goes into every module but torch's own, whatever the network is made of."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m.__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential)


def fold(network: nn.Module, taps: Collection[str]) -> nn.Module:
    """Return a network with its batch normalisations folded where nobody can tell.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; it is not changed. One whose forward pass depends on its input's
        values cannot be read and is returned as it is.
    taps : collection of str
        Modules whose outputs are wanted, which therefore stay what they are.

    Returns
    -------
    torch.nn.Module
        A copy with modules of the same names, or `network` where nothing can be folded.
    """
    pairs = _pairs(network, taps)
    folded = copied(network) if pairs else None
    if folded is None:
        return network
    for convolution, normalisation in pairs:
        fused = fuse_conv_bn_eval(
            folded.get_submodule(convolution),  # type: ignore[type-var]
            folded.get_submodule(normalisation),  # type: ignore[arg-type]
        )
        folded.set_submodule(convolution, fused)
        folded.set_submodule(normalisation, nn.Identity())
    return folded


def copied(network: nn.Module, shared: Iterable[torch.Tensor] = ()) -> nn.Module | None:
    """Return a copy that shares some tensors; None of a network that cannot be copied.

    Such are those with weights that another tensor makes anew before each pass (`weight_norm`).
    """
    try:
        return copy.deepcopy(network, {id(tensor): tensor for tensor in shared})
    except RuntimeError:
        return None


def _pairs(network: nn.Module, taps: Collection[str]) -> list[tuple[str, str]]:
    """Return convolutions and the batch normalisations that alone take their output."""
    try:
        graph = _LeafTracer().trace(network)
    except Exception:  # whatever the network's own code does with what is no tensor
        return []
    modules = dict(network.named_modules())
    # under a second name it would stay what it was
    names = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    found = []
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not (isinstance(before, Node) and before.op == "call_module"):
            continue
        convolution, normalisation = str(before.target), str(node.target)
        first, second = modules[convolution], modules[normalisation]
        if (
            isinstance(first, _CONVOLUTIONS)
            and isinstance(second, _NORMALISATIONS)
            and second.track_running_stats
            and len(before.users) == 1
            and names[id(first)] == names[id(second)] == 1
            and calls[convolution] == calls[normalisation] == 1
            and not any(_gives(tap, convolution, normalisation) for tap in taps)
        ):
            found.append((convolution, normalisation))
    return found


def _gives(tap: str, convolution: str, normalisation: str) -> bool:
    """Whether a module may give out what the convolution does, before it is normalised."""
    inside = f"{tap}."
    return tap == convolution or (
        convolution.startswith(inside) and not normalisation.startswith(inside)
    )
