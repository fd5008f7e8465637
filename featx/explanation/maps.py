"""Maps that a network makes of an image on its way: masks of attention, stages of convolution."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

#: Modules whose output says where to look, by their full name.
ATTENTION = re.compile(r"attention\d+\.mask")


#: Height and width.
Size = tuple[int, int]


def attention_modules(network: nn.Module) -> list[str]:
    """Return the names of a network's modules that are masks of attention, in its order."""
    return [name for name, _ in network.named_modules() if ATTENTION.fullmatch(name)]


def attention_maps(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return how much each mask of attention lets through, place by place.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    images : torch.Tensor
        Its input, (n, 3, height, width).

    Returns
    -------
    dict of str to torch.Tensor
        Of each module of `attention_modules`: float32 (n, h, w), the mean over its channels.
    """
    taken: dict[str, torch.Tensor] = {}

    def take(name: str, output: torch.Tensor) -> None:
        taken[name] = output.float().mean(1)

    with torch.inference_mode(), watching(network, attention_modules(network), take):
        network(images)
    return taken


def stage_maps(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the feature maps of each stage of convolution.

    A stage is all that convolves at one resolution, and its maps are those that leave it, with
    the normalisation and activation that follow. Of a network like AgeNet, where pooling follows
    every convolution, the stages are its convolution layers; of a residual network, its stages.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    images : torch.Tensor
        Its input, (n, 3, height, width).

    Returns
    -------
    dict of str to torch.Tensor
        By the module's name, finest resolution first: float32 (n, channels, h, w).
    """
    seen: list[tuple[str, Size]] = []
    everything = [name for name, _ in network.named_modules() if name]
    taken: dict[str, torch.Tensor] = {}

    def note(name: str, output: torch.Tensor) -> None:
        seen.append((name, (output.shape[2], output.shape[3])))

    def take(name: str, output: torch.Tensor) -> None:
        # as it is now, for what follows may work in place
        taken[name] = output.float().clone()

    with torch.inference_mode():
        with watching(network, everything, note):
            network(images[:1])
        names = _stage_ends(network, seen)
        with watching(network, names, take):
            network(images)
    return {name: taken[name] for name in names}


def _stage_ends(network: nn.Module, seen: list[tuple[str, Size]]) -> list[str]:
    """Return the module that each stage ends with, of all feature maps in the order they came."""
    parts = dict(network.named_modules())
    convolutions = {name for name, _ in seen if isinstance(parts[name], nn.Conv2d)}
    sizes = dict(seen)

    def convolves(name: str, size: Size) -> bool:
        return any(
            sizes[each] == size and (each == name or each.startswith(f"{name}."))
            for each in convolutions
        )

    ends = []
    # of one pixel are embeddings, and weights of channels: no pictures
    for size in sorted({sizes[name] for name in convolutions} - {(1, 1)}, reverse=True):
        within = [(n, name) for n, (name, own) in enumerate(seen) if own == size]
        inside = [(n, name) for n, name in within if convolves(name, size)]
        # the largest parts, for the first layers of the next stage may run at this resolution too
        depth = min(name.count(".") for _, name in inside)
        number, end = max((n, name) for n, name in inside if name.count(".") == depth)
        parent = end.rpartition(".")[0]
        for later, name in within:
            beside = name.rpartition(".")[0] == parent
            plain = name not in convolutions and not any(
                each.startswith(f"{name}.") for each in convolutions
            )
            if later > number and beside and plain:
                end = name
        ends.append(end)
    return ends


def most_varied(maps: torch.Tensor, count: int) -> torch.Tensor:
    """Return the channels whose maps vary most from place to place, most varied first.

    Parameters
    ----------
    maps : torch.Tensor
        Of one image, (channels, h, w).
    count : int
        How many are wanted; all where there are fewer.
    """
    deviation = maps.flatten(1).std(1)
    return deviation.argsort(descending=True, stable=True)[:count]


@contextmanager
def watching(
    network: nn.Module, names: list[str], take: Callable[[str, torch.Tensor], None]
) -> Iterator[None]:
    """Tell `take` the name and output of some modules, where it is a feature map, as they run."""

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                take(name, output)

        return hook

    modules: Mapping[str, nn.Module] = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(watch(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
