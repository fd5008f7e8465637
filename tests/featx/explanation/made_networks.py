"""Networks as `featx finetune` would write them, without training."""

from dataclasses import asdict

import torch

from featx.backbones import create, get_backbone
from featx.checkpoints import write_checkpoint
from featx.heads import attach_heads
from featx.prediction.model import load_model


def untrained(folder, name, *specs, seed=2, change=lambda state: None):
    """Return a network with drawn weights, read back from its file in a folder."""
    torch.manual_seed(seed)
    backbone, network = get_backbone(name), create(name)
    attach_heads(network, backbone, specs)
    state = network.state_dict()
    change(state)
    description = {
        "backbone": backbone.name,
        "heads": [spec.describe() for spec in specs],
        "preprocessing": asdict(backbone.preprocessing),
        "provenance": {},
    }
    write_checkpoint(folder / "network.safetensors", state, description)
    return load_model(folder)
