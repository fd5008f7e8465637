"""Grad-CAM: which places of the last convolution speak for an answer of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from featx.errors import FeatxError, unknown
from featx.heads import Heads, HeadSpec, Task


@dataclass(frozen=True)
class Target:
    """An answer of a network that is to be explained.

    Attributes
    ----------
    name : str
        As it was asked for.
    task : {"age", "gender"}
        Whose answer it is.
    index : int or None
        The class; None for the expected age.
    """

    name: str
    task: Task
    index: int | None = None

    def score(self, heads: Heads, outputs: torch.Tensor) -> torch.Tensor:
        """Map the network's outputs (n, outputs) to what is explained, (n,).

        That is the age in years or, of a class, its score before the softmax, as in the paper; of
        CORAL and CORN, which have no such score, the logarithm of its probability.
        """
        head, own = heads.of(self.task), heads.split(outputs)[self.task]
        if self.index is None:
            return head.ages(own)
        if head.spec.kind == "softmax":
            return own[:, self.index]
        return head.probabilities(own)[:, self.index].clamp_min(1e-12).log()


def read_target(name: str, specs: Mapping[Task, HeadSpec]) -> Target:
    """Read what is to be explained.

    Parameters
    ----------
    name : str
        ``age`` for the expected age, a class of the age head (``34``, ``25-32``), or a gender.
    specs : mapping of task to HeadSpec
        The network's heads.

    Raises
    ------
    FeatxError
        If the network does not tell that.
    """
    if name == "age" and "age" in specs:
        return Target(name, "age")
    known: dict[str, Target] = {}
    for task, spec in specs.items():
        names = spec.groups or tuple(f"{value:g}" for value in spec.classes)
        if spec.kind != "regression":
            known |= {each: Target(each, task, index) for index, each in enumerate(names)}
    if name not in known:
        raise unknown("target", name, [*(["age"] if "age" in specs else []), *known])
    return known[name]


def grad_cam(
    network: nn.Module,
    layer: str,
    images: torch.Tensor,
    score: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return how much each place of a layer speaks for (above 0) or against a score.

    ``L = Σ_k α_k A_k`` with ``α_k`` the mean over all places of ``∂score/∂A_k`` (Selvaraju et al.
    2017, "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV,
    equations 1 and 2), before the ReLU that leaves what speaks for it.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    layer : str
        The module whose output A is: (n, channels, h, w).
    images : torch.Tensor
        The network's input, (n, 3, height, width).
    score : callable
        Maps the network's outputs to a score an image, (n,), which no other image has a part in.

    Returns
    -------
    torch.Tensor
        float32, shape (n, h, w).

    Raises
    ------
    FeatxError
        If the layer gives no feature map, or the score does not depend on it.
    """
    kept: list[torch.Tensor] = []

    def cut(module: nn.Module, inputs: object, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            raise FeatxError(f"layer {layer!r} gives no feature map to explain by; take another")
        # the gradient is wanted from here on, and the trunk before it needs none
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # for what follows may work in place, which a leaf must not suffer

    handle = network.get_submodule(layer).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            scores = score(network(images))
            if len(kept) != 1:
                raise FeatxError(f"layer {layer!r} runs {len(kept)} times in a pass; take another")
            if not scores.requires_grad:
                raise FeatxError(f"layer {layer!r} has no part in what is to be explained")
            (gradient,) = torch.autograd.grad(scores.sum(), kept[0])
    finally:
        handle.remove()
    weights = gradient.float().mean((2, 3), keepdim=True)
    return (weights * kept[0].detach().float()).sum(1)
