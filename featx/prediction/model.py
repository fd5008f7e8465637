"""A fine-tuned network from its file alone, ready to estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from featx.backbones import Preprocessing
from featx.checkpoints import SAFETENSORS, description_in
from featx.devices import exact_arithmetic
from featx.errors import FeatxError
from featx.heads import Heads, HeadSpec, Task
from featx.training.inference import Predicted, predict
from featx.weights import LoadedNetwork, load_network

_WANTED = "give the network.safetensors of a stage of `featx finetune`"


@dataclass(frozen=True)
class Model:
    """A fine-tuned network on its device.

    Attributes
    ----------
    network : LoadedNetwork
        Its module is on `device`, in evaluation mode.
    heads : Heads
        The module's.
    device : torch.device
        Where it calculates.
    path : Path
        Its file.
    """

    network: LoadedNetwork
    heads: Heads
    device: torch.device
    path: Path

    @property
    def specs(self) -> dict[Task, HeadSpec]:
        """What it tells."""
        return {spec.task: spec for spec in self.heads.specs}

    @property
    def preprocessing(self) -> Preprocessing:
        """What it expects of its input."""
        return self.network.preprocessing

    def estimate(
        self, pixels: Sequence[np.ndarray], *, mirror: bool = True, precision: str = "fp32"
    ) -> dict[Task, Predicted]:
        """Estimate faces.

        Parameters
        ----------
        pixels : sequence of numpy.ndarray
            One or more, each uint8 (height, width, 3) as `featx.loading.pixel_array` makes them.
        mirror : bool
            Average over each face and its mirror image.
        precision : {"fp32", "bf16", "fp16"}
            Of the network's arithmetic.

        Raises
        ------
        FeatxError
            If the network gives values that are not finite.
        """
        with exact_arithmetic():
            told = predict(
                self.network.module,
                self.heads,
                self.preprocessing,
                _Held(pixels),
                np.arange(len(pixels)),
                device=self.device,
                precision=precision,
                mirror=mirror,
            )
        for given in told.values():
            for values in (given.ages, given.probabilities):
                if values is not None and not np.isfinite(values).all():
                    raise FeatxError(
                        f"{self.path} gives NaN or infinite values; use --precision fp32, and "
                        "where that is so already, other weights"
                    )
        return told

    def describe(self) -> dict[str, Any]:
        """Return what it is, as JSON values."""
        return {
            "backbone": self.network.backbone.name,
            "file": str(self.path),
            "sha256": self.network.sha256,
            "heads": [spec.describe() for spec in self.heads.specs],
        }


@dataclass(frozen=True)
class _Held:
    """Pixels in memory, as `featx.training.inference.predict` wants them."""

    pixels: Sequence[np.ndarray]

    def batches(self, batches: Sequence[np.ndarray | Sequence[int]]) -> Iterator[torch.Tensor]:
        for rows in batches:
            yield torch.from_numpy(np.stack([self.pixels[row] for row in rows])).permute(0, 3, 1, 2)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Load a network that `featx finetune` wrote; its file names its backbone.

    Parameters
    ----------
    path : str or Path
        A ``network.safetensors``, or the folder of the stage that holds it.
    device : torch.device or str
        Where it will calculate.

    Raises
    ------
    FeatxError
        If there is no such file, it is damaged, or it is no fine-tuned network.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if not (path / "network.safetensors").is_file():
            raise FeatxError(f"{path} is a folder without network.safetensors; {_WANTED}")
        path /= "network.safetensors"
    if not path.is_file():
        raise FeatxError(f"{path} is not there; {_WANTED}")
    if path.suffix.lower() not in SAFETENSORS:
        raise FeatxError(f"{path} is no safetensors file; {_WANTED}")
    network = load_network(_backbone(path), str(path))
    device = torch.device(device)
    module = network.module.requires_grad_(False).to(device)
    heads = module.get_submodule(network.backbone.head)
    assert isinstance(heads, Heads)
    return Model(network, heads, device, path)


def _backbone(path: Path) -> str:
    try:
        with safe_open(str(path), framework="pt") as file:
            description = description_in(path, file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise FeatxError(f"{path} is damaged or no safetensors file: {error}") from error
    if not description:
        raise FeatxError(f"{path} is no fine-tuned network: it names no heads; {_WANTED}")
    return str(description.get("backbone", ""))
