"""A new network that starts with what another backbone's network has learned."""

from __future__ import annotations

import torch
from torch import nn

from featx.backbones._registry import create, get_backbone
from featx.errors import FeatxError, unknown


def check_growth(backbone: str, parent_backbone: str) -> None:
    """See whether a network of one backbone can grow out of another's.

    Raises
    ------
    FeatxError
        If there is no such backbone, or no way from one to the other; near matches are named.
    """
    entry, former = get_backbone(backbone), get_backbone(parent_backbone)
    if not entry.grown_from:
        raise FeatxError(
            f"{entry.name} does not grow out of another network; start it from --weights instead"
        )
    if former.name not in entry.grown_from:
        raise unknown(f"network to grow {entry.name} from", former.name, entry.grown_from)


def grow(backbone: str, parent: nn.Module, parent_backbone: str, seed: int = 0) -> nn.Module:
    """Build a network of one backbone around the network of another.

    Parameters
    ----------
    backbone : str
        Of the new network.
    parent : torch.nn.Module
        What it takes over; it is not changed, and the two share no tensors.
    parent_backbone : str
        The parent's own.
    seed : int
        For all that the parent does not bring, the head among it.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    FeatxError
        If there is no such backbone, or no way from one to the other; near matches are named.
    """
    check_growth(backbone, parent_backbone)
    entry, former = get_backbone(backbone), get_backbone(parent_backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = create(entry.name)
    with torch.no_grad():
        entry.grown_from[former.name](network, parent)
    return network
