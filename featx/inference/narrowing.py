"""Weights kept in the precision of the arithmetic: what autocast would do in every batch, once.

Autocast rounds float32 weights to bfloat16 or float16 each time that they are used, which on a CPU
takes up to a third of a forward pass. Rounded once they give the same features, bit by bit.
"""

from __future__ import annotations

import torch
from torch import nn

from featx.inference.folding import copied

#: Modules whose weights are used by their own operation alone, which autocast does in the lower
#: precision. A subclass may do anything else with them.
_LOW = {
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
}


def narrow(network: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """Return a copy of a network whose convolutions and linear layers hold rounded weights.

    Parameters
    ----------
    network : torch.nn.Module
        With float32 weights, to be run under autocast; it is not changed.
    dtype : torch.dtype or None
        Of the autocast; None for none, with which the network is returned as it is.

    Returns
    -------
    torch.nn.Module
        It shares all other tensors with `network`; one that cannot be copied is returned as it is.
    """
    if dtype is None:
        return network
    narrowed = copied(network, (*network.parameters(), *network.buffers()))
    if narrowed is None:
        return network
    for module in narrowed.modules():
        # a hook before the pass may make the weights of others
        if type(module) in _LOW and not module._forward_pre_hooks:
            for name, weights in list(module.named_parameters(recurse=False)):
                rounded = nn.Parameter(weights.detach().to(dtype), requires_grad=False)
                setattr(module, name, rounded)
    return narrowed
