"""The device that a network runs on, and how it calculates."""

from __future__ import annotations

import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from featx.errors import FeatxError

#: What ``--batch-size auto`` means. Larger batches gain little on either, and cost memory.
BATCH_SIZES = {"cpu": 16, "cuda": 256}


def resolve_device(name: str) -> torch.device:
    """Return the device of a name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda[:N]``.

    Raises
    ------
    FeatxError
        If the name is none of these, or there is no such device on this machine.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise FeatxError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver warns; that there is no CUDA says enough
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not found):
        return torch.device("cpu")
    if not found:
        raise FeatxError(f"device {name!r}: no CUDA device here; use --device cpu")
    device = torch.device("cuda" if name == "auto" else name)
    index = device.index or 0
    if index >= found:
        raise FeatxError(
            f"device {name!r}: this machine has {found} CUDA device{'s' if found > 1 else ''}, "
            "counted from cuda:0"
        )
    return torch.device("cuda", index)


def spread_devices(name: str) -> list[str]:
    """Return the devices that jobs side by side take in turn: every GPU for ``auto`` and ``cuda``.

    Raises
    ------
    FeatxError
        As `resolve_device`.
    """
    first = resolve_device(name)
    if first.type == "cpu" or name not in ("auto", "cuda"):
        return [str(first)]
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def describe_device(device: torch.device) -> str:
    """Return what the device is, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {platform.machine()}"


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Keep float32 products in float32 (no TF32) and choose the same kernels in every run."""
    former = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = former
