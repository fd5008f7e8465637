"""Devices by name, on machines with and without GPUs."""

import pytest
import torch

from featx.devices import spread_devices


@pytest.mark.parametrize(
    ("gpus", "name", "devices"),
    [
        (0, "auto", ["cpu"]),
        (3, "cpu", ["cpu"]),
        (1, "auto", ["cuda:0"]),
        (3, "auto", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda:1", ["cuda:1"]),
    ],
)
def test_jobs_side_by_side_take_every_gpu(monkeypatch, gpus, name, devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert spread_devices(name) == devices
