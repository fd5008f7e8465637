"""Which parameters a stage may change."""

from __future__ import annotations

from torch import nn

from featx.backbones import Backbone
from featx.errors import FeatxError, unknown

#: The attribute that marks a module which `training_mode` leaves in evaluation mode.
_STAYS = "stays_in_evaluation_mode"


def unlock(network: nn.Module, backbone: Backbone, what: str) -> list[str]:
    """Unlock some parameters for training and lock all others.

    The backbone's frozen modules stay locked whatever is unlocked, and `training_mode` will leave
    them in evaluation mode.

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
        If there is no such module (near matches are named), or it is frozen.
    """
    names = [name for name, _ in network.named_parameters()]
    frozen = {name for name in names if _within(name, backbone.frozen)}
    head = {name for name in names if name.startswith(f"{backbone.head}.")}
    if what == "all":
        unlocked = set(names)
    elif what == "head":
        unlocked = head
    else:
        modules = [name for name, _ in network.named_modules() if name]
        if what not in modules:
            raise unknown(f"module to unlock of {backbone.name}", what, ["all", "head", *modules])
        if _within(what, backbone.frozen):
            raise FeatxError(
                f"{what} cannot be unlocked: {' and '.join(backbone.frozen)} of {backbone.name} "
                "stays as it is; unlock all, head or another module"
            )
        # a module without parameters, such as a pooling layer, unlocks what comes after it
        later = modules[modules.index(what) :]
        first = next((n for m in later for n in names if n.startswith(f"{m}.")), None)
        unlocked = head if first is None else set(names[names.index(first) :]) | head
    unlocked -= frozen
    for name in backbone.frozen:
        setattr(network.get_submodule(name), _STAYS, True)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in unlocked)
    return [name for name in names if name in unlocked]


def training_mode(network: nn.Module) -> None:
    """Set a network to training, but not what its stage leaves as it is.

    Normalisation whose parameters are locked stays in evaluation mode: its running statistics
    belong to the parameters and would drift away from them. So do modules that `unlock` found to be
    frozen, dropout and all: what they give for an image must not change either.
    """
    network.train()
    for module in network.modules():
        if getattr(module, _STAYS, False):
            module.eval()
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()


def _within(name: str, modules: tuple[str, ...]) -> bool:
    """Tell whether a dotted name is one of some modules or inside one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)
