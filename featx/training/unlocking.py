"""Which parameters a stage may change."""

from __future__ import annotations

from torch import nn

from featx.backbones import Backbone
from featx.errors import unknown


def unlock(network: nn.Module, backbone: Backbone, what: str) -> list[str]:
    """Unlock some parameters for training and lock all others.

    Parameters
    ----------
    network : torch.nn.Module
        With its head in place.
    backbone : Backbone
        Says where the head is.
    what : str
        ``all``; ``head``; or the name of a module: it, every module registered after it, and the
        head. Registration order is the order of the forward pass in all registered backbones.

    Returns
    -------
    list of str
        The names of the unlocked parameters.

    Raises
    ------
    FeatxError
        If there is no such module; near matches are named.
    """
    names = [name for name, _ in network.named_parameters()]
    head = {name for name in names if name.startswith(f"{backbone.head}.")}
    if what == "all":
        unlocked = set(names)
    elif what == "head":
        unlocked = head
    else:
        modules = [name for name, _ in network.named_modules() if name]
        if what not in modules:
            raise unknown(f"module to unlock of {backbone.name}", what, ["all", "head", *modules])
        # a module without parameters, such as a pooling layer, unlocks what comes after it
        later = modules[modules.index(what) :]
        first = next(n for module in later for n in names if n.startswith(f"{module}."))
        unlocked = set(names[names.index(first) :]) | head
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in unlocked)
    return [name for name in names if name in unlocked]


def training_mode(network: nn.Module) -> None:
    """Set a network to training, but normalisation whose parameters are locked stays as it is.

    Its running statistics belong to the locked parameters: they would drift away from them.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
