"""The arithmetic of a network's forward pass: float32, or half as wide by autocast."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

PRECISIONS: Mapping[str, torch.dtype | None] = {
    "fp32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}

#: The numerical contract: the greatest relative difference (see `relative_difference`) that a
#: layer of any image may have. Of fp32 between batch sizes, threads and devices; of the others
#: from fp32. ``featx doctor --numerics`` found at most 2e-6, 2e-2 and 3e-3 on a CPU, of
#: MobileFaceNet, ResNet-50, Inception-ResNet-v1 and VGG-16.
TOLERANCES: Mapping[str, float] = {"fp32": 1e-5, "bf16": 5e-2, "fp16": 5e-3}


def casting(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the autocast of a precision: fp32 (none), bf16 or fp16."""
    low = PRECISIONS[precision]
    return torch.autocast(device.type, dtype=low) if low else nullcontext()


def relative_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    r"""Return the greatest :math:`\lVert a - b \rVert / \lVert b \rVert` over the rows.

    Parameters
    ----------
    found, wanted : numpy.ndarray
        Shape (n, units). Two rows of zeros do not differ.
    """
    a, b = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    off, size = np.linalg.norm(a - b, axis=1), np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max(np.where(off == 0, 0.0, off / size), initial=0.0))
