"""What of featx's parts is installed on this machine, and the remedy for what is not. No torch."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from dataclasses import dataclass

_EXTRACT = "pip install 'featx[extract]'"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is well, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def findings() -> list[Finding]:
    """Look at Python, the core packages, and the parts that extraction needs."""
    core = [_package(name, "pip install featx") for name in ("numpy", "scikit-learn", "h5py")]
    parts = ("torch", "torchvision", "facenet-pytorch", "timm", "safetensors", "pillow")
    return [
        Finding(
            "python",
            sys.version_info >= (3, 11),
            f"{platform.python_version()} on {platform.platform()}",
            "install Python 3.11 or newer",
        ),
        *core,
        *(_package(name, _EXTRACT) for name in parts),
        _torch_works(),
    ]


def _package(name: str, remedy: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", remedy)


#: torchvision's operators are missing where torch and torchvision are not a pair.
_PROBE = (
    "import torch, torchvision; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5);"
    "print('CUDA ' + torch.version.cuda + ', ' + torch.cuda.get_device_name(0)"
    " if torch.cuda.is_available() else 'CPU only')"
)


def _torch_works() -> Finding:
    """Try torch and torchvision in a process of their own, for a broken pair can crash."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return Finding("torch device", False, "no answer in 120 s", "check the GPU driver")
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or ["crashed"]
        remedy = f"{_EXTRACT} (torch and torchvision must be of one release)"
        return Finding("torch device", False, lines[-1], remedy)
    return Finding("torch device", True, probe.stdout.strip())
