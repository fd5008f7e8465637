"""The networks that are explained: one alone, or one before and after its fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from featx.backbones import Preprocessing
from featx.devices import exact_arithmetic
from featx.errors import FeatxError
from featx.explanation.choice import Explaining
from featx.explanation.grad_cam import LIKELIEST, Target, grad_cam, likeliest_score, read_target
from featx.explanation.maps import attention_maps
from featx.explanation.untrained import untrained
from featx.heads import Heads
from featx.prediction.model import Model
from featx.views import Normalise, crops
from featx.weights import LoadedNetwork, load_network

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Side:
    """A network that is explained.

    Attributes
    ----------
    name : str
        ``before`` or ``after``; empty where it is alone.
    network : LoadedNetwork
        Its module is on `device`, in evaluation mode, without gradients.
    device : torch.device
        Where it calculates.
    scores : mapping of str to callable
        What Grad-CAM explains, by name: from the network's outputs to a score an image.
    note : str
        What of it cannot be shown, and why.
    """

    name: str
    network: LoadedNetwork
    device: torch.device
    scores: Mapping[str, Callable[[torch.Tensor], torch.Tensor]]
    note: str = ""

    def input(self, faces: np.ndarray) -> torch.Tensor:
        """Map faces, uint8 (n, height, width, 3) in RGB, to the network's input."""
        pixels = torch.tensor(faces).permute(0, 3, 1, 2)
        if self.network.preprocessing.channels == "BGR":
            pixels = pixels.flip(1)
        return Normalise(self.network.preprocessing, self.device)(pixels)

    def place_maps(self, images: torch.Tensor, explaining: Explaining) -> dict[str, np.ndarray]:
        """Return the maps that say of each place how much it matters.

        Parameters
        ----------
        images : torch.Tensor
            From `input`, (n, 3, height, width).
        explaining : Explaining
            Which are wanted.

        Returns
        -------
        dict of str to numpy.ndarray
            ``attention/MODULE`` and ``grad-cam/TARGET``: float32 (n, h, w).
        """
        module, found = self.network.module, {}
        with exact_arithmetic():
            if "attention" in explaining.methods:
                for name, masks in attention_maps(module, images).items():
                    found[f"attention/{name}"] = masks
            for name, score in self.scores.items():
                layer = self.network.backbone.last_conv
                found[f"grad-cam/{name}"] = grad_cam(module, layer, images, score)
        return {name: maps.cpu().numpy() for name, maps in found.items()}

    def with_module(self, module: nn.Module) -> Side:
        """Return the same with other weights."""
        return replace(self, network=replace(self.network, module=module))

    def describe(self) -> dict[str, Any]:
        """Return which network it is, as JSON values."""
        return {
            "backbone": self.network.backbone.name,
            "weights": self.network.weights,
            "sha256": self.network.sha256,
        }

    def told(self) -> str:
        """Return it in a line."""
        return f"{self.network.weights}{'; ' if self.note else ''}{self.note}"


def rgb(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return pictures as a network sees them, in RGB: uint8 (n, height, width, 3).

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8, (n, height, width, 3), as `featx.loading.pixel_array` makes them.
    preprocessing : Preprocessing
        The network's.
    """
    (middle,) = crops(torch.tensor(pixels).permute(0, 3, 1, 2), preprocessing.input_size)
    shown = middle.permute(0, 2, 3, 1).numpy()
    if preprocessing.channels == "BGR":
        shown = shown[..., ::-1]
    return np.ascontiguousarray(shown)


def sides(
    model: Model, explaining: Explaining, before: str | None = None, *, seed: int = 0
) -> list[Side]:
    """Return the network that is explained and, first, the one before its fine-tuning if wanted.

    Parameters
    ----------
    model : Model
        The network.
    explaining : Explaining
        What is to be shown of it.
    before : str, optional
        Weights of the same backbone, as `featx.weights.load_network` takes them, or the folder of
        a stage of `featx finetune`. ``random`` draws the heads too.
    seed : int
        For ``random`` without a seed.

    Raises
    ------
    FeatxError
        If the weights before cannot be had, are another backbone's, or see pictures of another
        size.
    """
    scores = {each.name: _score(each, model.heads, explaining) for each in explaining.targets}
    after = Side(AFTER if before else "", model.network, model.device, scores)
    return [_before(before, model, explaining, seed), after] if before else [after]


def _before(weights: str, model: Model, explaining: Explaining, seed: int) -> Side:
    folder = Path(weights).expanduser()
    if (folder / "network.safetensors").is_file():
        weights = str(folder / "network.safetensors")
    try:
        network = load_network(model.network.backbone.name, weights, seed=seed)
    except FeatxError as error:
        raise FeatxError(str(error).replace("--weights", "--before")) from error
    if network.weights.startswith("random:"):  # its heads are of the same draw
        module = untrained(model.network, int(network.weights.partition(":")[2]))
        network = replace(
            network, module=module, heads=model.network.heads, backbone=model.network.backbone
        )
    size, wanted = network.preprocessing.input_size, model.preprocessing.input_size
    if size != wanted:
        raise FeatxError(
            f"--before {weights}: it looks at {size[0]}x{size[1]} pixels, the network at "
            f"{wanted[0]}x{wanted[1]}; side by side they must see the same picture"
        )
    module = network.module.requires_grad_(False).to(model.device)
    network = replace(network, module=module)
    scores, note = _scores_before(network, explaining)
    return Side(BEFORE, network, model.device, scores, note)


def _scores_before(
    network: LoadedNetwork, explaining: Explaining
) -> tuple[dict[str, Callable[[torch.Tensor], torch.Tensor]], str]:
    """Return what Grad-CAM can explain of the network before, and what it cannot."""
    if not explaining.targets:
        return {}, ""
    place = network.module.get_submodule(network.backbone.head)
    if not isinstance(place, Heads):
        if network.has_head:
            own = partial(likeliest_score, score=explaining.score)
            return {LIKELIEST: own}, "tells no age; Grad-CAM of its own likeliest class"
        return {}, "it has no head, so no Grad-CAM before"
    scores, missing = {}, []
    specs = {spec.task: spec for spec in network.heads}
    for target in explaining.targets:
        try:
            read = read_target(target.name, specs)
        except FeatxError:
            missing.append(target.name)
            continue
        scores[target.name] = _score(read, place, explaining)
    return scores, f"its head does not tell {', '.join(missing)}" if missing else ""


def _score(
    target: Target, heads: Heads, explaining: Explaining
) -> Callable[[torch.Tensor], torch.Tensor]:
    return partial(target.score, heads, score=explaining.score)
