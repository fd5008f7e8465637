"""Extraction and regression over and over in one process: nothing that it holds may grow."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.torture.kills import Outcome

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: What memory may grow by from the first half of the rounds to the second: a share, and bytes.
_SHARE, _SLACK = 0.05, 16 << 20


@dataclass(frozen=True)
class Held:
    """What a process holds: bytes in memory, and counts."""

    memory: int
    files: int
    threads: int
    processes: int
    temporary: int


def _count(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def held() -> Held:
    """Return what this process holds now."""
    gc.collect()
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    return Held(
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
        files=_count("/proc/self/fd"),
        threads=_count("/proc/self/task"),
        processes=len(children.read_text().split()),
        temporary=sum(
            len(folders) + len(names) for _, folders, names in os.walk(tempfile.gettempdir())
        ),
    )


def endure(
    inputs: Path, folder: Path, *, seconds: float, least: int = 6
) -> tuple[Outcome, list[Held]]:
    """Extract and regress for so long, and at least so many times, in this process."""
    from featx.extraction import extract
    from regress.evaluate import evaluate
    from regress.methods import plan_methods

    end, measured = time.monotonic() + seconds, []
    while len(measured) < least or time.monotonic() < end:
        extract(
            inputs / "made",
            folder / "features.h5",
            backbone="onet",
            weights="mtcnn",
            layers=("gap", "flattened"),
            batch_size=4,
            workers=1,
        )
        for method in plan_methods(
            folder / "features.h5",
            folder / "runs",
            layers=["gap"],
            regressors=["exact-kernel", "svr"],
        ):
            evaluate(method, jobs=2)
        shutil.rmtree(folder)
        folder.mkdir()
        measured.append(held())
    outcome = Outcome("extract and regress in a loop")
    outcome.take(growing(measured))
    outcome.rounds, outcome.survived = len(measured), len(measured) * outcome.survived
    return outcome, measured


def growing(measured: list[Held]) -> list[str]:
    """Return what the second half of the rounds holds more of than the first; one warms up."""
    rounds = [asdict(each) for each in measured[1:]]
    half, told = len(rounds) // 2, []
    for name in rounds[0]:
        before = max(each[name] for each in rounds[:half])
        after = max(each[name] for each in rounds[half:])
        allowed = before * (1 + _SHARE) + _SLACK if name == "memory" else before
        if after > allowed:
            told.append(f"{name} grew from {before:,} to {after:,} in {len(rounds)} rounds")
    return told
