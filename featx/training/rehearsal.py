"""A stage's network without its numbers, on which names are tried before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import nn

from featx.backbones import create, get_backbone
from featx.errors import FeatxError
from featx.heads import HeadSpec, attach_heads, with_heads
from featx.layers import LayerReader, resolve
from featx.training.unlocking import unlock


@lru_cache(maxsize=8)
def _outline(backbone: str, specs: tuple[HeadSpec, ...]) -> nn.Module:
    """Return the modules of a stage's network, with shapes but without numbers."""
    with torch.device("meta"):
        network = create(backbone)
        attach_heads(network, get_backbone(backbone), specs)
    return network


def check_unlock(backbone: str, specs: Sequence[HeadSpec], what: str) -> None:
    """See whether a stage's network has what the stage unlocks.

    Raises
    ------
    FeatxError
        As `featx.training.unlocking.unlock`.
    """
    unlock(_outline(backbone, tuple(specs)), get_backbone(backbone), what)


def check_layers(backbone: str, specs: Sequence[HeadSpec], layers: Sequence[str]) -> None:
    """See whether a stage's network has some layers, and whether they can be taken.

    Raises
    ------
    FeatxError
        As `featx.layers.resolve` and `featx.layers.LayerReader.probe`.
    """
    network = _outline(backbone, tuple(specs))
    entry = with_heads(get_backbone(backbone), specs)
    requests = resolve(layers, entry, network, has_head=specs[0].kind != "regression")
    blank = torch.zeros(1, 3, *entry.preprocessing.input_size, device="meta")
    with torch.inference_mode():
        LayerReader(network, requests).probe(blank)


def check_enough(
    backbone: str, specs: Sequence[HeadSpec], what: str, images: int, processes: int
) -> None:
    """See whether every process gets the two images that batch normalisation needs.

    Raises
    ------
    FeatxError
        If the network normalises batches in training and there are too few images.
    """
    if images >= 2 * processes:
        return
    network = _outline(backbone, tuple(specs))
    unlock(network, get_backbone(backbone), what)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and any(
            parameter.requires_grad for parameter in module.parameters()
        ):
            shared = f" for {processes} processes" if processes > 1 else ""
            raise FeatxError(
                f"{images} training image{'s' if images != 1 else ''}{shared}: the batch "
                f"normalisation of {backbone} needs two or more a process; give more images, or "
                "unlock only the head"
            )
