"""Batches of pixels through a network on its device."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch

from featx.devices import exact_arithmetic
from featx.errors import FeatxError
from featx.inference.folding import fold
from featx.inference.fusing import fuse
from featx.inference.narrowing import narrow
from featx.layers import LayerReader, LayerRequest
from featx.precision import PRECISIONS, casting
from featx.views import Normalise
from featx.weights import LoadedNetwork

logger = logging.getLogger(__name__)

#: Pixels at a time on a CPU. Maps of more leave its caches, and take memory.
_PIXELS_AT_ONCE = 2**20


class Engine:
    """Runs batches of pixels through the network on its device.

    Parameters
    ----------
    network : LoadedNetwork
        Its module, or a copy (see `folding` and `narrowing`), is moved to the device.
    requests : sequence of LayerRequest
        What to take, probed.
    device : torch.device
        Where to calculate.
    precision : {"fp32", "bf16", "fp16"}
        Of the network's arithmetic, by autocast; pooling is done in float32.
    mirror : bool
        Average the features over each image and its mirror image.
    batch_size : int
        The most images at a time; halved when a GPU's memory does not suffice.
    """

    def __init__(
        self,
        network: LoadedNetwork,
        requests: Sequence[LayerRequest],
        device: torch.device,
        *,
        precision: str = "fp32",
        mirror: bool = False,
        batch_size: int = 16,
    ) -> None:
        self._device = device
        self._mirror = mirror
        self._precision = precision
        self._requests = list(requests)
        self._step = batch_size
        self._normalise = Normalise(network.preprocessing, device)
        taps = {request.module for request in self._requests}
        folded = fold(network.module, taps)
        module = narrow(folded, PRECISIONS[precision])
        module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cpu":
            parts = -(-batch_size * math.prod(network.preprocessing.input_size) // _PIXELS_AT_ONCE)
            self._step = -(-batch_size // parts)
            with torch.inference_mode(), casting(device, precision):
                module = fuse(module, taps, _noise(network.preprocessing.input_size), self._step)
        self._reader = LayerReader(module, self._requests)

    def __call__(self, pixels: torch.Tensor, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Map pixels (k, height, width, 3) uint8, as decoded, to features, each float32 (k, units).

        Raises
        ------
        FeatxError
            If a layer is not finite for some image (named by `names`), or the GPU's memory does
            not suffice for one image.
        """
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        while done < len(names):
            try:
                parts.append(self._forward(pixels[done : done + self._step]))
            except torch.OutOfMemoryError:
                if self._step == 1:
                    raise FeatxError(
                        f"{self._device} has too little memory for one image; free some of it, "
                        "use --precision bf16 or --device cpu"
                    ) from None
                self._step = max(1, self._step // 2)
                torch.cuda.empty_cache()
                logger.warning("out of GPU memory: %d images at a time from here", self._step)
                continue
            done += len(next(iter(parts[-1].values())))
        features = {}
        for request in self._requests:
            chunks = [part[request.name] for part in parts]
            values = np.concatenate(chunks) if chunks else np.empty((0, request.units), np.float32)
            finite = np.isfinite(values).all(axis=1)
            if not finite.all():
                hint = (
                    "; use --precision bf16 or fp32"
                    if self._precision == "fp16"
                    else "; the weights do not suit this network or input"
                )
                raise FeatxError(
                    f"layer {request.name} of image {names[int(np.argmin(finite))]!r} holds NaN or "
                    f"infinite values{hint}"
                )
            features[request.name] = values
        return features

    def _forward(self, pixels: torch.Tensor) -> dict[str, np.ndarray]:
        count = len(pixels)
        if count == 1 < self._step and self._device.type == "cpu":
            # weights in the order for several are slow for one (see `FusedConvolution`)
            pixels = pixels.repeat(2, 1, 1, 1)
        cast = casting(self._device, self._precision)
        # of the whole process, where several threads compute on the CPU
        exact = nullcontext() if self._device.type == "cpu" else exact_arithmetic()
        with torch.inference_mode(), exact, cast:
            images = self._normalise(pixels.permute(0, 3, 1, 2))
            features = self._reader(images)
            if self._mirror:
                mirrored = self._reader(images.flip(3))
                features = {name: (features[name] + mirrored[name]) / 2 for name in features}
            return {name: values[:count].cpu().numpy() for name, values in features.items()}


def _noise(size: tuple[int, int]) -> torch.Tensor:
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    return noise.to(memory_format=torch.channels_last)
