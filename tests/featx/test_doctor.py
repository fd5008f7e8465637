"""Each situation that the doctor tells of, made here: packages that are not as they should be,
drivers and clusters in the form of programs on PATH, file systems in the form of files of Linux."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import re
import tempfile
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest

from featx import doctor
from featx.doctor import cluster, libraries, machine, networks, packages, probes, shell
from featx.doctor.machine import GIB

ROOT = Path(__file__).parents[2]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program on an otherwise empty PATH: what it prints, and its exit status."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def put(name, prints="", status=0):
        path = folder / name
        text = prints.replace("'", "'\\''")
        to = " >&2" if status else ""
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'{to}\nexit {status}\n")
        path.chmod(0o755)

    return put


# --- packages ---


def test_the_releases_that_are_looked_for_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def read(lines):
        found = {}
        for line in lines:
            name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<[\d.]+)?", line).groups()
            found[name.lower()] = least
        return found

    assert read(project["dependencies"]) == packages.CORE
    declared = project["optional-dependencies"]
    extras = {}
    for extra, parts in packages.EXTRAS.items():
        own = read(line for line in declared[extra] if "[" not in line)
        assert set(own) == {name.lower() for name in parts}, extra
        extras |= own
    assert extras == {name.lower(): least for name, least in packages.LEAST.items()}
    everything = " ".join(line for lines in declared.values() for line in lines)
    for name, below in packages.BELOW.items():
        assert re.search(rf"{name}[^ ]*,<{re.escape(below)}\b", everything)


@pytest.mark.parametrize(
    ("name", "version", "ok", "told"),
    [
        ("opencv-python-headless", "4.14.0.94", True, "4.14.0.94"),
        ("opencv-python-headless", "5.0.0.93", False, "needed is one below 5"),
        ("facenet-pytorch", "2.6.0", False, "needed is one below 2.6"),
        ("torch", "2.5.0+cu121", True, "2.5.0+cu121"),
        ("torch", "2.2.2", False, "2.2.2, needed is 2.5 or newer"),
        ("pillow", "10.3", True, "10.3"),
        ("timm", "1.0.0", True, "1.0.0"),
    ],
)
def test_releases(monkeypatch, name, version, ok, told):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    finding = packages.check_package(name, "remedy", packages.LEAST[name], optional=True)
    assert (finding.ok, finding.remedy) == (ok, "" if ok else "remedy")
    assert told in finding.detail
    assert ok or finding.severity == "required"


def test_what_is_absent_is_loud_only_where_it_is_needed():
    extra = packages.check_package("no-such-package", "install it", optional=True)
    core = packages.check_package("no-such-package", "install it")
    assert (extra.ok, extra.severity, extra.remedy) == (False, "optional", "install it")
    assert (core.ok, core.severity) == (False, "required")


def test_no_package_is_told_twice(monkeypatch):
    monkeypatch.setattr(packages, "version_of", lambda name: None)
    found = {finding.name: finding for finding in packages.check_packages()}
    assert len(found) == len(packages.check_packages())
    assert found["opencv-python-headless"].remedy == "pip install 'featx[haar]'"
    assert found["dlib-bin"].remedy == "pip install 'featx[dlib]'"
    assert found["pillow"].remedy == "pip install 'featx[extract]'"
    assert found["numpy"].severity == "required"


def test_another_featx_on_path(program, monkeypatch, tmp_path):
    own = tmp_path / "env" / "bin"
    own.mkdir(parents=True)
    (own / "featx").touch()
    monkeypatch.setattr(packages.sys, "executable", str(own / "python"))
    assert "not on PATH" in packages._program().detail
    program("featx")
    finding = packages._program()
    assert not finding.ok
    assert str(tmp_path / "bin" / "featx") in finding.detail
    assert str(own / "featx") in finding.remedy


def test_which_extra_brings_a_module():
    assert doctor.extra_of("torch.nn") == "extract"
    assert doctor.extra_of("cv2") == "haar"
    assert doctor.extra_of("numpy") is None


# --- torch and what stands on it ---

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


# --- libraries that are tried ---


@pytest.mark.parametrize(
    ("name", "module", "text", "detail"),
    [
        (
            "opencv",
            "cv2",
            "__version__ = '5.0.0'",
            "cascades of OpenCV 4, which OpenCV 5",
        ),
        ("opencv", "cv2", "raise ImportError('libGL.so.1: cannot open')", "libGL.so.1"),
        ("parquet", "pyarrow", "raise ImportError('numpy.core')", "ImportError: numpy.core"),
        ("hdf5", "h5py", "raise ImportError('undefined symbol: H5Pset')", "undefined symbol"),
        ("dlib", "dlib", "import os, signal; os.kill(os.getpid(), 4)", "killed by SIGILL"),
    ],
)
def test_a_library_that_is_installed_and_broken(tmp_path, monkeypatch, name, module, text, detail):
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(libraries, "version_of", lambda _: "1")
    (finding,) = libraries.check_library(name)
    assert not finding.ok
    assert detail in finding.detail
    assert "--force-reinstall" in finding.remedy


@pytest.mark.parametrize(
    ("name", "module", "detail"),
    [
        ("opencv", "cv2", "loads haarcascade_frontalface_default.xml"),
        ("dlib", "dlib", "loads its models"),
        ("parquet", "pyarrow", "writes Parquet"),
        ("hdf5", "h5py", "HDF5 "),
    ],
)
def test_a_library_that_works(name, module, detail):
    pytest.importorskip(module)
    (finding,) = libraries.check_library(name)
    assert finding.ok, finding.detail
    assert detail in finding.detail


def test_a_library_that_is_not_installed_is_told_among_the_packages(monkeypatch):
    monkeypatch.setattr(libraries, "version_of", lambda _: None)
    assert libraries.check_library("dlib") == []


def test_a_probe_that_hangs(monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE", 0.01)
    assert probes.probe("libraries", "hdf5") == "no answer in 0.01 s"


# --- the machine ---


@pytest.fixture
def linux(tmp_path):
    """Return a folder with the files by which Linux tells of memory and mounts."""
    root = tmp_path / "linux"
    (root / "proc/self").mkdir(parents=True)
    (root / "sys/fs/cgroup/job").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal: {32 * 2**20} kB\nMemAvailable: {20 * 2**20} kB\n"
    )
    (root / "proc/self/cgroup").write_text("0::/job\n")

    def set_to(limit=None, mounts=(("/", "ext4"),)):
        if limit is not None:
            (root / "sys/fs/cgroup/job/memory.max").write_text(str(int(limit)))
            (root / "sys/fs/cgroup/job/memory.current").write_text("0")
        lines = [
            f"{number} 1 8:1 / {point} rw,relatime shared:1 - {kind} /dev/x rw\n"
            for number, (point, kind) in enumerate(mounts)
        ]
        (root / "proc/self/mountinfo").write_text("".join(lines))
        return root

    return set_to


def by_name(root):
    return {finding.name: finding for finding in machine.check_machine(root)}


def test_memory_and_a_control_groups_limit(linux):
    free = by_name(linux())["memory"]
    assert free.ok
    assert free.detail.startswith("20.0 GiB free of 32.0 GiB, ")
    limited = by_name(linux(limit=4 * GIB))["memory"]
    assert limited.ok
    assert "4.0 GiB free" in limited.detail
    assert "a control group (Slurm, a container) holds back 16.0 GiB" in limited.detail
    scarce = by_name(linux(limit=GIB))["memory"]
    assert not scarce.ok
    assert "--mem=8G" in scarce.remedy


def room(free, files=1000):
    kind = namedtuple("Room", "f_bavail f_frsize f_files f_favail")
    return kind(int(free), 1, 1000, files)


@pytest.mark.parametrize(
    ("free", "files", "ok", "severity"),
    [
        (50 * GIB, 1000, True, "required"),
        (0.5 * GIB, 1000, False, "optional"),
        (0.01 * GIB, 1000, False, "required"),
        (50 * GIB, 0, False, "required"),
    ],
)
def test_room_on_disks(linux, monkeypatch, free, files, ok, severity):
    monkeypatch.setattr(machine.os, "statvfs", lambda _: room(free, files))
    found = by_name(linux())
    for name in ("disk, working folder", "disk, TMPDIR", "disk, cache"):
        assert (found[name].ok, found[name].severity) == (ok, severity)
    assert ok or "TMPDIR" in found["disk, TMPDIR"].remedy
    assert ok or "XDG_CACHE_HOME" in found["disk, cache"].remedy


def test_a_cache_that_cannot_be_written_or_is_not_there_yet(linux, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "cache"))
    assert str(tmp_path / "new" / "cache") in by_name(linux())["disk, cache"].detail
    monkeypatch.setattr(machine.os, "access", lambda path, _: Path(path) != tmp_path)
    finding = by_name(linux())["disk, cache"]
    assert not finding.ok
    assert "cannot be written" in finding.detail


def test_no_temporary_folder(linux, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setattr(machine, "_locks", lambda *_: doctor.Finding("file locks", True, ""))
    finding = by_name(linux())["disk, TMPDIR"]
    assert (finding.ok, finding.detail) == (False, "No usable temporary directory found")


def test_containers_with_little_shared_memory(linux, monkeypatch):
    root = linux()
    assert "shared memory" not in by_name(root)
    (root / "dev/shm").mkdir(parents=True)
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(0, 0, 64 * 2**20))
    finding = by_name(root)["shared memory"]
    assert not finding.ok
    assert "--shm-size" in finding.remedy


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ((("/", "ext4"), ("/home/me", "nfs4")), "nfs4"),
        ((("/", "ext4"), ("/home/m", "nfs4")), "ext4"),
        ((("/", "ext4"), ("/home/me\\040too", "lustre"), ("/home", "xfs")), "xfs"),
        ((("/", "overlay"), ("/home", "xfs"), ("/home", "beegfs")), "beegfs"),
    ],
)
def test_file_systems(linux, monkeypatch, mounts, kind):
    root = linux(mounts=mounts)
    monkeypatch.setattr(Path, "resolve", lambda self: self)
    assert machine.file_system(Path("/home/me/work"), root) == kind


def test_locks(linux, tmp_path, monkeypatch):
    monkeypatch.delenv(machine.LOCKING, raising=False)
    root = linux(mounts=[("/", "lustre")])
    finding = machine._locks(tmp_path, root)
    assert finding.ok
    assert "on lustre" in finding.detail
    assert "export HDF5_USE_FILE_LOCKING=FALSE" in finding.remedy
    assert machine._locks(tmp_path, linux()).remedy == ""

    def refuse(*_):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(fcntl, "flock", refuse)
    finding = machine._locks(tmp_path, linux(mounts=[("/", "lustre")]))
    assert (finding.ok, finding.severity) == (False, "required")
    assert "lustre knows none" in finding.detail
    assert "export HDF5_USE_FILE_LOCKING=FALSE" in finding.remedy
    monkeypatch.setenv(machine.LOCKING, "FALSE")
    assert machine._locks(tmp_path, root).ok


def test_a_folder_without_locks_is_one_that_hdf5_cannot_open(tmp_path, monkeypatch):
    """HDF5 takes the lock that is tried: it fails where another process holds it."""
    h5py = pytest.importorskip("h5py")
    monkeypatch.delenv(machine.LOCKING, raising=False)
    path = tmp_path / "file.h5"
    h5py.File(path, "w").close()
    with path.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="lock"):
            h5py.File(path, "r+")


# --- Slurm and the shell ---


def slurm_is_here(program, partitions="cpu|up\ngpu|up"):
    program("sbatch")
    program("sinfo", partitions)
    program("scontrol", "ClusterName = faces\nSLURM_VERSION = 23.1")


def of_cluster():
    return {finding.name: finding for finding in cluster.check_cluster()}


def test_no_slurm(program):
    finding = of_cluster()["slurm"]
    assert finding.ok
    assert "not on this machine" in finding.detail


def test_slurm_that_answers(program):
    slurm_is_here(program)
    detail = of_cluster()["slurm"].detail
    assert detail == "Slurm 23.1, cluster faces; partitions cpu, gpu"


@pytest.mark.parametrize("silent", ["sinfo", "scontrol"])
def test_slurm_that_gives_no_answer(program, silent):
    slurm_is_here(program)
    program(silent, "Unable to contact slurm controller", status=1)
    finding = of_cluster()["slurm"]
    assert not finding.ok
    assert f"{silent} refused: Unable to contact" in finding.detail


def test_partitions_that_are_down(program):
    slurm_is_here(program, "cpu|down")
    finding = of_cluster()["slurm"]
    assert not finding.ok
    assert "none of them up" in finding.detail


@pytest.mark.parametrize(
    ("text", "ok", "told"),
    [
        ("[slurm]\npartition = 'cpu'\n", True, "is valid"),
        ("[slurm]\nmem = 3\n", False, "did you mean memory"),
        ("[slurm\n", False, "cannot read"),
        ("[slurm.extract]\npartition = 'gpus,cpu'\n", False, "no partition gpus on this cluster"),
    ],
)
def test_profiles(program, tmp_path, text, ok, told):
    assert of_cluster()["cluster profile"].ok
    slurm_is_here(program)
    (tmp_path / "config" / "featx").mkdir(parents=True)
    (tmp_path / "config" / "featx" / "cluster.toml").write_text(text)
    finding = of_cluster()["cluster profile"]
    assert finding.ok == ok
    assert told in finding.detail
    assert bool(finding.remedy) != ok


def test_a_profile_is_read_where_slurm_is_silent(program, tmp_path):
    (tmp_path / "config" / "featx").mkdir(parents=True)
    (tmp_path / "config" / "featx" / "cluster.toml").write_text("[slurm]\nmem = 3\n")
    assert not of_cluster()["cluster profile"].ok
    program("sbatch")
    program("sinfo", "no", status=1)
    assert not of_cluster()["cluster profile"].ok


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(name, tmp_path, monkeypatch, program):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{name}")
    (finding,) = shell.check_shell()
    assert (finding.ok, finding.severity) == (False, "optional")
    file, line = shell.SHELLS[name]
    assert finding.remedy == f"echo '{line}' >> ~/{file}"
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"alias x=y\n{line}\n")
    assert shell.check_shell()[0].ok


def test_shells_without_completion(tmp_path, monkeypatch, program):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "not for tcsh" in shell.check_shell()[0].detail
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("HOME", str(tmp_path))
    program("bash", "GNU bash, version 3.2.57(1)-release")
    assert "4.4 is needed" in shell.check_shell()[0].detail
