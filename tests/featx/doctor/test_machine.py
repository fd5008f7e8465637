"""Memory, disks and locks, in the form of files by which Linux tells of them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from featx import doctor
from featx.doctor import machine
from featx.doctor.machine import GIB


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
