"""A command as a process of its own, and whatever it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MARK = "FEATX_TORTURE"
#: A command that neither ends nor works for so long (s) hangs.
HANGS = 300.0


@dataclass
class Command:
    """A running `featx` command, with a temporary folder of its own.

    Parameters
    ----------
    words : list of str
        After `featx`.
    folder : Path
        For its temporary files and what it says.
    environment : dict of str to str
        Beyond the usual.
    """

    words: list[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.said = self.folder / f"said-{self.mark[:8]}.txt"
        environment = {
            **os.environ,
            _MARK: self.mark,
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }
        with self.said.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *self.words],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environment,
                start_new_session=True,
            )
        self.started = time.monotonic()

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.said.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Return its exit status; what hangs is killed and told as an error."""
        try:
            return self.process.wait(timeout=HANGS)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"hangs: featx {' '.join(self.words)}\n{self.text}") from None

    def alive(self) -> list[int]:
        """Return the processes that it, or what it started, has left running."""
        mark = f"{_MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue  # it has ended, or is another user's; zombies have no environment
        return sorted(found)

    def left_after(self, patience: float = 20.0) -> list[int]:
        """Return the processes that are still there after some seconds."""
        end = time.monotonic() + patience
        while (left := self.alive()) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def kill_all(self) -> None:
        """Kill the command and all that it has started."""
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def run(words: list[str], folder: Path, **environment: str) -> Command:
    """Run a command to its end, which must be a good one."""
    command = Command(words, folder, environment)
    status = command.wait()
    assert status == 0, f"featx {' '.join(words)} ended with {status}:\n{command.text}"
    return command
