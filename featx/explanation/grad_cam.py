"""Grad-CAM: which places of the last convolution speak for an answer of the network.

The maps are those of captum (`captum.attr.LayerGradCam`); what is explained is chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from captum.attr import LayerGradCam
from torch import nn

from featx.errors import FeatxError, unknown
from featx.heads import Heads, HeadSpec, Task

#: What of a class is explained: its probability, as the cascaded paper does ("the gradients of the
#: softmax layer"), or its score before the softmax, as Selvaraju et al. 2017.
Score = Literal["probability", "logit"]
SCORES: tuple[Score, ...] = get_args(Score)

#: The target that is another class for each picture.
LIKELIEST = "likeliest"


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
        The class; None for the expected age, or with `likeliest`.
    likeliest : bool
        Each picture's own likeliest class.
    """

    name: str
    task: Task
    index: int | None = None
    likeliest: bool = False

    def score(
        self, heads: Heads, outputs: torch.Tensor, score: Score = "probability"
    ) -> torch.Tensor:
        """Map the network's outputs (n, outputs) to what is explained, (n,).

        That is the age in years or, of a class, what `SCORES` tells. CORAL and CORN have no score
        before a softmax: theirs is the logarithm of the probability.
        """
        head, own = heads.of(self.task), heads.split(outputs)[self.task]
        if self.index is None and not self.likeliest:
            return head.ages(own)
        probabilities = head.probabilities(own)
        if score == "probability":
            scores = probabilities
        elif head.spec.kind == "softmax":
            scores = own
        else:
            scores = probabilities.clamp_min(1e-12).log()
        if self.index is not None:
            return scores[:, self.index]
        return _taken(scores, probabilities)


def likeliest_score(outputs: torch.Tensor, score: Score = "probability") -> torch.Tensor:
    """Map the class scores (n, classes) of a network's own classifier to its likeliest class's."""
    return _taken(outputs.softmax(1) if score == "probability" else outputs, outputs)


def _taken(scores: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    return scores.gather(1, by.argmax(1, keepdim=True))[:, 0]


def read_target(name: str, specs: Mapping[Task, HeadSpec]) -> Target:
    """Read what is to be explained.

    Parameters
    ----------
    name : str
        ``age`` for the expected age, a class of the age head (``34``, ``25-32``), a gender, or
        ``likeliest`` for each picture's own likeliest class of the age head or, where that has no
        classes, of the gender head.
    specs : mapping of task to HeadSpec
        The network's heads.

    Raises
    ------
    FeatxError
        If the network does not tell that.
    """
    known = {"age": Target("age", "age")} if "age" in specs else {}
    for task, spec in specs.items():
        if spec.kind == "regression":
            continue
        known.setdefault(LIKELIEST, Target(LIKELIEST, task, likeliest=True))
        names = spec.groups or tuple(f"{value:g}" for value in spec.classes)
        known |= {each: Target(each, task, index) for index, each in enumerate(names)}
    if name not in known:
        raise unknown("target", name, known)
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
    equations 1 and 2), before the ReLU that leaves what speaks for it. König 2019 takes the mean
    over k in place of the sum, which is the same map in another unit.

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
        If the layer gives no feature map.
    """

    def scored(given: torch.Tensor) -> torch.Tensor:
        return score(network(given))

    explained = LayerGradCam(scored, network.get_submodule(layer))
    found = explained.attribute(images, relu_attributions=False)
    if not isinstance(found, torch.Tensor) or found.ndim != 4:
        raise FeatxError(f"layer {layer!r} gives no feature map to explain by; take another")
    return found.detach().float()[:, 0]
