"""Tries torch and what is built on it; prints what it found as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from featx.doctor.probes import problem_of


def tried(what: Callable[[], Any]) -> tuple[Any, str | None]:
    """Call it, and return its result and no problem, or None and the problem in a line."""
    try:
        return what(), None
    except Exception as error:
        return None, problem_of(error)


def look() -> dict[str, Any]:
    """Return what there is of torch, torchvision, GPUs, facenet-pytorch and published weights."""
    import torch

    seen = torch.cuda.is_available()
    told: dict[str, Any] = {
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "seen": seen,
        "architectures": torch.cuda.get_arch_list() if seen else [],
        "gpus": [_gpu(torch, index) for index in range(torch.cuda.device_count() if seen else 0)],
    }
    told["operators"] = tried(lambda: _operators(torch))[1]
    told["facenet"] = tried(_facenet)[1]
    told["weights"], told["backbones"] = tried(_weights)
    return told


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    is_like = torch.cuda.get_device_properties(index)
    return {
        "name": is_like.name,
        "memory": is_like.total_memory,
        "capability": [is_like.major, is_like.minor],
        "problem": tried(lambda: (torch.ones(2, device=f"cuda:{index}") * 2).sum().item())[1],
    }


def _operators(torch: Any) -> None:
    import torchvision

    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)


def _facenet() -> None:
    from facenet_pytorch.models.mtcnn import ONet

    ONet()  # loads weights that ship with it


def _weights() -> list[dict[str, Any]]:
    from pathlib import Path

    import torch

    from featx.backbones import get_backbone, list_backbones

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return [
        {
            "backbone": backbone,
            "name": name,
            "path": str(folder / weights.file),
            "sha256": weights.sha256,
            "url": weights.url,
        }
        for backbone in list_backbones()
        for name, weights in get_backbone(backbone).weights.items()
    ]


if __name__ == "__main__":
    print("\n" + json.dumps(look()))
