"""torch, the GPU and its driver, torchvision, facenet-pytorch and published weights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from featx.doctor.finding import Finding
from featx.doctor.packages import install, version_of
from featx.doctor.probes import probe
from featx.errors import FeatxError
from featx.file_hash import file_sha256

_PAIR = (
    f"{install('extract')} --force-reinstall (torch and torchvision must be of one release and one "
    "build: 2.14 goes with 0.29)"
)


def check_networks() -> list[Finding]:
    """Try torch and all that needs it; nothing is found where it is not installed."""
    if version_of("torch") is None:
        return []
    told = probe("networks")
    if isinstance(told, str):
        return [Finding("torch device", False, told, _PAIR)]
    return [
        _device(told, driver()),
        *(_gpu(index, gpu, told["architectures"]) for index, gpu in enumerate(told["gpus"])),
        _works("torchvision operators", told["operators"], "torchvision's nms runs", _PAIR),
        _works(
            "MTCNN",
            told["facenet"],
            "facenet-pytorch loads its weights",
            f"{install('extract')} --force-reinstall (facenet-pytorch below 2.6)",
        ),
        *_weights(told),
    ]


def driver() -> dict[str, str] | None:
    """Ask NVIDIA's driver: ``version`` and ``cuda`` (the newest that it runs), or ``problem``.

    None where there is none.
    """
    if shutil.which("nvidia-smi") is None:
        return None
    try:
        done = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"problem": f"nvidia-smi gives no answer ({type(error).__name__})"}
    if done.returncode:
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines() or ["it says nothing"]
        return {"problem": f"nvidia-smi: {lines[0]}"}
    version = re.search(r"Driver Version:\s*([\d.]+)", done.stdout)
    cuda = re.search(r"CUDA(?: UMD)? Version:\s*(\d+\.\d+)", done.stdout)
    return {"version": version[1] if version else "?", "cuda": cuda[1] if cuda else ""}


def _device(told: dict[str, Any], known: dict[str, str] | None) -> Finding:
    """Tell whether torch and the driver fit each other."""
    name, built = "torch device", told["cuda"]
    what = f"torch {told['torch']}, built " + (f"for CUDA {built}" if built else "without CUDA")
    if known is None:
        seen = f"{len(told['gpus'])} GPU" if told["seen"] else "CPU only: no NVIDIA driver here"
        return Finding(name, True, f"{seen} ({what})")
    if "problem" in known:
        remedy = "reload or reinstall NVIDIA's driver, often a restart does; --device cpu works"
        return Finding(name, False, f"{known['problem']}; {what}", remedy)
    driver = f"driver {known['version']}" + (f" runs CUDA {known['cuda']}" * bool(known["cuda"]))
    detail = f"{what}; {driver}"
    if told["seen"]:
        return Finding(name, True, detail)
    if not built:
        remedy = (
            "there is a GPU that torch cannot use: install a build of torch and torchvision for "
            f"CUDA {known['cuda'] or 'here'} or older; on the CPU all works"
        )
        return Finding(name, False, detail, remedy, "optional")
    if known["cuda"] and _numbers(known["cuda"])[:1] < _numbers(built)[:1]:
        remedy = (
            f"update the driver to one that runs CUDA {built}, or install builds of torch and "
            f"torchvision for CUDA {known['cuda']} or older; till then only --device cpu works"
        )
        return Finding(name, False, detail, remedy)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
    remedy = "ask for a GPU (Slurm: --gres=gpu:1), unset CUDA_VISIBLE_DEVICES, or see nvidia-smi"
    return Finding(name, False, f"{detail}, but torch sees no GPU{hidden}", remedy)


def _gpu(index: int, gpu: dict[str, Any], architectures: list[str]) -> Finding:
    major, minor = gpu["capability"]
    detail = f"{gpu['name']}, {gpu['memory'] / 2**30:.0f} GiB, capability {major}.{minor}"
    if not _has_kernels((major, minor), architectures):
        remedy = "install a build of torch with kernels for it, or choose another --device"
        told = f"{detail}; this torch has kernels for {', '.join(architectures)} only"
        return Finding(f"GPU {index}", False, told, remedy)
    if gpu["problem"]:
        remedy = f"see nvidia-smi whether others use it; --device cuda:N chooses, N is not {index}"
        return Finding(f"GPU {index}", False, f"{detail}; {gpu['problem']}", remedy)
    return Finding(f"GPU {index}", True, detail)


def _has_kernels(capability: tuple[int, int], architectures: list[str]) -> bool:
    """Tell whether one of ``sm_90``, ``compute_120`` … runs on a GPU of this capability."""
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        number = re.match(r"\d+", digits)
        if number is None:
            continue
        own = divmod(int(number[0]), 10)
        # compiled code runs on later ones of its generation, intermediate code on all later ones
        if own <= capability and (kind == "compute" or own[0] == capability[0]):
            return True
    return not architectures


def _works(name: str, problem: str | None, detail: str, remedy: str) -> Finding:
    return Finding(name, False, problem, remedy) if problem else Finding(name, True, detail)


def _weights(told: dict[str, Any]) -> list[Finding]:
    if told["weights"] is None:
        remedy = f"{install('extract')} --force-reinstall"
        return [Finding("backbones", False, told["backbones"], remedy)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_published, told["weights"]))


def _published(weights: dict[str, Any]) -> Finding:
    """Look whether a published set of weights is there, and the right one."""
    path, digits = Path(weights["path"]), weights["sha256"]
    name = f"weights {weights['backbone']} {weights['name']}"
    complete = digits if len(digits) == 64 else f"{digits}…"
    wanted = f"put {path.name}{f' (SHA-256 {complete})' if digits else ''} into {path.parent}"
    if not path.is_file():
        how = f"downloaded when first used; without a network {wanted}"
        if not weights["url"]:
            how = f"no public address: {wanted}, or give the file with --weights FILE"
        return Finding(name, False, "not on this machine", how, "optional")
    try:
        found = file_sha256(path)
    except FeatxError as error:
        return Finding(name, False, str(error), f"make it readable, or {wanted}")
    if not found.startswith(digits):
        detail = f"{path} has the SHA-256 {found[:16]}…, not {complete[:17]}"
        return Finding(name, False, detail, f"delete it, and {wanted}, or let it be downloaded")
    checked = "right SHA-256" if digits else f"no SHA-256 is published, it has {found[:16]}…"
    return Finding(name, True, f"{path}, {checked}", severity="optional")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
