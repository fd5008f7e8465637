"""Watching processes come and go; jobs of a stand-in."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .stand_in import FAKE


class Processes:
    """What runs on this machine, read from /proc."""

    @staticmethod
    def alive(pid: int) -> bool:
        """Tell whether a process runs; a zombie that nobody reaped does not."""
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in "ZX"

    def under(self, folder: Path) -> list[int]:
        """Return the living processes with this folder in their command line or as their own."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self.alive(int(entry.name)):
                try:
                    command = (entry / "cmdline").read_bytes()
                    own = str((entry / "cwd").readlink())
                except OSError:
                    continue
                if str(folder).encode() in command or own.startswith(str(folder)):
                    found.append(int(entry.name))
        return found

    def wait_until_dead(self, pids: list[int]) -> None:
        self.wait_until(lambda: not any(map(self.alive, pids)))

    @staticmethod
    def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def written(self, path: Path) -> list[int]:
        """Return the process ids in a file, once it is there."""
        self.wait_until(path.exists)
        return [int(pid) for pid in path.read_text().split()]


@pytest.fixture(scope="session")
def processes() -> Processes:
    return Processes()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return the folder where this test's jobs go."""
    folder = Path(tempfile.mkdtemp(prefix="ask"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []  # nothing is left, whatever happened
    folder.rmdir()


@pytest.fixture
def fake(tmp_path, temporary):
    def make(body: str) -> Path:
        python = tmp_path / "env" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(FAKE.format(python=sys.executable, body=body))
        python.chmod(0o755)
        return tmp_path / "env"

    return make


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)), rng.uniform(0, 69, size=20), np.repeat(np.arange(4), 5)
