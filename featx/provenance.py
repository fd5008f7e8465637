"""How features were made, as their file tells."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from featx.devices import describe_device
from featx.layers import LayerRequest
from featx.loading import RESIZE_RULE
from featx.plugins import plugin_versions
from featx.prepared import prepared
from featx.weights import LoadedNetwork

_LIBRARIES = ("featx", "torch", "torchvision", "timm", "facenet-pytorch", "numpy", "pillow", "h5py")


def provenance(
    table_path: Path,
    network: LoadedNetwork,
    requests: Sequence[LayerRequest],
    mirror: bool,
    precision: str,
    seen: str,
) -> dict[str, Any]:
    """Return what decides the features: changing any of it makes another features file.

    Parameters
    ----------
    table_path, network, requests, mirror, precision
        As an extraction's plan has them.
    seen : str
        Which of the table's images and people the network was trained on; empty where none.

    Raises
    ------
    FeatxError
        If ``prepare.json`` beside the table is damaged.
    """
    published = network.backbone.weights.get(network.weights)
    return {
        "backbone": network.backbone.name,
        "backbone_citation": network.backbone.citation,
        "weights": network.weights,
        "weights_sha256": network.sha256,
        "weights_trained_on": published.trained_on if published else "",
        "weights_notes": list(network.notes),
        **({"weights_have_seen": seen} if seen else {}),
        **({"fine_tuning": network.provenance} if network.provenance else {}),
        "taps": [[r.name, r.module, r.pool] for r in requests],
        "preprocessing": {**asdict(network.preprocessing), "resize": RESIZE_RULE},
        "mirror": mirror,
        "precision": precision,
        "table_sha256": hashlib.sha256(table_path.read_bytes()).hexdigest(),
        "prepare": prepared(table_path.parent / "prepare.json"),
    }


def context(table_path: Path, device: torch.device, batch_size: int, seed: int) -> dict[str, Any]:
    """Return what else is worth knowing: versions, where the table lay, what changes rounding."""
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return {
        "versions": versions | plugin_versions(),
        "table": str(table_path.absolute()),
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "seed": seed,  # it decides random weights only, and is part of their name
    }
