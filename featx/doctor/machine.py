"""Memory, room on disks, and whether files can be locked where featx works."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from featx.doctor.finding import Finding
from featx.memory import free_memory

GIB = 2**30

#: HDF5's own variable. Locking is off where it says so in one of these ways.
LOCKING = "HDF5_USE_FILE_LOCKING"
_OFF = ("FALSE", "0")

#: File systems of clusters and networks, on which locks fail where the server or a mount option
#: does not have them.
NETWORKED = frozenset(
    ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "ceph", "glusterfs", "fuse.sshfs")
)

#: Bytes that should be free: for the features of a data set, for auto-sklearn's files, and for its
#: environment and a set of weights.
_ROOM = {"working folder": 2 * GIB, "TMPDIR": GIB, "cache": 2 * GIB}

_ROOT = Path("/")


def check_machine(root: Path = _ROOT) -> list[Finding]:
    """Look at memory, cores, disks and locks.

    Parameters
    ----------
    root : Path
        Where ``proc``, ``sys`` and ``dev`` are.
    """
    return [_memory(root), *_shared_memory(root), *_disks(root), _locks(Path.cwd(), root)]


def _memory(root: Path) -> Finding:
    free = free_memory(root)
    total = _total(root)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    available = _available(root)
    detail = f"{_gib(free)} free of {_gib(total)}, {cores} cores"
    if free < available - GIB / 4:
        detail += f"; a control group (Slurm, a container) holds back {_gib(available - free)}"
    remedy = "ask for more (Slurm: --mem=8G), or give --batch-size 4 --workers 1 --jobs 1"
    ok = free >= 2 * GIB
    return Finding("memory", ok, detail, "" if ok else remedy)


def _shared_memory(root: Path) -> Iterator[Finding]:
    """Look at what decoding processes hand images over in; containers have 64 MB of it."""
    place = root / "dev/shm"
    if not place.is_dir():
        return
    free = shutil.disk_usage(place).free
    remedy = "start the container with --shm-size=1g or --ipc=host, or give --workers 0"
    ok = free >= GIB / 4
    yield Finding("shared memory", ok, f"{_gib(free)} free in {place}", "" if ok else remedy)


def _disks(root: Path) -> Iterator[Finding]:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError as error:
        remedy = "set TMPDIR to a folder that can be written and has 1 GB free"
        yield Finding("disk, TMPDIR", False, f"{error.strerror or error}", remedy)
        temporary = None
    places = {"working folder": Path.cwd(), "TMPDIR": temporary, "cache": Path(cache)}
    for name, place in places.items():
        if place is not None:
            yield _disk(name, place, root)


def _disk(name: str, place: Path, root: Path) -> Finding:
    there = place
    while not there.exists():
        there = there.parent
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    detail = f"{_gib(free)} free, {file_system(there, root)}, {place}"
    how = {"working folder": "work in", "TMPDIR": "set TMPDIR to", "cache": "set XDG_CACHE_HOME to"}
    wanted = f"{how[name]} a folder with {_gib(_ROOM[name])} free, or make room"
    title = f"disk, {name}"
    if not os.access(there, os.W_OK):
        remedy = f"{how[name]} a folder that you may write"
        return Finding(title, False, f"{place} cannot be written", remedy)
    if room.f_files and not room.f_favail:
        return Finding(title, False, f"{detail}: no room for another file (inodes)", wanted)
    if free < _ROOM[name]:
        severity = "required" if free < _ROOM[name] / 20 else "optional"
        return Finding(title, False, detail, wanted, severity)  # type: ignore[arg-type]
    return Finding(title, True, detail)


def _locks(place: Path, root: Path) -> Finding:
    """Lock a file as HDF5 does, which refuses to open one where it cannot."""
    kind = file_system(place, root)
    off = os.environ.get(LOCKING, "").upper() in _OFF
    if off:
        told = f"off ({LOCKING}={os.environ[LOCKING]}): let one process at a time write a file"
        return Finding("file locks", True, told)
    advice = f"export {LOCKING}=FALSE, and let one process at a time write a file"
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EPERM):
            return Finding("file locks", True, f"not tried: {error.strerror}, {place}")
        told = f"{kind} knows none in {place} ({error.strerror}), so HDF5 refuses to open files"
        return Finding("file locks", False, told, advice)
    if kind in NETWORKED:
        told = f"work on this machine, on {kind}, where between machines they may not"
        return Finding("file locks", True, told, f"if HDF5 cannot lock a file there: {advice}")
    return Finding("file locks", True, f"work, {kind}")


def file_system(place: Path, root: Path = _ROOT) -> str:
    """Return the kind of file system that a folder is on, as ``ext4`` or ``nfs4``."""
    best, kind = "", "unknown file system"
    resolved = str(place.resolve())
    try:
        lines = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4])
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two at one place the later hides the other
            best, kind = point, rest.split()[0]
    return kind


def _meminfo(root: Path, key: str) -> int:
    try:
        text = (root / "proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return 0
    found = re.search(rf"^{key}:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _total(root: Path) -> int:
    return _meminfo(root, "MemTotal")


def _available(root: Path) -> int:
    return _meminfo(root, "MemAvailable")


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
