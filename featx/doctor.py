"""What of featx's parts is installed on this machine, and the remedy for what is not. No torch."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from dataclasses import dataclass

from featx.cluster import read_profile, slurm
from featx.cluster.profile import default_path
from featx.errors import FeatxError

#: What each extra brings: the package, and the name under which it is imported.
EXTRAS: dict[str, dict[str, str]] = {
    "extract": {
        "torch": "torch",
        "torchvision": "torchvision",
        "facenet-pytorch": "facenet_pytorch",
        "timm": "timm",
        "captum": "captum",
        "safetensors": "safetensors",
        "pillow": "PIL",
    },
    "finetune": {
        "pydantic": "pydantic",
        "PyYAML": "yaml",
        "coral-pytorch": "coral_pytorch",
        "optuna": "optuna",
        "tensorboard": "tensorboard",
    },
    "haar": {"opencv-python-headless": "cv2", "pillow": "PIL"},
    "dlib": {
        "dlib-bin": "dlib",
        "face_recognition_models": "face_recognition_models",
        "pillow": "PIL",
    },
    "parquet": {"pyarrow": "pyarrow"},
    "video": {"opencv-python-headless": "cv2"},
}

#: Releases from which on a package no longer has what featx needs of it.
_BELOW = {"opencv-python-headless": 5}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is well, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def findings() -> list[Finding]:
    """Look at Python, the core packages, and those of the extras."""
    core = [_package(name, "pip install featx") for name in ("numpy", "scikit-learn", "h5py")]
    remedies: dict[str, str] = {}
    for extra, parts in EXTRAS.items():
        for name in parts:
            remedies.setdefault(name, install(extra))
    return [
        Finding(
            "python",
            sys.version_info >= (3, 11),
            f"{platform.python_version()} on {platform.platform()}",
            "install Python 3.11 or newer",
        ),
        *core,
        *(_package(name, remedy) for name, remedy in remedies.items()),
        _torch_works(),
        _slurm(),
    ]


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'featx[{extra}]'"


def extra_of(module: str) -> str | None:
    """Return the extra that brings an importable module; None where no extra does."""
    top = module.partition(".")[0]
    return next((extra for extra, parts in EXTRAS.items() if top in parts.values()), None)


def _package(name: str, remedy: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", remedy)
    below = _BELOW.get(name)
    if below and int(version.partition(".")[0]) >= below:
        return Finding(name, False, f"{version}, needed is one below {below}", remedy)
    return Finding(name, True, version)


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
        remedy = f"{install('extract')} (torch and torchvision must be of one release)"
        return Finding("torch device", False, lines[-1], remedy)
    return Finding("torch device", True, probe.stdout.strip())


def _slurm() -> Finding:
    """Look for Slurm's commands, which ``--cluster`` needs, and read the user's profile."""
    try:
        profile = read_profile().path
    except FeatxError as error:
        return Finding("slurm", False, str(error), "mend the file (docs/cluster.md)")
    asked = f"profile {profile}" if profile else f"no profile ({default_path()})"
    if not slurm.is_here():
        return Finding("slurm", True, f"not on this machine, so no --cluster here; {asked}")
    try:
        return Finding("slurm", True, f"{slurm.version()}; {asked}")
    except FeatxError as error:
        return Finding("slurm", False, str(error), "ask the cluster's support; no --cluster now")
