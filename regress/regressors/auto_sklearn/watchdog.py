"""Run a command so that nothing of it survives: not its end, a deadline, or its owner's death.

Run as ``python -I -S watchdog.py OWNER_PID SECONDS FOLDER COMMAND...``. The command gets a process
group of its own, and that group is killed whole when the command ends, when `SECONDS` have passed,
when this process is asked to stop, or when the owner is gone (a SIGKILL included, which the owner
cannot act on itself). In the latter two cases `FOLDER` is removed as well, for nobody else will.

Exit status: the command's own, 124 after the deadline, 143 when stopped.

A process of its own, and not a thread beside the work, because compiled model code may hold the
interpreter's lock for minutes. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

DEADLINE_PASSED = 124
STOPPED = 143
_POLL = 0.1  # seconds


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def remove(folder: str) -> None:
    """Remove a folder in which killed processes may still be finishing a write."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(_POLL)


def watch(owner: int, seconds: float, folder: str, command: list[str]) -> int:
    """Run `command` to its end or the first reason to kill it; return the exit status."""
    deadline = time.monotonic() + seconds
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda signum, frame: asked.append(signum))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    # WNOWAIT leaves the dead leader unreaped, so that its group number cannot be taken by
    # another before the rest of the group is killed.
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    stopped = late = False
    while os.waitid(os.P_PID, child.pid, flags) is None:
        stopped = bool(asked) or os.getppid() != owner
        late = time.monotonic() > deadline
        if stopped or late:
            break
        time.sleep(_POLL)
    _kill_group(child.pid)
    status = child.wait()
    if stopped or os.getppid() != owner:
        remove(folder)
        return STOPPED
    return DEADLINE_PASSED if late else status


if __name__ == "__main__":
    status = watch(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:])
    # A command ended by signal N is told as the shell tells it.
    sys.exit(status if status >= 0 else 128 - status)
