"""What is to be explained of a network, checked against what it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from featx.errors import FeatxError, unknown
from featx.explanation.grad_cam import SCORES, Score, Target, read_target
from featx.explanation.maps import attention_modules
from featx.prediction.model import Model

Method = Literal["filters", "attention", "features", "grad-cam"]

#: In the order in which they are made.
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Explaining:
    """What is to be explained, and how.

    Attributes
    ----------
    methods : tuple of str
        Of `METHODS`.
    targets : tuple of Target
        What Grad-CAM explains.
    channels : int
        Feature maps a stage: those that vary most from place to place.
    score : {"probability", "logit"}
        What of a class Grad-CAM explains; see `featx.explanation.grad_cam.Score`.
    """

    methods: tuple[Method, ...]
    targets: tuple[Target, ...]
    channels: int = 6
    score: Score = "probability"

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "methods": list(self.methods),
            "targets": [target.name for target in self.targets],
            "channels": self.channels,
            "score": self.score,
        }


def choose(
    model: Model,
    methods: Sequence[str] = (),
    targets: Sequence[str] = (),
    channels: int = 6,
    score: str = "probability",
    among: Sequence[Method] = METHODS,
) -> Explaining:
    """Check what is asked for against what a network has.

    Parameters
    ----------
    model : Model
        The network.
    methods : sequence of str
        Of `METHODS`; by default all that it can be explained by.
    targets : sequence of str
        As `read_target`; by default the expected age or, of a network without it, both genders.
    channels : int
        Feature maps a stage.
    score : str
        Of `SCORES`.
    among : sequence of str
        The methods that can be asked for here.

    Raises
    ------
    FeatxError
        If a method, target or score is unknown, or the network has no attention to show.
    """
    for method in methods:
        if method not in among:
            raise unknown("method", method, among)
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    attentive = bool(attention_modules(model.network.module))
    if "attention" in methods and not attentive:
        raise FeatxError(
            f"{model.network.backbone.name} has no modules of attention; residual_attention has, "
            "or use --method grad-cam"
        )
    chosen = tuple(
        method
        for method in among
        if method in methods or (not methods and (method != "attention" or attentive))
    )
    specs = model.specs
    default = ("age",) if "age" in specs else specs["gender"].groups
    read = tuple(read_target(target, specs) for target in dict.fromkeys(targets or default))
    return Explaining(
        chosen,
        read if "grad-cam" in chosen else (),
        channels,
        next(each for each in SCORES if each == score),
    )
