"""How much memory this process may still take, and giving back what it has freed. No torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_ROOT = Path("/")

#: Where control groups are mounted, and the files that tell of memory, by their version: limit,
#: use, and in ``memory.stat`` the part of the use that is cached files, which give way.
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_memory(root: Path = _ROOT) -> int:
    """Return the bytes of memory that are free to this process.

    Slurm and containers put a process into a control group, and groups stand in one another; each
    of those above the process limits it. Version 2 and the memory controller of version 1 are read.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    bounds = []
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            bounds.append(int(line.split()[1]) * 1024)
    if not bounds:  # not Linux
        bounds.append(_physical())
    for folder, files in _groups(root):
        limit, used, cached = files
        bound, use = _number(folder / limit), _number(folder / used)
        if bound is not None and use is not None:
            bounds.append(bound - use + _stat(folder / "memory.stat", cached))
    return max(0, min(bounds))


def give_back() -> None:
    """Give memory that was freed back to the system, as far as its keepers do so when asked.

    glibc keeps freed blocks below the last one in use, and seldom finds a place among them for
    another tensor, whose beginning has to be aligned: over a long run the process grows and grows.
    Arrow, in which pandas holds texts where it is there, keeps several times what a table takes.
    """
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _of_libc(name: str) -> Callable[..., object] | None:
    """Return a function of the C library, None where it has no such."""
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None


#: glibc's names of settings: what to keep at the end of the heap, from what size on a block is
#: mapped for itself, and how many may be.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4

#: Where glibc's own adjustment of the threshold ends, once tensors as large have been freed.
_ADJUSTED = 32 << 20

#: Blocks that glibc maps at most, unless it is told otherwise.
_MAPPED = 1 << 16

#: Freed memory that is kept while batch follows batch.
_KEPT = 1 << 30

#: Growth from which on freed memory is given back all the same: it lies where nothing fits in.
_GROWN = 16 << 20

#: After so many batches it is looked at; by the first time a process holds all that it needs.
_LOOK_EVERY = 8


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[Callable[[], None]]:
    """Have malloc keep what is freed for what is needed next, and give it back at the end.

    A network frees its maps and takes as much again, batch after batch. glibc returns freed memory
    to the system, from 64 MiB on, and a map of more than 32 MiB always, and the system clears each
    page of it anew: up to a sixth of the time of a small network, and a twelfth of VGG-16's. Where
    malloc has no such settings, or the user has set his own, they stay as they are.

    Yields
    ------
    callable
        To be called after each batch: looks now and then, and gives memory back where the process
        has grown since it looked first.
    """
    calls = held = 0

    def limit_growth() -> None:
        nonlocal calls, held
        calls += 1
        if calls % _LOOK_EVERY:
            return
        now = resident_memory()
        held = held or now
        if now > held + _GROWN:
            give_back()

    mallopt = _of_libc("mallopt")
    own = {f"MALLOC_{name}_" for name in ("TRIM_THRESHOLD", "MMAP_THRESHOLD", "MMAP_MAX")}
    own &= os.environ.keys()
    if mallopt is None or own or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        yield limit_growth
        return
    mallopt(_M_MMAP_THRESHOLD, _ADJUSTED)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
    mallopt(_M_MMAP_MAX, 0)
    try:
        yield limit_growth
    finally:
        mallopt(_M_MMAP_MAX, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, 2 * _ADJUSTED)
        give_back()


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held at a time, 0 where unknown."""
    return _own("VmHWM:")


def resident_memory() -> int:
    """Return the bytes of memory that this process holds, what it shares counted, 0 if unknown."""
    return _own("VmRSS:")


def _own(name: str) -> int:
    for line in _lines(_ROOT / "proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def family(process: int) -> list[int]:
    """Return a process, by its number, and all that it or its threads started and that run."""
    found = [process]
    for member in found:
        for listed in Path(f"/proc/{member}/task").glob("*/children"):
            found += map(int, "".join(_lines(listed)).split())
    return found


def own_share(process: int) -> int:
    """Return a process's bytes of memory without mapped files; 0 if it ended.

    What several processes share is divided among them (PSS).
    """
    return _rolled_up(process, ("Pss_Anon:", "Pss_Shmem:"))


def private_memory(process: int) -> int:
    """Return the bytes of memory that a process shares with no other; 0 if it ended."""
    return _rolled_up(process, ("Private_Clean:", "Private_Dirty:"))


def _rolled_up(process: int, kinds: tuple[str, ...]) -> int:
    lines = _lines(Path(f"/proc/{process}/smaps_rollup"))
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kinds))


def _physical() -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * page
    return os.sysconf("SC_PHYS_PAGES") * page // 2


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Yield the folder of every memory group that this process is in, with its files' names."""
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            # beside version 1's controllers, version 2 stands in a folder of its own
            places, files = [mount, mount / "unified"], _VERSION_2
        elif "memory" in controllers.split(","):
            places, files = [mount / "memory"], _VERSION_1
        else:
            continue
        # in a container the path may be that of the machine, where only its end, or nothing, exists
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for place in places:
            for depth in range(len(parts) + 1):
                yield place.joinpath(*parts[:depth]), files


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None  # "max" is no limit


def _stat(path: Path, name: str) -> int:
    for line in _lines(path):
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
