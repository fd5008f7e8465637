"""A command run to its end: how long it took and how much memory it held at its peak."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class Ended:
    """What a command did.

    Attributes
    ----------
    told : dict
        The JSON of the last line of its output.
    seconds : float
        From its start to its end.
    mebibytes : float
        The largest resident set of any of its processes, as the kernel kept it, or what all of
        them held together (shared pages counted once) where a sample found that to be more.
    """

    told: dict[str, Any]
    seconds: float
    mebibytes: float


def run_to_end(words: Sequence[object], environment: Mapping[str, str]) -> Ended:
    """Run a command, which has to end well."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in words], env=environment, stdout=out, stderr=complaints
        )
        largest, ended = [0], threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, largest, ended))
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watch.join()
        out.seek(0)
        complaints.seek(0)
        if process.returncode:
            said = complaints.read().decode(errors="replace").strip()
            raise click.ClickException(
                f"{words[0]} ended with {process.returncode}: {said[-2000:]}"
            )
        told = json.loads(out.read().splitlines()[-1])
    return Ended(told, seconds, max(usage.ru_maxrss, largest[0]) / 1024)  # KiB on Linux


def _watch(pid: int, largest: list[int], ended: threading.Event) -> None:
    while not ended.wait(1.0):
        largest[0] = max(largest[0], sum(map(_proportional, _family(pid))))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from _family(int(child))


def _proportional(pid: int) -> int:
    """Return a process' proportional set size in KiB: pages that n processes share count 1/n."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
