"""What torch tells of itself and of a driver, some of it said by programs in their place."""

from __future__ import annotations

import hashlib

import pytest

from featx.doctor import networks, probes
from featx.doctor.machine import GIB

SMI = "| NVIDIA-SMI 5.1   Driver Version: {driver}   CUDA Version: {cuda} |"
H100 = {"name": "NVIDIA H100", "memory": 80 * GIB, "capability": [9, 0], "problem": None}
TOLD = {
    "torch": "2.14.1",
    "cuda": "13.0",
    "seen": True,
    "architectures": ["sm_80", "sm_90", "compute_120"],
    "gpus": [H100],
    "operators": None,
    "facenet": None,
    "weights": [],
    "backbones": None,
}


@pytest.fixture
def told(monkeypatch):
    """Let torch tell something else than it does here."""

    def set_to(**changes):
        monkeypatch.setattr(networks, "version_of", lambda name: "2.14.1")
        monkeypatch.setattr(networks, "probe", lambda name: TOLD | changes)
        return {finding.name: finding for finding in networks.check_networks()}

    return set_to


def test_a_gpu_that_works(told, program):
    program("nvidia-smi", SMI.format(driver="580.65.06", cuda="13.0"))
    found = told()
    assert all(finding.ok for finding in found.values())
    assert "built for CUDA 13.0; driver 580.65.06 runs CUDA 13.0" in found["torch device"].detail
    assert found["GPU 0"].detail == "NVIDIA H100, 80 GiB, capability 9.0"
    assert found["torchvision operators"].ok


@pytest.mark.parametrize(
    ("changes", "smi", "ok", "detail", "remedy"),
    [
        ({"cuda": None}, None, True, "CPU only: no NVIDIA driver here (torch 2.14.1, built w", ""),
        ({}, None, True, "no NVIDIA driver here", ""),
        ({}, ("535.104", "12.2"), False, "driver 535.104 runs CUDA 12.2", "runs CUDA 13.0"),
        ({}, ("580.65", "13.0"), False, "torch sees no GPU (CUDA_VISIBLE_DEVICES is '')", "unset"),
        ({"cuda": None}, ("550", "12.4"), False, "built without CUDA; driver 550", "for CUDA 12.4"),
    ],
)
def test_torch_and_the_driver(told, program, monkeypatch, changes, smi, ok, detail, remedy):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if smi:
        program("nvidia-smi", SMI.format(driver=smi[0], cuda=smi[1]))
    else:
        monkeypatch.setenv("PATH", "")
    finding = told(seen=False, gpus=[], architectures=[], **changes)["torch device"]
    assert finding.ok == ok
    assert detail in finding.detail
    assert remedy in finding.remedy


def test_a_driver_that_gives_no_answer(told, program):
    program("nvidia-smi", "NVIDIA-SMI has failed because it couldn't communicate", status=9)
    finding = told(seen=False, gpus=[])["torch device"]
    assert not finding.ok
    assert "nvidia-smi: NVIDIA-SMI has failed" in finding.detail


@pytest.mark.parametrize(
    ("capability", "architectures", "ok"),
    [
        ((9, 0), ["sm_90"], True),
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((6, 1), ["sm_75", "sm_80", "compute_120"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((10, 0), ["sm_90a"], False),
    ],
)
def test_kernels_for_a_gpu(told, program, capability, architectures, ok):
    program("nvidia-smi", SMI.format(driver="580", cuda="13.0"))
    found = told(gpus=[H100 | {"capability": capability}], architectures=architectures)
    assert found["GPU 0"].ok == ok
    assert ok or ", ".join(architectures) in found["GPU 0"].detail


def test_what_is_broken_is_named_with_its_remedy(told, program):
    found = told(
        operators="RuntimeError: operator torchvision::nms does not exist",
        facenet="ImportError: no",
        gpus=[H100 | {"problem": "AcceleratorError: out of memory"}],
        weights=None,
        backbones="ImportError: cannot import name 'x' from 'timm'",
    )
    for name in ("torchvision operators", "MTCNN", "GPU 0", "backbones"):
        assert not found[name].ok
        assert found[name].severity == "required"
        assert found[name].remedy
    assert "one release" in found["torchvision operators"].remedy
    assert "timm" in found["backbones"].detail


FAKE_TORCH = """
__version__ = "2.14.1"
class version: cuda = "13.0"
class cuda:
    is_available = staticmethod(lambda: False)
class hub:
    get_dir = staticmethod(lambda: "/nowhere")
def zeros(*shape): return shape
"""


@pytest.mark.parametrize(
    ("torch", "torchvision", "name", "detail"),
    [
        ("raise ImportError('libcudart.so.13: not there')", "", "torch device", "libcudart.so.13"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "", "torch device", "SIGILL"),
        (
            FAKE_TORCH,
            "raise RuntimeError('operator torchvision::nms does not exist')",
            "torchvision operators",
            "nms does not exist",
        ),
    ],
)
def test_a_broken_torch_is_a_finding_not_a_crash(
    tmp_path, monkeypatch, torch, torchvision, name, detail
):
    for module, text in (("torch", torch), ("torchvision", torchvision)):
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(networks, "version_of", lambda _: "2.14.1")
    found = {finding.name: finding for finding in networks.check_networks()}
    assert not found[name].ok
    assert detail in found[name].detail


def test_a_torch_py_in_the_working_folder_is_not_torch(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert "HDF5" in probes.probe("libraries", "hdf5")["detail"]


def test_no_torch_is_told_once(monkeypatch):
    monkeypatch.setattr(networks, "version_of", lambda _: None)
    assert networks.check_networks() == []


def test_published_weights(told, program, tmp_path):
    right, wrong = tmp_path / "right.pth", tmp_path / "wrong.pth"
    right.write_bytes(b"weights")
    wrong.write_bytes(b"half")
    digits = hashlib.sha256(b"weights").hexdigest()
    sets = [
        ("right", right, digits[:8], "u"),
        ("wrong", wrong, digits[:8], "u"),
        ("absent", tmp_path / "vgg16.pth", digits, "u"),
        ("nowhere", tmp_path / "own.pth", digits, None),
        ("unpublished", right, "", "u"),
    ]
    found = told(
        weights=[
            {"backbone": "vgg16", "name": name, "path": str(path), "sha256": digits, "url": url}
            for name, path, digits, url in sets
        ]
    )
    assert found["weights vgg16 right"].ok
    finding = found["weights vgg16 wrong"]
    assert (finding.ok, finding.severity) == (False, "required")
    assert f"not {digits[:8]}…" in finding.detail
    assert f"put wrong.pth (SHA-256 {digits[:8]}…) into {tmp_path}" in finding.remedy
    finding = found["weights vgg16 absent"]
    assert (finding.ok, finding.severity) == (False, "optional")
    assert f"put vgg16.pth (SHA-256 {digits}) into {tmp_path}" in finding.remedy
    assert "no public address" in found["weights vgg16 nowhere"].remedy
    assert "no SHA-256 is published" in found["weights vgg16 unpublished"].detail
