"""Free memory under the control groups of clusters and containers, and what is given back."""

import os
import platform
import subprocess
import sys

import pytest

from featx.memory import free_memory, give_back

GIB = 1 << 30

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


@pytest.fixture
def machine(tmp_path):
    return write(tmp_path, {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {64 * GIB // 1024} kB"})


def test_the_machines_own(machine):
    assert free_memory(machine) == 64 * GIB


def test_a_limit_of_any_group_above_holds(machine):
    job = "sys/fs/cgroup/slurm/job_7"
    write(
        machine,
        {
            "proc/self/cgroup": "0::/slurm/job_7/step_0/task_0",
            f"{job}/memory.max": 8 * GIB,
            f"{job}/memory.current": 3 * GIB,
            f"{job}/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file 7",
            f"{job}/step_0/memory.max": "max",
            f"{job}/step_0/memory.current": 3 * GIB,
            "sys/fs/cgroup/other/memory.max": 1,  # somebody else's
            "sys/fs/cgroup/other/memory.current": 1,
        },
    )
    assert free_memory(machine) == 6 * GIB  # cached files give way


def test_a_containers_own_root(machine):
    root = {"memory.max": 4 * GIB, "memory.current": GIB}
    files = {f"sys/fs/cgroup/{name}": value for name, value in root.items()}
    write(machine, {"proc/self/cgroup": "0::/../../kubepods/pod3", **files})
    assert free_memory(machine) == 3 * GIB


def test_version_1(machine):
    job = "sys/fs/cgroup/memory/slurm/uid_1/job_7"
    write(
        machine,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/\n9:memory:/slurm/uid_1/job_7/step_0\n0::/",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 50 * GIB,
            f"{job}/memory.limit_in_bytes": 16 * GIB,
            f"{job}/memory.usage_in_bytes": 4 * GIB,
            f"{job}/memory.stat": f"inactive_file 0\ntotal_inactive_file {2 * GIB}",
        },
    )
    assert free_memory(machine) == 14 * GIB


def test_never_below_nothing(machine):
    files = {"memory.max": GIB, "memory.current": 2 * GIB}
    write(machine, {"proc/self/cgroup": "0::/"})
    write(machine, {f"sys/fs/cgroup/{name}": value for name, value in files.items()})
    assert free_memory(machine) == 0


def test_here():
    assert free_memory() > 0


# Half of the blocks are freed, each between two that stay: only the C library can give those back.
HOLES = """
from pathlib import Path
from featx.memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

kept = [bytearray(b"x" * 60_000) for _ in range(2_000)]
kept[::2] = [None] * 1_000
before = resident()
give_back()
print(before - resident())
assert kept[1] == b"x" * 60_000
"""


@glibc_only
def test_freed_blocks_between_others_are_given_back():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 30_000_000  # of 60 MB


OF_ARROW = """
import pyarrow
from featx.memory import give_back, resident_memory
def column():
    return pyarrow.array([f"{row:07d}" for row in range(200_000)])
column()
give_back()
before = resident_memory()
texts = [column() for _ in range(30)]
kept = pyarrow.array(["kept"])
held = resident_memory()
del texts
give_back()
print(held - before, resident_memory() - before, kept.to_pylist())
"""


def test_what_arrow_has_freed_is_given_back():
    pyarrow = pytest.importorskip("pyarrow")
    if pyarrow.default_memory_pool().backend_name != "mimalloc":
        pytest.skip("older Arrow's jemalloc gives back when it likes")
    command = [sys.executable, "-c", OF_ARROW]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    held, left, kept = done.stdout.split()
    assert int(held) > 60_000_000
    assert int(left) < 0.5 * int(held)
    assert kept == "['kept']"


def test_nothing_to_give_back_to_another_c_library(monkeypatch):
    monkeypatch.setattr("featx.memory.ctypes.CDLL", lambda name: object())
    give_back()


KEEPING = """
from featx.memory import keeping_freed_memory, resident_memory

def grow():  # 300 MiB in blocks that glibc takes from its heap, and a small one behind them
    blocks = [bytes(bytearray(1 << 20)) for _ in range(300)]
    return blocks

grow()
before = resident_memory()
with keeping_freed_memory() as limit_growth:
    for batch in range(8):
        limit_growth()
    grow()
    for batch in range(7):
        limit_growth()
    kept = resident_memory()
    limit_growth()
    limited = resident_memory()
    grow()
after = resident_memory()
print(*(each >> 20 for each in (before, kept, limited, after)))
"""


#: A map of a large network is beyond what glibc ever takes from its heap of its own accord.
LARGE = """
import resource
from featx.memory import keeping_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"1" * (64 << 20))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with keeping_freed_memory():
    faults()
    within = faults()
faults()
print(within, faults())
"""


def numbers(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    return map(int, done.stdout.split())


@glibc_only
def test_freed_memory_is_kept_between_batches_but_not_as_the_process_grows():
    before, kept, limited, after = numbers(KEEPING)
    assert kept - before > 200
    assert limited - before < 50
    assert after - before < 50


@glibc_only
def test_large_blocks_are_kept_between_batches_and_mapped_after():
    within, after = numbers(LARGE)
    assert within < 1_000
    assert after > 16_000


@glibc_only
@pytest.mark.parametrize(
    "own",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"MALLOC_MMAP_MAX_": "65536"},
        {"GLIBC_TUNABLES": "glibc.malloc.top_pad=131072"},
    ],
)
def test_settings_of_the_users_own_stay(own):
    before, kept, _, _ = numbers(KEEPING, **own)
    assert kept - before < 100
