"""A stage's network without its numbers, on which names are tried before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from featx.backbones import create, get_backbone
from featx.errors import FeatxError
from featx.heads import HeadSpec, attach_heads, with_heads
from featx.layers import LayerReader, resolve
from featx.memory import free_memory
from featx.training.unlocking import unlock

if TYPE_CHECKING:
    from featx.training.config.stage import Stage

#: What PyTorch raises where shapes do not fit.
_IMPOSSIBLE = (RuntimeError, ValueError, ArithmeticError)

#: Numbers that an optimiser keeps for every parameter.
_MOMENTS = {"adam": 2, "adamw": 2, "sgd": 1}


@lru_cache(maxsize=8)
def _outline(backbone: str, specs: tuple[HeadSpec, ...]) -> nn.Module:
    """Return the modules of a stage's network, with shapes but without numbers.

    Raises
    ------
    FeatxError
        If its structure is impossible: its layers leave nothing of an image, or do not fit one
        another.
    """
    try:
        with torch.device("meta"):
            network = create(backbone)
            attach_heads(network, get_backbone(backbone), specs)
    except _IMPOSSIBLE as error:
        height, width = get_backbone(backbone).preprocessing.input_size
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FeatxError(
            f"{backbone} cannot be built for images of {height} by {width}: {reason}"
        ) from None
    return network


def check_memory(
    backbone: str,
    specs: Sequence[HeadSpec],
    stage: Stage,
    device: torch.device,
    *,
    shared: bool = False,
) -> None:
    """See whether a stage's network fits into the memory that is free on this machine.

    Counted are copies of the network: the one that is started from (unless it is `shared`, for then
    it is there already), the one that is trained, and the best one where the stage keeps it; on
    the CPU also gradients and what the optimiser keeps. Images come on top. A GPU tells by itself
    that its memory is spent; the system would end the process.

    Raises
    ------
    FeatxError
        If memory will not suffice.
    """
    network = _outline(backbone, tuple(specs))
    unlock(network, get_backbone(backbone), stage.unlock)
    count = sum(parameter.numel() for parameter in network.parameters())
    numbers = (1 + (not shared) + (stage.keep == "best")) * count
    if device.type == "cpu":
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        numbers += (1 + _MOMENTS[stage.optimiser.name]) * trained
    needed, free = 4 * numbers, free_memory()
    if needed > free:
        raise FeatxError(
            f"{backbone} has {count / 1e6:,.0f} million parameters: training it takes "
            f"{needed / 1e9:.1f} GB at least, and {free / 1e9:.1f} GB are free"
        )


def check_unlock(backbone: str, specs: Sequence[HeadSpec], what: str) -> None:
    """See whether a stage's network has what the stage unlocks.

    Raises
    ------
    FeatxError
        As `featx.training.unlocking.unlock`, or if the network cannot be built.
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
