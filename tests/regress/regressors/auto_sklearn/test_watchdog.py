"""The watchdog against real processes: a command that forks, hangs, ends, or loses its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regress.regressors.auto_sklearn import watchdog

#: Starts a grandchild that sleeps, writes both process ids, then does what it is told.
COMMAND = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1] + ".part", "w") as stream:
    stream.write("%d %d" % (os.getpid(), child.pid))
os.replace(sys.argv[1] + ".part", sys.argv[1])
exec(sys.argv[2])
"""


def arguments(tmp_path: Path, what: str, seconds: float = 60, owner: int | None = None):
    folder = tmp_path / "job"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-I", "-S", watchdog.__file__, str(owner or os.getpid())]
    command += [str(seconds), str(folder), sys.executable, "-c", COMMAND]
    return [*command, str(tmp_path / "pids"), what]


@pytest.mark.parametrize(
    ("what", "status"),
    [("sys.exit(0)", 0), ("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_the_commands_status_comes_back_and_what_it_left_running_is_killed(
    tmp_path, processes, what, status
):
    done = subprocess.run(arguments(tmp_path, what), timeout=60)
    assert done.returncode == status
    processes.wait_until_dead(processes.written(tmp_path / "pids"))
    assert (tmp_path / "job").exists()  # the owner lives and reads the results


def test_the_deadline_kills_the_whole_group(tmp_path, processes):
    started = time.monotonic()
    done = subprocess.run(arguments(tmp_path, "time.sleep(600)", seconds=1.5), timeout=60)
    assert done.returncode == watchdog.DEADLINE_PASSED
    assert time.monotonic() - started < 30
    processes.wait_until_dead(processes.written(tmp_path / "pids"))


def test_being_stopped_kills_the_group_and_removes_the_folder(tmp_path, processes):
    process = subprocess.Popen(arguments(tmp_path, "time.sleep(600)"))
    started = processes.written(tmp_path / "pids")
    assert all(map(processes.alive, started))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == watchdog.STOPPED
    processes.wait_until_dead(started)
    assert not (tmp_path / "job").exists()


def test_the_owners_sigkill_kills_the_group_and_removes_the_folder(tmp_path, processes):
    code = (
        "import os, subprocess, sys\n"
        "args = sys.argv[1:]; args[4] = str(os.getpid())\n"
        "subprocess.Popen(args, start_new_session=True).wait()"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, *arguments(tmp_path, "time.sleep(600)")])
    started = processes.written(tmp_path / "pids")
    owner.kill()
    owner.wait()
    processes.wait_until_dead(started)
    processes.wait_until(lambda: not (tmp_path / "job").exists())
