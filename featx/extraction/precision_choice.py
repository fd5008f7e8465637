"""What ``--precision auto`` means on this machine, with this network and these images."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from featx.errors import FeatxError
from featx.extraction.engine import Engine
from featx.layers import LayerRequest
from featx.loading import Crops
from featx.precision import TOLERANCES, relative_difference
from featx.store import FeaturesFile
from featx.store.writing.framing import UnusableError, read_head
from featx.weights import LoadedNetwork

logger = logging.getLogger(__name__)

#: How many times as fast bf16 must be. Where it is done in hardware it gains more.
GAIN = 1.2

#: Images that are looked at, and how many at a time a CPU is asked; a GPU is given a whole batch,
#: for on a small one no precision gains.
_LOOKED_AT, _ON_A_CPU = 16, 4


def choose_precision(
    network: LoadedNetwork,
    requests: Sequence[LayerRequest],
    device: torch.device,
    crops: Crops,
    batch_size: int,
) -> str:
    """Return ``bf16`` where it gains time and keeps the numerical contract, else ``fp32``.

    Both are tried on the first images that can be read, and the reason is logged.

    Parameters
    ----------
    network, requests, device, batch_size
        As of `featx.extraction.engine.Engine`.
    crops : Crops
        The images; without one that can be read the answer is ``fp32``.
    """
    read = (pixels for _, pixels, _ in map(crops.__getitem__, range(len(crops))))
    images = list(islice((image for image in read if image is not None), _LOOKED_AT))
    if not images:
        return "fp32"
    count = batch_size if device.type == "cuda" else _ON_A_CPU
    batch = torch.from_numpy(np.stack([images[n % len(images)] for n in range(count)]))
    features, seconds = {}, {}
    try:
        for precision in ("fp32", "bf16"):
            engine = Engine(network, requests, device, precision=precision, batch_size=count)
            features[precision], seconds[precision] = _timed(engine, batch)
    except FeatxError as error:  # not finite
        logger.info("precision auto: fp32, for %s", error)
        return "fp32"
    wanted, found = features["fp32"], features["bf16"]
    off = max(relative_difference(found[name], wanted[name]) for name in wanted)
    gain = seconds["fp32"] / seconds["bf16"]
    chosen = "bf16" if gain >= GAIN and off <= TOLERANCES["bf16"] else "fp32"
    logger.info(
        "precision auto: %s; bf16 is %.2f times as fast as fp32 here, and differs by %.1e at most",
        *(chosen, gain, off),
    )
    return chosen


def _timed(engine: Engine, batch: torch.Tensor) -> tuple[dict[str, np.ndarray], float]:
    names = [str(number) for number in range(len(batch))]
    features = engine(batch, names)  # chooses kernels, too
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        engine(batch, names)
        seconds.append(time.perf_counter() - start)
    return features, min(seconds)


def recorded_precision(out: Path) -> str | None:
    """Return the precision of a features file that is finished or begun; None where none is."""
    partial = out.with_name(f"{out.name}.partial")
    with suppress(FeatxError, UnusableError, OSError, KeyError):
        if out.exists():
            with FeaturesFile(out) as file:
                return str(file.provenance["precision"])
        with partial.open("rb") as stream:
            return str(read_head(stream)["provenance"]["precision"])
    return None
