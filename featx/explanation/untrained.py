"""A network as it was before any training: its weights drawn anew, all or from the head down."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from featx.backbones import create, get_backbone
from featx.heads import attach_heads
from featx.weights import LoadedNetwork


def untrained(network: LoadedNetwork, seed: int, images: torch.Tensor | None = None) -> nn.Module:
    """Return a fine-tuned network's architecture, heads included, in an initial state.

    Parameters
    ----------
    network : LoadedNetwork
        With heads.
    seed : int
        Of the draw; the trunk is that of the weights ``random:SEED``.
    images : torch.Tensor, optional
        Network input, (n, 3, height, width), whose activations batch normalisations take their
        means and variances from. Without, these are 0 and 1: activations then grow with the depth
        of a network without training, until the softmax is so sure that it has no gradient.

    Returns
    -------
    torch.nn.Module
        On the images' device, else the CPU; in evaluation mode, without gradients.
    """
    backbone = get_backbone(network.backbone.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = create(backbone.name)
        attach_heads(module, backbone, network.heads)
    module.eval().requires_grad_(False)
    if images is not None:
        _settle(module.to(images.device), images)
    return module


def _settle(module: nn.Module, images: torch.Tensor) -> None:
    """Give batch normalisations the statistics of some images and their mirror images."""

    def take(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        values = given[0].float().transpose(0, 1).flatten(1)
        norm.running_mean.copy_(values.mean(1))
        norm.running_var.copy_(values.var(1, correction=0))

    norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    handles = [each.register_forward_pre_hook(take) for each in norms if each.track_running_stats]
    try:
        with torch.no_grad():  # not inference_mode: the statistics are to be used later
            module(torch.cat([images, images.flip(3)]))
    finally:
        for handle in handles:
            handle.remove()


def cascade(
    network: LoadedNetwork, drawn: nn.Module, units: list[str]
) -> Iterator[tuple[str, nn.Module]]:
    """Replace a network's weights by drawn ones, unit by unit, each on top of those before it.

    Parameters
    ----------
    network : LoadedNetwork
        It stays as it is.
    drawn : torch.nn.Module
        From `untrained`.
    units : list of str
        From `weighted_units`.

    Yields
    ------
    str, torch.nn.Module
        The unit that was replaced, and the network, the same object each time. After the last, all
        that runs is drawn.
    """
    changed = copy.deepcopy(network.module)
    for unit in units:
        changed.get_submodule(unit).load_state_dict(drawn.get_submodule(unit).state_dict())
        yield unit, changed


def weighted_units(network: LoadedNetwork) -> list[str]:
    """Return the parts of a network that hold its weights, the last that runs first.

    They are the network's children, as the architecture has them; a child with more than half of
    all layers that have weights (a trunk in one piece) is taken apart in its turn.
    """
    layers = [
        name
        for name, module in network.module.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]

    def held(unit: str) -> int:
        return sum(name == unit or name.startswith(f"{unit}.") for name in layers)

    def parts(unit: str) -> list[str]:
        children = network.module.get_submodule(unit).named_children()
        names = [f"{unit}.{name}" if unit else name for name, _ in children]
        return [name for name in names if held(name)]

    def divisible(unit: str) -> bool:
        return 2 * held(unit) > len(layers) and unit not in layers and bool(parts(unit))

    units = parts("")
    while large := next((unit for unit in units if divisible(unit)), None):
        place = units.index(large)
        units[place : place + 1] = parts(large)
    return _in_order(network, layers, units)


def _in_order(network: LoadedNetwork, layers: list[str], units: list[str]) -> list[str]:
    """Return the units that run, by where their first layer comes, the last first."""
    begun: list[str] = []
    modules = dict(network.module.named_modules())

    def note(layer: str) -> None:
        begun.extend(each for each in units if layer == each or layer.startswith(f"{each}."))

    handles = [
        modules[layer].register_forward_hook(lambda module, given, output, name=layer: note(name))
        for layer in layers
    ]
    device = next(network.module.parameters()).device
    try:
        with torch.inference_mode():
            network.module(torch.zeros(1, 3, *network.preprocessing.input_size, device=device))
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(begun))[::-1]
