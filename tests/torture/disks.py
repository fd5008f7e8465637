"""Disks that are full, break, cannot be written or vanish, at a chosen write of a command."""

from __future__ import annotations

import errno
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.torture.contents import differing, digests
from tests.torture.kills import Outcome, Undisturbed
from tests.torture.processes import Command

SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class Fault:
    """An error that writes meet: from one on, or only once."""

    name: str
    number: int
    sticky: bool = True


FAULTS = (
    Fault("full", errno.ENOSPC),
    Fault("broken", errno.EIO, sticky=False),
    Fault("gone", errno.ESTALE),
)
READ_ONLY = Fault("read-only", errno.EROFS)


def compiler() -> str | None:
    """Return a C compiler, where there is one."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile what is preloaded; returns the library."""
    library = folder / "faults.so"
    compile_ = [str(compiler()), "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(compile_, check=True)
    return library


def attempt(
    usual: Undisturbed, library: Path, folder: Path, fault: Fault, at: int
) -> tuple[Command, int, int]:
    """Run a verb whose `at`-th write fails; returns it, its status, and how many it tried."""
    out, counter = folder / "out", folder / "counter"
    folder.mkdir(parents=True, exist_ok=True)
    counter.write_bytes(struct.pack("q", 0))
    environment = {
        "LD_PRELOAD": str(library),
        "FAULT_ROOT": str(out),
        "FAULT_COUNTER": str(counter),
        "FAULT_AT": str(at),
        "FAULT_ERRNO": str(fault.number),
        "FAULT_STICKY": str(int(fault.sticky)),
    }
    command = Command(usual.verb(usual.inputs, out), folder, environment)
    status = command.wait()
    return command, status, struct.unpack("q", counter.read_bytes())[0]


def disk_round(usual: Undisturbed, library: Path, folder: Path, fault: Fault, at: int) -> list[str]:
    """Let a verb's `at`-th write fail, resume it, and return what is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    out = folder / "out"
    command, status, _ = attempt(usual, library, folder, fault, at)
    problems = []
    if status not in (0, 1):
        problems.append(f"ended with {status}:\n{command.text}")
    if "Traceback" in command.text or "unexpected" in command.text:
        problems.append(f"not told in a line:\n{command.text}")
    if status == 1 and str(out) not in command.text:
        problems.append(f"does not name the file:\n{command.text}")
    if left := command.left_after():
        problems.append(f"processes are left: {left}")
        command.kill_all()
    if status == 0:  # what failed may be left undone without harm: it must be no harm
        problems += differing(usual.files, digests(out))
    again = Command(usual.verb(usual.inputs, out, "--resume"), folder)
    if again.wait() != 0:
        return [*problems, f"--resume ended with {again.process.returncode}:\n{again.text}"]
    return problems + differing(usual.files, digests(out))


def disks(
    usual: Undisturbed,
    library: Path,
    rounds: int,
    folder: Path,
    seed: int,
    advance: Callable[[], object],
) -> Outcome:
    """Let writes of a verb fail: all of them where there are no more than `rounds`, else some."""
    outcome = Outcome(f"disk under {usual.verb.name}")
    command, status, writes = attempt(usual, library, folder / "count", FAULTS[0], 0)
    assert status == 0, f"it must succeed where nothing fails:\n{command.text}"
    draw = random.Random(f"{seed} {usual.verb.name}")
    cases = [(fault, at) for fault in FAULTS for at in range(1, writes + 1)]
    cases = cases if len(cases) <= rounds else draw.sample(cases, rounds)
    for fault, at in [(READ_ONLY, 1), *cases]:
        problems = disk_round(usual, library, folder / "round", fault, at)
        outcome.take(
            problems, f"{fault.name} at write {at} of {writes}" if problems else fault.name
        )
        advance()
    return outcome
